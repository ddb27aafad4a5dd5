"""
What the rules of the table are made of: begin, enter a step, promote, roll back.

Each takes a state and returns the next; none asks whether it is allowed, that
is the table's and its rules' business. Every end of a run goes through ``_end``.
"""

import hashlib
import json
from dataclasses import dataclass, replace

from proxy.model.document import encode
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import CONTROLLER, Ended, Event
from proxy.rollout.plan import PERCENT_ALL, After, RolloutPlan
from proxy.rollout.state import Fate, RolloutState, Run
from proxy.rollout.weights import with_canary

FATES_MAX = 100
"""Revisions whose fate is remembered; a deployment a day makes that a quarter."""

STABLES_MAX = 20
"""Revisions remembered as former stables; ``rollback_window`` asks for fewer."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may look at."""

    plan: RolloutPlan | None
    """The file's plan now; ``None``: the service has no rollout."""
    state: RolloutState
    event: Event
    now_s: float


@dataclass(frozen=True, slots=True)
class Move:
    """What a rule makes of it."""

    state: RolloutState
    rule: str = ""
    """Names the decision; empty when nothing worth recording happened."""
    who: str = CONTROLLER
    note: str = ""
    told: str = ""
    """What the decision says; empty: why the state is what it is."""
    fresh: bool = False
    """Evidence begins anew even if no weight changed."""
    ended: Ended | None = None


def current_revision(state: RolloutState) -> str | None:
    """Return the revision that a command is about."""
    if state.active and state.run is not None:
        return state.run.revision
    return state.revisions.get(state.canary)


def is_rolled_back(state: RolloutState) -> bool:
    """Whether what is deployed as canary was rolled back and nobody said retry."""
    revision = state.revisions.get(state.canary)
    if revision is None:
        return state.phase is Phase.ROLLED_BACK
    return state.fates.get(revision) is Fate.ROLLED_BACK


def was_stable(state: RolloutState, window: int) -> bool:
    """Whether what is deployed as canary is one of the last so many stables."""
    revision = state.revisions.get(state.canary)
    current = state.revisions.get(state.stable)
    former = [one for one in state.stables if one != current]
    return window > 0 and revision in former[-window:]


def hash_of(plan: RolloutPlan) -> str:
    """Return 16 hex digits that differ between different plans."""
    text = json.dumps(encode(plan), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def begun(state: RolloutState, plan: RolloutPlan, now_s: float) -> RolloutState:
    """Return the state with a new run of the canary, before its first step."""
    number = state.number + 1
    run = Run(
        id=f"{state.service}-{number}",
        stable=state.stable,
        canary=state.canary,
        revision=state.revisions.get(state.canary),
        plan=plan,
        plan_hash=hash_of(plan),
        started_at_s=now_s,
        warmed=plan.judge.warmup_s <= 0.0,
    )
    unjudged = {v: r for v, r in state.unjudged.items() if v != state.canary}
    fates = {r: fate for r, fate in state.fates.items() if r != run.revision}
    return replace(
        state,
        phase=Phase.PROGRESSING,
        number=number,
        run=run,
        pending=None,
        pending_s=0.0,
        unjudged=unjudged,
        fates=fates,
    )


def at_weight(state: RolloutState, weight: float) -> RolloutState:
    """Return the state with so much granted to the canary, as capacity allows."""
    run = replace(run_of(state), granted=weight)
    given = min(weight, ceiling(run))
    return replace(state, run=run, split=with_canary(state, given))


def ceiling(run: Run) -> float:
    """Return the percent that the canary's healthy endpoints can be given."""
    return round(PERCENT_ALL * min(max(run.capacity, 0.0), 1.0), 3)


def entered(move: Move, step: int, now_s: float) -> Move:
    """Return the move into a step (from 1); the one after the last is promotion."""
    run = run_of(move.state)
    steps = run.plan.steps
    if step > len(steps) or promotes(run, step):
        return promoted(move, now_s)
    run = replace(run, step=step, step_s=0.0, overdue=False, waits=(), then=0)
    state = replace(move.state, phase=Phase.PROGRESSING, reason=Reason.NONE, run=run)
    state = at_weight(state, steps[step - 1].weight)
    state = replace(state, message=_entered(run))
    return replace(move, state=state, fresh=True)


def promotes(run: Run, step: int) -> bool:
    """Whether a step means promotion: 100 %, and not of a ring."""
    one = run.plan.steps[step - 1]
    return one.weight >= PERCENT_ALL and one.only is None


def _entered(run: Run) -> str:
    """Return what a step that has just begun is."""
    step = run.present
    place = f"step {run.step} of {len(run.plan.steps)}"
    if run.previewing:
        return f"{place}: preview of {run.canary} without live traffic"
    ring = "" if step.only is None else " of the requests in its ring"
    return f"{place} at {step.weight:g} %{ring}"


def promoted(move: Move, now_s: float) -> Move:
    """Return the move to 100 %: the bake, if there is one and it is still to come."""
    run = run_of(move.state)
    run = replace(run, step=len(run.plan.steps), waits=(), then=0)
    bake = run.plan.bake
    if bake is None or run.baking:
        return finished(replace(move, state=replace(move.state, run=run)), now_s)
    state = replace(
        move.state,
        phase=Phase.BAKING,
        reason=Reason.NONE,
        message=f"bakes for {bake.duration_s:g} s: {run.stable} keeps"
        f" {bake.holdback:g} % as control",
        run=replace(run, baking=True),
    )
    return replace(move, state=baking(state), fresh=True)


def baking(state: RolloutState) -> RolloutState:
    """Return the state with the weights of the bake."""
    bake = run_of(state).plan.bake
    assert bake is not None
    return at_weight(state, max(state.share - bake.holdback, 0.0))


def finished(move: Move, now_s: float) -> Move:
    """Return the move to all of 100 %: done, or waiting for stable to follow."""
    run = run_of(move.state)
    state = replace(move.state, split=with_canary(move.state, PERCENT_ALL))
    if run.plan.after is After.RETURN:
        message = f"waits until {run.stable} reports revision {run.revision}"
        state = replace(
            state, phase=Phase.PROMOTING, reason=Reason.NONE, message=message
        )
        return replace(move, state=state, fresh=True)
    state = replace(state, stable=run.canary, canary=run.stable)
    message = (
        f"{_named(run)} has all the traffic and the role of stable;"
        f" version {run.stable} is the place of the next canary"
    )
    return _succeeded(replace(move, state=state), message, now_s)


def returned(move: Move, now_s: float) -> Move:
    """Return the move that ends ``after: return``: traffic goes back to stable."""
    state = replace(move.state, split=with_canary(move.state, 0.0))
    run = run_of(state)
    message = (
        f"version {run.stable} has the winner's revision {run.revision}"
        " and all the traffic again"
    )
    return _succeeded(replace(move, state=state), message, now_s)


def _named(run: Run) -> str:
    """Return the run's revision and version, for a sentence."""
    if run.revision is None:
        return f"version {run.canary}"
    return f"revision {run.revision} (version {run.canary})"


def _succeeded(move: Move, message: str, now_s: float) -> Move:
    """Return the end of a run that went well."""
    run = run_of(move.state)
    revisions = (move.state.revisions.get(run.stable), run.revision)
    known = [one for one in revisions if one is not None]
    former = [one for one in move.state.stables if one not in known]
    state = replace(
        move.state,
        phase=Phase.SUCCEEDED,
        reason=Reason.NONE,
        message=message,
        stables=tuple(dict.fromkeys([*former, *known]))[-STABLES_MAX:],
    )
    return _end(replace(move, state=state), Fate.SUCCEEDED, Phase.SUCCEEDED, now_s)


def rolled_back(move: Move, reason: Reason, message: str, now_s: float) -> Move:
    """Return the end of a run that went wrong: the canary at 0 now."""
    state = replace(
        move.state,
        phase=Phase.ROLLED_BACK,
        reason=reason,
        message=message,
        split=with_canary(move.state, 0.0),
    )
    return _end(replace(move, state=state), Fate.ROLLED_BACK, Phase.ROLLED_BACK, now_s)


def rolling_back(
    move: Move, reason: Reason, message: str, now_s: float, *, stable_healthy: bool
) -> Move:
    """
    Return the rollback: at once, by steps, or once stable can take the traffic.

    Fail-fast and a canary without capacity are never gradual.
    """
    if not move.state.canary_weight:
        return rolled_back(move, reason, message, now_s)
    run = replace(run_of(move.state), cause=reason, waits=(), then=0)
    if stable_healthy:
        state = replace(move.state, run=run, message=message)
        return fallen(replace(move, state=state), now_s)
    state = replace(
        move.state,
        phase=Phase.ROLLING_BACK,
        reason=Reason.STABLE_UNHEALTHY,
        message=f"{message}; but {run.stable} has no healthy endpoint",
        run=run,
    )
    return replace(move, state=state)


def fallen(move: Move, now_s: float) -> Move:
    """Return the next step of a rollback down; the last one ends the run."""
    state, run = move.state, run_of(move.state)
    lower = [
        step.weight
        for step in run.plan.steps[: run.step]
        if step.only is None and 0.0 < step.weight < state.canary_weight
    ]
    instant = not run.plan.rollback.gradual or run.cause is Reason.FAIL_FAST
    if instant or not lower or run.present.only is not None:
        return rolled_back(move, run.cause, state.message, now_s)
    run = replace(run, fall_s=0.0, granted=max(lower))
    state = replace(
        state,
        phase=Phase.ROLLING_BACK,
        reason=run.cause,
        run=run,
        split=with_canary(state, max(lower)),
    )
    return replace(move, state=state)


def superseded(move: Move, message: str, now_s: float) -> Move:
    """Return the end of a run whose revision is no longer there; nobody failed."""
    state = replace(
        move.state,
        phase=Phase.IDLE,
        reason=Reason.SUPERSEDED,
        message=message,
        split=with_canary(move.state, 0.0),
    )
    return _end(replace(move, state=state), None, Phase.ROLLED_BACK, now_s)


def _end(move: Move, fate: Fate | None, outcome: Phase, now_s: float) -> Move:
    """Return the move with the run closed, and the file's split if it waited."""
    state = move.state
    run = replace(run_of(state), ended_at_s=now_s, waits=(), then=0)
    fates = dict(state.fates)
    if fate is not None and run.revision is not None:
        fates.pop(run.revision, None)
        fates[run.revision] = fate
    kept = list(fates.items())[-FATES_MAX:]
    state = replace(state, run=run, fates=dict(kept))
    if state.split_waits:
        state = file_split_applied(state, capped=outcome is not Phase.SUCCEEDED)
    ended = Ended(run.id, outcome, state.reason)
    return replace(move, state=state, fresh=True, ended=ended)


def file_split_applied(state: RolloutState, *, capped: bool) -> RolloutState:
    """
    Return the state with the file's split.

    ``capped``: the canary gets no more than it has. A revision that was rolled
    back needs a person's ``split --force``, and a file cannot say so; one that
    superseded another has not been judged yet. While the service is frozen the
    split waits if it would give the canary more.
    """
    held = state.canary_weight
    applied = replace(state, split=dict(state.file_split), split_waits=False)
    if applied.canary_weight <= held:
        return applied
    if state.standstill:
        return replace(state, split_waits=True)
    if capped:
        return replace(applied, split=with_canary(applied, held))
    return applied


def run_of(state: RolloutState) -> Run:
    """Return the run of a state that must have one."""
    assert state.run is not None, f"{state.service}: {state.phase} without a run"
    return state.run
