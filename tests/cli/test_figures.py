"""Numbers as a person reads them."""

import pytest

from proxy.cli import figures


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (0.00321, "3.21 ms"),
        (0.0999, "99.9 ms"),
        (0.212, "212 ms"),
        (0.9996, "1000 ms"),
        (1.0, "1.00 s"),
        (12.345, "12.35 s"),
    ],
)
def test_durations_have_a_fitting_unit(value_s: float | None, text: str) -> None:
    """Three digits say enough of a latency."""
    assert figures.duration(value_s) == text


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (figures.percent(40), "40 %"),
        (figures.percent(99.999), "99.999 %"),
        (figures.percent(None), "-"),
        (figures.fraction(0.00512), "0.51 %"),
        (figures.fraction(None), "-"),
        (figures.rate(12.34), "12.3/s"),
        (figures.rate(4210.4), "4210/s"),
        (figures.rate(None), "-"),
        (figures.number(1.0401), "1.04"),
        (figures.number(None), "-"),
        (figures.word(""), "-"),
        (figures.word(0), "0"),
    ],
)
def test_figures_are_short_and_absent_ones_a_dash(shown: str, text: str) -> None:
    """What is unknown is never shown as zero."""
    assert shown == text
