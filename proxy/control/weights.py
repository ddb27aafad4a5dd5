"""
From saved weights to the slab's rows: when a row is written, and when it waits.

The row that should stand is computed from the saved state each time, so a
crash between saving and writing heals by itself. Lowering never waits. Raising
waits until every worker routes by the newest table, because the salt and the
roles are in there. Every slot that a worker may still use gets its row, also
that of an older table.
"""

from collections.abc import Mapping, Sequence

from proxy.control.allocation import Allocation, Kind, Place
from proxy.control.steward import Steward
from proxy.control.tables import BUCKETS_A_PERCENT, row_of
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.rollout.state import open_rings_of
from proxy.telemetry import layout
from proxy.telemetry.slab import ControlSlab, Rings

FLIP_GAP_S = 0.02
"""Two epochs of one service are at least so far apart: no worker is then still
reading the row, or recording into the bank, that the second one takes over."""

Row = Sequence[tuple[int, int]]


class WeightWriter:
    """The only writer of weight rows."""

    def __init__(self, slab: ControlSlab) -> None:
        self._slab = slab
        self._flipped_s: dict[str, float] = {}

    def settled(self, generation: int) -> bool:
        """Whether every worker that serves routes by table ``generation``."""
        slab = self._slab
        return all(
            slab.region_word(worker, layout.R_TABLE_GENERATION) >= generation
            for worker in range(slab.workers)
            if slab.worker_row(worker).state == layout.STATE_READY
        )

    def apply(
        self,
        steward: Steward,
        allocation: Allocation,
        *,
        settled: bool,
        now_s: float,
    ) -> bool:
        """
        Make the slab's rows those of the steward's state.

        Returns False while something is left to do: a raise that waits for the
        workers' table, or an epoch that is younger than ``FLIP_GAP_S``.
        """
        done = True
        for place in allocation.held_by(steward.name, Kind.SLOT):
            if not self._apply_slot(steward, allocation, place, settled, now_s):
                done = False
        if done:
            steward.reflip = False
        return done

    def move(self, allocation: Allocation, service: str, slot: int) -> None:
        """
        Begin a fresh slot above every epoch that the service's old slots reached.

        The new slot's first epoch takes the bank that the old slot's present
        one does not use, and what still ends under the old one counts as late.
        """
        slab = self._slab
        held = allocation.held_by(service, Kind.SLOT)
        old = [place.first for place in held if place.first != slot]
        for other in old:
            slab.set_floor(other, slab.epoch(other) + 1)
        if old:
            newest = max(slab.epoch(other) for other in old)
            if (slab.epoch(slot) - newest) & 1:
                slab.write_weights(slot, [(0, UNIT_BUCKETS)])

    def _apply_slot(
        self,
        steward: Steward,
        allocation: Allocation,
        place: Place,
        settled: bool,  # noqa: FBT001 -- as in apply
        now_s: float,
    ) -> bool:
        versions = place.key[1:]
        row = wanted_row(steward, versions)
        present = self._slab.weights(place.first)
        rings, before = rings_of(steward), self._slab.rings(place.first)
        same = row == present and rings == before
        if row is None or (same and not steward.reflip):
            return True
        stable = versions.index(steward.stable) if steward.stable in versions else -1
        widened = steward.state.canary_weight > 0.0 and _meant(rings) != _meant(before)
        raised = bool(present) and raises(present, row, stable)
        if (raised or widened) and not settled:
            return False
        key = f"{steward.name}/{place.first}"
        if now_s - self._flipped_s.get(key, -FLIP_GAP_S) < FLIP_GAP_S:
            return False
        cells = cells_of(allocation, steward.name)
        self._slab.flip(place.first, row, cells, rings)
        self._flipped_s[key] = now_s
        return True


def cells_of(allocation: Allocation, service: str) -> list[int]:
    """Return every cell that counts for a service."""
    return [
        place.first + offset
        for place in allocation.held_by(service, Kind.CELL)
        for offset in range(place.count)
    ]


def wanted_row(
    steward: Steward, versions: tuple[str, ...]
) -> list[tuple[int, int]] | None:
    """
    Return the row for a slot whose table names ``versions``.

    ``None`` when none of them has weight: an old table then keeps its last row.
    """
    weights: Mapping[str, float] = steward.weights
    if not any(weights.get(name, 0.0) > 0 for name in versions):
        return None
    return row_of(versions, weights, stable=steward.stable, canary=steward.canary)


def rings_of(steward: Steward) -> Rings | None:
    """Return the rings that the steward's weights are meant for."""
    found = open_rings_of(steward.state)
    if found is None:
        return None
    return Rings(found.count, found.all, round(found.lid * BUCKETS_A_PERCENT))


def _meant(rings: Rings | None) -> tuple[int, bool]:
    """Return whom a row is meant for; a lid only ever lowers."""
    return (0, True) if rings is None else (rings.count, rings.all)


def shares(row: Row) -> dict[int, int]:
    """Return each version's buckets in a row, by version index."""
    owned: dict[int, int] = {}
    before = 0
    for version, bound in row:
        owned[version] = owned.get(version, 0) + bound - before
        before = bound
    return owned


def raises(before: Row, after: Row, stable: int) -> bool:
    """Whether any version but ``stable`` owns more buckets after than before."""
    had = shares(before)
    return any(
        buckets > had.get(version, 0)
        for version, buckets in shares(after).items()
        if version != stable
    )
