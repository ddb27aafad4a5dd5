"""
Which slots, cells and seen tables of the slab belong to which part of a service.

The same part keeps its place from table to table, so its figures go on; a part
that a table no longer names keeps its place until no worker uses a table that
did (``R_GENERATION`` tells). Pure: the present allocation and the wish give the
next one, and the places that are new and must be zeroed before they are used.
The allocation is written into the table document and read back from it, so a
control process that was restarted goes on with the same places.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from proxy.errors import TableError
from proxy.telemetry.layout import CELLS_MAX, EVENTS_MAX, SEEN_MAX, SERVICES_MAX

JsonObject = dict[str, Any]
Key = tuple[str, ...]


class Kind(StrEnum):
    """What a place is made of."""

    SLOT = "slot"
    CELL = "cell"
    SEEN = "seen"
    EVENT = "event"


CAPACITY = {
    Kind.SLOT: SERVICES_MAX,
    Kind.CELL: CELLS_MAX,
    Kind.SEEN: SEEN_MAX,
    Kind.EVENT: EVENTS_MAX,
}
"""Units of each kind; those of events are a service's own."""

ARM_CONTROL = "=control"
ARM_MIRROR = "=mirror"
"""Arms beside the versions; no version can be called so."""
ARM_TRIALS = "=trials"


@dataclass(frozen=True, slots=True)
class Place:
    """
    ``count`` units of one kind from ``first``, held by ``key``.

    ``until`` is the last generation whose table named it; ``None`` while the
    newest one does.
    """

    kind: Kind
    key: Key
    first: int
    count: int
    until: int | None = None

    def as_json(self) -> list[Any]:
        """Return the place as it lies in a table document."""
        return [self.kind.value, list(self.key), self.first, self.count, self.until]


@dataclass(frozen=True, slots=True)
class Wish:
    """What one service needs: its versions and routes in the file's order."""

    service: str
    versions: tuple[str, ...]
    routes: tuple[str, ...]
    events: tuple[str, ...] = ()

    def places(self) -> list[tuple[Kind, Key, int]]:
        """Return every place the service needs, as kind, key and count."""
        arms = (*self.versions, ARM_CONTROL, ARM_MIRROR)
        per_arm = 1 + len(self.routes)
        return [
            (Kind.SLOT, slot_key(self), 1),
            *((Kind.SEEN, (self.service, name), 1) for name in self.versions),
            *((Kind.CELL, cell_key(self, arm), per_arm) for arm in arms),
            *((Kind.EVENT, (self.service, event), 1) for event in self.events),
            *((Kind.SEEN, key, 1) for key in self._trial_keys()),
        ]

    def _trial_keys(self) -> list[Key]:
        """Return what the tables of events' trials belong to, of each version."""
        if not self.events:
            return []
        return [
            trial_key(self, version, event)
            for version in self.versions
            for event in ("", *self.events)
        ]


def slot_key(wish: Wish) -> Key:
    """Return what a service slot belongs to: weight rows name versions by index."""
    return (wish.service, *wish.versions)


def cell_key(wish: Wish, arm: str) -> Key:
    """Return what the cells of one arm belong to: cells follow one for each route."""
    return (wish.service, arm, *wish.routes)


def trial_key(wish: Wish, version: str, event: str) -> Key:
    """Return what a table of trials belongs to; of the event ``""``: all trials."""
    return (wish.service, version, ARM_TRIALS, event)


class Allocation:
    """The places in use or not yet free again; never changed, only replaced."""

    __slots__ = ("_by_key", "_of_service", "places")

    def __init__(self, places: Iterable[Place] = ()) -> None:
        self.places = tuple(places)
        self._by_key = {(p.kind, p.key): p for p in self.places}
        self._of_service: dict[tuple[Kind, str], list[Place]] = {}
        for place in self.places:
            held = self._of_service.setdefault((place.kind, place.key[0]), [])
            held.append(place)

    @classmethod
    def from_document(cls, document: JsonObject) -> "Allocation":
        """Read back the allocation that ``as_json`` put into a table document."""
        return cls(
            Place(Kind(kind), tuple(key), first, count, until)
            for kind, key, first, count, until in document.get("places", ())
        )

    def as_json(self) -> list[list[Any]]:
        """Return the places for a table document."""
        return [place.as_json() for place in self.places]

    def held_by(self, service: str, kind: Kind) -> list[Place]:
        """Return what a service holds, also for tables that are still in use."""
        return self._of_service.get((kind, service), [])

    def slot(self, wish: Wish) -> int:
        """Return a service's slot."""
        return self._by_key[Kind.SLOT, slot_key(wish)].first

    def cell(self, wish: Wish, arm: str) -> int:
        """Return the first cell (route 0) of an arm."""
        return self._by_key[Kind.CELL, cell_key(wish, arm)].first

    def seen(self, wish: Wish, version: str) -> int:
        """Return a version's seen table."""
        return self._by_key[Kind.SEEN, (wish.service, version)].first

    def trials(self, wish: Wish, version: str, event: str = "") -> int:
        """Return a version's table of trials, or of those that had ``event``."""
        return self._by_key[Kind.SEEN, trial_key(wish, version, event)].first

    def event(self, wish: Wish, event: str) -> int:
        """Return an event's word in the service's cells."""
        return self._by_key[Kind.EVENT, (wish.service, event)].first


def allocate(
    present: Allocation,
    wishes: Sequence[Wish],
    *,
    generation: int,
    oldest_in_use: int,
) -> tuple[Allocation, list[Place]]:
    """
    Return the allocation for table ``generation`` and the places new in it.

    Args:
        present: the allocation of the table before.
        wishes: what the services of the new table need.
        generation: the new table's number.
        oldest_in_use: the oldest table that a worker still uses; 0 frees nothing.

    Raises:
        TableError: the slab has not room for so many versions and routes.
    """
    wanted = {(k, key): count for wish in wishes for k, key, count in wish.places()}
    kept = [
        replace(place, until=_until(place, wanted, generation))
        for place in present.places
        if (place.kind, place.key) in wanted or _held(place, oldest_in_use)
    ]
    have = {(place.kind, place.key) for place in kept}
    taken: dict[tuple[Kind, str], list[tuple[int, int]]] = {}
    for place in sorted(kept, key=lambda place: place.first):
        pool = taken.setdefault(_pool(place.kind, place.key), [])
        pool.append((place.first, place.count))
    fresh: list[Place] = []
    for (kind, key), count in wanted.items():
        if (kind, key) not in have:
            pool = taken.setdefault(_pool(kind, key), [])
            first = _gap(pool, count, kind)
            insort(pool, (first, count))
            fresh.append(Place(kind, key, first, count))
    return Allocation([*kept, *fresh]), fresh


def _pool(kind: Kind, key: Key) -> tuple[Kind, str]:
    """Return which units a place is made of: all services', or its service's own."""
    return kind, key[0] if kind is Kind.EVENT else ""


def _held(place: Place, oldest_in_use: int) -> bool:
    """Tell whether a worker may still use a table that names the place."""
    return place.until is None or place.until >= oldest_in_use


def _until(
    place: Place, wanted: dict[tuple[Kind, Key], int], generation: int
) -> int | None:
    if (place.kind, place.key) in wanted:
        return None
    return generation - 1 if place.until is None else place.until


def _gap(taken: list[tuple[int, int]], count: int, kind: Kind) -> int:
    """Return the lowest first unit of ``count`` between the sorted ``taken``."""
    first = 0
    for start, length in taken:
        if first + count <= start:
            break
        first = start + length
    if first + count > CAPACITY[kind]:
        raise TableError(
            f"the services need more than {CAPACITY[kind]} {kind.value} places: "
            "declare fewer versions, routes or events"
        )
    return first
