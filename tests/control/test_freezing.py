"""Freeze windows: by the wall clock of their place."""

from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.control.freezing import window_at
from proxy.settings.schema import FreezeSettings


def holds(when: str, **window: Any) -> bool:  # noqa: ANN401 -- as the file
    """Tell whether a window holds at an instant of UTC."""
    settings = FreezeSettings.model_validate(window)
    instant = datetime.fromisoformat(when).replace(tzinfo=UTC)
    return bool(window_at([settings], instant.timestamp()))


FRIDAY = {"days": ["fri"], "from": "16:00", "to": "23:59", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("when", "frozen"),
    [
        ("2026-11-20T14:59:59", False),
        ("2026-11-20T15:00:00", True),
        ("2026-11-20T22:58:59", True),
        ("2026-11-20T22:59:00", False),
        ("2026-11-19T16:00:00", False),
        ("2026-07-03T14:00:00", True),
    ],
)
def test_days_and_times_of_a_place(when: str, *, frozen: bool) -> None:
    """Berlin is one hour ahead in winter and two in summer."""
    assert holds(when, **FRIDAY) is frozen


@pytest.mark.parametrize(
    ("when", "frozen"),
    [
        ("2026-11-20T21:00:00", False),
        ("2026-11-20T22:00:00", True),
        ("2026-11-21T05:59:00", True),
        ("2026-11-21T06:00:00", False),
        ("2026-11-21T23:00:00", False),
    ],
)
def test_a_window_lasts_past_midnight(when: str, *, frozen: bool) -> None:
    """It belongs to the day on which it begins."""
    window = {"days": ["fri"], "from": "22:00", "to": "06:00"}
    assert holds(when, **window) is frozen


def test_a_window_without_times_is_the_whole_day() -> None:
    """``{days: [sat, sun]}`` is the weekend."""
    window = {"days": ["sat", "sun"]}
    assert holds("2026-11-21T00:00:00", **window)
    assert holds("2026-11-22T23:59:59", **window)
    assert not holds("2026-11-23T00:00:00", **window)


def test_dates_are_whole_days_there() -> None:
    """From the first to the last, both included."""
    window = {"from": "2026-12-20", "to": "2027-01-02", "timezone": "Asia/Tokyo"}
    assert not holds("2026-12-19T14:59:59", **window)
    assert holds("2026-12-19T15:00:00", **window)
    assert holds("2027-01-02T14:59:59", **window)
    assert not holds("2027-01-02T15:00:00", **window)


def test_the_reason_or_the_window_is_named() -> None:
    """What people read when a start is refused."""
    window = FreezeSettings.model_validate(FRIDAY)
    named = FreezeSettings.model_validate({**FRIDAY, "reason": "weekend"})
    now_s = datetime(2026, 11, 20, 16, tzinfo=UTC).timestamp()
    assert window_at([window], now_s) == "fri 16:00 to 23:59 Europe/Berlin"
    assert window_at([named], now_s) == "weekend"
    assert window_at([], now_s) == ""
