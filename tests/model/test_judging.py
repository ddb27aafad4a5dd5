"""What may be asked of the judge."""

from typing import Any

import pytest

from proxy.model.judging import DEFAULT_GUARD, JudgePlan, Slo


@pytest.mark.parametrize(
    ("metric", "asked", "why"),
    [
        ("error_rate", {}, "exactly one of max"),
        ("error_rate", {"max": 0.01, "max_ratio": 1.25}, "exactly one of max"),
        ("orders", {"max": 0.01, "min_ratio": 0.9}, "exactly one of max"),
        ("error_rate", {"min_ratio": 0.9}, "min_ratio is for named counters"),
        ("latency", {"quantile": 0.99, "min_ratio": 0.9}, "named counters"),
        ("error_rate", {"max": -0.1}, "max is -0.1"),
        ("error_rate", {"max_delta": float("nan")}, "max_delta is nan"),
        ("latency", {"max": 0.5}, "quantile is None"),
        ("ttfb", {"quantile": 99, "max": 0.5}, "quantile is 99"),
        ("latency", {"quantile": 1.0, "max": 0.5}, "quantile is 1.0"),
        ("error_rate", {"quantile": 0.5, "max": 0.1}, "a rate has no quantile"),
        ("error_rate", {"max": 0.1, "codes": ("bad",)}, "codes has 'bad'"),
        ("error_rate", {"max": 0.1, "codes": "5xx"}, "codes has '5'"),
        ("error_rate", {"max": 0.1, "codes": (500,)}, "codes has 500"),
    ],
)
def test_what_cannot_be_judged_cannot_be_asked(
    metric: str, asked: dict[str, Any], why: str
) -> None:
    """One sentence says which SLO, what is wrong and what was expected."""
    with pytest.raises(ValueError, match=why) as error:
        Slo(metric, **asked)

    assert str(error.value).startswith(f"SLO {metric}: ")


@pytest.mark.parametrize("name", ["alpha", "alpha_tolerance"])
@pytest.mark.parametrize("chance", [0.0, 1.0, -1.0, float("nan")])
def test_an_alpha_is_a_chance(name: str, chance: float) -> None:
    """Neither never nor always."""
    with pytest.raises(ValueError, match=f"{name} is {chance}"):
        JudgePlan((DEFAULT_GUARD,), **{name: chance})  # type: ignore[arg-type]


def test_any_sequence_of_slos_is_taken() -> None:
    """A list is as good as a tuple."""
    assert JudgePlan([DEFAULT_GUARD]) == JudgePlan((DEFAULT_GUARD,))  # type: ignore[arg-type]
