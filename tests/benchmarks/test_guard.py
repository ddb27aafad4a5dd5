"""The guard of the hot path: what it lets pass, and what it does not."""

import json

import guard
import pytest

RECORDED = {"python": "3.11", "ratios": {"get": 3.0, "close": 4.0}}


@pytest.mark.parametrize("get", [1.0, 3.0, 3.0 * guard.MORE_MAX - 0.01])
def test_what_costs_no_more_passes(get: float) -> None:
    """Cheaper is always welcome, and a little dearer is nobody's fault."""
    lines, failed = guard.compare(RECORDED, {"get": get, "close": 4.0}, "3.11")

    assert not failed
    assert [line.endswith("ok") for line in lines[1:]] == [True, True]


def test_what_became_dearer_fails_by_name() -> None:
    """One shape over the bound is enough, however cheap the others became."""
    ratios = {"get": 1.0, "close": 4.0 * guard.MORE_MAX + 0.01}

    lines, failed = guard.compare(RECORDED, ratios, "3.11")

    assert failed
    assert [line.split()[0] for line in lines if "too many" in line] == ["close"]


def test_another_python_has_wider_bounds() -> None:
    """Its parts weigh differently: only what is far off is a regression."""
    ratios = {"get": 3.0 * guard.MORE_MAX + 0.01, "close": 4.0}

    _, failed = guard.compare(RECORDED, ratios, "3.13")
    _, far_off = guard.compare(RECORDED, {"get": 6.0, "close": 4.0}, "3.13")

    assert not failed
    assert far_off


def test_every_shape_is_recorded() -> None:
    """A shape without a record would never fail."""
    recorded = json.loads(guard.RECORDED.read_text())

    assert set(recorded["ratios"]) == set(guard.SHAPES)
