"""The ``headgate`` command as a user runs it: a process, its output, its code."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "proxy")
FINISH_S = 60.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(**extra: str) -> dict[str, str]:
    """Return this environment without what steers the command, plus ``extra``."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HEADGATE_") and name not in ("NO_COLOR", "COLUMNS")
    }
    return {**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm", **extra}


@asynccontextmanager
async def started(
    *arguments: str, **extra: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a command with pipes; it is killed if it still runs at the end."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**extra),
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def headgate(*arguments: str, **extra: str) -> Finished:
    """Run a command with pipes to its end; ``extra`` is put into its environment."""
    async with started(*arguments, **extra) as process, asyncio.timeout(FINISH_S):
        out, err = await process.communicate()
        assert process.returncode is not None
        return Finished(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def on_terminal(*arguments: str, **extra: str) -> AsyncIterator["Terminal"]:
    """Start a command on a terminal of its own."""
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(COLUMNS="100", LINES="40", **extra),
        cwd=ROOT,
    )
    os.close(follower)
    try:
        yield Terminal(process, leader)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(leader)


@dataclass(frozen=True, slots=True)
class Terminal:
    """A command on a terminal."""

    process: asyncio.subprocess.Process
    leader: int

    async def read_until(self, text: str) -> str:
        """Return what was shown up to and with ``text``."""
        shown = b""
        async with asyncio.timeout(FINISH_S):
            while text.encode() not in shown:
                shown += await asyncio.to_thread(os.read, self.leader, 65536)
        return shown.decode()

    async def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(FINISH_S):
            while self.process.returncode is None:
                await asyncio.to_thread(_drain, self.leader)
                await asyncio.sleep(0.01)
        return self.process.returncode


def _drain(leader: int) -> None:
    """Take what is shown, so that the command never waits for the terminal."""
    try:
        os.read(leader, 65536)
    except OSError:  # EIO: the other end is closed
        return
