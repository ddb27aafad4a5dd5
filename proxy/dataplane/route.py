"""
From a parsed head to a started exchange: the decision, made with live weights.

The pure rules are in ``routing.decide``; here they meet this worker's slab: the
epoch and row in force, the fail-fast trip, and the table of units seen lately.
"""

import os
from typing import TYPE_CHECKING

from proxy.dataplane import heads
from proxy.dataplane.exchange import Exchange
from proxy.http1.request import Request
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.model.witnesses import FAILED_AGAIN_S
from proxy.routing.buckets import bucket_of_unit
from proxy.routing.decide import (
    UNIT_BYTES_MAX,
    in_rings,
    overridden,
    owner_of,
    unit_of,
)
from proxy.telemetry.layout import CELL_WORDS, RS_TRIP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.dataplane.bound import BoundService, BoundTable, Shares
    from proxy.dataplane.downstream import Downstream


def route(
    down: "Downstream",
    table: "BoundTable",
    service: "BoundService",
    request: Request,
) -> Exchange:
    """Return an exchange with its version, epoch and standing as evidence."""
    exchange = Exchange(down, table, service, request)
    rules = service.service
    if service.routes is not None:
        exchange.route = service.routes.number(request.method, request.path)
    exchange.epoch = epoch = down.worker.shared[service.base]
    if rules.overrides:
        named = overridden(rules, request)
        if named is not None:
            exchange.version = service.versions[named]
            return exchange
    if len(service.versions) > 1:
        _assign(exchange, down, service, request, epoch)
        return exchange
    if service.issue is not None:
        _unit(exchange, down, service, request)
    return exchange


def _unit(
    exchange: Exchange, down: "Downstream", service: "BoundService", request: Request
) -> bytes:
    """Return the request's unit, handing one out where that is asked for."""
    address = down.address
    if down.trusted and request.forwarded:
        address = heads.client_address(request, address)
    unit = unit_of(service.service, request, address)
    if not unit and service.issue is not None:
        unit = os.urandom(16).hex().encode()
        exchange.cookie = heads.cookie_line(
            service.issue, unit, secure=down.trusted and heads.is_secure(request)
        )
    return unit


def _ringed(
    exchange: Exchange,
    service: "BoundService",
    shares: "Shares",
    request: Request,
    words: "Sequence[int]",
) -> bool:
    """Give the canary to who is in an open ring; return whether that is evidence."""
    rings, canary, stable = shares.rings, service.canary, service.stable
    assert rings is not None
    assert canary is not None
    assert stable is not None
    tripped = words[service.region + RS_TRIP] == shares.epoch
    version = exchange.version
    if version is not canary and version is not stable:
        return False
    chosen, witness = in_rings(
        rings, request, exchange.bucket, by_weight=version is canary
    )
    chosen = chosen and not tripped
    exchange.version = canary if chosen else stable
    # Fail-fast hears of every request that the canary fails.
    exchange.judged = chosen or (witness and not tripped)
    return witness and not tripped


def _assign(
    exchange: Exchange,
    down: "Downstream",
    service: "BoundService",
    request: Request,
    epoch: int,
) -> None:
    """Pick the version by bucket and weight, and decide what it is evidence of."""
    worker = down.worker
    unit = request.watched.get(service.unit_header, b"")
    if (not unit and service.has_units) or len(unit) > UNIT_BYTES_MAX:
        unit = _unit(exchange, down, service, request)
    if unit:
        exchange.unit = unit
        bucket = bucket_of_unit(service.service.salt, unit)
    else:
        bucket = int(worker.chance.random() * UNIT_BUCKETS)
    exchange.bucket = bucket
    shares = service.shares
    if shares.epoch != epoch:
        shares = service.read_shares(worker.shared, epoch)
    index = owner_of(shares.row, bucket)
    versions = service.versions
    exchange.version = version = versions[index if index < len(versions) else 0]
    exchange.judged = True
    if shares.canary == 0:
        return
    stable = service.stable
    assert stable is not None
    if shares.rings is not None:
        if not _ringed(exchange, service, shares, request, worker.words):
            return
        version = exchange.version
    if version is service.canary:
        if worker.words[service.region + RS_TRIP] == epoch:
            exchange.version = stable
            exchange.judged = False
            return
    elif version is not stable:
        return
    if unit:
        at = version.seen + bucket
        seen = worker.seen
        last = seen[at]
        # A mark that lies ahead silences for longer: see `recorder.silence`.
        if last and (worker.ahead - last) & 0xFFFF < FAILED_AGAIN_S:
            version.repeats.last = bucket
            return
        seen[at] = worker.second
    if version is not stable:
        exchange.evidence = shares.canary_banks
    elif bucket < 2 * shares.canary:
        exchange.evidence = shares.control_banks
    else:
        exchange.evidence = shares.stable_banks
    if exchange.route:
        on_route = exchange.route * CELL_WORDS
        exchange.evidence += tuple(bank + on_route for bank in exchange.evidence)
