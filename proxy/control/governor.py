"""
All services together: events in, state saved, weights applied, table sent.

This is the shell between the pure packages. Every change follows the same
path: ``offer`` to the steward, ``save`` in one transaction, ``apply`` to the
slab, ``publish``. What is applied is computed from what is saved, so a crash
anywhere on the path heals on the next pass. A service that raises an unexpected
error keeps its state and its weights, is logged and counted, and holds up
nobody else.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from proxy.control import ejections
from proxy.control.allocation import Allocation, Kind, allocate
from proxy.control.chronicle import Chronicle
from proxy.control.clock import Clock
from proxy.control.freezing import window_at
from proxy.control.judging import MIRROR_FAILED, MIRRORED, Judging, Trip
from proxy.control.keeping import Keeper, Publish
from proxy.control.parallel import Parallel
from proxy.control.recordings import Recorder
from proxy.control.steward import Steward, memory_of
from proxy.control.store import Saved, Store
from proxy.control.tables import BUCKETS_A_PERCENT, Roles, table_document, wish_of
from proxy.control.tasks import describe
from proxy.control.weights import WeightWriter, cells_of, shares
from proxy.errors import NotFoundError, StoreError
from proxy.model.external import Readings
from proxy.rollout.events import (
    CONTROLLER,
    CalendarSeen,
    ConfigSeen,
    Event,
    GateAnswered,
    RevisionSeen,
    SetWeights,
    SplitOrdered,
    Tick,
    Tripped,
)
from proxy.settings import Loaded
from proxy.settings.schema import Settings
from proxy.telemetry import layout
from proxy.telemetry.log import log
from proxy.telemetry.slab import ControlSlab

JsonObject = dict[str, Any]
UNSETTLED_WARN_S = 5.0
"""Workers compile a table within milliseconds; a raise that waits so long is told."""
REVISION_CHARS_MAX = 200
"""Longer than any version or commit; a field that is no revision is ignored."""


class Governor:
    """Keeps every service's state, weights and place in the route table."""

    def __init__(
        self,
        slab: ControlSlab,
        store: Store,
        clock: Clock,
        send_table: Publish,
        publish: Publish,
        *,
        recorder: Recorder,
        parallel: Parallel | None = None,
    ) -> None:
        self.slab = slab
        self.store = store
        self.clock = clock
        self.parallel = parallel
        self.stewards: dict[str, Steward] = {}
        self.allocation = Allocation()
        self.generation = 0
        self.config_hash = ""
        self.errors = 0
        """Unexpected errors that were caught, since the start."""
        self._send_table = send_table
        self._keeper = Keeper(store, publish)
        self._writer = WeightWriter(slab)
        self._settings: Settings | None = None
        self._table: JsonObject = {}
        self._roles: dict[str, Roles] = {}
        self._unapplied: dict[str, float] = {}
        self.readings: Readings = {}
        """What metric providers said last; ``providers`` writes them."""
        self.chronicle = Chronicle(recorder, clock)
        self._judging = Judging(slab, self.readings)
        self._documents: dict[str, Saved] = {}

    # --- start and settings ---

    def replay(self, table: JsonObject | None) -> None:
        """
        Read the store, and the table that the workers have after a restart.

        Raises:
            StoreError: the store, or what is saved in it, cannot be read.
        """
        self._documents = self.store.load()
        # Also of services that are not in the file now: a reload may name them.
        for name, saved in self._documents.items():
            memory_of(name, saved)
        if table is not None:
            self._table = table
            self.generation = int(table["generation"])
            self.allocation = Allocation.from_document(table)

    def install(self, loaded: Loaded) -> None:
        """
        Put settings into force: stewards, places, weights, then the table.

        Raises:
            TableError: they do not fit into the slab; nothing was changed.
        """
        settings = loaded.settings
        wishes = [wish_of(name, one) for name, one in settings.services.items()]
        allocation, fresh = allocate(
            self.allocation,
            wishes,
            generation=self.generation + 1,
            oldest_in_use=self._oldest_in_use(),
        )
        for place in fresh:
            if place.kind is Kind.CELL:
                self.slab.zero_cells(range(place.first, place.first + place.count))
            elif place.kind is Kind.SEEN:
                self.slab.zero_seen(place.first)
        self.allocation = allocation
        for place in fresh:
            if place.kind is Kind.SLOT:
                self._writer.move(allocation, place.key[0], place.first)
            elif place.kind is Kind.EVENT:
                cells = cells_of(allocation, place.key[0])
                self.slab.zero_event(cells, place.first)
        self._settings = settings
        self.config_hash = loaded.hash
        self._adopt(settings)
        self.save(self.stewards.values())
        self._drop_removed(settings)
        self.apply(self.stewards.values())
        self._note_salts(self.stewards.values())
        self.save(self.stewards.values())
        self.send_table()

    def _adopt(self, settings: Settings) -> None:
        """Give every service its steward, and every steward what the file says."""
        now_s = self.clock.unix_s()
        for name, service in settings.services.items():
            steward = self.stewards.get(name)
            if steward is None:
                saved = self._documents.get(name)
                steward = self.stewards[name] = Steward(name, service, saved)
                steward.found(*self._epoch_of(steward))
                self._trust_lower(steward, now_s)
            else:
                steward.configure(service)
            steward.config_hash = self.config_hash
            with self._guarded(name, "calendar"):
                self._look_at_calendar(steward, now_s)
            with self._guarded(name, "configuration"):
                steward.offer(ConfigSeen(dict(service.split)), now_s)
            for version, one in service.versions.items():
                if one.revision is not None and one.revision.value is not None:
                    seen = RevisionSeen(version, one.revision.value)
                    with self._guarded(name, "revision"):
                        steward.offer(seen, now_s)
        for name, steward in self.stewards.items():
            if name not in settings.services:
                steward.plan = None
                with self._guarded(name, "removal"):
                    steward.offer(ConfigSeen(steward.weights), now_s)

    def _trust_lower(self, steward: Steward, now_s: float) -> None:
        """
        Keep a weight that was lowered while nothing could be saved.

        The store then knows an older state than the slab, and a rollback would be
        undone by a restart.
        """
        canary = steward.canary
        if canary not in steward.wish.versions:
            return
        live = shares(self.slab.weights(self.allocation.slot(steward.wish)))
        percent = live.get(steward.wish.versions.index(canary), 0) / BUCKETS_A_PERCENT
        if steward.was_left(*self._epoch_of(steward)) and (
            percent < steward.state.canary_weight
        ):
            words = "it had been lowered while nothing could be saved"
            with self._guarded(steward.name, "lowered weight"):
                order = SplitOrdered({canary: percent}, CONTROLLER, words)
                steward.offer(order, now_s)

    def _drop_removed(self, settings: Settings) -> None:
        for name in [name for name in self.stewards if name not in settings.services]:
            steward = self.stewards.pop(name)
            self._documents[name] = steward.as_saved()
            self._unapplied.pop(name, None)
            self._judging.forget(name)
            self.chronicle.forget(name)
        # The order of the file is the order of every list.
        self.stewards = {name: self.stewards[name] for name in settings.services}

    def send_table(self) -> None:
        """Number a new table and hand it on, unless the workers have the same."""
        assert self._settings is not None
        self._roles = {name: one.roles for name, one in self.stewards.items()}
        document = table_document(
            self._settings,
            generation=self.generation,
            config_hash=self.config_hash,
            allocation=self.allocation,
            roles=self._roles,
        )
        if document == self._table:
            return
        self.generation += 1
        self._table = {**document, "generation": self.generation}
        self.slab.set_header_word(layout.H_GENERATION, self.generation)
        self._send_table(self._table)

    def _epoch_of(self, steward: Steward) -> tuple[int, int]:
        """Return the slab, by its start, and the service's weight epoch in it."""
        slab = self.slab
        held = self.allocation.held_by(steward.name, Kind.SLOT)
        newest = max((slab.epoch(place.first) for place in held), default=0)
        return slab.header_word(layout.H_STARTED_AT_S), newest

    def _oldest_in_use(self) -> int:
        """Return the oldest table that a worker may still route by; 0: unknown."""
        slab = self.slab
        return min(
            (
                slab.region_word(worker, layout.R_GENERATION)
                for worker in range(slab.workers)
                if slab.worker_row(worker).state != layout.STATE_DEAD
            ),
            default=self.generation,
        )

    # --- what people and versions say ---

    def steward(self, name: str) -> Steward:
        """
        Return a service's steward.

        Raises:
            NotFoundError: no such service.
        """
        steward = self.stewards.get(name)
        if steward is None:
            known = ", ".join(self.stewards)
            raise NotFoundError(f"no service {name!r}, there is: {known}")
        return steward

    def event_words(self, steward: Steward) -> dict[str, int]:
        """Return the words of a service's business events in its cells."""
        wish = steward.wish
        return {name: self.allocation.event(wish, name) for name in wish.events}

    def order(self, steward: Steward, event: Event) -> None:
        """
        Carry out a person's order: saved and applied when it returns.

        Raises:
            ConflictError: the phase does not allow it.
            StoreError: it raises a weight and could not be saved; nothing changed.
        """
        self._expose(steward)
        self._look_at_calendar(steward, self.clock.unix_s())
        steward.offer(event, self.clock.unix_s())
        refused = self.save([steward])
        self._follow([steward])
        if refused:
            raise StoreError(f"nothing was changed: {self.store_error}")

    def see_revision(self, service: str, version: str, revision: str) -> None:
        """Note the revision that a version reports; unknown names are ignored."""
        steward = self.stewards.get(service)
        if steward is None or version not in steward.settings.versions:
            return
        if not 0 < len(revision) <= REVISION_CHARS_MAX:
            return
        if steward.state.revisions.get(version) == revision:
            return
        with self._guarded(service, "revision"):
            self._expose(steward)
            steward.offer(RevisionSeen(version, revision), self.clock.unix_s())
        self.save([steward])
        self._follow([steward])

    def hear_gate(self, service: str, event: GateAnswered) -> None:
        """Take a gate's answer; one that nobody waits for changes nothing."""
        steward = self.stewards.get(service)
        if steward is None:
            return
        now_s = self.clock.unix_s()
        with self._guarded(service, "gate"):
            self._look_at_calendar(steward, now_s)
            self._expose(steward)
            healthy = steward.health.get(steward.state.stable) is not False
            steward.offer(replace(event, stable_healthy=healthy), now_s)
        self.save([steward])
        self._follow([steward])

    def _look_at_calendar(self, steward: Steward, now_s: float) -> None:
        """Tell the rollout of a freeze window that begins or ends."""
        rollout = steward.settings.rollout
        window = "" if rollout is None else window_at(rollout.freeze, now_s)
        if window != steward.state.calendar:
            steward.offer(CalendarSeen(window), now_s)

    # --- ten times a second ---

    def watch(self) -> None:
        """Confirm or clear trips, look at the last requests, finish what waits."""
        now_s = self.clock.monotonic_s()
        self.slab.set_header_word(layout.H_CONTROL_BEAT_MS, int(now_s * 1000))
        for steward in self.stewards.values():
            if steward.name in self._unapplied:
                self.apply([steward])
            if steward.state.canary_weight > 0:
                with self._guarded(steward.name, "fail_fast"):
                    seen = self._judging.trips(steward, self.allocation, now_s)
                    if seen is not None:
                        self._trip(steward, seen)

    def _trip(self, steward: Steward, trip: Trip) -> None:
        """Let the rollout confirm a trip, or clear it by a new epoch."""
        confirmed = trip.blamed and self._confirm(steward, trip.message)
        steward.reflip = True
        self._judging.forget(steward.name)
        log(
            "warning",
            "fail_fast",
            service=steward.name,
            confirmed=confirmed,
            seen=trip.message,
        )
        self.save([steward])
        self._follow([steward])

    def _confirm(self, steward: Steward, message: str) -> bool:
        """Tell the rollout of a trip; return whether it moved weight for it."""
        healthy = steward.health.get(steward.state.stable) is not False
        event = Tripped(message, stable_healthy=healthy)
        self._expose(steward)
        outcome = steward.offer(event, self.clock.unix_s())
        return any(isinstance(one, SetWeights) for one in outcome.actions)

    # --- once a second ---

    def tick(self, dt_s: float) -> None:
        """Judge every service, ``dt_s`` seconds after the last tick."""
        now_s = self.clock.unix_s()
        # Before a tick may start a run: its units are drawn by the new salt.
        self._note_salts(self.stewards.values())
        started_s = self.slab.header_word(layout.H_STARTED_AT_S)
        for steward in self.stewards.values():
            with self._guarded(steward.name, "judging"):
                self._tick_one(steward, started_s, dt_s, now_s)
        self.save(self.stewards.values())
        self._follow(self.stewards.values())

    def _expose(self, steward: Steward) -> None:
        """Count the canary's requests up to this moment."""
        routed = self._judging.routed(steward, self.allocation)
        steward.expose(routed, self.slab.header_word(layout.H_STARTED_AT_S))

    def _tick_one(
        self, steward: Steward, started_s: int, dt_s: float, now_s: float
    ) -> None:
        judging = self._judging
        self._look_at_calendar(steward, now_s)
        ejections.note(steward, self.allocation, self.slab)
        added = steward.count(judging.routed(steward, self.allocation), started_s)
        state = steward.state
        judged = judging.judge(steward, self.allocation, self.clock)
        judgement = None if judged is None else judged.judgement
        if self.parallel is not None and state.run is not None and state.active:
            judgement = self.parallel.judge(
                steward.name, steward.roles.run, state.run, judgement
            )
        tick = Tick(
            dt_s=dt_s,
            canary_routed=added.get(state.canary, 0),
            stable_routed=added.get(state.stable, 0),
            canary_healthy=_healthy(steward, state.canary),
            stable_healthy=steward.health.get(state.stable) is not False,
            canary_capacity=steward.carries(state.canary),
            mirrored=added.get(MIRRORED, 0),
            mirror_failed=added.get(MIRROR_FAILED, 0),
            judgement=judgement,
            judge=None if judged is None else judged.state,
            external=None if judged is None else judged.external,
        )
        self.chronicle.note(steward, tick, judged)
        steward.offer(tick, now_s)

    # --- saving and applying ---

    @property
    def store_error(self) -> str:
        """Why the last save failed; empty while the store works."""
        return self._keeper.error

    def save(self, stewards: Iterable[Steward]) -> list[Steward]:
        """Save what changed; return the stewards whose change was taken back."""
        changed = list(stewards)
        for steward in changed:
            steward.leave(*self._epoch_of(steward))
        return self._keeper.save(changed)

    def _follow(self, stewards: Iterable[Steward]) -> None:
        """Bring slab and table to what the states say now."""
        changed = list(stewards)
        self.apply(changed)
        self._note_salts(changed)
        if any(self._roles.get(one.name) != one.roles for one in changed):
            self.save(changed)
            self.send_table()
            self.apply(changed)

    def _note_salts(self, stewards: Iterable[Steward]) -> None:
        """Let salts follow revisions where no unit can be moved by it."""
        for steward in stewards:
            if not self._canary_live(steward):
                steward.note_salt()

    def apply(self, stewards: Iterable[Steward]) -> None:
        """Write the rows that the states ask for; what must wait is tried again."""
        settled = self._writer.settled(self.generation)
        now_s = self.clock.monotonic_s()
        for steward in stewards:
            with self._guarded(steward.name, "weights"):
                done = self._writer.apply(
                    steward, self.allocation, settled=settled, now_s=now_s
                )
                self._note_applied(steward.name, now_s, done=done)

    def _note_applied(self, name: str, now_s: float, *, done: bool) -> None:
        if done:
            self._unapplied.pop(name, None)
            return
        since_s = self._unapplied.setdefault(name, now_s)
        if now_s - since_s >= UNSETTLED_WARN_S:
            self._unapplied[name] = now_s
            log("warning", "weights_wait_for_workers_to_take_the_table", service=name)

    def _canary_live(self, steward: Steward) -> bool:
        """Whether any unit is routed to the canary by weight, or is about to be."""
        canary = steward.canary
        if steward.weights.get(canary or "", 0.0) > 0 and not steward.new:
            return True
        if canary not in steward.wish.versions:
            return False
        row = self.slab.weights(self.allocation.slot(steward.wish))
        return shares(row).get(steward.wish.versions.index(canary), 0) > 0

    @contextmanager
    def _guarded(self, service: str, what: str) -> Iterator[None]:
        """Keep one service's unexpected error from the others, and from the loop."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- logged and counted
            self.errors += 1
            log("error", f"{what}_failed", service=service, error=describe(error))


def _healthy(steward: Steward, version: str) -> bool:
    """A run goes on while health is unknown; a new one waits until it is known."""
    if ejections.is_ejected(steward, version):
        return False
    known = steward.health.get(version)
    return steward.state.active if known is None else known
