"""
Whether a freeze window of the file holds at a moment, by the clock of its place.

Pure but for the time zones, which Python reads from the system. A window of
times begins on its days and may last past midnight; a window of dates lasts
whole days. Clock changes need no care: only the wall clock there is compared.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from proxy.settings.schema import FreezeSettings

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As ``date.weekday`` counts them."""

TIME_CHARS = len("16:00")


def window_at(windows: Iterable[FreezeSettings], now_s: float) -> str:
    """Return the first window that holds at Unix time ``now_s``, else ``""``."""
    instant = datetime.fromtimestamp(now_s, UTC)
    for window in windows:
        if _holds(window, instant.astimezone(ZoneInfo(window.timezone))):
            return window.reason or text_of(window)
    return ""


def text_of(window: FreezeSettings) -> str:
    """Return a window in words."""
    days = f"{', '.join(window.days)} " if window.days else ""
    return f"{days}{window.from_} to {window.to} {window.timezone}"


def _holds(window: FreezeSettings, there: datetime) -> bool:
    if len(window.from_) != TIME_CHARS:
        first, last = date.fromisoformat(window.from_), date.fromisoformat(window.to)
        return first <= there.date() <= last
    begin, end = time.fromisoformat(window.from_), time.fromisoformat(window.to)
    clock, today = there.time(), there.date()
    if begin < end:
        return begin <= clock < end and _meant(window, today)
    if clock >= begin:
        return _meant(window, today)
    return clock < end and _meant(window, today - timedelta(days=1))


def _meant(window: FreezeSettings, day: date) -> bool:
    return not window.days or DAYS[day.weekday()] in window.days
