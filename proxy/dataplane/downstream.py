"""
One client connection: heads in, answers out, one exchange at a time.

Pipelined requests wait here and are answered in order. Closing is designed: an
error answer lingers, so that unread input does not destroy it by a reset; a cut
answer is reset; every close has a deadline (RFC 9112 section 9.6).
"""

import asyncio
from typing import TYPE_CHECKING, Final, cast

from proxy.dataplane import replies, upload
from proxy.dataplane.route import route
from proxy.dataplane.upstream import WRITE_HIGH_BYTES, WRITE_LOW_BYTES, reset
from proxy.http1.refusals import (
    LARGE_BODY,
    LARGE_HEAD,
    SLOW_HEAD,
    Refusal,
)
from proxy.http1.request import Request
from proxy.model.vocabulary import Rejection
from proxy.telemetry.layout import R_REJECTED

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.worker import Worker

NEVER: Final = float("inf")

PENDING_BYTES_MAX: Final = 65_536
"""Input held while a request is being answered; then reading pauses."""
LINGER_BYTES_MAX: Final = 65_536
"""Input discarded after an answer that ends the connection."""
LINGER_S: Final = 2.0
CLOSE_S: Final = 5.0
"""A closing connection whose peer reads nothing for so long is cut."""
REFUSED_MAX: Final = 256
"""Connections over the limit that are told so; more are reset unheard, because
each one that is told holds a descriptor until it has read that."""
_CR: Final = 0x0D
LEADING_CRLF_MAX: Final = 2
"""Empty lines skipped before a request line (RFC 9112 section 2.2)."""

OVERLOADED = Refusal(
    503, Rejection.OVERLOAD, "too_many_connections", "too many connections are open"
)
NO_ROUTE = Refusal(404, Rejection.NO_ROUTE, "no_route", "no service matches")


class Downstream(asyncio.BufferedProtocol):
    """The protocol of one client connection; see the module."""

    __slots__ = (
        "_buffer",
        "_discarded",
        "_full",
        "_paused",
        "_skipped",
        "_unsent",
        "address",
        "closing",
        "deadline_s",
        "ended",
        "exchange",
        "peer_fields",
        "pending",
        "served",
        "slot",
        "transport",
        "trusted",
        "turn",
        "worker",
    )

    def __init__(self, worker: "Worker") -> None:
        self.worker = worker
        self._buffer = worker.buffer
        self.transport: asyncio.Transport | None = None
        self.exchange: Exchange | None = None
        self.pending = b""
        self.address = b""
        self.peer_fields = b""
        self.trusted = False
        self.deadline_s = NEVER
        self.slot = 0
        self.turn = -1
        self.served = False
        self.closing = False
        self.ended = False
        self._full = False
        self._paused = False
        self._discarded = 0
        self._skipped = 0
        self._unsent = 0

    # --- what the event loop says ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it over the limit."""
        self.transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        peer = transport.get_extra_info("peername")
        worker = self.worker
        self.address, self.trusted, self.peer_fields = worker.table.client(
            peer[0] if isinstance(peer, tuple) else "unix"
        )
        worker.connections += 1
        self.deadline_s = worker.now_s + worker.head_s
        worker.wheel.place(self, worker.now_s)
        if worker.connections > worker.connections_max:
            if worker.connections > worker.connections_max + REFUSED_MAX:
                worker.words[R_REJECTED + Rejection.OVERLOAD] += 1
                self.reset()
            else:
                self.refuse(OVERLOADED)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Lend the worker's one read buffer for one read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes: a head, a body, a tunnel's, or what is discarded."""
        data = self._buffer[:nbytes].tobytes()
        exchange = self.exchange
        if exchange is None:
            if self.closing:
                self._discard(nbytes)
            elif self._full:
                self._hold(data)
            else:
                self._serve(self.pending + data if self.pending else data)
        elif exchange.tunnel:
            exchange.touch()
            if exchange.upstream is not None and exchange.upstream.transport:
                exchange.upstream.transport.write(data)
        elif not exchange.body_done:
            rest = upload.take(exchange, data)
            if rest:
                self.pending += rest
        else:
            self._hold(data)

    def _hold(self, data: bytes) -> None:
        """Keep input for later; over the limit, stop reading."""
        self.pending += data
        if len(self.pending) > PENDING_BYTES_MAX:
            self.pause()

    def eof_received(self) -> bool:
        """Take a FIN; what was asked before it is still answered."""
        if self.turn == self.worker.outbox.turn:
            self.worker.outbox.flush()
        self.ended = True
        exchange = self.exchange
        if exchange is None:
            if self.pending and not self.closing:
                self.worker.loop.call_soon(self._resume)
                return True
            return False
        if exchange.tunnel:
            upstream = exchange.upstream
            if upstream is not None and upstream.transport is not None:
                upstream.transport.write_eof()
            return True
        return exchange.body_done

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Tell the exchange, leave the books, break every cycle."""
        self.worker.connections -= 1
        self.worker.wheel.remove(self)
        self.transport = None
        self.pending = b""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_lost()

    def pause_writing(self) -> None:
        """The client does not read: the origin waits, and so do requests."""
        self._full = True
        if self.exchange is not None:
            self.exchange.client_full()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._full = False
        if self.exchange is not None:
            self.exchange.client_ready()
        elif self.pending:
            self._resume()

    @property
    def is_idle(self) -> bool:
        """Whether nothing was asked that is not answered."""
        return self.exchange is None and not self.pending and not self.closing

    # --- requests ---

    def _serve(self, data: bytes) -> None:
        """Start the request at the front of ``data``; hold what is behind it."""
        while data:
            if data[0] == _CR and data[:2] == b"\r\n" and self._may_skip():
                data = data[2:]
                continue
            end = data.find(b"\r\n\r\n")
            worker = self.worker
            if end < 0 or end > worker.head_bytes_max:
                self._partial(data, end, worker.head_bytes_max)
                return
            request = worker.table.parser.parse(data[:end])
            if isinstance(request, Refusal):
                self.refuse(request, head_only=data.startswith(b"HEAD "))
                return
            self._begin(request, data[end + 4 :])
            if self.exchange is not None or self.closing:
                return
            data = self.pending
        self.pending = b""

    def _may_skip(self) -> bool:
        """Whether another empty line before a request line is tolerated."""
        self._skipped += 1
        return self._skipped <= LEADING_CRLF_MAX

    def _partial(self, data: bytes, end: int, head_bytes_max: int) -> None:
        """Wait for the rest of a head, for a bounded time and size."""
        refusal = self.worker.table.parser.unfinished(data)
        if refusal is None and max(end, len(data)) > head_bytes_max:
            refusal = LARGE_HEAD
        if refusal is not None:
            self.refuse(refusal, head_only=data.startswith(b"HEAD "))
            return
        if not self.pending:
            self._hurry(self.worker.head_s)
        self.pending = data

    def _begin(self, request: Request, rest: bytes) -> None:
        """Route a request and start its exchange."""
        worker = self.worker
        table = worker.table
        service = table.only or table.match(request)
        self.pending = rest
        if service is None:
            worker.words[R_REJECTED + Rejection.NO_ROUTE] += 1
            close = request.close or request.has_body
            head_only = request.method == b"HEAD"
            if worker.access_log is not None:
                worker.access_log.refused(self, NO_ROUTE, request, head_only=head_only)
            self.reply(
                404,
                NO_ROUTE.reason,
                NO_ROUTE.detail,
                close=close,
                head_only=head_only,
            )
            return
        if request.length > 0:
            body_bytes_max = table.table.limits.body
            if body_bytes_max is not None and request.length > body_bytes_max:
                self.refuse(LARGE_BODY, request=request)
                return
        exchange = route(self, table, service, request)
        self.exchange = exchange
        self.deadline_s = NEVER
        self._skipped = 0
        if not exchange.body_done:
            if rest:
                self.pending = b""
                if not upload.take_whole(exchange, rest):
                    self.pending = upload.take(exchange, rest)
                    if self.closing:
                        return
            if self.ended and not exchange.body_done:
                self.exchange = None  # its end will never come (RFC 9112 section 8)
                self.close()
                return
        exchange.start()

    def _resume(self) -> None:
        """Go on with pipelined input; runs from the loop, never recursively."""
        if self.exchange is not None or self._full or self.closing:
            return
        if self.pending:
            data, self.pending = self.pending, b""
            self._serve(data)
        self._end_if_done()

    def _end_if_done(self) -> None:
        """Close after a FIN, once everything asked before it is answered."""
        if self.ended and self.exchange is None and not self.closing:
            self.close()

    def take_pending(self) -> bytes:
        """Hand over input held back, when a tunnel begins."""
        data, self.pending = self.pending, b""
        return data

    # --- answers ---

    def write(self, data: bytes) -> None:
        """Write bytes of an answer, behind what waits in the outbox."""
        if self.turn == self.worker.outbox.turn:
            self.worker.outbox.flush()
        if self.transport is not None:
            self.transport.write(data)

    def post(self, data: bytes) -> None:
        """Write a small and whole answer at the end of the loop's turn."""
        if self.transport is not None:
            outbox = self.worker.outbox
            self.turn = outbox.turn
            outbox.post(self.transport, data)

    def reply(
        self,
        status: int,
        reason: str,
        detail: str,
        *,
        close: bool,
        head_only: bool = False,
        fields: tuple[bytes, ...] = (),
    ) -> None:
        """Answer with problem details of our own."""
        close = close or self.worker.draining
        self.write(
            replies.problem(
                status,
                reason,
                detail,
                close=close,
                head_only=head_only,
                fields=fields,
                date=self.worker.date,
            )
        )
        self.exchange_done(close=close, lingering=close)

    def refuse(
        self,
        refusal: Refusal,
        *,
        request: Request | None = None,
        head_only: bool = False,
        noted: bool = False,
    ) -> None:
        """
        Answer a request that is not forwarded, and end the connection.

        ``request`` is what could be read of it; ``noted`` if it is in the log.
        """
        log = self.worker.access_log
        if log is not None and not noted:
            log.refused(self, refusal, request, head_only=head_only)
        if refusal.rejection is not None:
            self.worker.words[R_REJECTED + refusal.rejection] += 1
        self.pending = b""
        self.exchange = None
        self.reply(
            refusal.status,
            refusal.reason,
            refusal.detail,
            close=True,
            head_only=head_only,
            fields=refusal.fields,
        )

    def exchange_done(self, *, close: bool, lingering: bool = False) -> None:
        """Go on to the next request, or end the connection."""
        self.exchange = None
        if self.transport is None:
            return
        if close:
            if lingering or self.pending:
                self.linger()
            else:
                self.close()
            return
        self.next_request()

    def next_request(self) -> None:
        """Wait for the next request, or go on with one that waits already."""
        self.exchange = None
        worker = self.worker
        self.served = True
        self.deadline_s = worker.now_s + worker.keepalive_s
        if self._paused:
            self.resume()
        if self.pending or self.ended:
            worker.loop.call_soon(self._resume)

    # --- reading, waiting, closing ---

    def pause(self) -> None:
        """Stop reading from the client."""
        if self.transport is not None and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read from the client again."""
        if self.transport is not None and self._paused:
            self._paused = False
            self.transport.resume_reading()

    def _hurry(self, limit_s: float) -> None:
        """Set a deadline that is earlier than the one before."""
        now_s = self.worker.now_s
        self.deadline_s = now_s + limit_s
        self.worker.wheel.place(self, now_s)

    def expired(self) -> None:
        """Act on a passed deadline."""
        if self.closing:
            self._cut()
        elif self.pending:
            self.refuse(SLOW_HEAD, head_only=self.pending.startswith(b"HEAD "))
        elif self.exchange is None:
            self.close()

    def linger(self) -> None:
        """End our side, and discard input for a bounded time and size."""
        if self.turn == self.worker.outbox.turn:
            self.worker.outbox.flush()
        self.closing = True
        self.pending = b""
        self.resume()
        if self.transport is not None:
            self.transport.write_eof()
            self._unsent = self.transport.get_write_buffer_size()
            self._hurry(LINGER_S)
            if self.ended:
                self.close()

    def _discard(self, nbytes: int) -> None:
        self._discarded += nbytes
        if self._discarded > LINGER_BYTES_MAX:
            self.close()

    def close(self) -> None:
        """End the connection when everything is written, or after a time."""
        self.closing = True
        outbox = self.worker.outbox
        if self.turn == outbox.turn:
            outbox.then(self._close)
        else:
            self._close()

    def _close(self) -> None:
        if self.transport is not None:
            if self.transport.get_write_buffer_size():
                self._hurry(CLOSE_S)
            self.transport.close()

    def _cut(self) -> None:
        """End a closing connection; one that still moves gets another while."""
        if self.transport is None:
            return
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self.transport.abort()  # all was sent: an ordinary end, no reset
        elif unsent != self._unsent:
            self._unsent = unsent
            self._hurry(CLOSE_S)
        else:
            self.reset()

    def reset(self) -> None:
        """End the connection so that a cut answer never looks whole."""
        self.closing = True
        if self.transport is not None:
            reset(self.transport)
