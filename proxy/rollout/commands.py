"""
Rules of people: what each verb does where it is allowed.

``abort`` always wins and is idempotent. Only a person raises a weight by name
(``promote``, ``skip``, ``resume``, ``split``), and every such raise is recorded
with who it was and why.
"""

from collections.abc import Callable
from dataclasses import replace

from proxy.errors import ConflictError
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import Command, SplitOrdered
from proxy.rollout.freezes import overridden, refuse_frozen
from proxy.rollout.gates import ascend
from proxy.rollout.moves import (
    Context,
    Move,
    at_weight,
    baking,
    begun,
    current_revision,
    entered,
    is_rolled_back,
    promoted,
    returned,
    rolled_back,
    run_of,
    was_stable,
)
from proxy.rollout.state import RolloutState
from proxy.rollout.weights import completed, with_canary


def start(context: Context) -> Move:
    """Start a run of the canary's revision; a stable of late skips the steps."""
    command = _command(context)
    if is_rolled_back(context.state):
        raise ConflictError(f"{_deployed(context.state)} was rolled back: use retry")
    move = _begin(context, command, "start")
    if was_stable(context.state, run_of(move.state).plan.rollback_window):
        last = len(run_of(move.state).plan.steps) + 1
        return ascend(replace(move, rule="start-known"), last, context.now_s)
    return ascend(move, 1, context.now_s)


def retry(context: Context) -> Move:
    """Start a run of a revision that was rolled back."""
    command = _command(context)
    if not is_rolled_back(context.state):
        raise ConflictError(
            f"{_deployed(context.state)} was not rolled back: use start"
        )
    return ascend(_begin(context, command, "retry"), 1, context.now_s)


def promote(context: Context) -> Move:
    """Go on to the next step now, or with ``full`` to 100 %; gates are passed by."""
    command = _command(context)
    move = _raise(context, command, "promote")
    run = run_of(move.state)
    if command.full or run.baking:
        return promoted(replace(move, rule="promote-full"), context.now_s)
    return entered(move, run.then or run.step + 1, context.now_s)


def finish(context: Context) -> Move:
    """Promote while Promoting: move the traffic back without waiting for stable."""
    command = _command(context)
    return returned(_raise(context, command, "promote"), context.now_s)


def skip(context: Context) -> Move:
    """Leave out the rest of the present step, or of the bake."""
    command = _command(context)
    move = _raise(context, command, "skip")
    run = run_of(move.state)
    return entered(move, run.then or run.step + 1, context.now_s)


def pause(context: Context) -> Move:
    """Keep the weight and stop the clocks."""
    command = _command(context)
    state = _paused(context.state, f"paused by {command.who}")
    return Move(state, "pause", command.who, command.reason)


def resume(context: Context) -> Move:
    """Go on with the step; after a lowered weight from its beginning."""
    command = _command(context)
    run = run_of(context.state)
    bake = run.plan.bake
    weight = run.present.weight if run.step else 0.0
    if run.baking and bake is not None:
        weight = max(context.state.share - bake.holdback, 0.0)
    risen = at_weight(context.state, weight)
    if risen.canary_weight > context.state.canary_weight:
        move = _raise(context, command, "resume")
        if not run.baking:
            return entered(move, run.step, context.now_s)
        return replace(move, state=_going(baking(move.state), command), fresh=True)
    # Not more than before; what capacity keeps from it now may come back later.
    return Move(_going(risen, command), "resume", command.who, command.reason)


def _going(state: RolloutState, command: Command) -> RolloutState:
    """Return the state in the phase that it was paused in."""
    run = run_of(state)
    phase, reason = Phase.PROGRESSING, Reason.NONE
    if run.baking:
        phase = Phase.BAKING
    elif run.then:
        phase, reason = Phase.WAITING, Reason.GATE_CLOSED
    message = f"resumed by {command.who}"
    return replace(state, phase=phase, reason=reason, message=message)


def abort(context: Context) -> Move:
    """Take the canary to 0 now, whatever is under way."""
    command = _command(context)
    move = Move(context.state, "abort", command.who, command.reason)
    return rolled_back(
        move, Reason.MANUAL_ABORT, f"aborted by {command.who}", context.now_s
    )


def abort_at_rest(context: Context) -> Move:
    """No run is under way: a weight that was set by hand goes to 0."""
    command = _command(context)
    state = context.state
    if not state.canary_weight or not state.stable:
        return Move(state)
    message = f"aborted by {command.who}"
    dropped = replace(
        state,
        reason=Reason.MANUAL_ABORT,
        message=message,
        split=with_canary(state, 0.0),
    )
    return Move(dropped, "abort", command.who, command.reason)


def split(context: Context) -> Move:
    """Set weights by hand between runs."""
    order = context.event
    assert isinstance(order, SplitOrdered)
    state = context.state
    target = completed(state, order.weights)
    if target == state.split:
        return Move(state)
    raised = target.get(state.canary, 0.0) > state.canary_weight
    if raised and is_rolled_back(state) and not order.force:
        raise ConflictError(
            f"{_deployed(state)} was rolled back: weight for it needs force"
        )
    if raised:
        refuse_frozen(state, order.override)
    changed = replace(
        state,
        split=target,
        unjudged={},
        message=f"split set by {order.who}",
        reason=state.reason if state.phase is Phase.ROLLED_BACK else Reason.NONE,
    )
    return Move(changed, "split", order.who, _note(order.reason, order.override))


def split_while_active(context: Context) -> Move:
    """Lower the canary by hand: applied at once, and the run is paused."""
    order = context.event
    assert isinstance(order, SplitOrdered)
    state = context.state
    target = completed(state, order.weights)
    if target == state.split:
        return Move(state)
    weight = target[state.canary]
    if weight > state.canary_weight:
        raise ConflictError(
            f"a rollout is active at {state.canary_weight:g} %: the canary cannot be"
            f" raised to {weight:g} % by hand, use promote"
        )
    if target != with_canary(state, weight):
        raise ConflictError(
            "a rollout is active: only weight between"
            f" {state.stable} and {state.canary} can be moved, and only to stable"
        )
    run = replace(run_of(state), granted=weight)
    lowered = replace(state, split=target, run=run)
    message = f"canary lowered to {weight:g} % by {order.who}"
    if state.phase is not Phase.ROLLING_BACK:
        lowered = _paused(lowered, message)
    return Move(lowered, "split-lowered", order.who, order.reason)


def refuse(sentence: str) -> Callable[[Context], Move]:
    """Return a rule that says why the phase does not allow it."""

    def rule(context: Context) -> Move:
        _command(context)
        raise ConflictError(f"rollout of {context.state.service} {sentence}")

    rule.__doc__ = f"Refused: the rollout {sentence}."
    return rule


def _begin(context: Context, command: Command, rule: str) -> Move:
    """Return a run that a person started, before its first step."""
    if context.plan is None:
        raise ConflictError(f"service {context.state.service} has no rollout")
    refuse_frozen(context.state, command.override)
    state = begun(context.state, context.plan, context.now_s)
    state = overridden(state, command.override)
    return Move(state, rule, command.who, _note(command.reason, command.override))


def _raise(context: Context, command: Command, rule: str) -> Move:
    """Return a person's move that raises a weight, if no freeze holds it."""
    refuse_frozen(context.state, command.override)
    state = overridden(context.state, command.override)
    return Move(state, rule, command.who, _note(command.reason, command.override))


def _note(reason: str, override: str) -> str:
    """Return what is kept of a person's words."""
    if not override:
        return reason
    return f"{reason} (freeze overridden: {override})".strip()


def _paused(state: RolloutState, message: str) -> RolloutState:
    """Return the state in Paused, by hand."""
    return replace(
        state, phase=Phase.PAUSED, reason=Reason.MANUAL_PAUSE, message=message
    )


def _deployed(state: RolloutState) -> str:
    """Return what stands in the canary's place, for a sentence."""
    revision = state.revisions.get(state.canary)
    return f"revision {revision}" if revision is not None else state.canary


def _command(context: Context) -> Command:
    """Return the event as the command it must be, if it is about this revision."""
    command = context.event
    assert isinstance(command, Command)
    current = current_revision(context.state)
    if command.revision is not None and command.revision != current:
        raise ConflictError(
            f"the canary's revision is {current or 'unknown'}, not {command.revision}"
        )
    return command
