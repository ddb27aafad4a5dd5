"""
One service's keeper: its state, and what of it is saved.

Every change of a service goes through ``offer``: one event into the pure
``rollout.step``, the next state out. A steward holds the state to be saved next
and the last one that was saved or kept. When saving fails, ``keep_safe`` decides
which of them goes on: harm is undone without a store, but no version other than
stable gains weight that the store does not know of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from proxy import rollout
from proxy.control.allocation import Wish
from proxy.control.parallel import run_name
from proxy.control.plans import rollout_plan
from proxy.control.records import decision_json, run_json
from proxy.control.store import Change, Saved
from proxy.control.tables import Roles, salt_of, wish_of
from proxy.errors import StoreError
from proxy.model.document import decode, encode
from proxy.rollout.events import Decision, Ended, Event, Outcome, SetWeights
from proxy.rollout.state import RolloutState, weights_of
from proxy.settings.schema import ServiceSettings

JsonObject = dict[str, Any]

UNSAVED_DECISIONS_MAX = 64
"""Decisions that wait for a store that cannot be written; the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is saved of a service: its rollouts, and what control counts for it."""

    rollout: RolloutState
    salt_revision: str | None = None
    """The canary's revision when the canary last had no live weight."""
    slab_started_s: int = 0
    """Which slab ``routed`` was read from, by its start in Unix time."""
    routed: dict[str, int] = field(default_factory=dict)
    """Live requests routed to each version as last counted."""
    exposed: int = 0
    """Live requests routed to whoever was the canary, since ever."""
    pushed: dict[str, dict[str, int]] = field(default_factory=dict)
    """Business events pushed by the API, by version and event, since ever."""
    ended: dict[str, int] = field(default_factory=dict)
    """Ended runs by ``outcome/reason``."""
    stale: tuple[int, int] | None = None
    """Slab (by its start) and weight epoch that were to be left when this was
    saved: whoever finds them still there begins the new epoch."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What goes on where a new state cannot be saved."""

    memory: Memory
    unsaved: tuple[Decision, ...]
    ended: tuple[JsonObject, ...]


class Steward:
    """One service of the settings in force."""

    def __init__(
        self, name: str, settings: ServiceSettings, saved: Saved | None
    ) -> None:
        self.name = name
        self.settings = settings
        self.plan = rollout_plan(settings)
        self.wish: Wish = wish_of(name, settings)
        self.revision = 0 if saved is None else saved.revision
        self.memory = (
            Memory(RolloutState(service=name))
            if saved is None
            else memory_of(name, saved)
        )
        self._saved = self.memory if saved is not None else None
        self._unsaved: list[Decision] = []
        self._ended: list[JsonObject] = []
        self._kept = _Kept(self.memory, (), ())
        self.new = saved is None
        """Nothing was ever routed by this service's weights."""
        self.reflip = False
        """The next row begins a new epoch, also when its weights are the same."""
        self.health: dict[str, bool | None] = {}
        """Whether each version has a healthy endpoint; ``None``: not known yet."""
        self.ejected: dict[str, int] = {}
        """How many endpoints of each version fail at the worker where most do."""
        self.capacity: dict[str, float] = {}
        """The part of each version's endpoints that is healthy, where it is known."""
        self.config_hash = ""
        """Of the settings in force, for the decisions made by them."""

    @property
    def state(self) -> RolloutState:
        """The rollout state that is in force."""
        return self.memory.rollout

    @property
    def weights(self) -> dict[str, float]:
        """What is to be applied, in percent."""
        return weights_of(self.state)

    @property
    def stable(self) -> str | None:
        """The version that is stable now, also without a rollout."""
        return self.state.stable or self.settings.roles[0]

    @property
    def canary(self) -> str | None:
        """The version that is the canary now, also without a rollout."""
        return self.state.canary or self.settings.roles[1]

    @property
    def roles(self) -> Roles:
        """What the table says beside the settings."""
        salt = salt_of(self.name, self.settings, self.memory.salt_revision)
        compared = run_name(self.settings, self.stable, self.state.revisions)
        run = self.state.run
        plan = self.plan if run is None or not self.state.active else run.plan
        steps = () if plan is None else plan.steps
        rings = tuple((one.only, one.weight) for one in steps if one.only is not None)
        return Roles(self.stable, self.canary, salt, compared, rings)

    @property
    def dirty(self) -> bool:
        """Whether the store does not yet have what is in force."""
        if self._unsaved or self._ended or self._saved is None:
            return True
        # Counters move with every request; alone they are not worth a write.
        counted = replace(
            self.memory,
            routed=self._saved.routed,
            slab_started_s=self._saved.slab_started_s,
        )
        return counted != self._saved

    def carries(self, version: str) -> float:
        """
        Return the part of a version's endpoints that can be given traffic, 0 to 1.

        What workers leave out never makes it 0: an endpoint that fails is fail-fast's
        and the judge's business, one that is gone is the health check's.
        """
        found = self.settings.versions.get(version)
        endpoints = 1 if found is None else len(found.endpoints)
        trusted = max(endpoints - self.ejected.get(version, 0), 1)
        return min(self.capacity.get(version, 1.0), trusted / endpoints)

    def configure(self, settings: ServiceSettings) -> None:
        """Take over changed settings; a run keeps the plan it began with."""
        self.settings = settings
        self.plan = rollout_plan(settings)
        self.wish = wish_of(self.name, settings)

    def offer(self, event: Event, now_s: float) -> Outcome:
        """
        Let ``event`` change the state; what follows is saved and applied later.

        Raises:
            ConflictError: the phase does not allow a person's order.
        """
        before = self.state
        outcome = rollout.step(self.plan, before, event, now_s)
        self.memory = replace(self.memory, rollout=outcome.state)
        if outcome.decision is not None:
            self._unsaved = [*self._unsaved, outcome.decision][-UNSAVED_DECISIONS_MAX:]
        for action in outcome.actions:
            if isinstance(action, SetWeights):
                self.reflip = True
            else:
                self._note_end(action, before)
        return outcome

    def count(self, routed: Mapping[str, int], slab_started_s: int) -> dict[str, int]:
        """Note the routed counters as read now; return what was added, by version."""
        memory = self.memory
        before = memory.routed if memory.slab_started_s == slab_started_s else {}
        added = {name: max(0, n - before.get(name, 0)) for name, n in routed.items()}
        self.memory = replace(
            memory,
            slab_started_s=slab_started_s,
            routed=dict(routed),
            exposed=memory.exposed + added.get(self.canary or "", 0),
        )
        return added

    def expose(self, routed: Mapping[str, int], slab_started_s: int) -> None:
        """Count what the canary got since the last tick, as a run may end now."""
        added = self.count(routed, slab_started_s).get(self.state.canary, 0)
        state = rollout.exposed(self.state, added)
        self.memory = replace(self.memory, rollout=state)

    def push(self, version: str, event: str, count: int) -> int:
        """Add events that were pushed; return how many there are by now."""
        pushed = {name: dict(events) for name, events in self.memory.pushed.items()}
        events = pushed.setdefault(version, {})
        events[event] = events.get(event, 0) + count
        self.memory = replace(self.memory, pushed=pushed)
        return events[event]

    def leave(self, slab_started_s: int, epoch: int) -> None:
        """Note which epoch the next row leaves, so that a crash cannot lose it."""
        if self.reflip:
            self.memory = replace(self.memory, stale=(slab_started_s, epoch))

    def found(self, slab_started_s: int, epoch: int) -> None:
        """Compare with the slab after a start; what was to be left is left now."""
        if self.memory.stale == (slab_started_s, epoch):
            self.reflip = True

    def was_left(self, slab_started_s: int, epoch: int) -> bool:
        """Tell whether this slab has gone on from the epoch that was last left."""
        stale = self.memory.stale
        return stale is not None and stale[0] == slab_started_s and epoch > stale[1]

    def note_salt(self) -> None:
        """Follow the canary's revision; only while no unit is there by weight."""
        self.new = False
        revision = self.state.revisions.get(self.canary or "")
        if revision != self.memory.salt_revision:
            self.memory = replace(self.memory, salt_revision=revision)

    def change(self) -> Change:
        """Return what is to be saved now."""
        return Change(
            self.name,
            self.revision,
            self.memory,
            tuple(self._written(decision) for decision in self._unsaved),
            tuple(self._ended),
        )

    def saved(self, numbers: list[int]) -> list[JsonObject]:
        """Note that ``change`` was saved; return its decisions with their numbers."""
        decisions = [
            {"number": number, **self._written(decision)}
            for number, decision in zip(numbers, self._unsaved, strict=True)
        ]
        self.revision += 1
        self._saved = self.memory
        self._unsaved = []
        self._ended = []
        self._keep()
        return decisions

    def _written(self, decision: Decision) -> JsonObject:
        return {**decision_json(decision), "config_hash": self.config_hash}

    def keep_safe(self) -> bool:
        """
        Choose what goes on when ``change`` could not be saved.

        Returns whether the new state is kept: only if no version but stable
        gains weight by it. Otherwise the last state that was saved or kept is
        in force again.
        """
        kept = self._kept
        # A service that had no weights at all gets those of the file.
        began = bool(kept.memory.rollout.split)
        if not began or not _raises(kept.memory.rollout, self.state):
            self._keep()
            return True
        self.memory = replace(self.memory, rollout=kept.memory.rollout)
        self._unsaved = list(kept.unsaved)
        self._ended = list(kept.ended)
        self.reflip = False
        return False

    def _keep(self) -> None:
        self._kept = _Kept(self.memory, tuple(self._unsaved), tuple(self._ended))

    def as_saved(self) -> Saved:
        """Return what the store has, for a service that may come back."""
        document = encode(self.memory)
        assert isinstance(document, dict)
        return Saved(self.revision, document)

    def reload(self, saved: Saved) -> None:
        """Take over what somebody else saved meanwhile."""
        self.revision = saved.revision
        self.memory = self._saved = memory_of(self.name, saved)
        self._unsaved = []
        self._ended = []
        self._keep()

    def _note_end(self, ended: Ended, before: RolloutState) -> None:
        key = f"{ended.outcome.value}/{ended.reason.value}"
        counts = dict(self.memory.ended)
        counts[key] = counts.get(key, 0) + 1
        self.memory = replace(self.memory, ended=counts)
        self._ended.append(run_json(ended, before, self.state))


def memory_of(service: str, saved: Saved) -> Memory:
    """
    Return what a document of the store says.

    Raises:
        StoreError: it is none that this program wrote.
    """
    try:
        return decode(Memory, saved.document)
    except ValueError as error:
        raise StoreError(
            f"the saved state of {service} cannot be read: {error}; it was left"
            " alone, restore a copy of the store or move it away to start empty"
        ) from None


def _raises(before: RolloutState, after: RolloutState) -> bool:
    """Tell whether any version but ``before``'s stable has more weight after."""
    return any(
        weight > before.split.get(name, 0.0)
        for name, weight in after.split.items()
        if name != before.stable
    )
