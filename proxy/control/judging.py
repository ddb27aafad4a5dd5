"""
What the slab says about one canary, put before the pure judges.

Reads what was added to the evidence for ``analysis.judge`` once a second and the
last outcomes for fail-fast ten times a second, and remembers only what "the last
requests" and the busiest units need. What follows from a verdict is decided elsewhere.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxy import analysis
from proxy.analysis import external
from proxy.analysis.values import ALL_ROUTES, Evidence
from proxy.control.allocation import ARM_MIRROR, Allocation
from proxy.control.clock import Clock
from proxy.control.evidence import Roles, Units, gather
from proxy.control.failfast import Lately
from proxy.control.fairness import Fairness, Loads, without_latency
from proxy.control.pushes import Pushes
from proxy.control.steward import Steward
from proxy.control.weights import shares
from proxy.model.buckets import BUCKET_COUNT
from proxy.model.external import Measured, Reading, Readings
from proxy.model.judge_state import JudgeState
from proxy.model.judging import Judgement
from proxy.model.vocabulary import MirrorOutcome, PairOutcome
from proxy.rollout.state import judge_plan_of
from proxy.telemetry import layout
from proxy.telemetry.cut import read_live
from proxy.telemetry.slab import ControlSlab

MIRRORED = "mirror"
MIRROR_FAILED = "mirror failed"
"""Beside the versions' names in what ``routed`` counts; no version is called so."""
TICK_S = 1.0
"""What the first look at a service stands for."""
DT_S_MAX = 60.0
"""A longer gap was no judging: nobody waits for a rate over more than a minute."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What fail-fast saw; not ``blamed``: stable fails too, and it is to be cleared."""

    message: str
    blamed: bool = True


@dataclass(frozen=True, slots=True)
class Judged:
    """One judgement, with what it was made of."""

    state: JudgeState
    judgement: Judgement
    external: tuple[Measured, ...]
    evidence: Evidence
    dt_s: float
    readings: Mapping[str, Reading]
    """The newest readings of external metrics."""


class Judging:
    """Reads for the judges, service by service."""

    def __init__(self, slab: ControlSlab, readings: Readings) -> None:
        self._slab = slab
        self._readings = readings
        self._pushes = Pushes()
        self._units: dict[tuple[str, str], Units] = {}
        self._judged_s: dict[str, float] = {}
        self._lately: dict[str, Lately] = {}
        self._fairness = Fairness()

    def forget(self, service: str) -> None:
        """Begin anew with a service's readings."""
        self._judged_s.pop(service, None)
        self._lately.pop(service, None)
        self._pushes.forget(service)
        for key in [key for key in self._units if key[0] == service]:
            del self._units[key]
        self._fairness.forget(service)

    def routed(self, steward: Steward, allocation: Allocation) -> dict[str, int]:
        """
        Return the live requests routed to each version since the slab was made.

        Beside them, where there is a mirror: copies that were answered, and copies
        that failed.
        """
        counts = {
            version: self._slab.sum_words(
                allocation.cell(steward.wish, version), layout.C_ROUTED, 1
            )[0]
            for version in steward.wish.versions
        }
        if steward.settings.mirror is not None:
            arm = allocation.cell(steward.wish, ARM_MIRROR)
            copies = read_live(self._slab, arm).mirrored()
            counts[MIRRORED] = copies.get(MirrorOutcome.ANSWERED, 0)
            failed = (MirrorOutcome.FAILED, MirrorOutcome.TIMEOUT)
            counts[MIRROR_FAILED] = sum(copies.get(one, 0) for one in failed)
        return counts

    def judge(
        self, steward: Steward, allocation: Allocation, clock: Clock
    ) -> Judged | None:
        """Return the judge's answer; ``None`` while the canary has no live weight."""
        run = steward.state.run
        versions = steward.wish.versions
        if run is None or not steward.state.active:
            return None
        if not {run.stable, run.canary} <= set(versions):
            return None
        slot = allocation.slot(steward.wish)
        live = shares(self._slab.weights(slot))
        if live.get(versions.index(run.canary), 0) == 0:
            return None
        plan = judge_plan_of(run)
        roles = Roles(
            run.stable,
            run.canary,
            self._slab.epoch(slot),
            # Where a ring has the canary only, stable is heard outside of it.
            baseline=live.get(versions.index(run.stable), 0) > 0
            or run.present.only is not None,
        )
        now_s = clock.monotonic_s()
        evidence = self._pushes.join(
            steward.name,
            run,
            self._with_units(
                steward,
                allocation,
                roles,
                gather(self._slab, allocation, steward.wish, roles, plan.slos),
            ),
            steward.memory.pushed,
            ratio=_ratio(live, versions.index(run.canary), versions.index(run.stable)),
            now_s=now_s,
        )
        before_s = self._judged_s.get(steward.name, now_s - TICK_S)
        self._judged_s[steward.name] = now_s
        dt_s = min(max(now_s - before_s, 0.0), DT_S_MAX)
        state, judgement = analysis.judge(
            plan,
            run.judge,
            evidence,
            step=run.step,
            step_age_s=run.step_s,
            rollout_age_s=run.run_s,
            dt_s=dt_s,
        )
        self._slab.set_slow(slot, _slow(state))
        why = self._unfair(steward, allocation, roles.epoch)
        if why:
            judgement = without_latency(judgement, why)
        readings = self._readings.get(steward.name, {})
        memory = external.measured(
            run.plan.external,
            run.external,
            readings,
            warm=run.run_s >= plan.warmup_s,
        )
        return Judged(
            state,
            external.judged(judgement, run.plan.external, memory, now_s=clock.unix_s()),
            memory,
            evidence,
            dt_s,
            readings,
        )

    def _unfair(self, steward: Steward, allocation: Allocation, epoch: int) -> str:
        """Return why copies make latencies incomparable; empty: they do not."""
        mirror, run = steward.settings.mirror, steward.state.run
        if mirror is None or mirror.during == "before" or run is None:
            return ""
        if mirror.to != run.canary:
            return ""
        routed = self.routed(steward, allocation)
        arm = allocation.cell(steward.wish, ARM_MIRROR)
        ways = self._slab.sum_words(arm, layout.C_PAIRS, len(PairOutcome))
        loads = Loads(
            routed[run.stable],
            routed[run.canary],
            ways[PairOutcome.TO_STABLE],
            ways[PairOutcome.TO_CANDIDATE],
        )
        return self._fairness.look(steward.name, epoch, loads)

    def _with_units(
        self,
        steward: Steward,
        allocation: Allocation,
        roles: Roles,
        evidence: Evidence,
    ) -> Evidence:
        """Return the evidence with how busy each version's busiest unit is."""
        arms = evidence.routes[ALL_ROUTES]
        shares_of = {}
        for version, window in (
            (roles.stable, arms.stable),
            (roles.canary, arms.canary),
        ):
            units = self._units.setdefault((steward.name, version), Units())
            cell = allocation.cell(steward.wish, version)
            heard = window.assigned or 0
            share = units.share(self._slab, cell, heard)
            shares_of[version] = replace(window, top_unit=share)
        whole = replace(
            arms, stable=shares_of[roles.stable], canary=shares_of[roles.canary]
        )
        return replace(evidence, routes={**evidence.routes, ALL_ROUTES: whole})

    def trips(
        self, steward: Steward, allocation: Allocation, now_s: float
    ) -> Trip | None:
        """Return what fail-fast has to say now, if anything."""
        if steward.plan is None:
            return None
        slot = allocation.slot(steward.wish)
        epoch = self._slab.epoch(slot)
        lately = self._lately.setdefault(steward.name, Lately())
        tripped = epoch in self._slab.trips(slot)
        failing = lately.add(
            self._slab,
            epoch,
            canary_cell=allocation.cell(steward.wish, steward.state.canary),
            stable_cell=allocation.cell(steward.wish, steward.state.stable),
            now_s=now_s,
            tripped=tripped,
        )
        run = steward.state.run
        limits = steward.plan.fail_fast if run is None else run.plan.fail_fast
        if limits is None:
            return None
        seen = lately.verdict(limits) if failing else ""
        if seen:
            return Trip(seen)
        if not tripped or not lately.ripe(limits.requests):
            return None
        return Trip(
            "the last canary requests of one worker failed beyond fail_fast's limits;"
            f" over all workers {lately.sentence(limits.requests)}",
            blamed=not lately.shared(limits.requests),
        )


def _slow(state: JudgeState) -> int:
    """Return the bucket of stable's p99 of late; 0 while it is not known."""
    at = state.itself.at[-1:]
    return at[0] if at and at[0] < BUCKET_COUNT else 0


def _ratio(live: Mapping[int, int], canary: int, stable: int) -> float:
    """Return the canary's share of the traffic over stable's."""
    others = live.get(stable, 0)
    return live.get(canary, 0) / others if others else math.inf
