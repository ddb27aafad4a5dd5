"""
One step of a rollout: look up the rule, apply it, say what must be done, record it.

Decides nothing itself; the table does. Weights reach the shell only through
``SetWeights``, and every change carries a ``Decision``.
"""

from dataclasses import replace

from proxy.rollout.events import (
    Action,
    Decision,
    Event,
    Outcome,
    SetWeights,
    Tick,
    Tripped,
)
from proxy.rollout.moves import Context, Move, run_of
from proxy.rollout.plan import RolloutPlan
from proxy.rollout.state import RolloutState, weights_of
from proxy.rollout.table import rule_for


def step(
    plan: RolloutPlan | None, state: RolloutState, event: Event, now_s: float
) -> Outcome:
    """
    Return what becomes of ``state`` at ``event``.

    ``plan`` is the file's plan now (a run keeps its own), ``None`` where the
    service has no rollout; ``now_s`` is Unix time and only recorded.

    Raises:
        ConflictError: a command that the phase does not allow, with the reason.
        NotFoundError: a split that names an unknown version.
        SettingsError: a split that does not sum to 100.
    """
    move = rule_for(state.phase, event)(Context(plan, state, event, now_s))
    if move.state.phase is not state.phase:
        move = replace(move, state=replace(move.state, since_s=now_s))
    return Outcome(
        state=move.state,
        actions=_actions(state, move),
        decision=_decision(state, event, move, now_s) if move.rule else None,
    )


def _actions(before: RolloutState, move: Move) -> tuple[Action, ...]:
    """Return what the shell must do after saving."""
    actions: list[Action] = []
    if move.fresh or move.state.split != before.split:
        actions.append(SetWeights(weights_of(move.state)))
    if move.ended is not None:
        actions.append(move.ended)
    return tuple(actions)


def _decision(before: RolloutState, event: Event, move: Move, now_s: float) -> Decision:
    """Return the record of a move."""
    after = move.state
    run = after.run if after.active or move.ended is not None else None
    return Decision(
        at_s=now_s,
        service=after.service,
        rollout="" if run is None else run.id,
        rule=move.rule,
        reason=after.reason,
        message=move.told or after.message,
        who=move.who,
        note=move.note,
        phase_before=before.phase,
        phase_after=after.phase,
        step_before=run_of(before).step if before.active else 0,
        step_after=0 if run is None else run.step,
        weights_before=weights_of(before),
        weights_after=weights_of(after),
        revision=after.revisions.get(after.canary) if run is None else run.revision,
        plan_hash="" if run is None else run.plan_hash,
        evidence=event.judgement if isinstance(event, Tick | Tripped) else None,
        alpha=None if run is None else run.plan.judge.alpha,
        alpha_tolerance=None if run is None else run.plan.judge.alpha_tolerance,
    )
