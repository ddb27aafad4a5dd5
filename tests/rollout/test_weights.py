"""Arithmetic of splits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import SettingsError
from proxy.rollout import RolloutState
from proxy.rollout.weights import completed, fit, with_canary

STATE = RolloutState(
    "shop",
    split={"stable": 60.0, "canary": 10.0, "v3": 30.0},
    stable="stable",
    canary="canary",
)


@given(st.floats(-10.0, 150.0))
def test_weight_moves_between_stable_and_canary_only(weight: float) -> None:
    """Never outside what the two have between them."""
    moved = with_canary(STATE, weight)

    assert moved["v3"] == 30.0
    assert 0.0 <= moved["canary"] <= 70.0
    assert moved["stable"] + moved["canary"] == 70.0


def test_the_rest_goes_to_stable_or_to_the_only_one_left() -> None:
    """Whoever is not named keeps his weight, but for the heir."""
    assert completed(STATE, {"canary": 20.0})["stable"] == 50.0
    assert completed(STATE, {"stable": 50.0, "canary": 20.0})["v3"] == 30.0
    nobody = RolloutState("shop", split={"a": 100.0, "b": 0.0})
    assert completed(nobody, {"b": 25.0}) == {"a": 75.0, "b": 25.0}


def test_fitting_keeps_the_sum() -> None:
    """Without its heir the first version inherits."""
    assert fit(STATE.split, ["stable", "canary"], "stable")["stable"] == 90.0
    assert fit(STATE.split, ["v4", "canary"], "stable") == {"v4": 90.0, "canary": 10.0}


@pytest.mark.parametrize("weight", [0.0001, 0.0004, 0.0006, 33.33333])
def test_a_weight_finer_than_a_bucket_is_refused(weight: float) -> None:
    """It would be another one, or none, without a word."""
    with pytest.raises(SettingsError, match=r"finer than 0\.001"):
        completed(STATE, {"canary": weight})
