"""
One connection to an origin.

It parses nothing: it hands bytes to the leg that holds it (a live exchange or
a mirrored copy) and tells it what became of the connection. Held by nobody it
is idle, and then any byte, or its end, makes it unusable.
"""

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from proxy.dataplane.pool import Pool

WRITE_HIGH_BYTES: Final = 16_384
"""Unsent bytes at which the other side is told to wait; the kernel holds more."""
WRITE_LOW_BYTES: Final = 4_096
"""Unsent bytes at which it may go on (uvloop's default of 16 would stutter)."""

RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 s: closing sends RST and drops what is unsent."""


class Leg(Protocol):
    """Who holds an upstream connection for one request and its answer."""

    def upstream_data(self, data: bytes) -> None:
        """Take bytes of the answer."""

    def upstream_ended(self, *, clean: bool) -> None:
        """Learn that no more will come; ``clean`` for a FIN, not a reset."""

    def upstream_full(self) -> None:
        """Stop sending: the origin does not read."""

    def upstream_ready(self) -> None:
        """Go on sending."""


class Upstream(asyncio.BufferedProtocol):
    """
    The protocol of one origin connection; see the module.

    ``turn`` is the outbox's turn in which a request was posted for it last.
    """

    __slots__ = (
        "_buffer",
        "idle_since",
        "keepalive_s",
        "leg",
        "pool",
        "transport",
        "turn",
        "usable",
    )

    def __init__(self, pool: "Pool", buffer: memoryview) -> None:
        self.pool = pool
        self._buffer = buffer
        self.transport: asyncio.Transport | None = None
        self.leg: Leg | None = None
        self.turn = -1
        self.usable = False
        self.idle_since = 0.0
        self.keepalive_s = float("inf")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; ``usable`` from now on."""
        self.transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        self.usable = True

    @property
    def address(self) -> str:
        """The peer's address; empty for a Unix socket or where nobody is."""
        transport = self.transport
        peer = None if transport is None else transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Lend the worker's one read buffer for one read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand bytes to the leg; on an idle connection they end it."""
        leg = self.leg
        if leg is None:
            self.close()
        else:
            leg.upstream_data(self._buffer[:nbytes].tobytes())

    def eof_received(self) -> bool:
        """Tell the leg of a FIN; the transport then closes itself."""
        self.usable = False
        leg = self.leg
        if leg is not None:
            leg.upstream_ended(clean=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the leg, and break every cycle."""
        self.usable = False
        self.transport = None
        leg, self.leg = self.leg, None
        if leg is not None:
            leg.upstream_ended(clean=exc is None)

    def pause_writing(self) -> None:
        """Pass the origin's slowness on."""
        if self.leg is not None:
            self.leg.upstream_full()

    def resume_writing(self) -> None:
        """Pass on that the origin reads again."""
        if self.leg is not None:
            self.leg.upstream_ready()

    def close(self) -> None:
        """Let go of the leg and end the connection, dropping unsent bytes."""
        self.leg = None
        self.usable = False
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST, so that a cut answer never looks whole."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # gone already: nothing to reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()
