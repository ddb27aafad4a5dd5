"""
What a second adds to a run: judged seconds, silence, exposure, capacity.

Clocks count judged seconds: both arms have traffic, nobody paused, nothing is
frozen. In a preview, which has no live traffic, it is the seconds in which the
canary is healthy. Decides no rule.
"""

from dataclasses import replace

from proxy.rollout.events import Tick
from proxy.rollout.moves import run_of
from proxy.rollout.state import RolloutState, Run

TICK_S_MAX = 5.0
"""A tick comes each second; what is longer than this was downtime."""

NO_TRAFFIC_S = 10.0
"""An arm without a request for so long has no traffic, and clocks stand still."""

NO_TRAFFIC_ALERT_S = 300.0
"""A rollout that has been without traffic for so long is told of once."""


def counted(state: RolloutState, tick: Tick, *, clocks: bool) -> RolloutState:
    """Return the state with this second's traffic, judgement and clocks."""
    run = run_of(state)
    dt_s = seconds_of(tick)
    run = replace(
        run,
        canary_silent_s=_silence(run.canary_silent_s, tick.canary_routed, dt_s),
        stable_silent_s=_silence(run.stable_silent_s, tick.stable_routed, dt_s),
        exposed_requests=run.exposed_requests + tick.canary_routed,
        capacity=tick.canary_capacity if tick.canary_healthy else 0.0,
        judge=run.judge if tick.judge is None else tick.judge,
        judgement=run.judgement if tick.judgement is None else tick.judgement,
        external=run.external if tick.external is None else tick.external,
    )
    if clocks:
        run = _timed(run, tick, dt_s)
    return replace(state, run=run)


def seconds_of(tick: Tick) -> float:
    """Return the seconds that a tick stands for; downtime is none."""
    return min(max(tick.dt_s, 0.0), TICK_S_MAX)


def _timed(run: Run, tick: Tick, dt_s: float) -> Run:
    """Return the run with its clocks moved on."""
    down_s = 0.0 if run.capacity else run.down_s + dt_s
    if run.previewing:
        run = replace(
            run,
            down_s=down_s,
            mirrored=run.mirrored + tick.mirrored,
            mirror_failed=run.mirror_failed + tick.mirror_failed,
        )
        flowing = bool(run.capacity)
    else:
        flowing = flows(run)
        idle_s = 0.0 if flowing or not run.capacity else run.idle_s + dt_s
        run = replace(run, down_s=down_s, idle_s=idle_s)
    if not flowing:
        return run
    if run.baking:
        return replace(run, bake_s=run.bake_s + dt_s, run_s=run.run_s + dt_s)
    run_s = run.run_s if run.previewing else run.run_s + dt_s
    return replace(run, step_s=run.step_s + dt_s, run_s=run_s)


def flows(run: Run) -> bool:
    """Whether both arms have traffic."""
    return not silent(run.canary_silent_s) and not silent(run.stable_silent_s)


def silent(silent_s: float | None) -> bool:
    """Whether an arm has no traffic."""
    return silent_s is None or silent_s >= NO_TRAFFIC_S


def _silence(silent_s: float | None, routed: int, dt_s: float) -> float | None:
    """Return how long an arm has been silent now."""
    if routed:
        return 0.0
    return None if silent_s is None else silent_s + dt_s
