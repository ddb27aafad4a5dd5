"""
Large bodies of known length: written on from the buffer they were read into.

While such a body passes, its connection reads up to ``BUFFER_BYTES`` at once
into a buffer that all share, and the other side is written from it in the same
call; only what the kernel does not take is copied. Counting, deadlines and
back-pressure are those of any body. The usual protocol stands aside meanwhile,
so that it costs nothing to other requests, and comes back at the body's end or
as soon as anything else happens.
"""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.upstream import Upstream

LEFT_BYTES_MIN: Final = 131_072
"""What must be left of a body: two ordinary reads."""

BUFFER_BYTES: Final = 524_288
"""
One read of a large body, if so much is there: bytes gather while other
connections have their turn, and the peers are woken less often. 1 MiB costs 710
to 910 µs of CPU with 64 to 256 KiB, 510 with 512 KiB, 430 with 1 MiB.
"""

READ_BYTES: Final = 65_536
"""One read while others hold much: what an ordinary read is."""

HELD_BYTES_MAX: Final = 2_097_152
"""
Copied bytes that wait for slow readers, of all large bodies of a worker: four
whole reads. Over it reads are ordinary ones, so that what any number of readers
that stop can hold is what it was without this.
"""

Complete = Callable[["Exchange", bytes], None]


class Store:
    """A worker's buffer for large bodies, and what is held of them."""

    __slots__ = ("held_bytes", "large", "ordinary")

    def __init__(self) -> None:
        self.large = memoryview(bytearray(BUFFER_BYTES))
        self.ordinary = self.large[:READ_BYTES]
        self.held_bytes = 0


class Passage(asyncio.BufferedProtocol):
    """Reads a large body in place of a connection's own protocol, ``base``."""

    __slots__ = ("_base", "_down", "_exchange", "_sink", "_store", "_upstream")

    def __init__(
        self,
        exchange: "Exchange",
        base: "Downstream | Upstream",
        other: "Downstream | Upstream",
    ) -> None:
        assert base.transport is not None
        assert other.transport is not None
        self._base = base
        self._exchange = exchange
        self._down = exchange.down
        self._upstream = exchange.upstream
        self._store = exchange.worker.bulk
        self._sink = Sink(other.transport, self._store)
        base.transport.set_protocol(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Lend the worker's large buffer, or a part of it, for one read."""
        store = self._store
        full = store.held_bytes >= HELD_BYTES_MAX
        return store.ordinary if full else store.large

    def buffer_updated(self, nbytes: int) -> None:
        """Pass bytes on, or give them to whom they concern."""
        exchange = self._exchange
        view = self._store.large[:nbytes]
        if exchange.upstream is self._upstream and exchange.down is self._down:
            self._pass_on(exchange, view)
        else:
            self._end(view)

    def _pass_on(self, exchange: "Exchange", view: memoryview) -> None:
        raise NotImplementedError

    def _end(self, view: memoryview) -> None:
        """Let the connection's own protocol go on, with bytes that are its own."""
        self._sink.release()
        base = self._base
        if base.transport is not None:
            base.transport.set_protocol(base)
        while view:
            buffer = base.get_buffer(-1)
            size = min(len(view), len(buffer))
            buffer[:size] = view[:size]
            view = view[size:]
            base.buffer_updated(size)

    def eof_received(self) -> bool:
        """See the base."""
        return self._base.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """See the base."""
        self._sink.release()
        self._base.connection_lost(exc)

    def pause_writing(self) -> None:
        """See the base."""
        self._base.pause_writing()

    def resume_writing(self) -> None:
        """See the base."""
        self._base.resume_writing()


class AnswerPassage(Passage):
    """Passes on the rest of an answer."""

    __slots__ = ("_complete",)

    def __init__(
        self,
        exchange: "Exchange",
        upstream: "Upstream",
        down: "Downstream",
        complete: Complete,
    ) -> None:
        super().__init__(exchange, upstream, down)
        self._complete = complete

    def _pass_on(self, exchange: "Exchange", view: memoryview) -> None:
        size = min(len(view), exchange.answer_left)
        exchange.answer_left -= size
        exchange.answer_bytes += size
        exchange.touch()
        self._sink.write(view[:size])
        if exchange.answer_left == 0:
            self._end(view[:0])
            self._complete(exchange, view[size:].tobytes())


class BodyPassage(Passage):
    """Passes on the rest of a request's body."""

    __slots__ = ()

    def _pass_on(self, exchange: "Exchange", view: memoryview) -> None:
        size = min(len(view), exchange.body_left)
        exchange.body_left -= size
        exchange.body_bytes += size
        self._sink.write(view[:size])
        if exchange.body_left:
            exchange.touch()
        else:
            exchange.body_done = True
            exchange.sent()
            self._end(view[size:])


def begin_answer(exchange: "Exchange", complete: Complete) -> None:
    """
    Pass on the rest of an answer whose head and first bytes are out.

    ``complete`` is called at its end, with the bytes behind it.
    """
    down, upstream = exchange.down, exchange.upstream
    if down is None or down.transport is None:
        return
    if exchange.tee is not None and not exchange.tee.lets_pass(exchange.answer_left):
        return
    if upstream is not None and upstream.transport is not None:
        AnswerPassage(exchange, upstream, down, complete)


def begin_body(exchange: "Exchange") -> None:
    """Pass on the rest of a request's body, too long already to be kept."""
    assert exchange.replay is None
    down, upstream = exchange.down, exchange.upstream
    if down is None or down.transport is None or exchange.mirrored is not None:
        return
    if upstream is not None and upstream.transport is not None:
        BodyPassage(exchange, down, upstream)


class Sink:
    """
    Writes to a transport from a buffer that is used again at once.

    uvloop would keep the buffer itself for what the kernel does not take, so
    the kernel is asked here, and the transport gets a copy of the rest, with
    its back-pressure; also whatever error there is, it meets and reports.
    """

    __slots__ = ("_fd", "_held_bytes", "_store", "_transport")

    def __init__(self, transport: asyncio.Transport, store: Store) -> None:
        self._transport = transport
        self._store = store
        self._held_bytes = 0
        self._fd: int = transport.get_extra_info("socket").fileno()

    def write(self, view: memoryview) -> None:
        """Write all of it, now or later."""
        transport = self._transport
        if transport.is_closing():
            return
        if not transport.get_write_buffer_size():
            if self._held_bytes:
                self.release()
            try:
                size = os.write(self._fd, view)
            except OSError:
                size = 0
            if size == len(view):
                return
            view = view[size:]
        self._held_bytes += len(view)
        self._store.held_bytes += len(view)
        transport.write(view.tobytes())

    def release(self) -> None:
        """Hold nothing any more: it was written, or the connection ended."""
        self._store.held_bytes -= self._held_bytes
        self._held_bytes = 0
