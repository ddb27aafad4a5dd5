"""
The access log: off by default, sampled, never in a request's way.

Lines go to standard output, in one go by the sweep. When the reader of
that is slower than the log, lines are dropped and counted, nothing waits.
"""

import json
import os
import random
import stat
from time import monotonic, time  # noqa: TID251 - a shell reads the clock
from typing import TYPE_CHECKING, Any, Final

from proxy.dataplane.recorder import ERROR_STATUS_MIN

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

LINES_MAX: Final = 10_000
"""Lines held between two sweeps (100 ms); more are dropped and counted."""
WRITE_BYTES_MAX: Final = 4_096
"""One write: PIPE_BUF, so that it is taken whole or not at all."""
TARGET_BYTES_MAX: Final = 512
"""A longer target is cut in the log."""
HOST_BYTES_MAX: Final = 255
"""The same for a host: DNS has no longer names."""


class AccessLog:
    """``settings`` has ``format`` (json, text), ``sample`` and ``errors`` (0-1)."""

    __slots__ = ("_chance", "_errors", "_fd", "_json", "_lines", "_sample", "dropped")

    def __init__(
        self, settings: dict[str, Any], chance: random.Random, fd: int
    ) -> None:
        self._json = settings["format"] == "json"
        self._sample = float(settings["sample"])
        self._errors = float(settings["errors"])
        self._chance = chance
        self._fd = fd
        self._lines: list[bytes] = []
        self.dropped = 0

    def note(self, exchange: "Exchange") -> None:
        """Take a line for an exchange that ended, if the sample has it."""
        failed = exchange.status >= ERROR_STATUS_MIN or exchange.status == 0
        share = self._errors if failed else self._sample
        if share < 1 and self._chance.random() >= share:
            return
        if len(self._lines) >= LINES_MAX:
            self.dropped += 1
            return
        entry = _entry(exchange)
        if self._json:
            self._lines.append(json.dumps(entry, separators=(",", ":")).encode())
        else:
            self._lines.append(_text(entry))

    def flush(self) -> None:
        """Write what was collected; drop what is not taken."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        for number, block in enumerate(blocks := _blocks(lines)):
            try:
                written = os.write(self._fd, block)
            except OSError:
                self.dropped += sum(one.count(b"\n") for one in blocks[number:])
                return
            self.dropped += block.count(b"\n", written)

    def take_dropped(self) -> int:
        """Return how many lines were dropped since this was asked last."""
        dropped, self.dropped = self.dropped, 0
        return dropped


def without_waiting(fd: int) -> int:
    """
    Return a descriptor of the same file on which a write never waits.

    A pipe or terminal is opened anew, because O_NONBLOCK belongs to the open
    file that other processes share. A file never makes anybody wait.
    """
    mode = os.fstat(fd).st_mode
    if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
        return fd
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:  # somebody else's terminal: the log then waits with it
        return fd


def _blocks(lines: list[bytes]) -> list[bytes]:
    """Join lines into blocks of at most ``WRITE_BYTES_MAX``, none cut."""
    blocks: list[bytes] = []
    held: list[bytes] = []
    size = 0
    for line in lines:
        if size + len(line) + 1 > WRITE_BYTES_MAX and held:
            blocks.append(b"\n".join((*held, b"")))
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    blocks.append(b"\n".join((*held, b"")))
    return blocks


def _entry(exchange: "Exchange") -> dict[str, object]:
    request = exchange.request
    now_s = monotonic()
    return {
        "time": round(time(), 3),
        "event": "access",
        "service": exchange.service.name,
        "version": exchange.version.name,
        "method": request.method.decode("latin-1"),
        "host": request.host[:HOST_BYTES_MAX].decode("latin-1"),
        "target": request.target[:TARGET_BYTES_MAX].decode("latin-1"),
        "status": exchange.status,
        "duration_ms": round((now_s - exchange.started_s) * 1000, 3),
        "bytes_in": exchange.body_bytes,
        "bytes_out": exchange.answer_bytes,
        "attempts": exchange.attempts,
        "shielded": exchange.shielded,
    }


def _text(entry: dict[str, object]) -> bytes:
    return " ".join(
        f"{name}={json.dumps(value) if isinstance(value, str) else value}"
        for name, value in entry.items()
    ).encode()
