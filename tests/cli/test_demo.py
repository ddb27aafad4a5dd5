"""``headgate demo`` as its user runs it: a real process tree, real traffic."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.eventually import eventually
from tests.support.family import Family
from tests.support.free_port import free_port


@asynccontextmanager
async def demo(
    family: Family, *options: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the demo with its output in a pipe; kill it if the test failed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        "demo",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**family.environ, **ports()},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def ports() -> dict[str, str]:
    """Return where --serve listens; without it the demo looks for itself."""
    names = ("PORT", "ADMIN_PORT", "HEALTH_PORT")
    return {f"HEADGATE_DEMO_{name}": str(free_port()) for name in names}


async def output_until(process: asyncio.subprocess.Process, words: str) -> None:
    """Read the demo's output up to some words."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        await process.stdout.readuntil(words.encode())


@pytest.mark.timeout(180)
async def test_all_four_stories_end_as_told_within_two_minutes() -> None:
    """Exit 0; each story's end and the exposed requests are told; nobody is left."""
    family = Family()
    async with demo(family) as process, asyncio.timeout(120):
        output = (await process.communicate())[0].decode()

    assert process.returncode == 0, output
    assert output.count("✓") == 4
    assert "all as told: 4 of 4" in output
    exposed = [int(number) for number in re.findall(r"(\d+) requests were exp", output)]
    assert len(exposed) == 2
    assert all(exposed)
    assert "\x1b" not in output
    assert family.living() == []


async def test_the_parallel_story_names_the_price_and_none_of_the_noise() -> None:
    """Two versions compared on real traffic; the one real difference is found."""
    family = Family()
    async with demo(family, "--story", "parallel") as process, asyncio.timeout(100):
        output = (await process.communicate())[0].decode()

    assert process.returncode == 0, output
    assert "$.items[].price differs; noise: $.at, $.id, $.items; no user" in output
    assert family.living() == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything(ending: signal.Signals) -> None:
    """Ctrl-C and SIGTERM in the middle of a story: exit 130, and nobody is left."""
    family = Family()
    async with demo(family, "--story", "good") as process:
        await output_until(process, "now runs")
        process.send_signal(ending)
        async with asyncio.timeout(30):
            output = (await process.communicate())[0].decode()

    assert process.returncode == 130
    assert "Traceback" not in output
    assert family.living() == []


async def test_nobody_outlives_a_demo_that_was_killed() -> None:
    """After SIGKILL the shops and Headgate's whole tree end by themselves."""
    family = Family()
    async with demo(family, "--serve") as process:
        await output_until(process, "ready")
        assert len(family.living()) >= 6  # the demo, 2 shops, 1 + 1 + 2 of Headgate
        process.kill()
        await process.wait()

    await eventually(lambda: family.living() == [])


async def test_serve_keeps_running_until_told_to_end() -> None:
    """With --serve no story is told, and SIGTERM is a good end: exit 0."""
    family = Family()
    async with demo(family, "--serve") as process:
        await output_until(process, "ready")
        process.terminate()
        async with asyncio.timeout(30):
            output = (await process.communicate())[0].decode()

    assert (process.returncode, "1." in output) == (0, False)
    assert family.living() == []


async def test_an_unknown_story_is_a_usage_error() -> None:
    """Exit 2 and one line that names the stories there are; nothing is started."""
    async with demo(Family(), "--story", "fast") as process:
        output = (await process.communicate())[0].decode()

    assert process.returncode == 2
    assert output.count("\n") == 1
    assert "expected one of good, slow, failing, silent" in output
