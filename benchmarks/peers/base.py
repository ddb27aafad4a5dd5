"""What a peer is: a name, an availability, and a process that can be pinned."""

import contextlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PROXY_CORE = 0
LOAD_CORE = 1
"""The generator and the origin share this one; its time is not counted."""

READY_S = 60.0
END_S = 10.0
"""Headgate's own tree drains; the others end at once."""

CANARY_PERCENT = 20
UNIT_FIELD = "x-user-id"
VERSION_FIELD = "x-headgate-version"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a peer finds the origin, where it listens, where it may write."""

    stable_port: int
    canary_port: int
    port: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Duty:
    """What a peer is asked to do beside relaying."""

    mirror: bool = False
    """A copy of each request goes to the canary."""
    compare: bool = False
    """And the answers are kept side by side, to be compared (ours alone)."""
    cookie: str = ""
    """The cookie whose value is the unit, instead of the field ``UNIT_FIELD``."""


PLAIN = Duty()


class Peer(Protocol):
    """One proxy under comparison."""

    name: str
    mirrors: bool
    """Whether it can send a copy of each request to the canary."""

    def missing(self) -> str | None:
        """Say what is missing to run this peer here, or None."""

    def serving(self, site: Site, duty: Duty) -> contextlib.AbstractContextManager[int]:
        """Run it for the length of the context; give the id of its first process."""


def program(name: str) -> str | None:
    """Return the path of a program, also where only root looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def pinned(core: int, command: list[str]) -> list[str]:
    """Return a command line that runs ``command`` on one core only."""
    return ["taskset", "--cpu-list", str(core), *command]


@contextlib.contextmanager
def process(
    command: list[str],
    log: Path,
    *,
    core: int | None = PROXY_CORE,
    environ: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on a core (or any), its output in a file; end it afterwards."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command if core is None else pinned(core, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
        )
    try:
        yield child
    finally:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """End a process that was started here: politely, then not."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        wait(child)


def wait(child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process, for a bounded time."""
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
