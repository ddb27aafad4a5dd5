"""
The stories: what is deployed, how the rollout must end, what is said.

A story changes the behaviour and the revision of the shop that is the canary at
that time, and from then on watches: Headgate sees the new revision by itself.
Some take a turn when the rollout gets somewhere. Each end is checked against what
the shop itself counted. The first four are told without being asked for.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.cli.demo.behaviour import JsonValue, Tally
from proxy.cli.demo.load import Load
from proxy.cli.demo.screen import Screen
from proxy.cli.demo.stage import Shop, Stage
from proxy.cli.demo.view import Users, draw
from proxy.errors import AdminError

Json = Mapping[str, Any]

LOOK_EVERY_S = 0.2
STORY_WAIT_S = 75.0
"""Longest story: the good canary takes about 30 s on a quiet machine."""
ENDED = frozenset({"Succeeded", "RolledBack"})
DROP_WAIT_S = 1.0
"""A canary that fails everything is out this long after its first failure."""
REQUESTS_A_WORKER = 20
"""How many failures each worker needs to see: ``fail_fast.requests``."""
SETTLE_S = 0.5
"""Requests on their way when the weight moved arrive within this."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens when the rollout has this phase or reason for the first time."""

    at: str
    told: str
    behaviour: Mapping[str, JsonValue] | None = None
    """What the canary does from then on; ``None``: as before."""
    verb: str | None = None
    """What a person then orders; ``None``: nothing."""


@dataclass(frozen=True, slots=True)
class Story:
    """One release and how it must end."""

    name: str
    title: str
    behaviour: Mapping[str, JsonValue]
    phase: str
    reason: str | None = None
    """The rollout's reason at the end; ``None``: any."""
    fails_after_s: float | None = None
    """When a request is known to have failed, after it arrived at the canary;
    ``None``: this canary does not fail every request."""
    stable_behaviour: Mapping[str, JsonValue] | None = None
    """What stable does from then on; ``None``: what it did."""
    names: str | None = None
    """The one field that a parallel run must name; ``None``: nothing is compared."""
    file: str = "demo.yaml"
    """The configuration that it needs."""
    frozen: bool = False
    """The service is frozen before the release."""
    turns: tuple[Turn, ...] = ()


STORIES = (
    Story(
        name="good",
        title="a good canary is promoted step by step to 100 %",
        behaviour={
            "median_s": 0.050,
            "error_rate": 0.0,
            "hangs": False,
            "lost_orders": 0.0,
        },
        phase="Succeeded",
    ),
    Story(
        name="slow",
        title="a canary that is 30 % slower is rolled back",
        behaviour={
            "median_s": 0.065,
            "error_rate": 0.0,
            "hangs": False,
            "lost_orders": 0.0,
        },
        phase="RolledBack",
        reason="SloViolated",
    ),
    Story(
        name="failing",
        title="a canary that fails every request is dropped at once",
        behaviour={
            "median_s": 0.050,
            "error_rate": 1.0,
            "hangs": False,
            "lost_orders": 0.0,
        },
        phase="RolledBack",
        reason="FailFast",
        fails_after_s=0.0,
    ),
    Story(
        name="silent",
        title="a canary that never answers is dropped at once",
        behaviour={
            "median_s": 0.050,
            "error_rate": 0.0,
            "hangs": True,
            "lost_orders": 0.0,
        },
        phase="RolledBack",
        reason="FailFast",
        fails_after_s=1.0,  # timeouts.attempt
    ),
)
"""Told in this order."""

MORE = (
    Story(
        name="late",
        title="a fault that shows after 100 % is rolled back from the bake",
        behaviour={
            "median_s": 0.050,
            "error_rate": 0.0,
            "hangs": False,
            "lost_orders": 0.0,
        },
        phase="RolledBack",
        turns=(
            Turn(
                "Baking",
                "it bakes, and begins to fail one request in five",
                behaviour={
                    "median_s": 0.050,
                    "error_rate": 0.1,
                    "hangs": False,
                    "lost_orders": 0.0,
                },
            ),
        ),
    ),
    Story(
        name="frozen",
        title="a release waits for the end of a freeze",
        behaviour={
            "median_s": 0.050,
            "error_rate": 0.0,
            "hangs": False,
            "lost_orders": 0.0,
        },
        phase="Succeeded",
        frozen=True,
        turns=(Turn("Frozen", "frozen: it waits; now unfreeze", verb="unfreeze"),),
    ),
    Story(
        name="parallel",
        title="a canary with one wrong price in 1 % of its answers gets no user",
        behaviour={
            "median_s": 0.010,
            "error_rate": 0.0,
            "hangs": False,
            "lost_orders": 0.0,
            "catalogue": True,
            "wrong_prices": 0.01,
        },
        stable_behaviour={"median_s": 0.010, "catalogue": True},
        phase="RolledBack",
        reason="Mismatch",
        names="$.items[].price",
        file="demo-parallel.yaml",
    ),
    Story(
        name="orders",
        title="a canary that is quick and loses every second order is rolled back",
        behaviour={
            "median_s": 0.050,
            "error_rate": 0.0,
            "hangs": False,
            "lost_orders": 0.5,
        },
        phase="RolledBack",
        reason="SloViolated",
    ),
)
"""Told only by name."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a story ended."""

    story: Story
    told: str
    """What happened, in a sentence."""
    wrong: tuple[str, ...]
    """What is not as it had to be; empty: the story ended as told."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen while a story ran."""

    rollout: Json
    weights: tuple[float, ...]
    """The canary's weights in percent, each time it changed."""
    took_s: float
    left: tuple[str, ...] = ()
    """Turns of the story that were never taken."""


@dataclass(frozen=True, slots=True)
class Release:
    """What is watched: a story, its revision, and the service before it."""

    story: Story
    revision: str
    service: Json


async def tell(
    story: Story, revision: str, stage: Stage, load: Load, screen: Screen
) -> Ending:
    """Deploy ``revision``, watch until its rollout ended, and judge the end."""
    service = await stage.service()
    canary = stage.shops[service["canary"]]
    if story.frozen:
        await stage.order("freeze", reason="the shop is moving")
        screen.say("   the service is frozen", "dim")
    screen.say(f"   {canary.name} now runs {revision}", "dim")
    if story.stable_behaviour is not None:
        await stage.shops[service["stable"]].deploy(story.stable_behaviour)
    await canary.deploy({**story.behaviour, "revision": revision})
    watched = await _watch(Release(story, revision, service), stage, load, screen)
    await asyncio.sleep(SETTLE_S)
    if story.names is not None:
        return compared(story, watched, await stage.parallel())
    return judge(story, watched, await canary.tally(), stage.workers)


def judge(story: Story, watched: Watched, tally: Tally, workers: int) -> Ending:
    """Return how a story ended, and what of it is not as it had to be."""
    rollout = watched.rollout
    wrong = []
    if rollout["phase"] != story.phase:
        wrong.append(f"phase {rollout['phase']}, expected {story.phase}")
    elif story.reason is not None and rollout["reason"] != story.reason:
        wrong.append(f"reason {rollout['reason']}, expected {story.reason}")
    if story.phase == "Succeeded":
        wrong += _missed_steps(rollout, watched.weights)
    wrong += [f"it was never {place}" for place in watched.left]
    told = f"{rollout['phase']} after {watched.took_s:.0f} s"
    if story.fails_after_s is None:
        told += f", the canary answered {tally.requests} requests"
    else:
        failing_s = _failing_s(tally, story.fails_after_s)
        most = REQUESTS_A_WORKER * workers + tally.in_flight_peak
        told = (
            f"{rollout['phase']}: out {failing_s:.2f} s after its first failure; "
            f"{tally.requests} requests were exposed (at most {REQUESTS_A_WORKER} "
            f"for each of {workers} workers and {tally.in_flight_peak} in flight)"
        )
        if failing_s > DROP_WAIT_S:
            wrong.append(f"it got requests for {failing_s:.2f} s of failing")
        if not 0 < tally.requests <= most:
            wrong.append(f"{tally.requests} requests exposed, expected 1 to {most}")
    return Ending(story, told, tuple(wrong))


def compared(story: Story, watched: Watched, report: Json) -> Ending:
    """Return how a story with a parallel run ended: what was named, and who saw it."""
    rollout = watched.rollout
    fields = [field for endpoint in report["endpoints"] for field in endpoint["fields"]]
    named_ = {one["path"] for one in fields if one["verdict"] == "regression"}
    noise = {one["path"] for one in fields if one["verdict"] == "noise"}
    wrong = []
    if (rollout["phase"], rollout["reason"]) != (story.phase, story.reason):
        wrong.append(
            f"{rollout['phase']} by {rollout['reason']}, "
            f"expected {story.phase} by {story.reason}"
        )
    if named_ != {story.names}:
        wrong.append(f"it names {sorted(named_)}, expected {story.names}")
    if rollout["exposed_requests"]:
        wrong.append(f"{rollout['exposed_requests']} users got the canary")
    told = (
        f"{rollout['phase']} after {watched.took_s:.0f} s and {report['pairs']} pairs: "
        f"{', '.join(sorted(named_)) or 'nothing'} differs; "
        f"noise: {', '.join(sorted(noise))}; no user got the canary"
    )
    return Ending(story, told, tuple(wrong))


async def _watch(release: Release, stage: Stage, load: Load, screen: Screen) -> Watched:
    """Show the rollout of a release until it ended or takes too long."""
    revision, service = release.revision, release.service
    turns = list(release.story.turns)
    canary = stage.shops[service["canary"]]
    before = {version["name"]: version["requests"] for version in service["versions"]}
    sent, failed = load.sent, load.failed.total()
    started_s = time.monotonic()
    weights = [0.0]
    while True:
        service, rollout = await _look(stage)
        users = Users(load.sent - sent, load.failed.total() - failed)
        took_s = time.monotonic() - started_s
        if turns and turns[0].at in (rollout["phase"], rollout["reason"]):
            await _take(turns.pop(0), revision, canary, stage, screen)
        if rollout["revision"] == revision:
            screen.show(draw(service, rollout, before, users))
            if rollout["weight"] != weights[-1]:
                weights.append(rollout["weight"])
            if rollout["phase"] in ENDED:
                break
        if took_s > STORY_WAIT_S:
            break
        await asyncio.sleep(LOOK_EVERY_S)
    left = tuple(turn.at for turn in turns)
    return Watched(rollout, tuple(weights), took_s, left)


async def _take(
    turn: Turn, revision: str, canary: Shop, stage: Stage, screen: Screen
) -> None:
    """Let a story take its turn."""
    screen.say(f"   {turn.told}", "dim")
    if turn.behaviour is not None:
        await canary.deploy({**turn.behaviour, "revision": revision})
    if turn.verb is not None:
        await stage.order(turn.verb)


async def _look(stage: Stage) -> tuple[Json, Json]:
    """Return the service and its rollout; asks again where the API is busy."""
    for _try in range(10):
        try:
            return await stage.service(), await stage.rollout()
        except AdminError:
            await asyncio.sleep(LOOK_EVERY_S)
    return await stage.service(), await stage.rollout()


def _missed_steps(rollout: Json, weights: tuple[float, ...]) -> list[str]:
    """Return a complaint when the weights were not those of the steps, in order."""
    steps = [float(step["weight"]) for step in rollout["steps"]]
    if rollout.get("bake"):
        steps[-1:] = [steps[-1] - rollout["bake"]["holdback"], steps[-1]]
    expected = (0.0, *steps)
    if weights == expected:
        return []
    return [f"weights {weights}, expected {expected}"]


def _failing_s(tally: Tally, fails_after_s: float) -> float:
    """Return how long requests still arrived after the first one had failed."""
    if tally.first_s is None or tally.last_s is None:
        return 0.0
    return max(0.0, tally.last_s - tally.first_s - fails_after_s)


def named(names: list[str] | None) -> tuple[Story, ...]:
    """
    Return the stories that were asked for, in the order they are told.

    Raises:
        ValueError: there is no such story.
    """
    known = {story.name: story for story in (*STORIES, *MORE)}
    for name in names or ():
        if name not in known:
            raise ValueError(f"no story {name!r}, expected one of {', '.join(known)}")
    if not names:
        return STORIES
    return tuple(story for story in known.values() if story.name in names)
