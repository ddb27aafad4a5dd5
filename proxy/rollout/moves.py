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
from proxy.rollout.state import (
    PERCENT_ALL,
    After,
    Fate,
    RolloutPlan,
    RolloutState,
    Run,
)
from proxy.rollout.weights import with_canary

FATES_MAX = 100
"""Revisions whose fate is remembered; a deployment a day makes that a quarter."""


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
        unjudged=unjudged,
        fates=fates,
    )


def entered(move: Move, step: int, now_s: float) -> Move:
    """Return the move into a step (from 1); the one after the last is promotion."""
    run = run_of(move.state)
    steps = run.plan.steps
    if step > len(steps) or steps[step - 1].weight >= PERCENT_ALL:
        return promoted(move, now_s)
    weight = steps[step - 1].weight
    state = replace(
        move.state,
        phase=Phase.PROGRESSING,
        reason=Reason.NONE,
        message=f"step {step} of {len(steps)} at {weight:g} %",
        split=with_canary(move.state, weight),
        run=replace(run, step=step, step_s=0.0, overdue=False),
    )
    return replace(move, state=state, fresh=True)


def promoted(move: Move, now_s: float) -> Move:
    """Return the move to 100 %: done, or waiting for stable to follow."""
    run = run_of(move.state)
    state = replace(
        move.state,
        split=with_canary(move.state, PERCENT_ALL),
        run=replace(run, step=len(run.plan.steps)),
    )
    if run.plan.after is After.RETURN:
        message = f"waits until {run.stable} reports revision {run.revision}"
        state = replace(
            state, phase=Phase.PROMOTING, reason=Reason.NONE, message=message
        )
        return replace(move, state=state, fresh=True)
    state = replace(state, stable=run.canary, canary=run.stable)
    return _succeeded(
        replace(move, state=state), f"{run.canary} has all traffic and is stable", now_s
    )


def returned(move: Move, now_s: float) -> Move:
    """Return the move that ends ``after: return``: traffic goes back to stable."""
    state = replace(move.state, split=with_canary(move.state, 0.0))
    run = run_of(state)
    message = f"{run.stable} has the winner's revision and all traffic again"
    return _succeeded(replace(move, state=state), message, now_s)


def _succeeded(move: Move, message: str, now_s: float) -> Move:
    """Return the end of a run that went well."""
    state = replace(
        move.state, phase=Phase.SUCCEEDED, reason=Reason.NONE, message=message
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
    """Return the rollback, or the wait for a stable that could take the traffic."""
    if stable_healthy or not move.state.canary_weight:
        return rolled_back(move, reason, message, now_s)
    run = run_of(move.state)
    state = replace(
        move.state,
        phase=Phase.ROLLING_BACK,
        reason=Reason.STABLE_UNHEALTHY,
        message=f"{message}; but {run.stable} has no healthy endpoint",
        run=replace(run, cause=reason),
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
    run = replace(run_of(state), ended_at_s=now_s)
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
    superseded another has not been judged yet.
    """
    held = state.canary_weight
    applied = replace(state, split=dict(state.file_split), split_waits=False)
    if capped and applied.canary_weight > held:
        return replace(applied, split=with_canary(applied, held))
    return applied


def run_of(state: RolloutState) -> Run:
    """Return the run of a state that must have one."""
    assert state.run is not None, f"{state.service}: {state.phase} without a run"
    return state.run
