"""
What a value may be instead of equal: a UUID, a time, a text of a given form.

A matcher looks at both sides. It says ``None`` where a side does not have the
form, else whether the two agree, which for most forms is always.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{1,9})?)?"
    r"\s?([Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
VALUE_CHARS_MAX = 4_096
"""A longer text has no form: a user's expression must not run over a megabyte."""

EPOCH_S_MIN = 1e8
EPOCH_MS_MIN = 1e11
EPOCH_US_MIN = 1e14
"""Numbers from here on are seconds, milliseconds, microseconds since 1970
(1973 and later); smaller ones are no times."""
EPOCH_US_MAX = 1e17
DAY_S = 86_400
MONTHS = 12
DAYS_MAX = 31


@dataclass(frozen=True, slots=True)
class Matcher:
    """A form both sides must have; ``skew_s`` is how far two times may lie apart."""

    form: str
    """``uuid``, ``timestamp`` or a regular expression."""
    skew_s: float | None = None

    def compiled(self) -> Callable[[object, object], bool]:
        """Return whether two values of the same type agree in this form."""
        if self.form == "timestamp":
            return self._timestamps
        pattern = UUID if self.form == "uuid" else re.compile(self.form)

        def both(left: object, right: object) -> bool:
            return all(_fits(pattern, value) for value in (left, right))

        return both

    def _timestamps(self, left: object, right: object) -> bool:
        left_s, right_s = unix_time(left), unix_time(right)
        if left_s is None or right_s is None:
            return False
        return self.skew_s is None or abs(left_s - right_s) <= self.skew_s


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    text = value if isinstance(value, str) else str(value)
    return len(text) <= VALUE_CHARS_MAX and pattern.fullmatch(text) is not None


def unix_time(value: object) -> float | None:
    """
    Return a value as Unix time in seconds; ``None`` if it is no time.

    Understood are ISO 8601 as RFC 3339 has it (a date alone, no zone: UTC) and
    numbers of seconds, milliseconds or microseconds since 1970.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _epoch(float(value)) if abs(value) < EPOCH_US_MAX else None
    if not isinstance(value, str) or len(value) > VALUE_CHARS_MAX:
        return None
    match = _TIME.fullmatch(value)
    return None if match is None else _calendar(match)


def _epoch(number: float) -> float | None:
    for least, unit in ((EPOCH_US_MIN, 1e6), (EPOCH_MS_MIN, 1e3), (EPOCH_S_MIN, 1.0)):
        if number >= least:
            return number / unit
    return None


def _calendar(match: re.Match[str]) -> float | None:
    """Return the Unix time of a match of ``_TIME`` (Hinnant's days_from_civil)."""
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if not (1 <= month <= MONTHS and 1 <= day <= DAYS_MAX):
        return None
    shifted = year - (month <= 2)  # noqa: PLR2004
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = (
        era * 146_097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + day_of_year
        - 719_468
    )
    second = int(match[4] or 0) * 3600 + int(match[5] or 0) * 60 + int(match[6] or 0)
    zone = match[8] or "Z"
    if zone not in "Zz":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        second -= offset if zone[0] == "+" else -offset
    return days * DAY_S + second + float(match[7] or 0)
