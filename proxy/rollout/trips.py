"""Rules of fail-fast: a worker, or control, saw the canary fail now."""

from dataclasses import replace

from proxy.model.vocabulary import Reason
from proxy.rollout.events import Tripped
from proxy.rollout.moves import Context, Move, rolled_back, rolling_back
from proxy.rollout.weights import with_canary


def trip(context: Context) -> Move:
    """Fail-fast fired while a run is under way."""
    state, event = context.state, context.event
    assert isinstance(event, Tripped)
    if not state.canary_weight:
        return Move(state)
    return rolling_back(
        Move(state, "fail-fast"),
        Reason.FAIL_FAST,
        event.message,
        context.now_s,
        stable_healthy=event.stable_healthy,
    )


def trip_at_rest(context: Context) -> Move:
    """Fail-fast fired on a weight that a person set: down to 0 all the same."""
    state, event = context.state, context.event
    assert isinstance(event, Tripped)
    if not state.canary_weight or not event.stable_healthy:
        return Move(state)
    dropped = replace(
        state,
        reason=Reason.FAIL_FAST,
        message=event.message,
        split=with_canary(state, 0.0),
    )
    return Move(dropped, "fail-fast")


def trip_retreating(context: Context) -> Move:
    """Fail-fast fired in mid-rollback: no more steps, unless stable cannot take it."""
    state, event = context.state, context.event
    assert isinstance(event, Tripped)
    if not state.canary_weight or not event.stable_healthy:
        return Move(state)
    move = Move(state, "fail-fast")
    return rolled_back(move, Reason.FAIL_FAST, event.message, context.now_s)
