"""
One request and its answer: attempts, relays, and what ends them.

An exchange belongs to one client connection and holds at most one origin
connection at a time. It never raises towards a protocol: every failure is an
outcome that is counted, and then either tried again, or answered, or ends the
client's connection by a reset. How a body goes up is in ``upload``, how an answer
comes down in ``answer``; when an attempt may be made again is in ``retry``, when
it took too long in ``expiry``.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane import (
    answer,
    endpoints,
    expiry,
    heads,
    recorder,
    retry,
)
from proxy.dataplane.expiry import NEVER
from proxy.dataplane.pool import Pool
from proxy.dataplane.replies import FAILURES, problem_body
from proxy.dataplane.upstream import Upstream
from proxy.http1.forward import request_head
from proxy.http1.framing import ChunkedReader
from proxy.http1.request import Request
from proxy.http1.response import Response
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from proxy.dataplane.bound import BoundService, BoundTable
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.mirror import Copies
    from proxy.dataplane.pairing import Tee

FRESH_S_MAX: Final = 0.9
"""A request that must not be sent twice takes a connection idle for less than 1 s;
the worker's clock is a tenth of a second coarse."""

ANEW_MAX: Final = 8
"""Connections given up unasked; an origin that always speaks first is malformed."""


class Exchange:
    """See the module; times are seconds of the monotonic clock."""

    __slots__ = (
        "anew",
        "answer_bytes",
        "answer_kind",
        "answer_left",
        "answer_reader",
        "answer_s",
        "asked",
        "attempts",
        "body_bytes",
        "body_done",
        "body_left",
        "body_reader",
        "bucket",
        "close_after",
        "connecting",
        "cookie",
        "deadline_s",
        "down",
        "early",
        "epoch",
        "evidence",
        "first_s",
        "head_sent",
        "held",
        "informational",
        "judged",
        "mirrored",
        "pool",
        "replay",
        "request",
        "response",
        "route",
        "sent_s",
        "service",
        "shielded",
        "stalled_from_s",
        "stalled_s",
        "started_s",
        "status",
        "table",
        "tee",
        "total_s",
        "tracing",
        "trail",
        "tunnel",
        "unit",
        "upstream",
        "upstream_stalled",
        "version",
        "waiting",
        "worker",
    )

    def __init__(  # noqa: PLR0915 - a line an attribute
        self,
        down: "Downstream",
        table: "BoundTable",
        service: "BoundService",
        request: Request,
    ) -> None:
        self.down: Downstream | None = down
        self.worker = down.worker
        self.table = table
        self.service = service
        self.request = request
        self.version = service.versions[0]
        self.answer_s = service.first_byte_s
        self.body_left = max(request.length, 0)
        self.body_reader = (
            ChunkedReader(framed=True, named=request.named) if request.chunked else None
        )
        self.body_done = not request.chunked and request.length <= 0
        self.route = 0
        self.epoch = 0
        self.evidence: tuple[int, ...] = ()
        self.judged = False
        self.bucket = 0
        self.unit = b""
        self.tracing = b""
        self.cookie = b""
        self.attempts = 0
        self.shielded = False
        self.trail: tuple[recorder.Failure, ...] = ()
        self.waiting: TimerHandle | None = None
        self.pool: Pool | None = None
        self.asked: Pool | None = None
        self.upstream: Upstream | None = None
        self.connecting = False
        self.upstream_stalled = False
        self.body_bytes = 0
        self.early = b""
        self.replay: bytes | None = b""
        self.mirrored: Copies | None = None
        self.tee: Tee | None = None
        self.started_s = 0.0
        self.sent_s = 0.0
        self.first_s = 0.0
        self.stalled_s = 0.0
        self.stalled_from_s = 0.0
        self.deadline_s = NEVER
        self.total_s = NEVER
        self.held = b""
        self.informational = 0
        self.anew = 0
        self.response: Response | None = None
        self.answer_kind = 0
        self.answer_left = 0
        self.answer_reader: ChunkedReader | None = None
        self.answer_bytes = 0
        self.head_sent = False
        self.close_after = False
        self.tunnel = False
        self.status = 0

    # --- attempts ---

    def start(self) -> None:
        """Count the request and make the first attempt."""
        self.started_s = monotonic()
        self.worker.active.add(self)
        self.tracing = heads.tracing_fields(self.request, self.worker)
        service = self.service
        if service.request_s is not None:
            self.total_s = self.started_s + service.request_s
        service.routed(self)
        if service.copied is not None:
            service.copied(self)
        else:
            self.attempt()

    def attempt(self) -> None:
        """Send the request to an endpoint of the present version."""
        self.attempts += 1
        version = self.version
        state = version.state
        pools = version.pools
        state.inflight += 1
        if state.inflight > self.worker.inflight_max:
            self.fail(Flag.UO)
            return
        pool = pools[0] if len(pools) == 1 else endpoints.choose(self)
        if pool is None:
            self.fail(Flag.UH)
            return
        pool.active += 1
        self.pool = pool
        upstream: Upstream | None
        if self.attempts > 1 and not self.shielded:
            upstream = None  # the last one was stale: its neighbours may be too
        elif self.request.method in retry.IDEMPOTENT:
            upstream = pool.idle.pop() if pool.idle else None
            if upstream is not None and not upstream.usable:
                upstream = pool.take()
        else:
            # It cannot be tried again: nobody gains by giving up early.
            self.answer_s = self.service.timeouts.first_byte or NEVER
            upstream = pool.idle.pop() if pool.idle else None
            since_s = self.worker.now_s - FRESH_S_MAX
            if upstream is not None and (
                not upstream.usable or upstream.idle_since < since_s
            ):
                pool.idle.append(upstream)
                upstream = pool.take_fresh(since_s)
        if upstream is not None:
            self._send(upstream, pool)
            return
        self.connecting = True
        self.deadline_s = expiry.first_byte_s(self)
        if not self.body_done and self.down is not None:
            self.down.pause()
        pool.connect(self)

    def wait(self, wait_s: float) -> None:
        """Make the next attempt after a while; its place is taken already."""
        self.version.state.inflight += 1
        self.deadline_s = NEVER
        if not self.body_done and self.down is not None:
            self.down.pause()
        self.waiting = self.worker.loop.call_later(wait_s, self._waited)

    def _waited(self) -> None:
        self.waiting = None
        self.version.state.inflight -= 1
        if not self.body_done and self.down is not None:
            self.down.resume()
        self.attempt()

    def connected(self, upstream: Upstream) -> bool:
        """Use a new connection; False if the exchange went on without it."""
        if not self.connecting or upstream.pool is not self.pool:
            return False
        self.connecting = False
        self._send(upstream, upstream.pool)
        if self.tee is not None:
            upstream.leg = self.tee
        if self.down is not None:
            self.down.resume()
        return True

    def connect_failed(self, flag: Flag) -> None:
        """Learn that the endpoint could not be reached."""
        if self.connecting:
            self.fail(flag)

    def _send(self, upstream: Upstream, pool: Pool) -> None:
        """Write the head and what is there of the body."""
        transport = upstream.transport
        assert transport is not None
        self.upstream = upstream
        upstream.leg = self
        data = self._head(pool)
        kept = self.early if self.attempts == 1 else self.replay
        if kept:
            data += kept
        if self.body_done:
            # What was early stays: another connection may have to be asked.
            outbox = self.worker.outbox
            upstream.turn = outbox.turn
            outbox.post(transport, data, self if self.attempts == 1 else None)
            if self.attempts > 1:
                self.sent()
        else:
            transport.write(data)
            self.early = b""
            self.touch()

    def _head(self, pool: Pool) -> bytes:
        request = self.request
        host = self.service.service.host
        if host != "preserve":
            literal = pool.authority if host == "endpoint" else host.encode()
            request = request.with_host(literal)
        elif not request.host:
            request = request.with_host(pool.authority)
            request.host = pool.authority
        down = self.down
        assert down is not None
        if down.trusted:
            added = heads.forwarding_fields(request, down) + self.tracing
        else:
            added = down.peer_fields + request.host + self.tracing
        if not request.framed:
            added += heads.body_fields(request)
        if request.upgrade or request.te_trailers:
            added += heads.connection_fields(request)
        return request_head(request, added)

    def sent(self) -> None:
        """The last byte of the request was sent: the clocks of the answer run."""
        now_s = monotonic()
        if self.attempts == 1:
            self.sent_s = now_s
            self.deadline_s = now_s + self.answer_s
            return
        deadline_s = expiry.first_byte_s(self)
        self.sent_s = now_s
        self.deadline_s = min(deadline_s, now_s + self.answer_s)

    def touch(self) -> None:
        """Bytes moved: put the idle deadline off."""
        timeouts = self.service.timeouts
        limit_s = timeouts.tunnel if self.tunnel else timeouts.stream_idle
        self.deadline_s = NEVER if limit_s is None else self.worker.now_s + limit_s

    def let_go(self, *, reusable: bool = False) -> None:
        """Give the attempt's connection and places back."""
        upstream, self.upstream = self.upstream, None
        self.connecting = False
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None
        if upstream is not None:
            if reusable and upstream.usable:
                upstream.leg = None
                upstream.pool.give_back(upstream, self.worker.now_s)
            else:
                upstream.close()
        if self.pool is not None:
            self.pool.active -= 1
            self.asked, self.pool = self.pool, None
        self.version.state.inflight -= 1

    def lose(self, code: int, now_s: float) -> None:
        """Charge an attempt that failed to its version and endpoint; let it go."""
        recorder.attempt_failed(self, code, now_s)
        if self.pool is not None:
            endpoints.failed(self, self.pool)
        self.let_go()

    def fail(self, flag: Flag) -> None:
        """End an attempt without an answer: again, or tell the client."""
        self.lose(FLAG_CODE_BASE + flag, monotonic())
        if retry.again(self, flag):
            return
        recorder.replied(self, FAILURES[flag][0])
        self.reply(flag)

    def reply(self, flag: Flag) -> None:
        """Tell the client, in an answer of our own, what an attempt failed of."""
        status, reason, detail = FAILURES[flag]
        self.status = status
        down = self.down
        request = self.request
        if request.method != b"HEAD":
            self.answer_bytes = len(problem_body(status, reason, detail))
        named = self.service.service.response_headers
        self.finish()
        if down is not None:
            down.reply(
                status,
                reason,
                detail,
                close=request.close or not self.body_done,
                head_only=request.method == b"HEAD",
                fields=(self.version.header,) if named else (),
            )

    def finish(self) -> None:
        """Leave the worker's books; the connections are somebody else's now."""
        self.worker.active.discard(self)
        self.deadline_s = NEVER
        if self.worker.access_log is not None and self.attempts:
            self.worker.access_log.note(self)
        down, self.down = self.down, None
        if self.tee is not None:
            self.tee.finished()
        if down is not None:
            down.exchange = None

    # --- what the origin's connection says (see upstream.Leg) ---

    def upstream_data(self, data: bytes) -> None:
        """Take bytes of the answer."""
        if self.head_sent:
            answer.more(self, data)
        elif self.upstream is not None and (
            self.upstream.turn == self.worker.outbox.turn
        ):
            self.ask_another()
        else:
            answer.head(self, data)

    def upstream_ended(self, *, clean: bool) -> None:
        """Learn that the origin will send no more."""
        if self.upstream is not None and self.upstream.turn == self.worker.outbox.turn:
            self.ask_another()
        else:
            answer.ended(self, clean=clean)

    def ask_another(self) -> None:
        """
        Leave a connection that ended, or spoke, before it had our request.

        Whatever it said was no answer to us, and nothing was processed: the
        attempt begins anew, uncounted, on another connection.
        """
        self.anew += 1
        if self.anew > ANEW_MAX:
            self.fail(Flag.UPE)
            return
        self.let_go()
        if self.tee is not None:
            self.tee.lost()
        self.attempts -= 1
        self.early = self.replay or b""  # what waited was small: all was kept
        self.attempt()

    def upstream_full(self) -> None:
        """Stop reading from the client until the origin reads again."""
        self.upstream_stalled = True
        if self.down is not None:
            self.down.pause()

    def upstream_ready(self) -> None:
        """Read from the client again."""
        self.upstream_stalled = False
        if self.down is not None:
            self.down.resume()

    # --- what the client's connection says ---

    def client_full(self) -> None:
        """Stop reading from the origin until the client reads again."""
        self.stalled_from_s = monotonic()
        limit_s = self.service.timeouts.send
        self.deadline_s = NEVER if limit_s is None else self.stalled_from_s + limit_s
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.pause_reading()

    def client_ready(self) -> None:
        """Read from the origin again; the time held up is not its own."""
        if self.stalled_from_s:
            self.stalled_s += monotonic() - self.stalled_from_s
            self.stalled_from_s = 0.0
        self.touch()
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.resume_reading()

    def client_lost(self) -> None:
        """The client hung up: nobody's fault, and nothing left to do."""
        if not self.tunnel:
            recorder.client_gone(self, Flag.DC, monotonic())
        self.let_go()
        self.finish()
