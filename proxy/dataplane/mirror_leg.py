"""
One copy of a request on its way: sent, its answer read to the end, counted.

The answer is dropped, or kept for its ``Pair`` where answers are compared
(``ComparedLeg``). A copy has connections and a deadline of its own, and no
retries.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane import heads
from proxy.dataplane.pairing import CANDIDATE, Pair
from proxy.dataplane.pool import least_loaded
from proxy.dataplane.upstream import Upstream
from proxy.http1.forward import request_head, request_start
from proxy.http1.framing import ChunkedReader
from proxy.http1.response import BY_CHUNKS, BY_LENGTH, NO_BODY, Response
from proxy.model.buckets import bucket_of
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag, MirrorOutcome, PairOutcome
from proxy.parallel.values import Outcome
from proxy.telemetry.layout import (
    C_ATTEMPTS,
    C_LATENCY,
    C_LATENCY_SUM_US,
    C_MIRROR,
    C_TTFB,
    C_TTFB_SUM_US,
)

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundVersion
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.pool import Pool
    from proxy.routing.table import Mirror

ANSWER_BYTES_MAX: Final = 1_048_576
"""What is read of a copy's answer; a longer one ends its connection."""
HEAD_BYTES_MAX: Final = 65_536
FINAL_STATUS_MIN: Final = 200
ERROR_STATUS_MIN: Final = 500
MARK: Final = b"\r\nx-headgate-mirror: 1"
LAST: Final = MARK + b"\r\n\r\n"
ANSWERED_WORD: Final = C_MIRROR + int(MirrorOutcome.ANSWERED)
US: Final = 1_000_000
HEAD: Final = b"HEAD"
ENDED: Final = {
    Flag.UT: Outcome.TIMEOUT,
    Flag.UF: Outcome.CONNECT_ERROR,
    Flag.UCT: Outcome.CONNECT_ERROR,
}
"""How a leg ended that had no answer; every other flag means ``ABORTED``."""


class MirrorLeg:
    """
    One copy on its way: a leg of an origin connection (``upstream.Leg``).

    ``pair`` is what its answer is kept for, at ``place``. ``counted``: its outcome
    is that of the request, which has just one.
    """

    __slots__ = (
        "_answer_bytes",
        "_cell",
        "_connecting",
        "_first_s",
        "_held",
        "_kind",
        "_left",
        "_message",
        "_method",
        "_pool",
        "_reader",
        "_response",
        "_rule",
        "_target",
        "_upstream",
        "_worker",
        "answer_s",
        "deadline_s",
        "sent_s",
        "table",
    )

    pair: "Pair | None" = None
    place: int = CANDIDATE
    counted: bool = True

    def __init__(
        self, exchange: "Exchange", target: "BoundVersion", rule: "Mirror"
    ) -> None:
        """Make a copy for ``target``; it is sent by ``body_complete``."""
        service = exchange.service
        self._worker = worker = exchange.worker
        self.table = exchange.table
        self._cell = service.mirror_cell
        self._target = target
        self._rule = rule
        pools = service.mirror_pools[target.index]
        pool = pools[0] if len(pools) == 1 else least_loaded(pools, worker.chance)
        self._pool = pool
        self._method = exchange.request.method
        self._message = _mirror_head(exchange, pool)
        self._upstream: Upstream | None = None
        self._connecting = False
        self._response: Response | None = None
        self._held = b""
        self._first_s = 0.0
        self.sent_s = 0.0
        self.answer_s = rule.timeout_s
        self.deadline_s = exchange.started_s + rule.timeout_s

    def body_complete(self, body: bytes | None, data_bytes: int) -> None:
        """Start with the body that the live request had; None if not kept."""
        if body is None or data_bytes > self._rule.request_body_bytes_max:
            self._give_up()
            return
        if self.pair is not None:
            self.pair.request, self.pair.body = self._message, body
        if body:
            self._message += body
        pool = self._pool
        pool.active += 1
        upstream = pool.idle.pop() if pool.idle else None
        if upstream is not None and not upstream.usable:
            upstream = pool.take()
        if upstream is None:
            self._connecting = True
            pool.connect(self)
        else:
            self._send(upstream)

    def _give_up(self) -> None:
        """End a copy that was never sent."""
        if self.pair is not None:
            self.pair.give_up(None)
        self._end(MirrorOutcome.SKIPPED_BODY)

    def connected(self, upstream: Upstream) -> bool:
        """Use a new connection; False if the copy timed out meanwhile."""
        if not self._connecting:
            return False
        self._connecting = False
        self._send(upstream)
        return True

    def connect_failed(self, flag: Flag) -> None:
        """Count a copy whose endpoint cannot be reached."""
        if self._connecting:
            self._fail(flag, MirrorOutcome.FAILED)

    def _send(self, upstream: Upstream) -> None:
        assert upstream.transport is not None
        self._upstream = upstream
        upstream.leg = self
        outbox = self._worker.outbox
        upstream.turn = outbox.turn
        outbox.post(upstream.transport, self._message, self)
        self._message = b""

    def upstream_data(self, data: bytes) -> None:
        """Read the answer: its head for the status, its body for its end."""
        upstream = self._upstream
        if upstream is not None and upstream.turn == self._worker.outbox.turn:
            self._fail(Flag.UC, MirrorOutcome.FAILED)  # it was not asked yet
            return
        if self.pair is not None:
            self.pair.keep(self.place, data)
        if self._response is not None:
            self._body_data(data)
            return
        if not self._first_s:
            self._first_s = monotonic()
        if self._held:
            data = self._held + data
            self._held = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._held = data
                if len(data) > HEAD_BYTES_MAX:
                    self._fail(Flag.UPE, MirrorOutcome.FAILED)
                return
            response = self.table.responses.parse(data[:end])
            data = data[end + 4 :]
            if response is None:
                self._fail(Flag.UPE, MirrorOutcome.FAILED)
                return
            if response.status >= FINAL_STATUS_MIN:
                break
        self._response = response
        if (
            response.plain
            and len(data) == response.length <= ANSWER_BYTES_MAX
            and self._method != HEAD
        ):
            self._answered(self._first_s, reusable=True)
        else:
            self._begin(response, data)

    def _begin(self, response: Response, data: bytes) -> None:
        """Take the answer's head, and ``data``, what is there behind it."""
        pair = self.pair
        self._answer_bytes = 0
        self._reader = None
        if response.stream:
            if pair is not None:
                pair.give_up(PairOutcome.SKIPPED_STREAM)
            self._answered(monotonic(), reusable=False)
            return
        self._kind = response.body(self._method)
        self._left = response.length
        if self._kind == BY_LENGTH and self._left > ANSWER_BYTES_MAX:
            if pair is not None:
                pair.cut(self.place)
            self._answered(monotonic(), reusable=False)  # nobody would keep the rest
            return
        if self._kind == BY_CHUNKS:
            self._reader = ChunkedReader(framed=False)
        if self._kind == NO_BODY:
            self._answered(monotonic(), reusable=not data)
        elif data:
            self._body_data(data)

    def _body_data(self, data: bytes) -> None:
        self._answer_bytes += len(data)
        if self._kind == BY_LENGTH:
            self._left -= len(data)
            if self._left <= 0:
                self._answered(monotonic(), reusable=self._left == 0)
                return
        elif self._reader is not None:
            if self._reader.feed(data) is None:
                self._fail(Flag.UPE, MirrorOutcome.FAILED)
                return
            if self._reader.done:
                self._answered(monotonic(), reusable=not self._reader.rest)
                return
        if self._answer_bytes > ANSWER_BYTES_MAX:
            self._answered(monotonic(), reusable=False, cut=True)

    def upstream_ended(self, *, clean: bool) -> None:
        """Count an answer that ended with its connection, or was cut."""
        if (
            clean
            and self._response is not None
            and self._kind
            not in (
                BY_LENGTH,
                BY_CHUNKS,
            )
        ):
            self._answered(monotonic(), reusable=False, clean=True)
        else:
            self._fail(Flag.UC if clean else Flag.UR, MirrorOutcome.FAILED)

    def upstream_full(self) -> None:
        """Nothing to hold back: the copy is written at once."""

    def upstream_ready(self) -> None:
        """Nothing was held back."""

    def timed_out(self) -> None:
        """Give the copy up."""
        if self._upstream is None and not self._connecting:
            self._give_up()
        else:
            self._fail(Flag.UT, MirrorOutcome.TIMEOUT)

    def _answered(
        self, now_s: float, *, reusable: bool, clean: bool = False, cut: bool = False
    ) -> None:
        """Count an answer; ``cut``: so much was read of it that nobody keeps it."""
        response = self._response
        assert response is not None
        worker = self._worker
        if self.counted:
            self._count(response, now_s)
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if reusable and not response.close and upstream.usable:
                upstream.leg = None
                upstream.pool.give_back(upstream, worker.now_s)
            else:
                upstream.close()
        self._pool.active -= 1
        copies = self._target.state.copies
        if cut or copies.failed:
            copies.note(now_s, failed=cut)
        if self.pair is not None:
            took_s = now_s - self.sent_s
            self.pair.ended(self.place, Outcome.ANSWERED, took_s, clean=clean)
        worker.mirrors.discard(self)

    def _count(self, response: Response, now_s: float) -> None:
        """Add an answer to the mirror's figures."""
        words, cell, status = self._worker.words, self._cell, response.status
        words[cell + ANSWERED_WORD] += 1
        words[cell + C_ATTEMPTS + status] += 1
        if status >= ERROR_STATUS_MIN or response.stream:
            return
        latency_us = max(int((now_s - self.sent_s) * US), 0)
        latency = ttfb = bucket_of(latency_us)
        ttfb_us = latency_us
        if now_s != self._first_s:  # not all came in one read
            ttfb_us = max(int((self._first_s - self.sent_s) * US), 0)
            ttfb = bucket_of(ttfb_us)
        words[cell + C_LATENCY + latency] += 1
        words[cell + C_LATENCY_SUM_US] += latency_us
        words[cell + C_TTFB + ttfb] += 1
        words[cell + C_TTFB_SUM_US] += ttfb_us

    def _fail(self, flag: Flag, outcome: MirrorOutcome) -> None:
        if self.counted:
            self._worker.words[self._cell + C_ATTEMPTS + FLAG_CODE_BASE + flag] += 1
        self._connecting = False
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        self._pool.active -= 1
        self._target.state.copies.note(monotonic(), failed=True)
        if self.pair is not None:
            self.pair.ended(self.place, ENDED.get(flag, Outcome.ABORTED), 0.0)
        self._end(outcome)

    def _end(self, outcome: MirrorOutcome) -> None:
        if self.counted:
            self._worker.words[self._cell + C_MIRROR + outcome] += 1
        self._worker.mirrors.discard(self)


class ComparedLeg(MirrorLeg):
    """A copy whose answer is kept, or whose outcome is not the request's."""

    __slots__ = ("counted", "pair", "place")

    def __init__(
        self,
        exchange: "Exchange",
        target: "BoundVersion",
        rule: "Mirror",
        pair: "Pair | None",
        *,
        place: int = CANDIDATE,
        counted: bool = True,
    ) -> None:
        super().__init__(exchange, target, rule)
        self.pair = pair
        self.place = place
        self.counted = counted


def _mirror_head(exchange: "Exchange", pool: "Pool") -> bytes:
    """Return the copy's head: the live one's, marked."""
    request = exchange.request
    down = exchange.down
    assert down is not None
    if not request.host:
        request = request.with_host(pool.authority)
        request.host = pool.authority
    if request.framed and not down.trusted:  # the rest without its cases
        start = request.start or request_start(request)
        return b"".join((start, down.peer_fields, request.host, exchange.tracing, LAST))
    return request_head(
        request,
        heads.body_fields(request)
        + heads.forwarding_fields(request, down)
        + exchange.tracing
        + MARK,
    )
