"""Heartbeats: silence is measured, and a machine that slept is not silent."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.heartbeat import LOOK_EVERY_S, LOOK_MAX_S, Pulse

looks_s = st.lists(st.floats(0.01, LOOK_MAX_S), max_size=100)


def silence(passed: list[float]) -> Pulse:
    """Return what holds after looks without a beat."""
    pulse = Pulse(beat_ms=1)
    for passed_s in passed:
        pulse = pulse.seen(1, passed_s)
    return pulse


@given(looks_s)
def test_silence_is_the_time_between_the_looks(passed: list[float]) -> None:
    """Every look without a beat adds the time since the one before."""
    assert abs(silence(passed).quiet_s - sum(passed)) < 1e-6


@given(looks_s, st.integers(2, 10**12))
def test_one_beat_ends_any_silence(passed: list[float], beat_ms: int) -> None:
    """A worker that beats again is alive, however long it was quiet."""
    assert silence(passed).seen(beat_ms, LOOK_EVERY_S) == Pulse(beat_ms, 0.0)


@given(st.floats(LOOK_MAX_S, 1e9))
def test_a_paused_container_kills_nobody(passed_s: float) -> None:
    """An hour between two looks is the supervisor's own absence."""
    assert silence([passed_s]).quiet_s == LOOK_MAX_S
