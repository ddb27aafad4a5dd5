"""
Rules of time: what a second means in each phase.

Judging never sleeps: a violation rolls back from every phase in which the
canary has weight, also frozen ones. What each clock counts is ``clocks``.
"""

from dataclasses import replace

from proxy.model.judging import Judgement
from proxy.model.vocabulary import Phase, Reason, Verdict
from proxy.rollout.clocks import (
    NO_TRAFFIC_ALERT_S,
    counted,
    flows,
    seconds_of,
    silent,
)
from proxy.rollout.events import Tick
from proxy.rollout.gates import ascend
from proxy.rollout.moves import (
    Context,
    Move,
    at_weight,
    begun,
    ceiling,
    entered,
    fallen,
    finished,
    returned,
    rolled_back,
    rolling_back,
    run_of,
)
from proxy.rollout.plan import (
    PERCENT_ALL,
    OnNoTraffic,
    OnUndecided,
    Start,
    Strategy,
)
from proxy.rollout.state import RolloutState, Run, window_left_s


def rest(context: Context) -> Move:
    """Between runs: start the revision that waits, once it is healthy."""
    state, plan = context.state, context.plan
    tick = _tick(context)
    if state.pending is None or plan is None or plan.start is not Start.AUTO:
        return Move(state)
    if not tick.canary_healthy:
        return _late(state, tick, plan.progress_deadline_s)
    if state.frozen:
        message = f"revision {state.pending} waits: {state.frozen}"
        return Move(replace(state, reason=Reason.FROZEN, message=message))
    return ascend(
        Move(begun(state, plan, context.now_s), "start-auto"), 1, context.now_s
    )


def _late(state: RolloutState, tick: Tick, limit_s: float | None) -> Move:
    """Return the wait for a healthy endpoint; once it is too long, that is told."""
    waited_s = state.pending_s + seconds_of(tick)
    message = f"revision {state.pending} waits for a healthy endpoint"
    late = limit_s is not None and waited_s >= limit_s
    if late:
        message += f", for more than {limit_s:g} s now"
    told = limit_s is not None and state.pending_s >= limit_s
    waiting = replace(state, pending_s=waited_s, message=message)
    return Move(waiting, "start-late" if late and not told else "")


def progress(context: Context) -> Move:
    """A step under way: fail, warm up, run out of time, pass, or go on."""
    tick = _tick(context)
    state = counted(context.state, tick, clocks=not context.state.frozen)
    found = _harm(context.state, state, tick, context.now_s)
    if found is not None:
        return found
    run = run_of(state)
    if run.plan.deadline_s is not None and run.run_s >= run.plan.deadline_s:
        message = f"the rollout took longer than {run.plan.deadline_s:g} judged seconds"
        return _rollback(
            Move(state, "deadline"),
            Reason.DEADLINE_EXCEEDED,
            message,
            tick,
            context.now_s,
        )
    if state.frozen:
        message = f"step {run.step} holds: {state.frozen}"
        return Move(replace(state, reason=Reason.FROZEN, message=message))
    if _passed(run, tick):
        lacking, unseen = _lacking(run), _unseen(run)
        if lacking:
            return Move(replace(state, reason=Reason.CAPACITY_LIMITED, message=lacking))
        if unseen:
            return Move(replace(state, reason=Reason.UNDECIDED, message=unseen))
        return _step_done(Move(state, "advance"), tick, context.now_s)
    return _undecided(state, tick, context.now_s)


def bake(context: Context) -> Move:
    """Baking: the old version is still there to be compared with."""
    tick = _tick(context)
    state = counted(context.state, tick, clocks=not context.state.frozen)
    found = _harm(context.state, state, tick, context.now_s)
    if found is not None:
        return found
    run, plan = run_of(state), run_of(state).plan
    assert plan.bake is not None
    if state.frozen:
        message = f"{run.stable} keeps its {plan.bake.holdback:g} %: {state.frozen}"
        return Move(replace(state, reason=Reason.FROZEN, message=message))
    if not run.capacity or not flows(run):
        return Move(_explained(state, tick))
    left_s = plan.bake.duration_s - run.bake_s
    if left_s <= 0.0 and run.capacity >= 1.0:
        return finished(Move(state, "baked"), context.now_s)
    reason = Reason.NONE if left_s > 0.0 else Reason.CAPACITY_LIMITED
    message = f"bakes for {max(left_s, 0.0):.0f} s more"
    if reason:
        message = f"{_endpoints(run)}: keeps the holdback"
    return Move(replace(state, reason=reason, message=message))


def watch(context: Context) -> Move:
    """Waiting or paused: judging goes on, clocks do not."""
    tick = _tick(context)
    state = counted(context.state, tick, clocks=False)
    if _violated(tick):
        return _violation(state, tick, context.now_s)
    limited = _limited(state, tick)
    if limited is not None:
        return limited
    run = run_of(state)
    opened = state.phase is Phase.WAITING and run.then and not run.waits
    if opened and not state.frozen:
        return entered(Move(state, "advance"), run.then, context.now_s)
    return Move(state)


def follow(context: Context) -> Move:
    """Promoting: once stable has the winner's revision, the traffic goes back."""
    tick = _tick(context)
    state = counted(context.state, tick, clocks=False)
    if _violated(tick):
        return _violation(state, tick, context.now_s)
    run = run_of(state)
    if run.revision is None or not tick.stable_healthy:
        return Move(state)
    if state.revisions.get(run.stable) != run.revision:
        return Move(state)
    if state.frozen:
        message = f"{run.stable} is ready; {state.frozen}"
        return Move(replace(state, reason=Reason.FROZEN, message=message))
    return returned(Move(state, "return"), context.now_s)


def retreat(context: Context) -> Move:
    """Rolling back: step by step, or held until stable can take the traffic."""
    tick = _tick(context)
    state = counted(context.state, tick, clocks=False)
    run = run_of(state)
    if not state.canary_weight:
        move = Move(state, "rolled-back")
        return rolled_back(move, run.cause, state.message, context.now_s)
    if not tick.stable_healthy:
        if state.reason is Reason.STABLE_UNHEALTHY:
            return Move(state)
        message = f"rolling back is held: {run.stable} has no healthy endpoint"
        held = replace(state, reason=Reason.STABLE_UNHEALTHY, message=message)
        return Move(held, "rollback-held")
    if state.reason is Reason.STABLE_UNHEALTHY:
        message = f"{run.stable} can take the traffic again: rolled back ({run.cause})"
        again = replace(state, message=message)
        return fallen(Move(again, "rolled-back"), context.now_s)
    fall_s = run.fall_s + seconds_of(tick)
    state = replace(state, run=replace(run, fall_s=fall_s))
    if fall_s < run.plan.rollback.interval_s:
        return Move(state)
    return fallen(Move(state, "step-down"), context.now_s)


def _harm(
    before: RolloutState, state: RolloutState, tick: Tick, now_s: float
) -> Move | None:
    """Return what goes before any progress: violations, lost endpoints, silence."""
    run, plan = run_of(state), run_of(state).plan
    if _violated(tick):
        return _violation(state, tick, now_s)
    limit_s = plan.progress_deadline_s
    if limit_s is not None and run.down_s >= limit_s:
        message = f"{run.canary} had no healthy endpoint for {limit_s:g} s"
        move = Move(state, "progress-deadline")
        return _rollback(move, Reason.DEADLINE_EXCEEDED, message, tick, now_s)
    limited = _limited(state, tick)
    if limited is not None:
        return limited
    if run_of(before).idle_s < NO_TRAFFIC_ALERT_S <= run.idle_s:
        return _unheard(state, tick, now_s)
    if not run.warmed and run.run_s >= plan.judge.warmup_s:
        return _warmed(state)
    return None


def _limited(state: RolloutState, tick: Tick) -> Move | None:
    """Return the weight that the canary's healthy endpoints allow, if it changes."""
    run = run_of(state)
    before = state.canary_weight
    target = at_weight(state, run.granted)
    if target.canary_weight == before:
        return None
    if target.canary_weight < before:
        if not tick.stable_healthy:
            return None
        lower = replace(target, reason=Reason.CAPACITY_LIMITED, message=_endpoints(run))
        return Move(lower, "capacity-limited")
    if state.frozen or state.phase is Phase.PAUSED:
        return None
    message = f"{run.canary} has healthy endpoints for {target.canary_weight:g} % again"
    return Move(replace(target, message=message), "capacity-restored")


def _endpoints(run: Run) -> str:
    """Return what the canary's endpoints allow, for a sentence."""
    if not run.capacity:
        return f"{run.canary} has no healthy endpoint and gets no traffic"
    return (
        f"{run.capacity:.0%} of the endpoints of {run.canary} are healthy:"
        f" it gets {ceiling(run):g} % at most"
    )


def _lacking(run: Run) -> str:
    """Return why the next step is too much for the canary's healthy endpoints."""
    steps = run.plan.steps
    if run.step < len(steps) and steps[run.step].only is not None:
        return ""  # nobody knows how much of the traffic a ring is
    following = steps[run.step].weight if run.step < len(steps) else PERCENT_ALL
    if min(following, PERCENT_ALL) <= ceiling(run):
        return ""
    return f"{_endpoints(run)}; step {run.step + 1} needs {following:g} %"


def _unseen(run: Run) -> str:
    """Return why promotion waits for the windows of business metrics, if it does."""
    left_s = window_left_s(run)
    if not left_s:
        return ""
    return (
        f"step {run.step} has passed; promotion waits another {left_s:.0f} s for the"
        " longest window of the business metrics"
    )


def _unheard(state: RolloutState, tick: Tick, now_s: float) -> Move:
    """Return what follows minutes without traffic: an alert, or a rollback."""
    run = run_of(state)
    state = _explained(state, tick)
    message = f"{state.message}, for {NO_TRAFFIC_ALERT_S:g} s now"
    move = Move(replace(state, message=message), "no-traffic")
    if run.plan.on_no_traffic is OnNoTraffic.ROLLBACK:
        return _rollback(move, Reason.NO_TRAFFIC, message, tick, now_s)
    return move


def _violated(tick: Tick) -> bool:
    """Whether the judgement is a failure."""
    return tick.judgement is not None and tick.judgement.verdict is Verdict.FAIL


def _violation(state: RolloutState, tick: Tick, now_s: float) -> Move:
    """Return the rollback that a failed judgement means."""
    assert tick.judgement is not None
    found = tick.judgement
    move = Move(state, "slo-violated")
    return _rollback(move, found.reason, found.message, tick, now_s)


def _rollback(
    move: Move, reason: Reason, message: str, tick: Tick, now_s: float
) -> Move:
    """Return a rollback that knows from a tick whether stable is healthy."""
    return rolling_back(
        move, reason, message, now_s, stable_healthy=tick.stable_healthy
    )


def _warmed(state: RolloutState) -> Move:
    """Return the end of the warm-up: what was seen with cold caches is put aside."""
    run = replace(run_of(state), warmed=True)
    message = "the warm-up is over; evidence begins anew"
    warm = replace(state, run=run, reason=Reason.UNDECIDED, message=message)
    return Move(warm, "warm-up-over", fresh=True)


def _passed(run: Run, tick: Tick) -> bool:
    """Whether every condition of the step holds, and traffic is there to say so."""
    if run.previewing and _preview_lacks(run):
        return False
    if run.previewing and run.plan.strategy is not Strategy.PARALLEL:
        return True
    judgement = tick.judgement
    passed = judgement is not None and judgement.verdict is Verdict.PASS
    return passed and (run.previewing or flows(run))


def _preview_lacks(run: Run) -> str:
    """Return what a preview still needs; empty: nothing."""
    step = run.present
    if not run.capacity:
        return f"a healthy endpoint of {run.canary}"
    if run.step_s < step.min_duration_s:
        return f"{step.min_duration_s - run.step_s:.0f} s more with a healthy endpoint"
    if run.mirrored < run.plan.mirrored:
        return f"{run.plan.mirrored - run.mirrored} more mirrored answers"
    return ""


def _step_done(move: Move, tick: Tick, now_s: float) -> Move:
    """Return the way on from a step that is done: a person, a gate, the next."""
    run = run_of(move.state)
    unfit = _unfit(tick.judgement)
    if unfit:
        move = replace(move, note=unfit)
    if run.present.pause:
        waiting = replace(
            move.state,
            phase=Phase.WAITING,
            reason=Reason.STEP_PAUSE,
            message=f"step {run.step} is done and waits for promote",
        )
        return replace(move, state=waiting, rule="step-pause")
    return ascend(move, run.step + 1, now_s)


def _unfit(judgement: Judgement | None) -> str:
    """Return which absolute limits stable breaks while the canary keeps them."""
    slos = () if judgement is None else judgement.slos
    broken = [
        slo.id
        for slo in slos
        if slo.id.partition("@")[0].endswith("-max")
        and slo.verdict is Verdict.PASS
        and slo.stable is not None
        and slo.limit is not None
        and slo.stable > slo.limit
    ]
    return f"stable itself breaks {', '.join(broken)}" if broken else ""


def _undecided(state: RolloutState, tick: Tick, now_s: float) -> Move:
    """Return what becomes of a step that neither passed nor failed."""
    run = run_of(state)
    reached = state.reason is not Reason.PROVIDER_ERROR
    state = _explained(state, tick)
    limits = run.plan.fail_fast
    if run.previewing and limits is not None:
        sent = run.mirrored + run.mirror_failed
        if sent >= limits.requests and run.mirror_failed >= limits.error_rate * sent:
            message = f"{run.mirror_failed} of {sent} mirrored requests failed"
            move = Move(state, "preview-failed")
            return _rollback(move, Reason.FAIL_FAST, message, tick, now_s)
    limit_s = run.present.max_duration_s
    if limit_s is None or run.step_s < limit_s or run.overdue or _unseen(run):
        unreachable = reached and state.reason is Reason.PROVIDER_ERROR
        return Move(state, "provider-error" if unreachable else "")
    state = replace(state, run=replace(run, overdue=True))
    message = f"step {run.step} is undecided after {limit_s:g} s: {state.message}"
    if run.plan.on_undecided is OnUndecided.ROLLBACK:
        move = Move(state, "undecided-rollback")
        return _rollback(move, Reason.UNDECIDED, message, tick, now_s)
    if run.plan.on_undecided is OnUndecided.PROMOTE and not _lacking(run):
        return _step_done(Move(state, "undecided-promote"), tick, now_s)
    return Move(replace(state, message=message), "undecided-hold")


def _explained(state: RolloutState, tick: Tick) -> RolloutState:
    """Return the state with the reason why it does not go on."""
    run = run_of(state)
    if run.previewing and (_preview_lacks(run) or tick.judgement is None):
        lacking = _preview_lacks(run) or "pairs of answers to compare"
        message = f"preview of {run.canary} needs {lacking}"
        return replace(state, reason=Reason.UNDECIDED, message=message)
    if run.previewing:
        assert tick.judgement is not None
        seen = tick.judgement
        return replace(state, reason=seen.reason, message=seen.message)
    if not run.capacity:
        return replace(state, reason=Reason.CAPACITY_LIMITED, message=_endpoints(run))
    if not flows(run):
        arm = run.canary if silent(run.canary_silent_s) else run.stable
        place = "holding the bake" if run.baking else f"holding step {run.step}"
        if silent(run.canary_silent_s) and run.canary_silent_s is None:
            message = f"step {run.step} has begun, waits for the first requests"
        else:
            message = f"no requests reach version {arm}: {place}"
        return replace(state, reason=Reason.NO_TRAFFIC, message=message)
    if tick.judgement is None:
        return state
    judgement = tick.judgement
    return replace(state, reason=judgement.reason, message=judgement.message)


def _tick(context: Context) -> Tick:
    """Return the event as what it must be."""
    assert isinstance(context.event, Tick)
    return context.event
