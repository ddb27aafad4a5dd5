"""
What the slab says about one canary, put before the pure judges.

Reads what was added to the evidence for ``analysis.judge`` once a second and the
last outcomes for fail-fast ten times a second, and remembers only what "the last
requests" and the busiest units need. What follows from a verdict is decided elsewhere.
"""

from dataclasses import dataclass, replace

from proxy import analysis
from proxy.analysis.values import ALL_ROUTES, Evidence
from proxy.control.allocation import ARM_MIRROR, Allocation
from proxy.control.evidence import Roles, Units, gather
from proxy.control.failfast import Lately
from proxy.control.fairness import Fairness, Loads, without_latency
from proxy.control.steward import Steward
from proxy.control.weights import shares
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


class Judging:
    """Reads for the judges, service by service."""

    def __init__(self, slab: ControlSlab) -> None:
        self._slab = slab
        self._units: dict[tuple[str, str], Units] = {}
        self._judged_s: dict[str, float] = {}
        self._lately: dict[str, Lately] = {}
        self._fairness = Fairness()

    def forget(self, service: str) -> None:
        """Begin anew with a service's readings."""
        self._judged_s.pop(service, None)
        self._lately.pop(service, None)
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
        self, steward: Steward, allocation: Allocation, now_s: float
    ) -> tuple[JudgeState, Judgement] | None:
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
        evidence = gather(self._slab, allocation, steward.wish, roles, plan.slos)
        before_s = self._judged_s.get(steward.name, now_s - TICK_S)
        self._judged_s[steward.name] = now_s
        state, judgement = analysis.judge(
            plan,
            run.judge,
            self._with_units(steward, allocation, roles, evidence),
            step=run.step,
            step_age_s=run.step_s,
            rollout_age_s=run.run_s,
            dt_s=min(max(now_s - before_s, 0.0), DT_S_MAX),
        )
        why = self._unfair(steward, allocation, roles.epoch)
        return state, without_latency(judgement, why) if why else judgement

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
