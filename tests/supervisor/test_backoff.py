"""Back-off: quick after a long life, slower after each short one, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.backoff import (
    WAIT_MAX_S,
    WORKER_WELL_S,
    Backoff,
    control_backoff,
    worker_backoff,
)


def waits_s(backoff: Backoff, lives_s: list[float]) -> list[float]:
    """Return the waits after these lives."""
    waits = []
    for alive_s in lives_s:
        backoff = backoff.after_death(alive_s)
        waits.append(backoff.wait_s)
    return waits


def test_a_worker_is_first_replaced_at_once() -> None:
    """Nobody waits for the first replacement; the waits double up to 5 s."""
    waits = waits_s(worker_backoff(), [0.0] * 9)

    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_control_waits_from_the_start() -> None:
    """Traffic goes on without control, so it need not hurry."""
    assert waits_s(control_backoff(), [0.0] * 4) == [0.1, 0.2, 0.4, 0.8]


def test_a_worker_that_is_lost_every_few_seconds_is_replaced_at_once() -> None:
    """One of four killed each second must not leave fewer and fewer alive."""
    assert set(waits_s(worker_backoff(), [WORKER_WELL_S] * 50)) == {0.0}


@given(st.lists(st.floats(0, 30), max_size=60))
def test_waits_are_bounded_and_forgotten(lives_s: list[float]) -> None:
    """Whatever happened: never longer than 5 s, and a good life wipes it out."""
    for fresh in (worker_backoff(), control_backoff()):
        waits = waits_s(fresh, [*lives_s, 30.0])

        assert all(0 <= wait_s <= WAIT_MAX_S for wait_s in waits)
        assert waits[-1] == fresh.after_death(0.0).wait_s


@given(st.integers(1, 10_000))
def test_waits_never_shrink_while_it_fails(deaths: int) -> None:
    """Failing again never makes the next start come sooner."""
    one = Backoff(well_s=10.0, free=1, deaths=deaths)

    assert one.wait_s <= one.after_death(0.0).wait_s
