"""
One copy of a request on its way: sent, its answer read to the end, counted.

The answer is dropped, or kept for its ``Pair`` where answers are compared. A
copy has connections and a deadline of its own, and no retries.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane import heads
from proxy.dataplane.pairing import CANDIDATE, Pair
from proxy.dataplane.pool import least_loaded
from proxy.dataplane.upstream import Upstream
from proxy.http1.forward import request_head
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

ANSWER_BYTES_MAX: Final = 1_048_576
"""What is read of a copy's answer; a longer one ends its connection."""
HEAD_BYTES_MAX: Final = 65_536
FINAL_STATUS_MIN: Final = 200
ERROR_STATUS_MIN: Final = 500
MARK: Final = b"\r\nx-headgate-mirror: 1"
ENDED: Final = {
    Flag.UT: Outcome.TIMEOUT,
    Flag.UF: Outcome.CONNECT_ERROR,
    Flag.UCT: Outcome.CONNECT_ERROR,
}
"""How a leg ended that had no answer; every other flag means ``ABORTED``."""


class MirrorLeg:
    """One copy on its way: a leg of an origin connection (``upstream.Leg``)."""

    __slots__ = (
        "_answer_bytes",
        "_body",
        "_cell",
        "_connecting",
        "_counted",
        "_first_s",
        "_head",
        "_held",
        "_kind",
        "_left",
        "_method",
        "_pair",
        "_place",
        "_pool",
        "_reader",
        "_response",
        "_target",
        "_upstream",
        "_worker",
        "answer_s",
        "body_bytes_max",
        "deadline_s",
        "sent_s",
        "table",
    )

    def __init__(
        self,
        exchange: "Exchange",
        target: "BoundVersion",
        pair: Pair | None,
        *,
        place: int = CANDIDATE,
        counted: bool = True,
    ) -> None:
        """
        Make a copy for ``target``; it is sent by ``body_complete``.

        ``counted``: its outcome is that of the request, which has just one.
        """
        rule = exchange.service.service.mirror
        assert rule is not None
        self._worker = exchange.worker
        self.table = exchange.table
        self._cell = exchange.service.mirror_cell
        self._target = target
        self._pair = pair
        self._place = place
        self._counted = counted
        pools = exchange.service.mirror_pools[target.index]
        self._pool = least_loaded(pools, self._worker.chance)
        self._method = exchange.request.method
        self._head = _mirror_head(exchange, self._pool)
        self._body = b""
        self._upstream: Upstream | None = None
        self._connecting = False
        self._response: Response | None = None
        self._reader: ChunkedReader | None = None
        self._held = b""
        self._kind = 0
        self._left = 0
        self._answer_bytes = 0
        self.sent_s = 0.0
        self._first_s = 0.0
        self.body_bytes_max = rule.request_body_bytes_max
        self.answer_s = rule.timeout_s
        self.deadline_s = monotonic() + rule.timeout_s

    def body_complete(self, body: bytes | None, data_bytes: int) -> None:
        """Start with the body that the live request had; None if not kept."""
        if body is None or data_bytes > self.body_bytes_max:
            self._give_up()
        else:
            self._start(body)

    def _give_up(self) -> None:
        """End a copy that was never sent."""
        if self._pair is not None:
            self._pair.give_up(None)
        self._end(MirrorOutcome.SKIPPED_BODY)

    def _start(self, body: bytes) -> None:
        """Send the copy over a warm connection, or open one."""
        self._body = body
        self._pool.active += 1
        upstream = self._pool.take()
        self._connecting = upstream is None
        if upstream is None:
            self._pool.connect(self)
        else:
            self._send(upstream)

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
        if self._pair is not None:
            self._pair.request, self._pair.body = self._head, self._body
        outbox = self._worker.outbox
        upstream.turn = outbox.turn
        outbox.post(upstream.transport, self._head + self._body, self)
        self._head = self._body = b""

    def upstream_data(self, data: bytes) -> None:
        """Read the answer: its head for the status, its body for its end."""
        upstream = self._upstream
        if upstream is not None and upstream.turn == self._worker.outbox.turn:
            self._fail(Flag.UC, MirrorOutcome.FAILED)  # it was not asked yet
            return
        if self._pair is not None:
            self._pair.keep(self._place, data)
        if self._response is not None:
            self._body_data(data)
            return
        if not self._first_s:
            self._first_s = monotonic()
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
        self._begin(response, data)

    def _begin(self, response: Response, data: bytes) -> None:
        """Take the answer's head, and ``data``, what is there behind it."""
        pair = self._pair
        if response.stream:
            if pair is not None:
                pair.give_up(PairOutcome.SKIPPED_STREAM)
            self._answered(reusable=False)
            return
        self._kind = response.body(self._method)
        self._left = response.length
        if self._kind == BY_LENGTH and self._left > ANSWER_BYTES_MAX:
            if pair is not None:
                pair.cut(self._place)
            self._answered(reusable=False)  # nobody would keep the rest
            return
        if self._kind == BY_CHUNKS:
            self._reader = ChunkedReader(framed=False)
        if self._kind == NO_BODY:
            self._answered(reusable=not data)
        elif data:
            self._body_data(data)

    def _body_data(self, data: bytes) -> None:
        self._answer_bytes += len(data)
        if self._kind == BY_LENGTH:
            self._left -= len(data)
            if self._left <= 0:
                self._answered(reusable=self._left == 0)
                return
        elif self._reader is not None:
            if self._reader.feed(data) is None:
                self._fail(Flag.UPE, MirrorOutcome.FAILED)
                return
            if self._reader.done:
                self._answered(reusable=not self._reader.rest)
                return
        if self._answer_bytes > ANSWER_BYTES_MAX:
            self._answered(reusable=False, cut=True)

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
            self._answered(reusable=False, clean=True)
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
        self, *, reusable: bool, clean: bool = False, cut: bool = False
    ) -> None:
        """Count an answer; ``cut``: so much was read of it that nobody keeps it."""
        response = self._response
        assert response is not None
        now_s = monotonic()
        words = self._worker.words
        if self._counted:
            words[self._cell + C_ATTEMPTS + response.status] += 1
        if self._counted and response.status < ERROR_STATUS_MIN and not response.stream:
            for first, total, at_s in (
                (C_LATENCY, C_LATENCY_SUM_US, now_s),
                (C_TTFB, C_TTFB_SUM_US, self._first_s),
            ):
                value_us = max(int((at_s - self.sent_s) * 1_000_000), 0)
                words[self._cell + first + bucket_of(value_us)] += 1
                words[self._cell + total] += value_us
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if reusable and not response.close:
                upstream.release(self._worker.now_s)
            else:
                upstream.close()
        self._pool.active -= 1
        copies = self._target.state.copies
        if cut or copies.failed:
            copies.note(now_s, failed=cut)
        if self._pair is not None:
            took_s = now_s - self.sent_s
            self._pair.ended(self._place, Outcome.ANSWERED, took_s, clean=clean)
        self._end(MirrorOutcome.ANSWERED)

    def _fail(self, flag: Flag, outcome: MirrorOutcome) -> None:
        if self._counted:
            self._worker.words[self._cell + C_ATTEMPTS + FLAG_CODE_BASE + flag] += 1
        self._connecting = False
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        self._pool.active -= 1
        self._target.state.copies.note(monotonic(), failed=True)
        if self._pair is not None:
            self._pair.ended(self._place, ENDED.get(flag, Outcome.ABORTED), 0.0)
        self._end(outcome)

    def _end(self, outcome: MirrorOutcome) -> None:
        if self._counted:
            self._worker.words[self._cell + C_MIRROR + outcome] += 1
        self._worker.mirrors.discard(self)


def _mirror_head(exchange: "Exchange", pool: "Pool") -> bytes:
    """Return the copy's head: the live one's, marked."""
    request = exchange.request
    down = exchange.down
    assert down is not None
    if not request.host:
        request = request.with_host(pool.authority)
        request.host = pool.authority
    return request_head(
        request,
        heads.body_fields(request)
        + heads.forwarding_fields(request, down)
        + exchange.tracing
        + MARK,
    )
