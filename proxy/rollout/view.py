"""
A rollout as the API, the CLI and the dashboard read it; keys are public.

Decides no rule: weights in percent, rates as fractions, times in seconds,
steps from 1, instants in UTC.
"""

from proxy.model.document import encode
from proxy.model.instants import rfc3339
from proxy.model.judging import Judgement, SloJudgement
from proxy.model.vocabulary import Phase, Reason, Verdict
from proxy.rollout.events import Decision
from proxy.rollout.plan import PERCENT_ALL, After, RolloutPlan, Step
from proxy.rollout.state import RolloutState, Run, window_left_s


def public_view(
    state: RolloutState, plan: RolloutPlan | None, now_s: float
) -> dict[str, object]:
    """
    Return the rollout of a service: the present one, or the last.

    ``plan`` is the file's plan, shown while nothing was ever started. ``stable``
    and ``canary`` are the roles of that run; ``roles`` those of the next.
    """
    run = state.run
    shown = plan if run is None else run.plan
    judgement = None if run is None else run.judgement
    canary = state.canary if run is None else run.canary
    verdict = Verdict.UNDECIDED if judgement is None else judgement.verdict
    return {
        "id": "" if run is None else run.id,
        "service": state.service,
        "phase": state.phase.value,
        "reason": state.reason.value,
        "strategy": "canary" if shown is None else shown.strategy.value,
        "stable": state.stable if run is None else run.stable,
        "canary": canary,
        "revision": state.revisions.get(canary) if run is None else run.revision,
        "step": 0 if run is None else run.step,
        "steps": [] if shown is None else _steps(shown),
        "weight": state.split.get(canary, 0.0),
        "started_at": None if run is None else rfc3339(run.started_at_s),
        "ended_at": _ended(run),
        "exposed_requests": 0 if run is None else run.exposed_requests,
        "plan_hash": "" if run is None else run.plan_hash,
        "verdict": verdict.value,
        "message": state.message,
        "next": _next(state, now_s),
        "slos": [] if judgement is None else [_slo(slo) for slo in judgement.slos],
        "split": dict(state.split),
        "roles": {"stable": state.stable, "canary": state.canary},
        "revisions": dict(state.revisions),
        "pending": state.pending,
        "unjudged": dict(state.unjudged),
        "since": rfc3339(state.since_s) if state.since_s else None,
        "freeze": _freeze(state),
        "bake": _bake(run),
        "gates": [] if run is None or not state.active else _gates(run),
        "judged_seconds": 0.0 if run is None else run.run_s,
        "step_seconds": 0.0 if run is None else run.step_s,
    }


def decision_view(decision: Decision) -> dict[str, object]:
    """Return a decision as the API shows it."""
    shown = encode(decision)
    assert isinstance(shown, dict)
    shown["at"] = rfc3339(decision.at_s)
    shown["evidence"] = (
        None if decision.evidence is None else _judgement(decision.evidence)
    )
    return shown


def _judgement(judgement: Judgement) -> dict[str, object]:
    """Return a judgement with its SLOs as the API shows them."""
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason.value,
        "message": judgement.message,
        "needed": judgement.needed,
        "worse": judgement.worse,
        "beyond": judgement.beyond,
        "noisy": judgement.noisy,
        "fired": judgement.fired,
        "slos": [_slo(slo) for slo in judgement.slos],
    }


def _slo(slo: SloJudgement) -> dict[str, object]:
    """Return one SLO."""
    shown = encode(slo)
    assert isinstance(shown, dict)
    return shown


def _steps(plan: RolloutPlan) -> list[dict[str, object]]:
    """Return the steps: the weight, and what sets a step apart from the others."""
    return [_step(step) for step in plan.steps]


def _step(step: Step) -> dict[str, object]:
    """Return one step."""
    shown: dict[str, object] = {"weight": step.weight}
    if step.pause:
        shown["pause"] = True
    if step.only is not None:
        ring = encode(step.only)
        assert isinstance(ring, dict)
        shown["only"] = {key: part for key, part in ring.items() if part}
    return shown


def _freeze(state: RolloutState) -> dict[str, object] | None:
    """Return what freezes the service, and whether the run overrides it."""
    if not state.standstill:
        return None
    kept = state.freeze
    return {
        "message": state.standstill,
        "owner": None if kept is None else kept.owner,
        "reason": state.calendar if kept is None else kept.reason,
        "since": None if kept is None else rfc3339(kept.since_s),
        "overridden": state.frozen == "",
    }


def _bake(run: Run | None) -> dict[str, object] | None:
    """Return how far the bake is; ``None`` where there is none."""
    bake = None if run is None else run.plan.bake
    if run is None or bake is None:
        return None
    return {
        "duration": bake.duration_s,
        "holdback": bake.holdback,
        "seconds": run.bake_s,
        "begun": run.baking,
    }


def _gates(run: Run) -> list[dict[str, object]]:
    """Return the gates that the run waits for."""
    gates = [run.plan.gates[place] for place in run.waits]
    return [{"type": gate.type.value, "name": gate.title} for gate in gates]


def _ended(run: Run | None) -> str | None:
    """Return when a run ended."""
    if run is None or run.ended_at_s is None:
        return None
    return rfc3339(run.ended_at_s)


def _next(state: RolloutState, now_s: float) -> dict[str, object] | None:
    """Return what comes next, about when, and what it waits for."""
    run = state.run
    if not state.active or run is None:
        return _start(state)
    held = _held(state, run)
    if held is not None:
        return held
    action = _advance(run)
    if state.reason is Reason.NO_TRAFFIC or run.judgement is None:
        return _entry(action, None, "traffic")
    left_s = window_left_s(run)
    if left_s and run.judgement.verdict is Verdict.PASS:
        return _entry(action, rfc3339(now_s + left_s), "windows")
    wait_s = run.judgement.wait_s
    instant = None if wait_s is None else rfc3339(now_s + wait_s)
    return _entry(action, instant, _blocked_by(run.judgement))


def _held(state: RolloutState, run: Run) -> dict[str, object] | None:
    """Return what comes next where no judgement is waited for."""
    action = _advance(run)
    if state.phase is Phase.ROLLING_BACK:
        stable = state.reason is Reason.STABLE_UNHEALTHY
        return _entry("roll back", None, "stable" if stable else None)
    if state.phase is Phase.PROMOTING:
        action = f"return the traffic to {run.stable}"
        return _entry(action, None, "freeze" if state.frozen else "revision")
    if state.phase is Phase.PAUSED:
        return _entry(action, None, "resume")
    if state.phase is Phase.WAITING and not run.then:
        return _entry(action, None, "promote")
    if state.frozen:
        return _entry(action, None, "freeze")
    if state.phase is Phase.WAITING:
        return _entry(action, None, "gate")
    if state.reason is Reason.CAPACITY_LIMITED:
        return _entry(action, None, "capacity")
    if state.phase is Phase.BAKING or run.previewing:
        silent = state.reason is Reason.NO_TRAFFIC
        return _entry(action, None, "traffic" if silent else "min_duration")
    return None


def _start(state: RolloutState) -> dict[str, object] | None:
    """Return the start of a revision that waits for its endpoint."""
    if state.pending is None:
        return None
    blocked_by = "freeze" if state.reason is Reason.FROZEN else "health"
    return _entry(f"start revision {state.pending}", None, blocked_by)


def _entry(
    action: str, instant: str | None, blocked_by: str | None
) -> dict[str, object]:
    """Return the API's ``next``."""
    return {"action": action, "at": instant, "blocked_by": blocked_by}


def _advance(run: Run) -> str:
    """Return what follows the present step."""
    steps = run.plan.steps
    following = steps[run.step] if run.step < len(steps) else None
    if following is not None and following.only is not None:
        return f"advance to {following.weight:g} of the next ring"
    if following is not None and following.weight < PERCENT_ALL:
        return f"advance to {following.weight:g}"
    if run.plan.bake is not None and not run.baking:
        return "promote and bake"
    return "promote and return" if run.plan.after is After.RETURN else "promote"


def _blocked_by(judgement: Judgement) -> str | None:
    """Return what keeps the step from passing; ``None`` when nothing does."""
    suspects = [slo.id for slo in judgement.slos if slo.suspicious]
    if judgement.reason is Reason.WARM_UP:
        return "warmup"
    if judgement.verdict is Verdict.PASS:
        return None
    if suspects:
        return suspects[0]
    return "min_requests" if judgement.needed else "min_duration"
