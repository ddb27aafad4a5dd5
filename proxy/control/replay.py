"""
A recorded rollout decided once more, by another plan; pure.

The recorded seconds go through the same ``analysis.judge`` and the same
``rollout.step`` as live ones. What was served cannot be changed any more: the
evidence is that of the weights as they were, so after the first decision that
differs the figures are those of the recorded traffic, not of the traffic that
the other plan would have had. Gates, pauses and freezes are taken as open,
because nobody can be asked again; fail-fast is not part of a recording.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from proxy import analysis, rollout
from proxy.analysis import external
from proxy.analysis.checks import slo_id
from proxy.analysis.recording import Second
from proxy.analysis.values import ALL_ROUTES
from proxy.model.external import Measured
from proxy.model.judge_state import JudgeState
from proxy.model.judging import MEASURED, ROUTE_ALL, ROUTE_EACH, Judgement
from proxy.model.vocabulary import Phase
from proxy.rollout.events import Command, ConfigSeen, Decision, RevisionSeen, Tick, Verb
from proxy.rollout.plan import RolloutPlan
from proxy.rollout.state import RolloutState, judge_plan_of

ENDED = frozenset({Phase.SUCCEEDED, Phase.ROLLED_BACK})
WHO = "replay"
DT_S_MAX = 60.0
"""As live: a longer gap was no judging."""


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision of the replay."""

    after_s: float
    """Since the recording began."""
    decision: Decision
    weight_then: float
    """The canary's percent at that second of the recording."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What another plan made of a recording."""

    decisions: tuple[Decided, ...]
    state: RolloutState
    """As it was when it ended, or when the recording did."""
    seconds: int
    """Seconds of the recording that were looked at."""
    lasted_s: float
    unrecorded: tuple[str, ...]
    """Ids of what could not be judged, because nobody recorded it."""

    @property
    def ended(self) -> bool:
        """Whether the rollout came to an end before the recording did."""
        return self.state.phase in ENDED


def replayed(
    plan: RolloutPlan,
    seconds: Iterable[Second],
    *,
    service: str,
    revision: str | None,
) -> Replayed:
    """
    Return what ``plan`` would have decided in the recorded seconds.

    ``revision`` is that of the recorded canary.
    """
    recorded = list(seconds)
    first = next((one for one in recorded if one.evidence is not None), None)
    missing = () if first is None else unrecorded(plan, first)
    machine = _Machine(_only_recorded(without_people(plan), missing), service)
    began_s = recorded[0].at_s - recorded[0].dt_s if recorded else 0.0
    machine.start(revision, began_s)
    seen = 0
    lasted_s = 0.0
    for second in recorded:
        machine.second(second, began_s)
        seen += 1
        lasted_s = second.at_s - began_s
        if machine.state.phase in ENDED:
            break
    return Replayed(tuple(machine.decided), machine.state, seen, lasted_s, missing)


def without_people(plan: RolloutPlan) -> RolloutPlan:
    """Return a plan that waits for nobody."""
    steps = tuple(replace(step, pause=False) for step in plan.steps)
    return replace(plan, steps=steps, gates=())


class _Machine:
    """One rollout of the replay."""

    def __init__(self, plan: RolloutPlan, service: str) -> None:
        self._plan = plan
        self.state = RolloutState(service=service)
        self.decided: list[Decided] = []

    def start(self, revision: str | None, now_s: float) -> None:
        """Begin the rollout as a person's command does."""
        split = {self._plan.stable: 100.0, self._plan.canary: 0.0}
        events = [
            ConfigSeen(split),
            *([RevisionSeen(self._plan.canary, revision)] if revision else ()),
            Command(Verb.START, WHO),
        ]
        for event in events:
            self.state = rollout.step(self._plan, self.state, event, now_s).state

    def second(self, second: Second, began_s: float) -> None:
        """Let one recorded second pass."""
        judged = self._judged(second)
        tick = Tick(
            dt_s=second.dt_s,
            canary_routed=second.canary_routed,
            stable_routed=second.stable_routed,
            canary_healthy=second.canary_healthy,
            stable_healthy=second.stable_healthy,
            canary_capacity=second.canary_capacity,
            mirrored=second.mirrored,
            mirror_failed=second.mirror_failed,
            judgement=None if judged is None else judged[1],
            judge=None if judged is None else judged[0],
            external=None if judged is None else judged[2],
        )
        outcome = rollout.step(self._plan, self.state, tick, second.at_s)
        self.state = outcome.state
        if outcome.decision is not None:
            after_s = second.at_s - began_s
            self.decided.append(Decided(after_s, outcome.decision, second.weight))

    def _judged(
        self, second: Second
    ) -> tuple[JudgeState, Judgement, tuple[Measured, ...]] | None:
        run = self.state.run
        if second.evidence is None or run is None or not self.state.active:
            return None
        plan = judge_plan_of(run)
        state, judgement = analysis.judge(
            plan,
            run.judge,
            second.evidence,
            step=run.step,
            step_age_s=run.step_s,
            rollout_age_s=run.run_s,
            dt_s=min(max(second.dt_s, 0.0), DT_S_MAX),
        )
        warm = run.run_s >= plan.warmup_s
        memory = external.measured(
            run.plan.external, run.external, second.readings, warm=warm
        )
        found = external.judged(judgement, run.plan.external, memory, now_s=second.at_s)
        return state, found, memory


def unrecorded(plan: RolloutPlan, second: Second) -> tuple[str, ...]:
    """
    Return what ``plan`` judges and the recording does not hold.

    Only the routes, events and queries that the recorded plan named are in it.
    """
    evidence = second.evidence
    if evidence is None:
        return ()
    counted = evidence.routes[ALL_ROUTES].canary.counts
    missing = [
        slo_id(slo)
        for slo in plan.judge.slos
        if slo.route not in (ROUTE_ALL, ROUTE_EACH, *evidence.routes)
        or (slo.metric not in MEASURED and slo.metric not in counted)
    ]
    missing += [slo_id(slo) for slo in plan.pairs]
    missing += [one.id for one in plan.external if one.id not in second.readings]
    return tuple(missing)


def _only_recorded(plan: RolloutPlan, missing: Sequence[str]) -> RolloutPlan:
    """Return the plan without what nobody recorded."""
    judge = plan.judge
    slos = tuple(slo for slo in judge.slos if slo_id(slo) not in missing)
    external = tuple(one for one in plan.external if one.id not in missing)
    judge = replace(judge, slos=slos)
    return replace(plan, judge=judge, external=external, pairs=())
