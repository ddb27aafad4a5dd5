"""
Rules of freezes: nothing rises while one holds; lowering is never frozen.

A person freezes by ``freeze`` and the file by its calendar. Either holds starts,
raises, promotions and the end of a bake; judging and rollbacks go on. What a
person overrides by name is let through, and so is that run from then on.
"""

from dataclasses import replace

from proxy.errors import ConflictError
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import CalendarSeen, Command
from proxy.rollout.moves import Context, Move, file_split_applied, is_rolled_back
from proxy.rollout.state import Freeze, RolloutState


def freeze(context: Context) -> Move:
    """A person freezes the service; an override of before no longer holds."""
    command = context.event
    assert isinstance(command, Command)
    if not command.reason:
        raise ConflictError("a freeze needs a reason")
    owner = command.owner or command.who
    kept = Freeze(owner, command.reason, context.now_s)
    state = replace(context.state, freeze=kept)
    if state.active and state.run is not None:
        state = replace(state, run=replace(state.run, override=""))
    return Move(state, "freeze", command.who, command.reason, state.standstill)


def unfreeze(context: Context) -> Move:
    """A person lifts the freeze; a window of the calendar holds on."""
    command = context.event
    assert isinstance(command, Command)
    if context.state.freeze is None:
        if context.state.calendar:
            raise ConflictError(
                f"{context.state.standstill}; a window ends by itself, or in the file"
            )
        return Move(context.state)
    state = _thawed(replace(context.state, freeze=None))
    told = state.standstill or "no longer frozen"
    return Move(state, "unfreeze", command.who, command.reason, told)


def calendar(context: Context) -> Move:
    """A window of the file begins or ends."""
    event = context.event
    assert isinstance(event, CalendarSeen)
    if event.window == context.state.calendar:
        return Move(context.state)
    state = replace(context.state, calendar=event.window)
    if event.window:
        return Move(state, "calendar-freeze", told=state.standstill)
    told = state.standstill or "no longer frozen"
    return Move(_thawed(state), "calendar-thaw", told=told)


def _thawed(state: RolloutState) -> RolloutState:
    """Return the state with what a freeze had held back, if none holds now."""
    if state.standstill:
        return state
    if state.reason is Reason.FROZEN:
        waiting = state.phase is Phase.WAITING
        reason = Reason.GATE_CLOSED if waiting else Reason.NONE
        state = replace(state, reason=reason, message="no longer frozen")
    if state.split_waits and not state.active:
        state = file_split_applied(state, capped=is_rolled_back(state))
    return state


def refuse_frozen(state: RolloutState, override: str) -> None:
    """
    Refuse what would raise a weight while the service is frozen.

    Raises:
        ConflictError: it is frozen and nobody said why that should not count.
    """
    if state.frozen and not override:
        raise ConflictError(f"{state.frozen}; --override-freeze REASON does it anyway")


def overridden(state: RolloutState, override: str) -> RolloutState:
    """Return the state whose run goes on despite the freeze, if that was said."""
    if not override or not state.standstill or state.run is None:
        return state
    return replace(state, run=replace(state.run, override=override))
