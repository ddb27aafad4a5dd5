"""
Copies of requests for another version: bounded, counted, never waited for.

A copy is sent beside the live request over connections of its own; its answer
is read, counted and dropped. Whatever happens to it, the live exchange neither
waits nor changes. Each request that could have been copied and was not is
counted with the reason.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane import heads
from proxy.dataplane.pool import Pool, least_loaded
from proxy.dataplane.upstream import Upstream
from proxy.http1.forward import request_head
from proxy.http1.framing import ChunkedReader
from proxy.http1.response import BY_CHUNKS, BY_LENGTH, NO_BODY, Response
from proxy.model.buckets import bucket_of
from proxy.model.vocabulary import FLAG_CODE_BASE, UNIT_BUCKETS, Flag, MirrorOutcome
from proxy.routing.buckets import bucket_of_unit
from proxy.routing.decide import share_of
from proxy.telemetry.layout import (
    C_ATTEMPTS,
    C_LATENCY,
    C_LATENCY_SUM_US,
    C_MIRROR,
    C_TTFB,
    C_TTFB_SUM_US,
)

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

ANSWER_BYTES_MAX: Final = 1_048_576
"""What is read of a copy's answer; a longer one ends its connection."""
HEAD_BYTES_MAX: Final = 65_536
FULL_PERCENT: Final = 100.0
FINAL_STATUS_MIN: Final = 200
ERROR_STATUS_MIN: Final = 500
MARK: Final = b"\r\nx-headgate-mirror: 1"
SAMPLE_SALT: Final = b"mirror\0"
"""Keeps the sample apart from the live split's buckets."""


def offer(exchange: "Exchange") -> None:
    """Copy a live request that is about to start, or count why not."""
    rule = exchange.service.service.mirror
    assert rule is not None
    if b"x-headgate-mirror" in exchange.request.watched:
        return
    service = exchange.service
    worker = exchange.worker
    target = service.versions[rule.to]
    shares = service.shares
    if shares.epoch != exchange.epoch:
        shares = service.read_shares(worker.shared, exchange.epoch)
    if not rule.always and share_of(shares.row, rule.to) > 0:
        return
    if target is exchange.version:
        if not rule.always or service.stable is None or service.stable is target:
            return
        target = service.stable
    skipped = _why_not(exchange)
    if skipped is not None:
        worker.words[service.mirror_cell + C_MIRROR + skipped] += 1
        return
    leg = MirrorLeg(exchange, service.mirror_pools[target.index])
    worker.mirrors.add(leg)
    if exchange.body_done:
        leg.body_complete(exchange.replay, exchange.body_bytes)
    else:
        exchange.mirrored = leg


def _why_not(exchange: "Exchange") -> MirrorOutcome | None:
    """Return why a request is not copied, or None if it is."""
    rule = exchange.service.service.mirror
    assert rule is not None
    request = exchange.request
    if request.method not in rule.methods:
        return MirrorOutcome.SKIPPED_METHOD
    if request.upgrade or request.expect_continue:
        return MirrorOutcome.SKIPPED_UPGRADE
    if b"range" in request.watched:
        return MirrorOutcome.SKIPPED_RANGE
    if request.length > rule.request_body_bytes_max:
        return MirrorOutcome.SKIPPED_BODY
    if rule.percent < FULL_PERCENT and not _sampled(exchange, rule.percent):
        return MirrorOutcome.SKIPPED_SAMPLE
    if len(exchange.worker.mirrors) >= rule.inflight_max:
        return MirrorOutcome.SKIPPED_INFLIGHT
    if not exchange.service.versions[rule.to].pools:
        return MirrorOutcome.SKIPPED_ENDPOINT
    return None


def _sampled(exchange: "Exchange", percent: float) -> bool:
    limit = percent / FULL_PERCENT * UNIT_BUCKETS
    if exchange.unit:
        return bucket_of_unit(SAMPLE_SALT, exchange.unit) < limit
    return exchange.worker.chance.random() * UNIT_BUCKETS < limit


class MirrorLeg:
    """One copy on its way: a leg of an origin connection (``upstream.Leg``)."""

    __slots__ = (
        "_answer_bytes",
        "_body",
        "_cell",
        "_connecting",
        "_first_s",
        "_head",
        "_held",
        "_kind",
        "_left",
        "_method",
        "_pool",
        "_reader",
        "_response",
        "_upstream",
        "_worker",
        "answer_s",
        "body_bytes_max",
        "deadline_s",
        "sent_s",
        "table",
    )

    def __init__(self, exchange: "Exchange", pools: list[Pool]) -> None:
        rule = exchange.service.service.mirror
        assert rule is not None
        self._worker = exchange.worker
        self.table = exchange.table
        self._cell = exchange.service.mirror_cell
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
            self._end(MirrorOutcome.SKIPPED_BODY)
        else:
            self._start(body)

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
        self._kind = response.body(self._method)
        self._left = response.length
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
            self._answered(reusable=False)

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
            self._answered(reusable=False)
        else:
            self._fail(Flag.UC if clean else Flag.UR, MirrorOutcome.FAILED)

    def upstream_full(self) -> None:
        """Nothing to hold back: the copy is written at once."""

    def upstream_ready(self) -> None:
        """Nothing was held back."""

    def timed_out(self) -> None:
        """Give the copy up."""
        if self._upstream is None and not self._connecting:
            self._end(MirrorOutcome.SKIPPED_BODY)
        else:
            self._fail(Flag.UT, MirrorOutcome.TIMEOUT)

    def _answered(self, *, reusable: bool) -> None:
        response = self._response
        assert response is not None
        words = self._worker.words
        words[self._cell + C_ATTEMPTS + response.status] += 1
        if response.status < ERROR_STATUS_MIN and not response.stream:
            for first, total, at_s in (
                (C_LATENCY, C_LATENCY_SUM_US, monotonic()),
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
        self._end(MirrorOutcome.ANSWERED)

    def _fail(self, flag: Flag, outcome: MirrorOutcome) -> None:
        self._worker.words[self._cell + C_ATTEMPTS + FLAG_CODE_BASE + flag] += 1
        self._connecting = False
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        self._pool.active -= 1
        self._end(outcome)

    def _end(self, outcome: MirrorOutcome) -> None:
        self._worker.words[self._cell + C_MIRROR + outcome] += 1
        self._worker.mirrors.discard(self)


def _mirror_head(exchange: "Exchange", pool: Pool) -> bytes:
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
