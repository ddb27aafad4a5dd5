"""The canary is dropped at once only when stable is clearly better."""

import pytest

from proxy.analysis.fail_fast import Recent, decide, is_shared
from proxy.model.judging import FailFast

PLAN = FailFast(consecutive_connect_failures=5, error_rate=0.5, requests=20)


@pytest.mark.parametrize(
    ("canary", "stable", "fires"),
    [
        (Recent(20, 20), Recent(200, 0), True),
        (Recent(20, 10), Recent(200, 49), True),
        (Recent(20, 10), Recent(200, 50), False),  # not below half of 50 %
        (Recent(20, 9), Recent(200, 0), False),
        (Recent(19, 19), Recent(200, 0), False),
        (Recent(20, 20), Recent(0, 0), True),  # nothing speaks for a common cause
        (Recent(5, 5, connect_failures=5), Recent(100, 0), True),
        (Recent(4, 4, connect_failures=4), Recent(100, 0), False),
        (Recent(5, 5, connect_failures=5), Recent(100, 60), False),
        (Recent(), Recent(), False),
    ],
)
def test_both_sides_of_every_limit(canary: Recent, stable: Recent, fires: bool) -> None:  # noqa: FBT001
    """Fires at its limits, not below them, and never when stable fails too."""
    assert bool(decide(PLAN, canary, stable)) is fires


def test_says_what_was_seen() -> None:
    """The sentence has both versions' figures."""
    assert decide(PLAN, Recent(20, 19), Recent(310, 1)) == (
        "19 of the last 20 canary requests failed, stable 1 of 310"
    )


@pytest.mark.parametrize(
    ("canary", "stable", "shared"),
    [
        (Recent(62, 17), Recent(221, 91), True),
        (Recent(20, 10), Recent(200, 50), True),
        (Recent(20, 10), Recent(200, 49), False),
        (Recent(44, 5), Recent(181, 0), False),
        (Recent(20, 20), Recent(0, 0), False),
        (Recent(20, 0), Recent(100, 3), False),
        (Recent(0, 0), Recent(100, 49), False),  # the canary's are taken to fail all
        (Recent(0, 0), Recent(100, 50), True),
    ],
)
def test_a_failure_that_stable_shares(
    canary: Recent,
    stable: Recent,
    shared: bool,  # noqa: FBT001
) -> None:
    """From half the canary's rate on, over the same seconds, both are hit."""
    assert is_shared(canary, stable) is shared
