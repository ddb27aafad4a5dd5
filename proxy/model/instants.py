"""Unix time as text; the pure packages import no clock and no calendar."""

DAY_S = 86_400
ERA_DAYS = 146_097
"""Days in 400 Gregorian years."""
EPOCH_SHIFT_DAYS = 719_468
"""From 0000-03-01 to 1970-01-01."""


def rfc3339(unix_s: float) -> str:
    """
    Return a time as RFC 3339 in UTC, whole seconds: ``2026-11-22T10:00:00Z``.

    Years 0 to 9999; the calendar is Howard Hinnant's ``civil_from_days``.
    """
    whole_s = int(unix_s // 1)
    days, second = divmod(whole_s, DAY_S)
    era, day_of_era = divmod(days + EPOCH_SHIFT_DAYS, ERA_DAYS)
    leaps = day_of_era // 1460 - day_of_era // 36_524 + day_of_era // 146_096
    year_of_era = (day_of_era - leaps) // 365
    day_of_year = day_of_era - (
        365 * year_of_era + year_of_era // 4 - year_of_era // 100
    )
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9  # noqa: PLR2004
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)  # noqa: PLR2004
    hour, rest = divmod(second, 3600)
    minute, second = divmod(rest, 60)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
