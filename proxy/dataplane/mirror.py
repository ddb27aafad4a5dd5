"""
Which requests are copied for another version, and why the others are not.

A copy is sent beside the live request over connections of its own; whatever
happens to it, the live exchange neither waits nor changes. Each request that
could have been copied and was not is counted with the reason.

Where answers are compared, the live one is kept too, and for a sample stable is
asked a second time, beside the candidate and in random order: that shows how it
differs from itself. While the canary has users, it gets as many extra copies as
stable, so that neither version carries more load than the other.
"""

from typing import TYPE_CHECKING, Final

from proxy.dataplane.mirror_leg import ComparedLeg, MirrorLeg
from proxy.dataplane.pairing import CANDIDATE, SECOND, STABLE, Pair, Tee
from proxy.model.vocabulary import UNIT_BUCKETS, MirrorOutcome, PairOutcome
from proxy.routing.buckets import bucket_of_unit
from proxy.routing.decide import share_of
from proxy.routing.table import Mirror
from proxy.telemetry.layout import C_MIRROR, C_PAIRS

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundVersion
    from proxy.dataplane.exchange import Exchange

FULL_PERCENT: Final = 100.0
TO_STABLE: Final = C_PAIRS + int(PairOutcome.TO_STABLE)
TO_CANDIDATE: Final = C_PAIRS + int(PairOutcome.TO_CANDIDATE)
KEPT_BYTES_MOST: Final = 60_000_000
"""With so much kept of other answers, no further pair is begun."""


class Copies:
    """The copies of one request, which all wait for the end of its body."""

    __slots__ = ("_legs",)

    def __init__(self, legs: list[MirrorLeg]) -> None:
        self._legs = legs

    def body_complete(self, body: bytes | None, data_bytes: int) -> None:
        """Send them with the body that the live request had; None if not kept."""
        for leg in self._legs:
            leg.body_complete(body, data_bytes)


def start(exchange: "Exchange") -> None:
    """Make a live request's first attempt, and send its copies after it."""
    rule = exchange.service.service.mirror
    assert rule is not None
    target = _target(exchange, rule)
    if target is None:
        exchange.attempt()
        return
    if not rule.compares:
        leg = MirrorLeg(exchange, target, rule)
        exchange.attempt()
        exchange.worker.mirrors.add(leg)
        if exchange.body_done:
            leg.body_complete(exchange.replay, exchange.body_bytes)
        else:
            exchange.mirrored = Copies([leg])
        return
    legs = _copies(exchange, target, rule)
    exchange.attempt()
    tee = exchange.tee
    if tee is not None:
        if exchange.down is None:
            tee.finished()
        elif exchange.upstream is not None:
            exchange.upstream.leg = tee
    exchange.worker.mirrors.update(legs)
    if exchange.body_done:
        for leg in legs:
            leg.body_complete(exchange.replay, exchange.body_bytes)
    else:
        exchange.mirrored = Copies(legs)


def _target(exchange: "Exchange", rule: Mirror) -> "BoundVersion | None":
    """Return the version to copy to; None if there is none, which is counted."""
    service = exchange.service
    if b"x-headgate-mirror" in exchange.request.watched:
        return None
    target = candidate = service.versions[rule.to]
    if not rule.always:
        shares = service.shares
        if shares.epoch != exchange.epoch:
            shares = service.read_shares(exchange.worker.shared, exchange.epoch)
        if share_of(shares.row, rule.to) > 0:
            return None
    if target is exchange.version:
        if not rule.always or service.stable is None or service.stable is target:
            return None
        target = service.stable
    words, cell = exchange.worker.words, service.mirror_cell
    skipped = _why_not(exchange, rule, target, candidate)
    if skipped is not None:
        words[cell + C_MIRROR + skipped] += 1
        return None
    if rule.always:  # by where it goes, so that unequal loads are noticed
        words[cell + (TO_CANDIDATE if target is candidate else TO_STABLE)] += 1
    return target


def _why_not(
    exchange: "Exchange",
    rule: Mirror,
    target: "BoundVersion",
    candidate: "BoundVersion",
) -> MirrorOutcome | None:
    """Return why a request is not copied, or None if it is."""
    request = exchange.request
    worker = exchange.worker
    if rule.excluded.count and rule.excluded.number(request.method, request.path):
        return MirrorOutcome.SKIPPED_ROUTE
    if request.method not in rule.methods and not (
        # Only the candidate may be safe to write to twice, never stable.
        target is candidate and rule.unsafe.number(request.method, request.path)
    ):
        return MirrorOutcome.SKIPPED_METHOD
    if request.upgrade or request.expect_continue:
        return MirrorOutcome.SKIPPED_UPGRADE
    watched = request.watched
    if b"range" in watched:
        return MirrorOutcome.SKIPPED_RANGE
    if b"accept" in watched and b"text/event-stream" in watched[b"accept"]:
        return MirrorOutcome.SKIPPED_STREAM
    if request.length > rule.request_body_bytes_max:
        return MirrorOutcome.SKIPPED_BODY
    if rule.percent < FULL_PERCENT and not _sampled(exchange, rule.percent, rule.salt):
        return MirrorOutcome.SKIPPED_SAMPLE
    if len(worker.mirrors) >= rule.inflight_max:
        return MirrorOutcome.SKIPPED_INFLIGHT
    if not exchange.service.mirror_pools[target.index]:
        return MirrorOutcome.SKIPPED_ENDPOINT
    # Both ways or not at all: one version must not carry the other's load alone.
    now_s = worker.now_s
    if now_s < candidate.state.copies.until_s or now_s < target.state.copies.until_s:
        return MirrorOutcome.SKIPPED_STOPPED
    if rule.compares and worker.kept_bytes >= KEPT_BYTES_MOST:
        return MirrorOutcome.SKIPPED_MEMORY
    return None


def _sampled(exchange: "Exchange", percent: float, salt: bytes) -> bool:
    limit = percent / FULL_PERCENT * UNIT_BUCKETS
    if exchange.unit:
        return bucket_of_unit(salt, exchange.unit) < limit
    return exchange.worker.chance.random() * UNIT_BUCKETS < limit


def _copies(
    exchange: "Exchange", target: "BoundVersion", rule: Mirror
) -> list[MirrorLeg]:
    """Return the copies to send, and let the live answer be kept for them."""
    service = exchange.service
    candidate = service.versions[rule.to]
    if not exchange.worker.ring.has_room():
        # Nobody could compare it: the copy goes out, and is no pair.
        at = service.mirror_cell + C_PAIRS + PairOutcome.SKIPPED_QUEUE
        exchange.worker.words[at] += 1
        return [MirrorLeg(exchange, target, rule)]
    if target is not candidate:  # the canary serves; stable is asked after it
        pair = Pair(exchange, places=2, sampled=False)
        exchange.tee = Tee(exchange, pair, CANDIDATE)
        return [ComparedLeg(exchange, target, rule, pair, place=STABLE)]
    safe = exchange.request.method in rule.methods
    chance = exchange.worker.chance
    second = (
        safe
        and chance.random() < rule.noise_sample
        and len(exchange.worker.mirrors) + 1 < rule.inflight_max
        and bool(service.mirror_pools[exchange.version.index])
    )
    sampled = safe and rule.noise_sample > 0
    pair = Pair(exchange, places=3 if second else 2, sampled=sampled)
    exchange.tee = Tee(exchange, pair, STABLE)
    legs: list[MirrorLeg] = [ComparedLeg(exchange, target, rule, pair)]
    if not second:
        return legs
    again = ComparedLeg(
        exchange, exchange.version, rule, pair, place=SECOND, counted=False
    )
    legs.insert(int(chance.random() * 2), again)
    exchange.worker.words[service.mirror_cell + C_PAIRS + PairOutcome.SECOND] += 1
    shares = service.shares
    if shares.epoch != exchange.epoch:  # an override was routed without them
        shares = service.read_shares(exchange.worker.shared, exchange.epoch)
    if share_of(shares.row, candidate.index) > 0:
        legs.append(ComparedLeg(exchange, candidate, rule, None, counted=False))
    return legs
