"""Quantities: what is written is what is read, and nothing else is accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import units


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("250ms", 0.25),
        ("60s", 60.0),
        ("1.5s", 1.5),
        ("30m", 1800.0),
        ("24h", 86_400.0),
        ("1h30m", 5400.0),
        ("0s", 0.0),
        (".5s", 0.5),
        ("10us", 0.00001),
    ],
)
def test_durations_carry_their_unit(text: str, duration_s: float) -> None:
    """Every unit of the contract is read, also in sums."""
    assert units.parse_duration(text) == duration_s


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("60", "60 has no unit, expected a duration such as 250ms, 60s or 30m"),
        ("s", '"s" is not a duration such as 250ms, 60s or 30m'),
        ("-1s", '"-1s" is not a duration such as 250ms, 60s or 30m'),
        ("1 s", '"1 s" is not a duration such as 250ms, 60s or 30m'),
        ("0.1us", "0.1us is finer than a microsecond"),
        ("367d", "367d is too long, at most 366d"),
        ("\u0661s", '"\u0661s" is not a duration such as 250ms, 60s or 30m'),
    ],
)
def test_other_durations_are_refused_with_the_expected_form(
    text: str, message: str
) -> None:
    """The message names the value and says what was expected."""
    with pytest.raises(units.QuantityError) as caught:
        units.parse_duration(text)

    assert str(caught.value) == message


@given(st.integers(0, units.DURATION_US_MAX))
def test_durations_survive_being_written(duration_us: int) -> None:
    """Reading what was written gives the same seconds, to the microsecond."""
    duration_s = duration_us / 1_000_000

    assert units.parse_duration(units.format_duration(duration_s)) == duration_s


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(60.0, "60s"), (1800.0, "30m"), (86_400.0, "24h"), (0.0, "0s"), (0.25, "250ms")],
)
def test_durations_are_written_as_people_do(duration_s: float, text: str) -> None:
    """A single minute or day is written in the smaller unit, as in the contract."""
    assert units.format_duration(duration_s) == text


@given(st.integers(0, units.SIZE_BYTES_MAX))
def test_sizes_survive_being_written(size_bytes: int) -> None:
    """Reading what was written gives the same bytes."""
    assert units.parse_size(units.format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("512B", 512), ("64KiB", 65_536), ("1.5MiB", 1_572_864), ("1MB", 1_000_000)],
)
def test_sizes_tell_powers_of_two_from_powers_of_ten(
    text: str, size_bytes: int
) -> None:
    """``KiB`` is 1024 bytes and ``KB`` is 1000."""
    assert units.parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["64", "64kib", "0.3B", "1025TiB", "", "1" * 80])
def test_other_sizes_are_refused(text: str) -> None:
    """No unit, unknown units, parts of a byte and absurd sizes are mistakes."""
    with pytest.raises(units.QuantityError):
        units.parse_size(text)


@given(st.integers(0, 100_000_000))
def test_percentages_survive_being_written(millionths: int) -> None:
    """Reading what was written gives the same percentage, to 0.000001 %."""
    percent = millionths / 1_000_000

    assert units.parse_percent(units.format_percent(percent)) == percent


def test_a_percentage_needs_its_sign_unless_plain_numbers_are_allowed() -> None:
    """``5`` is a percentage only where the caller says so."""
    assert units.parse_percent("5", plain=True) == 5.0
    with pytest.raises(units.QuantityError):
        units.parse_percent("5")


@given(st.text())
def test_any_text_is_a_quantity_or_refused_in_one_line(text: str) -> None:
    """No text makes a reader fail in another way, or a message of two lines."""
    for read in (units.parse_duration, units.parse_size, units.parse_percent):
        message = "fine"
        try:
            read(text)
        except units.QuantityError as error:
            message = str(error)
        assert len(message.splitlines()) == 1
