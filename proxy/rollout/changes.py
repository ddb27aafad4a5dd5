"""
Rules of the world: revisions that appear, and a file that changes.

A revision that is seen for the first time is only recorded. "Changed" is
always against what the state last saw, so a restart changes nothing.
"""

from dataclasses import replace

from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import ConfigSeen, RevisionSeen
from proxy.rollout.moves import (
    Context,
    Move,
    file_split_applied,
    is_rolled_back,
    rolled_back,
    run_of,
    superseded,
)
from proxy.rollout.plan import Start
from proxy.rollout.state import Fate, RolloutState
from proxy.rollout.weights import fit


def revision_at_rest(context: Context) -> Move:
    """A revision between runs: recorded, waiting to start, or unjudged."""
    event = _revision(context)
    before = context.state.revisions.get(event.version)
    if before == event.revision:
        return Move(context.state)
    state = _recorded(context.state, event)
    if before is None:
        return Move(state, "revision-recorded")
    auto = context.plan is not None and context.plan.start is Start.AUTO
    fate = state.fates.get(event.revision)
    if event.version == state.canary:
        state = _next_canary(state, event.revision, fate, auto=auto)
        if state.pending is not None:
            return Move(state, "revision-waits")
    if fate is not Fate.SUCCEEDED and state.split.get(event.version, 0.0) > 0.0:
        return Move(_unjudged(state, event), "revision-unjudged")
    return Move(state, "revision-recorded")


def revision_while_active(context: Context) -> Move:
    """A revision during a run: the canary's own ends it as superseded."""
    event = _revision(context)
    run = run_of(context.state)
    before = context.state.revisions.get(event.version)
    if before == event.revision:
        return Move(context.state)
    state = _recorded(context.state, event)
    if event.version != run.canary or run.revision is None:
        return Move(state, "revision-recorded")
    state = _pending(context, state, event.revision)
    message = f"revision {run.revision} was superseded by {event.revision}"
    return superseded(Move(state, "superseded"), message, context.now_s)


def revision_while_retreating(context: Context) -> Move:
    """A revision while a rollback waits for stable: it starts after 0 is reached."""
    event = _revision(context)
    run = run_of(context.state)
    if context.state.revisions.get(event.version) == event.revision:
        return Move(context.state)
    state = _recorded(context.state, event)
    if event.version == run.canary:
        state = _pending(context, state, event.revision)
    return Move(state, "revision-recorded")


def config_at_rest(context: Context) -> Move:
    """The file, between runs: a changed split and changed roles apply."""
    move = _settled(context)
    if move.state.file_roles == context.state.file_roles:
        return move
    known = set(_config(context).split)
    return replace(move, state=_without_strangers(move.state, known))


def _settled(context: Context) -> Move:
    """Return what the file's split and roles make of a state at rest."""
    event = _config(context)
    state = context.state
    roles = _roles(context)
    if not state.file_split:
        return Move(_first(context, event), "config-first")
    changed = dict(event.split) != state.file_split
    renamed = roles != state.file_roles
    if not changed and not renamed:
        return Move(state)
    seen = replace(state, file_split=dict(event.split), file_roles=roles)
    if renamed:
        seen = replace(seen, stable=roles[0] if roles else "")
        seen = replace(seen, canary=roles[1] if roles else "", pending=None)
    seen = replace(seen, split=fit(seen.split, event.split, seen.stable))
    if changed:
        seen = file_split_applied(seen, capped=is_rolled_back(seen))
    return Move(seen, "config-changed")


def _without_strangers(state: RolloutState, known: set[str]) -> RolloutState:
    """Return the state less what it says of versions that the file has no more."""
    revisions = {v: r for v, r in state.revisions.items() if v in known}
    unjudged = {v: r for v, r in state.unjudged.items() if v in known}
    state = replace(state, revisions=revisions, unjudged=unjudged)
    run = state.run
    if run is None or {run.stable, run.canary} <= known:
        return state
    message = f"the versions of rollout {run.id} are no longer in the file"
    return replace(
        state, phase=Phase.IDLE, reason=Reason.NONE, message=message, run=None
    )


def config_while_active(context: Context) -> Move:
    """The file, during a run: a role that is gone aborts, a split waits."""
    event = _config(context)
    state = context.state
    roles = _roles(context)
    if roles not in {state.file_roles, (state.stable, state.canary)}:
        return _removed(context, event)
    if dict(event.split) == state.file_split and roles == state.file_roles:
        return Move(state)
    seen = replace(
        state,
        split_waits=state.split_waits or dict(event.split) != state.file_split,
        file_split=dict(event.split),
        file_roles=roles,
        split=fit(state.split, event.split, state.stable),
    )
    return Move(seen, "config-waits")


def _removed(context: Context, event: ConfigSeen) -> Move:
    """Return the abort of a run whose role or rollout the file no longer has."""
    aborted = rolled_back(
        Move(context.state, "config-abort", who="config"),
        Reason.MANUAL_ABORT,
        "the file no longer has this rollout",
        context.now_s,
    )
    settled = _settled(replace(context, state=aborted.state))
    assert isinstance(event, ConfigSeen)
    return replace(aborted, state=settled.state)


def _first(context: Context, event: ConfigSeen) -> RolloutState:
    """Return the state of a service that was never seen before."""
    roles = _roles(context)
    stable, canary = roles or ("", "")
    return replace(
        context.state,
        split=dict(event.split),
        file_split=dict(event.split),
        file_roles=roles,
        stable=stable,
        canary=canary,
    )


def _roles(context: Context) -> tuple[str, str] | None:
    """Return the file's roles."""
    plan = context.plan
    return None if plan is None else (plan.stable, plan.canary)


def _next_canary(
    state: RolloutState, revision: str, fate: Fate | None, *, auto: bool
) -> RolloutState:
    """Return the state with a changed revision in the canary's place."""
    if fate is Fate.ROLLED_BACK:
        message = f"revision {revision} was rolled back before: it needs retry"
        return replace(state, pending=None, message=message)
    if fate is Fate.SUCCEEDED or not auto:
        message = f"revision {revision} is there and waits for start"
        return replace(state, pending=None, message=message)
    message = f"revision {revision} starts when it is healthy"
    return replace(state, pending=revision, message=message)


def _pending(context: Context, state: RolloutState, revision: str) -> RolloutState:
    """Return the state with the revision that starts after this run."""
    plan = context.plan
    auto = plan is not None and plan.start is Start.AUTO
    starts = auto and revision not in state.fates
    return replace(state, pending=revision if starts else None)


def _unjudged(state: RolloutState, event: RevisionSeen) -> RolloutState:
    """Return the state with a live version flagged that nobody judged."""
    message = (
        f"{event.version} with {state.split[event.version]:g} % of the traffic"
        f" changed to revision {event.revision} outside a rollout"
    )
    reason = state.reason
    if state.phase is not Phase.ROLLED_BACK:
        reason = Reason.UNJUDGED_REVISION
    unjudged = {**state.unjudged, event.version: event.revision}
    return replace(state, unjudged=unjudged, reason=reason, message=message)


def _recorded(state: RolloutState, event: RevisionSeen) -> RolloutState:
    """Return the state that has seen a revision."""
    unjudged = {v: r for v, r in state.unjudged.items() if v != event.version}
    revisions = {**state.revisions, event.version: event.revision}
    return replace(state, revisions=revisions, unjudged=unjudged)


def _revision(context: Context) -> RevisionSeen:
    """Return the event as what it must be."""
    assert isinstance(context.event, RevisionSeen)
    return context.event


def _config(context: Context) -> ConfigSeen:
    """Return the event as what it must be."""
    assert isinstance(context.event, ConfigSeen)
    return context.event
