"""What one window adds: each request once at each threshold, never twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis import RouteEvidence, Slo, Window
from proxy.analysis.checks import checks_of
from proxy.analysis.samples import (
    Samples,
    Times,
    classifier,
    finished,
    first_bucket_above,
    matches,
)
from proxy.model.buckets import bucket_of, lower_edge_us
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag

counts = st.dictionaries(st.integers(0, 1663), st.integers(1, 50), max_size=30)


@given(counts, counts, st.integers(0, 1664))
def test_slower_counts_what_is_at_or_above(
    known: dict[int, int], late: dict[int, int], bucket: int
) -> None:
    """Late ones enter where they are slower for sure, and nowhere else."""
    slow, total = Times(known, late).slower(bucket)

    above = sum(n for at, n in late.items() if at >= bucket)
    assert slow == sum(n for at, n in known.items() if at >= bucket) + above
    assert total == sum(known.values()) + above


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 30)), max_size=40))
def test_a_request_counts_once_while_it_is_waited_for(
    requests: list[tuple[int, int]],
) -> None:
    """Over the seconds each request exceeds a threshold once, or never."""
    threshold_s = 5
    at = bucket_of(threshold_s * 1_000_000)
    slow = total = 0
    before: dict[int, int] = {}
    for now_s in range(60):
        ended = [lasts for lasts, since in requests if since + lasts == now_s]
        open_s = [
            now_s - since for lasts, since in requests if since <= now_s < since + lasts
        ]
        ages: dict[int, int] = {}
        for age_s in open_s:
            bucket = bucket_of(age_s * 1_000_000)
            ages[bucket] = ages.get(bucket, 0) + 1
        changed = {
            bucket: ages.get(bucket, 0) - before.get(bucket, 0)
            for bucket in ages.keys() | before.keys()
        }
        known: dict[int, int] = {}
        for lasts in ended:
            bucket = bucket_of(lasts * 1_000_000)
            known[bucket] = known.get(bucket, 0) + 1
        added = Times(known, changed).slower(at)
        slow, total, before = slow + added[0], total + added[1], ages

    assert total == len(requests)
    assert slow == sum(lasts >= threshold_s for lasts, _ in requests)


def test_codes_that_are_errors() -> None:
    """5xx and failures are; what the client caused is not even an answer."""
    window = Window({200: 7, 404: 2, 503: 1, FLAG_CODE_BASE + Flag.UF: 1, 0: 5})
    gone = Window({FLAG_CODE_BASE + Flag.DC: 3})
    usual, named, guard = checks_of(
        (
            Slo("error_rate", max=0.1),
            Slo("error_rate", max=0.1, codes=("5xx", "404")),
            Slo("client_error_rate", max_delta=0.1),
        ),
        ("",),
    )
    arms = RouteEvidence(stable=gone, canary=window)

    assert finished(window) == 11
    assert Samples().counts(usual, arms, -1, -1) == (2, 11, 0, 0, 2, 11)
    assert Samples().counts(named, arms, -1, -1) == (4, 11, 0, 0, 4, 11)
    assert Samples().counts(guard, arms, -1, -1) == (2, 11, 0, 0, 2, 11)


@pytest.mark.parametrize(
    ("code", "bad"), [(500, True), (404, True), (403, False), (600, True), (200, False)]
)
def test_named_codes(code: int, bad: bool) -> None:  # noqa: FBT001 -- a table
    """A class, a status, and in any case a version that gave no answer."""
    assert matches(("5xx", "404"), code) is bad
    assert classifier("error_rate", ("5xx", "404"))(code) is bad


def test_named_counters_bring_their_own_trials() -> None:
    """Hits and trials of a name; an arm without it has none."""
    (check,) = checks_of((Slo("orders", min_ratio=0.9),), ("",))
    arms = RouteEvidence(canary=Window(counts={"orders": (3, 40)}))

    assert Samples().counts(check, arms, -1, -1) == (3, 40, 0, 0, 3, 40)


def test_times_are_held_against_both_thresholds() -> None:
    """The canary's once more at what the tolerance allows; before one, nothing."""
    (check,) = checks_of((Slo("ttfb", quantile=0.9, max_ratio=1.1),), ("",))
    arms = RouteEvidence(
        stable=Window(ttfb={10: 5, 30: 1}), canary=Window(ttfb={10: 5, 20: 2, 30: 1})
    )

    assert Samples().counts(check, arms, 15, 25) == (3, 8, 1, 6, 1, 8)
    assert Samples().counts(check, arms, 15, 15) == (3, 8, 1, 6, 3, 8)
    assert Samples().counts(check, arms, -1, -1) == (0,) * 6


@given(st.floats(0.0001, 100.0))
def test_the_first_bucket_beyond_a_limit(limit_s: float) -> None:
    """It holds no time below the limit, and the one before it does."""
    bucket = first_bucket_above(limit_s)

    assert lower_edge_us(bucket) >= round(limit_s * 1e6)
    assert lower_edge_us(bucket - 1) < round(limit_s * 1e6)
