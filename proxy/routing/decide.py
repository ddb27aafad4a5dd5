"""
The decision for one request: override, else the unit's bucket, else a draw.

``words`` is the slab's services area as 64-bit integers; its rows hold entries
``version index << 32 | upper bound`` in the order of the buckets, the canary
first. The row in force is the epoch's lowest bit, so a reader never sees a row
that is being written.
"""

from collections.abc import Sequence
from typing import Final

from proxy.http1.fields import cookie_value
from proxy.http1.request import Request
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


def share_of(row: Row, version: int) -> int:
    """Return how many of the 100 000 buckets a version owns."""
    low = 0
    for bound, owner in row:
        if owner == version:
            return bound - low
        low = bound
    return 0
