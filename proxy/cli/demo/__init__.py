"""
``headgate demo``: four rollouts on real traffic, told in under two minutes.

::

    users (load) ──► Headgate (a real process tree) ──► blue, green (service)
                         ▲
    stories ── deploy, watch through the admin API ──► screen

Decides which stories are told and what the exit code is. Nothing here is used by
Headgate itself.
"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import typer

from proxy.cli import EXIT_INTERRUPTED
from proxy.cli.demo.load import Load
from proxy.cli.demo.screen import Screen, open_screen
from proxy.cli.demo.stage import Ports, Stage, set_up
from proxy.cli.demo.stories import Ending, Story, named, tell
from proxy.cli.screen import is_plain

RATE_PER_S = 400.0
"""Enough evidence in a few seconds, little enough for a laptop."""
USERS = 8000
"""Each is heard about once in 20 s: evidence takes a user once in 10 s."""
TRAFFIC_FIRST_S = 1.0
"""Traffic before the first story: the connections are made then."""

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_demo(story: list[str] | None, *, plain: bool, serve: bool = False) -> int:
    """
    Tell the stories; return 0 when all of them end as told, else 1.

    Args:
        story: only these, by name; ``None`` or none: the first four.
        plain: print lines, also on a terminal.
        serve: tell no story, but keep the shops and Headgate running on the ports
            of config/demo.yaml, for other load, until Ctrl-C or SIGTERM.

    Raises:
        typer.BadParameter: there is no such story.
        StartError: something did not start.
    """
    try:
        stories = named(story)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with open_screen(plain=plain or is_plain()) as screen:
        work = _serve(screen) if serve else _tell_all(stories, screen)
        return asyncio.run(
            _until_signal(work, stopped=0 if serve else EXIT_INTERRUPTED)
        )


async def _until_signal(work: Coroutine[Any, Any, int], stopped: int) -> int:
    """Return what the work returns, or ``stopped`` once a signal ended it."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name="demo")
    for number in _ENDS:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return stopped


async def _tell_all(stories: tuple[Story, ...], screen: Screen) -> int:
    """Tell the stories one after another and sum them up."""
    started_s = time.monotonic()
    endings: list[Ending] = []
    for file in dict.fromkeys(story.file for story in stories):
        async with set_up(file=file) as stage:
            _introduce(stage, screen)
            load = Load(
                "127.0.0.1", stage.ports.traffic, rate_per_s=RATE_PER_S, users=USERS
            )
            users = asyncio.get_running_loop().create_task(load.run(), name="users")
            try:
                await asyncio.sleep(TRAFFIC_FIRST_S)
                for story in (one for one in stories if one.file == file):
                    number = len(endings) + 1
                    screen.say(f"\n{number}. {story.title}", "bold")
                    ending = await tell(story, f"2.{number}.0", stage, load, screen)
                    _conclude(ending, screen)
                    endings.append(ending)
            finally:
                users.cancel()
                with suppress(asyncio.CancelledError):
                    await users
    return _sum_up(endings, time.monotonic() - started_s, screen)


async def _serve(screen: Screen) -> int:
    """Keep the stage as it is until cancelled."""
    async with set_up(_ports_of_the_file()) as stage:
        _introduce(stage, screen)
        for shop in stage.shops.values():
            address = f"http://127.0.0.1:{shop.private_port}/behaviour"
            screen.say(f"change {shop.name} by PUT {address}", "dim")
        screen.say("ready; Ctrl-C ends it")
        await asyncio.Event().wait()
    return 0


def _ports_of_the_file() -> Ports:
    """Return the ports of config/demo.yaml, or what the environment says instead."""
    return Ports(
        traffic=int(os.environ.get("HEADGATE_DEMO_PORT", "8080")),
        admin=int(os.environ.get("HEADGATE_DEMO_ADMIN_PORT", "9901")),
        health=int(os.environ.get("HEADGATE_DEMO_HEALTH_PORT", "9902")),
    )


def _introduce(stage: Stage, screen: Screen) -> None:
    """Say what runs, and where to look."""
    ports = stage.ports
    screen.say(f"Headgate with {stage.workers} workers, from {stage.config}")
    screen.say(f"traffic  http://127.0.0.1:{ports.traffic}", "dim")
    screen.say(f"admin    http://127.0.0.1:{ports.admin}/api/v1/services", "dim")
    screen.say(f"metrics  http://127.0.0.1:{ports.health}/metrics", "dim")
    for shop in stage.shops.values():
        screen.say(f"{shop.name:<8} http://127.0.0.1:{shop.port}", "dim")


def _conclude(ending: Ending, screen: Screen) -> None:
    """Say how a story ended."""
    good = not ending.wrong
    screen.say(f"   {'✓' if good else '✗'} {ending.told}", "green" if good else "red")
    for complaint in ending.wrong:
        screen.say(f"     not as told: {complaint}", "red")


def _sum_up(endings: list[Ending], took_s: float, screen: Screen) -> int:
    """Say how the demo ended; return its exit code."""
    failed = [ending.story.name for ending in endings if ending.wrong]
    if failed:
        screen.say(f"\nnot as told: {', '.join(failed)} ({took_s:.0f} s)", "bold red")
        return 1
    screen.say(
        f"\nall as told: {len(endings)} of {len(endings)} ({took_s:.0f} s)",
        "bold green",
    )
    return 0
