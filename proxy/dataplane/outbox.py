"""
Small messages wait for the end of the event loop's turn, and leave together.

One write after another wakes the peers' processes once; the same writes, each
between two pieces of Python, wake them again and again, and a wake-up costs the
writer more than the write. Measured with 64 connections on loopback: 41 300
instead of 23 500 requests a second, 9.1 instead of 17.8 µs in the kernel.

Whoever writes to a transport, or closes it, while one of its messages may wait
here compares turns first, so that order is kept and nothing is lost.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

ENTRIES_MAX: Final = 64
"""More are sent at once: waking has been paid for many times over by then."""

SMALL_BYTES_MAX: Final = 16_384
"""A larger message takes all with it at once; so at most 1 MiB ever waits."""


class Sent(Protocol):
    """Whose request a message is: its clocks run from the moment it leaves."""

    sent_s: float
    deadline_s: float
    answer_s: float
    """How long the answer may take."""


Entry = tuple[asyncio.Transport, bytes, Sent | None]


class Outbox:
    """
    What one worker is about to send; ``turn`` counts how often it was emptied.

    A message posted in a turn has left when ``turn`` is another.
    """

    __slots__ = ("_after", "_call_soon", "_entries", "turn")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._entries: list[Entry] = []
        self._after: list[Callable[[], None]] = []
        self.turn = 0

    def post(
        self, transport: asyncio.Transport, data: bytes, sent: Sent | None = None
    ) -> None:
        """Send ``data`` at the end of the turn; ``sent`` learns when it left."""
        entries = self._entries
        if not entries:
            self._call_soon(self.flush)
        entries.append((transport, data, sent))
        if len(entries) >= ENTRIES_MAX or len(data) > SMALL_BYTES_MAX:
            self.flush()

    def then(self, call: Callable[[], None]) -> None:
        """Call when what waits has been sent: a connection may end with it."""
        self._after.append(call)

    def flush(self) -> None:
        """Send what waits now."""
        entries = self._entries
        if not entries:
            return
        self._entries = []
        self.turn += 1
        now_s = monotonic()
        for transport, data, sent in entries:
            if transport.is_closing():
                continue
            if sent is not None:
                sent.sent_s = now_s
                sent.deadline_s = now_s + sent.answer_s
            transport.write(data)
        if self._after:
            after, self._after = self._after, []
            for call in after:
                call()
