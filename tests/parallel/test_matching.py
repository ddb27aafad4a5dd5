"""What a value may be instead of equal."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.parallel.matching import Matcher, unix_time

times = st.datetimes(
    min_value=datetime(1900, 1, 1),  # noqa: DTZ001 - the zone is drawn beside
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
)


@given(times, st.integers(-14 * 60, 14 * 60))
def test_times_are_read_as_the_calendar_has_them(
    moment: datetime, offset_min: int
) -> None:
    """RFC 3339 in any zone, exact to the microsecond; ``datetime`` is the oracle."""
    zone = timezone(timedelta(minutes=offset_min))
    moment = moment.replace(tzinfo=zone)

    read = unix_time(moment.isoformat())

    assert read == pytest.approx(moment.timestamp(), abs=1e-5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01", 0.0),
        ("1970-01-01T00:00", 0.0),
        ("1970-01-02T00:00:00+0000", 86_400.0),
        (1_790_000_000, 1.79e9),
        (1_790_000_000_000, 1.79e9),
        (1_790_000_000_000_000, 1.79e9),
        (42, None),
        (10**18, None),
        (True, None),
        (None, None),
        ("1970-13-01", None),
        ("1970-01-32", None),
        ("yesterday", None),
        ("x" * 5000, None),
        ([1], None),
    ],
)
def test_what_is_a_time(value: object, expected: float | None) -> None:
    """Dates, seconds, milliseconds and microseconds; small numbers are none."""
    assert unix_time(value) == expected


def test_forms() -> None:
    """Both sides must have the form; a skew bounds how far times may lie apart."""
    uuid = Matcher("uuid").compiled()
    digits = Matcher("[0-9]+").compiled()
    anytime = Matcher("timestamp").compiled()
    near = Matcher("timestamp", 2.0).compiled()
    now = datetime.now(UTC).timestamp()

    assert uuid(
        "c0ffee00-0000-4000-8000-000000000000",
        "C0FFEE" + "00-0000-4000-8000-" + "0" * 12,
    )
    assert not uuid("c0ffee00-0000-4000-8000-000000000000", "7")
    assert digits(12, "345")
    assert not digits("1", "x" * 5000)
    assert anytime(now, now + 1e6)
    assert near(now, now + 1.5)
    assert not near(now, now + 2.5)
    assert not near(now, "soon")
