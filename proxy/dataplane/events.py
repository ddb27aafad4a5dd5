"""
Business events: which answers are one, counted for their version.

Only services that declare events come here; the others go on with ``recorder``
alone, for which ``BoundService`` binds its ``routed`` and ``answered``.

Every complete answer that is an event counts live. *Evidence* of events is in
trials: a unit that asks opens one, at most once in ``WITNESS_AGAIN_S`` a version
and anew in each weight epoch, and each event counts in it once. So a client
that orders all day is one witness, no epoch inherits orders whose requests
belong to another, and trials with an event are never more than trials. A
request without a unit is a trial of its own.
"""

from typing import TYPE_CHECKING, Final

from proxy.dataplane import recorder
from proxy.model.witnesses import WITNESS_AGAIN_S
from proxy.routing.decide import holds
from proxy.routing.table import Event
from proxy.telemetry import layout

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

EPOCH_SHIFT: Final = 12
SECOND_MASK: Final = (1 << EPOCH_SHIFT) - 1
EPOCHS: Final = 15
"""A mark is the epoch modulo 15, plus 1, above 12 bits of the second: never 0. A
mark that is a multiple of 4096 s old is taken for a fresh one: one in 400."""

TRIALS_AT: Final = tuple(
    layout.bank_offset(epoch) + layout.B_TRIALS for epoch in (0, 1)
)
"""Where a cell counts trials, by the epoch's lowest bit."""

ByMethod = dict[bytes, tuple[Event, ...]]


def by_method(events: tuple[Event, ...]) -> ByMethod:
    """Return the events that each method may be; the key ``b""`` is for all others."""
    anyhow = tuple(event for event in events if not event.condition.method)
    found: ByMethod = {b"": anyhow}
    for event in events:
        method = event.condition.method
        if method and method not in found:
            named = [one for one in events if one.condition.method in (method, b"")]
            found[method] = tuple(named)
    return found


def routed(exchange: "Exchange") -> None:
    """Count a live request's assignment, and the trial that it opens."""
    recorder.routed(exchange)
    if not exchange.judged:
        return
    version = exchange.version
    place = version.trials
    if place < 0:
        return
    worker = exchange.worker
    epoch = exchange.epoch
    if exchange.unit:
        place += exchange.bucket
        seen = worker.seen
        now = worker.second & SECOND_MASK
        mark = epoch % EPOCHS + 1
        last = seen[place]
        if last >> EPOCH_SHIFT == mark and (
            (now - last & SECOND_MASK) < WITNESS_AGAIN_S
        ):
            return
        seen[place] = mark << EPOCH_SHIFT | now
    worker.words[version.cell + TRIALS_AT[epoch & 1]] += 1


def answered(exchange: "Exchange", now_s: float) -> None:
    """Count a complete answer that the user got, and the events that it is."""
    recorder.answered(exchange, now_s)
    found = exchange.service.events
    request = exchange.request
    events = found.get(request.method)
    if events is None:
        events = found[b""]
    for event in events:
        if exchange.status in event.statuses and holds(event.condition, request):
            _count(exchange, event)


def _count(exchange: "Exchange", event: Event) -> None:
    """Count one event live, and as evidence where it is the first of its trial."""
    worker = exchange.worker
    words = worker.words
    version = exchange.version
    words[version.cell + layout.C_EVENTS + event.word] += 1
    if exchange.attempts != 1 or not exchange.judged or version.trials < 0:
        return
    service = exchange.service
    if exchange.epoch < worker.shared[service.base + layout.S_FLOOR]:
        return
    if exchange.unit:
        bucket = exchange.bucket
        seen = worker.seen
        trial = seen[version.trials + bucket]
        if trial >> EPOCH_SHIFT != exchange.epoch % EPOCHS + 1:
            return  # opened anew by a later epoch meanwhile
        place = event.seen[version.index] * layout.SEEN_WORDS * 4 + bucket
        if seen[place] == trial:
            return
        seen[place] = trial
    bank = version.cell + layout.bank_offset(exchange.epoch)
    words[bank + layout.B_EVENTS + event.word] += 1
