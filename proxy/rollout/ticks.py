"""
Rules of time: what a second means in each phase, and a fail-fast.

Clocks count judged seconds: a run that is Progressing, with traffic on both
arms. Judging never sleeps: a violation rolls back from every phase in which the
canary has weight.
"""

from dataclasses import replace

from proxy.model.vocabulary import Phase, Reason, Verdict
from proxy.rollout.events import Tick, Tripped
from proxy.rollout.moves import (
    Context,
    Move,
    begun,
    entered,
    returned,
    rolled_back,
    rolling_back,
    run_of,
)
from proxy.rollout.state import OnUndecided, RolloutState, Run, Start
from proxy.rollout.weights import with_canary

TICK_S_MAX = 5.0
"""A tick comes each second; what is longer than this was downtime."""
NO_TRAFFIC_S = 10.0
"""An arm without a request for so long has no traffic, and clocks stand still."""


def rest(context: Context) -> Move:
    """Between runs: start the revision that waits, once it is healthy."""
    state, tick, plan = context.state, context.event, context.plan
    assert isinstance(tick, Tick)
    if state.pending is None or plan is None or plan.start is not Start.AUTO:
        return Move(state)
    if not tick.canary_healthy:
        message = f"revision {state.pending} waits for a healthy endpoint"
        return Move(replace(state, message=message))
    return entered(
        Move(begun(state, plan, context.now_s), "start-auto"), 1, context.now_s
    )


def progress(context: Context) -> Move:
    """A step under way: fail, warm up, run out of time, pass, or go on."""
    tick = context.event
    assert isinstance(tick, Tick)
    state = _counted(context.state, tick, clocks=True)
    run = run_of(state)
    if _violated(tick):
        return _violation(state, tick, context.now_s)
    if run.plan.deadline_s is not None and run.run_s >= run.plan.deadline_s:
        message = f"the rollout took longer than {run.plan.deadline_s:g} judged seconds"
        return rolling_back(
            Move(state, "deadline"),
            Reason.DEADLINE_EXCEEDED,
            message,
            context.now_s,
            stable_healthy=tick.stable_healthy,
        )
    if not run.warmed and run.run_s >= run.plan.judge.warmup_s:
        return _warmed(state)
    if _passed(run, tick):
        return _step_done(Move(state, "advance"), context.now_s)
    return _undecided(state, tick, context.now_s)


def watch(context: Context) -> Move:
    """Waiting or paused: judging goes on, clocks do not."""
    tick = context.event
    assert isinstance(tick, Tick)
    state = _counted(context.state, tick, clocks=False)
    if _violated(tick):
        return _violation(state, tick, context.now_s)
    return Move(state)


def follow(context: Context) -> Move:
    """Promoting: once stable has the winner's revision, the traffic goes back."""
    tick = context.event
    assert isinstance(tick, Tick)
    move = watch(context)
    run = run_of(context.state)
    if move.rule or run.revision is None or not tick.stable_healthy:
        return move
    if context.state.revisions.get(run.stable) != run.revision:
        return move
    return returned(replace(move, rule="return"), context.now_s)


def retreat(context: Context) -> Move:
    """Rolling back, held by an unhealthy stable: go on when it is there again."""
    tick = context.event
    assert isinstance(tick, Tick)
    state = _counted(context.state, tick, clocks=False)
    if state.canary_weight and not tick.stable_healthy:
        return Move(state)
    run = run_of(state)
    message = f"{run.stable} can take the traffic again: rolled back ({run.cause})"
    return rolled_back(Move(state, "rolled-back"), run.cause, message, context.now_s)


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


def trip_held(context: Context) -> Move:
    """Fail-fast fired while a rollback already waits for stable: nothing to add."""
    return Move(context.state)


def _violated(tick: Tick) -> bool:
    """Whether the judgement is a failure."""
    return tick.judgement is not None and tick.judgement.verdict is Verdict.FAIL


def _violation(state: RolloutState, tick: Tick, now_s: float) -> Move:
    """Return the rollback that a failed judgement means."""
    assert tick.judgement is not None
    return rolling_back(
        Move(state, "slo-violated"),
        tick.judgement.reason,
        tick.judgement.message,
        now_s,
        stable_healthy=tick.stable_healthy,
    )


def _warmed(state: RolloutState) -> Move:
    """Return the end of the warm-up: what was seen with cold caches is put aside."""
    run = replace(run_of(state), warmed=True)
    message = "the warm-up is over; evidence begins anew"
    warm = replace(state, run=run, reason=Reason.UNDECIDED, message=message)
    return Move(warm, "warm-up-over", fresh=True)


def _passed(run: Run, tick: Tick) -> bool:
    """Whether the step is passed, and traffic is still there to say so."""
    judgement = tick.judgement
    passed = judgement is not None and judgement.verdict is Verdict.PASS
    return passed and _flows(run)


def _step_done(move: Move, now_s: float) -> Move:
    """Return the way on from a step that is done: the next, or a person's turn."""
    run = run_of(move.state)
    if run.plan.steps[run.step - 1].pause:
        waiting = replace(
            move.state,
            phase=Phase.WAITING,
            reason=Reason.STEP_PAUSE,
            message=f"step {run.step} is done and waits for promote",
        )
        return Move(waiting, "step-pause")
    return entered(move, run.step + 1, now_s)


def _undecided(state: RolloutState, tick: Tick, now_s: float) -> Move:
    """Return what becomes of a step that neither passed nor failed."""
    run = run_of(state)
    state = _explained(state, tick)
    limit_s = run.plan.steps[run.step - 1].max_duration_s
    if limit_s is None or run.step_s < limit_s or run.overdue:
        return Move(state)
    state = replace(state, run=replace(run, overdue=True))
    message = f"step {run.step} is undecided after {limit_s:g} s: {state.message}"
    if run.plan.on_undecided is OnUndecided.ROLLBACK:
        return rolling_back(
            Move(state, "undecided-rollback"),
            Reason.UNDECIDED,
            message,
            now_s,
            stable_healthy=tick.stable_healthy,
        )
    if run.plan.on_undecided is OnUndecided.PROMOTE:
        return _step_done(Move(state, "undecided-promote"), now_s)
    return Move(replace(state, message=message), "undecided-hold")


def _explained(state: RolloutState, tick: Tick) -> RolloutState:
    """Return the state with the reason why it does not go on."""
    run = run_of(state)
    if not _flows(run):
        arm = run.canary if _silent(run.canary_silent_s) else run.stable
        message = f"no requests reach {arm}: holding step {run.step}"
        return replace(state, reason=Reason.NO_TRAFFIC, message=message)
    if tick.judgement is None:
        return state
    judgement = tick.judgement
    return replace(state, reason=judgement.reason, message=judgement.message)


def _counted(state: RolloutState, tick: Tick, *, clocks: bool) -> RolloutState:
    """Return the state with this second's traffic, judgement and clocks."""
    run = run_of(state)
    dt_s = min(max(tick.dt_s, 0.0), TICK_S_MAX)
    run = replace(
        run,
        canary_silent_s=_silence(run.canary_silent_s, tick.canary_routed, dt_s),
        stable_silent_s=_silence(run.stable_silent_s, tick.stable_routed, dt_s),
        exposed_requests=run.exposed_requests + tick.canary_routed,
        judge=run.judge if tick.judge is None else tick.judge,
        judgement=run.judgement if tick.judgement is None else tick.judgement,
    )
    if clocks and _flows(run):
        run = replace(run, step_s=run.step_s + dt_s, run_s=run.run_s + dt_s)
    return replace(state, run=run)


def _silence(silent_s: float | None, routed: int, dt_s: float) -> float | None:
    """Return how long an arm has been silent now."""
    if routed:
        return 0.0
    return None if silent_s is None else silent_s + dt_s


def _silent(silent_s: float | None) -> bool:
    """Whether an arm has no traffic."""
    return silent_s is None or silent_s >= NO_TRAFFIC_S


def _flows(run: Run) -> bool:
    """Whether both arms have traffic."""
    return not _silent(run.canary_silent_s) and not _silent(run.stable_silent_s)
