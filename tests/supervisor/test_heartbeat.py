"""Heartbeats: silence is a stall, a machine that slept is not."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.heartbeat import (
    FIRST_BEAT_MAX_S,
    LOOK_EVERY_S,
    LOOK_MAX_S,
    WORKER_QUIET_MAX_S,
    Pulse,
)

looks_s = st.lists(st.floats(0.01, LOOK_MAX_S), max_size=100)


@given(looks_s)
def test_silence_beyond_the_limit_is_a_stall(passed: list[float]) -> None:
    """Stalled exactly when more than two seconds were seen without a beat."""
    pulse = Pulse(WORKER_QUIET_MAX_S).seen(1, LOOK_EVERY_S)
    for passed_s in passed:
        pulse = pulse.seen(1, passed_s)

    assert pulse.stalled == (pulse.quiet_s > WORKER_QUIET_MAX_S)
    assert abs(pulse.quiet_s - sum(passed)) < 1e-6


@given(looks_s, st.integers(2, 10**12))
def test_one_beat_ends_any_silence(passed: list[float], beat_ms: int) -> None:
    """A worker that beats again is alive, however long it was quiet."""
    pulse = Pulse(WORKER_QUIET_MAX_S, beat_ms=1)
    for passed_s in passed:
        pulse = pulse.seen(1, passed_s)

    assert not pulse.seen(beat_ms, LOOK_EVERY_S).stalled


def test_a_paused_container_kills_nobody() -> None:
    """An hour between two looks is the supervisor's own absence."""
    pulse = Pulse(WORKER_QUIET_MAX_S).seen(1, LOOK_EVERY_S).seen(1, 3600.0)

    assert not pulse.stalled


@given(st.integers(0, 1000))
def test_a_slow_start_is_not_a_stall(looks: int) -> None:
    """Before the first beat there is half a minute, and no more."""
    pulse = Pulse(WORKER_QUIET_MAX_S)
    for _ in range(looks):
        pulse = pulse.seen(0, LOOK_EVERY_S)

    assert pulse.stalled == (looks * LOOK_EVERY_S > FIRST_BEAT_MAX_S)
