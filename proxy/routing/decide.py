"""
The decision for one request: override, else the unit's bucket, else a draw.

``words`` is the slab's services area as 64-bit integers; its rows hold entries
``version index << 32 | upper bound`` in the order of the buckets, the canary
first. The row in force is the epoch's lowest bit, so a reader never sees a row
that is being written. Its last word may say that the weights are meant for rings
of requests only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.http1.fields import cookie_value
from proxy.http1.request import Request
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.routing.table import (
    ADDRESS_UNIT,
    HEADER_UNIT,
    Condition,
    Service,
    UnitSource,
    path_has_prefix,
)

ROW_WORDS: Final = 16
ROWS_AT: Final = 2
RING_PLACE: Final = ROW_WORDS - 1
RING_MARK: Final = 1 << 16
RING_ALL: Final = 1 << 8
RING_COUNT_MASK: Final = 0xFF
BOUND_MASK: Final = 0xFFFFFFFF
VERSION_SHIFT: Final = 32
Row = tuple[tuple[int, int], ...]
"""(upper bound, version index) of each share, the canary's first."""

UNIT_BYTES_MAX: Final = 512
"""A longer unit is cut: nobody's user id is, and hashing stays bounded."""


def overridden(service: Service, request: Request) -> int | None:
    """Return the version that an override names for the request, else None."""
    for condition, version in service.overrides:
        if holds(condition, request):
            return version
    return None


def holds(condition: Condition, request: Request) -> bool:
    """Whether every part of a condition that is given is true of the request."""
    if condition.method and condition.method != request.method:
        return False
    if condition.path_prefix and not path_has_prefix(
        request.path, condition.path_prefix
    ):
        return False
    for name, wanted in condition.headers:
        value = request.watched.get(name)
        if value is None or (wanted is not None and value != wanted):
            return False
    if condition.cookies:
        cookies = request.watched.get(b"cookie", b"")
        for name, wanted in condition.cookies:
            value = cookie_value(cookies, name)
            if value is None or (wanted is not None and value != wanted):
                return False
    return True


def unit_of(service: Service, request: Request, address: bytes) -> bytes:
    """Return who the request belongs to; empty where no source names anyone."""
    watched = request.watched
    for source in service.units:
        if source.kind == HEADER_UNIT:
            value = watched.get(source.name)
        elif source.kind == ADDRESS_UNIT:
            value = address
        else:
            cookies = watched.get(b"cookie")
            value = cookie_value(cookies, source.name) if cookies else None
        if value:
            return value[:UNIT_BYTES_MAX]
    return b""


def cookie_to_issue(service: Service) -> UnitSource | None:
    """Return the source that hands out ids to requests without a unit."""
    for source in service.units:
        if source.issue:
            return source
    return None


def row_of(words: Sequence[int], base: int, epoch: int) -> Row:
    """
    Return the weights of ``epoch``: ends of shares in rising order, and owners.

    Who owns nothing is left out. ``base`` is the first word of the service's
    slot. A row never changes while its epoch is in force, so it may be read once
    and kept as long.
    """
    at = base + ROWS_AT + (epoch & 1) * ROW_WORDS
    row: list[tuple[int, int]] = []
    low = 0
    for offset in range(at, at + ROW_WORDS):
        entry = words[offset]
        bound = entry & BOUND_MASK
        if bound > low:
            low = bound
            row.append((bound, entry >> VERSION_SHIFT))
    return tuple(row)


def owner_of(row: Row, bucket: int) -> int:
    """
    Return the index of the version that owns ``bucket``.

    A row that nobody wrote gives all to version 0.
    """
    for bound, version in row:
        if bucket < bound:
            return version
    return 0


@dataclass(frozen=True, slots=True)
class OpenRings:
    """What a row says of the rings of its epoch."""

    conditions: tuple[tuple[Condition, int], ...]
    """Each open ring, the oldest first, with the canary's buckets in it."""
    all: bool
    """The row's own weights are meant for every request, not for a ring only."""
    alone: bool
    """Inside the newest ring the canary has everything: stable is seen outside."""


def open_rings(
    words: Sequence[int], base: int, epoch: int, service: Service
) -> OpenRings | None:
    """Return the rings of ``epoch``, or None where a row is meant for everybody."""
    at = base + ROWS_AT + (epoch & 1) * ROW_WORDS
    word = words[at + RING_PLACE]
    flags = word >> VERSION_SHIFT
    count = flags & RING_COUNT_MASK
    if not flags & RING_MARK or not count:
        return None
    lid = word & BOUND_MASK
    rings = service.rings[:count]
    return OpenRings(
        tuple((ring.condition, min(ring.bound, lid)) for ring in rings),
        all=bool(flags & RING_ALL),
        alone=bool(rings) and rings[-1].bound == UNIT_BUCKETS,
    )


def in_rings(
    rings: OpenRings, request: Request, bucket: int, *, by_weight: bool
) -> tuple[bool, bool]:
    """
    Tell whether a request gets the canary, and whether it is evidence.

    Args:
        rings: those of the row in force.
        request: the request.
        bucket: its unit's.
        by_weight: the row gives the bucket to the canary.

    Rings that have opened stay open: raising only adds units. Evidence of a ring
    are its own requests alone; of a later weight for all, those outside of rings.
    Where a ring has the canary only, stable's evidence comes from outside of it.
    """
    bound = 0
    newest = older = False
    last = len(rings.conditions) - 1
    for place, (condition, share) in enumerate(rings.conditions):
        if holds(condition, request):
            bound = max(bound, share)
            newest = newest or place == last
            older = older or place != last
    if rings.all:
        return by_weight or bucket < bound, not (newest or older)
    inside = newest and not older
    return bucket < bound, inside or (rings.alone and not newest and not older)


def share_of(row: Row, version: int) -> int:
    """Return how many of the 100 000 buckets a version owns."""
    low = 0
    for bound, owner in row:
        if owner == version:
            return bound - low
        low = bound
    return 0
