"""
Quantities as people write them: ``250ms``, ``64KiB``, ``5%``.

This module reads and writes the texts and nothing else; which setting takes
which quantity stands in the schema. A number without a unit is refused where a
unit belongs, because ``timeout: 5`` has meant milliseconds in half of the
field's tools and seconds in the other half.
"""

import re
from fractions import Fraction

OFF = "off"
"""How the absence of a limit is written."""

DURATION_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
DURATION_US_MAX = 366 * DURATION_UNITS_US["d"]
"""A year: nothing that Headgate waits for lasts longer, and floats stay exact."""

SIZE_UNITS = {
    "B": 1,
    "KB": 1000,
    "KiB": 1 << 10,
    "MB": 1000**2,
    "MiB": 1 << 20,
    "GB": 1000**3,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
SIZE_BYTES_MAX = 1 << 50
"""One PiB: larger than any body, smaller than any overflow."""

PERCENT_DIGITS = 6
"""Decimal places of a percentage that are kept: 0.000001 %."""

TEXT_CHARS_MAX = 64
"""No quantity is longer; a number of a thousand digits is never computed."""

_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_DURATION_PART = re.compile(rf"({_NUMBER})(us|ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER})\s?(B|[KMG]B|[KMGT]iB)", re.ASCII)
_PERCENT = re.compile(rf"({_NUMBER})\s?%", re.ASCII)
_PLAIN_NUMBER = re.compile(rf"[+-]?{_NUMBER}(?:[eE][+-]?[0-9]+)?", re.ASCII)


class QuantityError(ValueError):
    """A text that is no such quantity; ``str(error)`` says what was expected."""


def is_plain_number(text: str) -> bool:
    """Return whether ``text`` is a number without any unit."""
    return _PLAIN_NUMBER.fullmatch(text) is not None


def parse_number(text: str) -> float:
    """
    Return the number that ``text`` is.

    Raises:
        QuantityError: it is none, or it has a unit.
    """
    if not is_plain_number(text) or len(text) > TEXT_CHARS_MAX:
        raise QuantityError(f"{quote(text)} is not a number without a unit")
    return float(text)


def parse_duration(text: str) -> float:
    """
    Return the seconds that ``text`` names: ``250ms``, ``1.5s``, ``1h30m``.

    Exact to the microsecond, at most 366 days.

    Raises:
        QuantityError: no unit, an unknown unit, or out of range.
    """
    total_us = Fraction(0)
    end = 0
    if len(text) <= TEXT_CHARS_MAX:
        while part := _DURATION_PART.match(text, end):
            total_us += Fraction(part[1]) * DURATION_UNITS_US[part[2]]
            end = part.end()
    if end == 0 or end != len(text):
        raise QuantityError(_expected(text, "a duration such as 250ms, 60s or 30m"))
    if total_us > DURATION_US_MAX:
        raise QuantityError(f"{text} is too long, at most 366d")
    if total_us.denominator != 1:
        raise QuantityError(f"{text} is finer than a microsecond")
    return int(total_us) / 1_000_000


def format_duration(duration_s: float) -> str:
    """
    Return the text, as people write it, whose ``parse_duration`` is ``duration_s``.

    60 is ``60s`` and 86400 is ``24h``: one of the next unit is written out.
    """
    duration_us = round(duration_s * 1_000_000)
    for unit, fewest in (("d", 2), ("h", 1), ("m", 2), ("s", 1), ("ms", 1)):
        count, rest = divmod(duration_us, DURATION_UNITS_US[unit])
        if count >= fewest and not rest:
            return f"{count}{unit}"
    return f"{duration_us}us" if duration_us else "0s"


def parse_size(text: str) -> int:
    """
    Return the bytes that ``text`` names: ``512B``, ``64KiB``, ``1MB``.

    Raises:
        QuantityError: no unit, an unknown unit, no whole bytes, out of range.
    """
    found = _SIZE.fullmatch(text) if len(text) <= TEXT_CHARS_MAX else None
    if found is None:
        raise QuantityError(_expected(text, "a size such as 512B, 64KiB or 1MiB"))
    size_bytes = Fraction(found[1]) * SIZE_UNITS[found[2]]
    if size_bytes.denominator != 1:
        raise QuantityError(f"{text} is no whole number of bytes")
    if size_bytes > SIZE_BYTES_MAX:
        raise QuantityError(f"{text} is too large, at most 1024TiB")
    return int(size_bytes)


def format_size(size_bytes: int) -> str:
    """Return the shortest text whose ``parse_size`` is ``size_bytes``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % SIZE_UNITS[unit] == 0:
            return f"{size_bytes // SIZE_UNITS[unit]}{unit}"
    return f"{size_bytes}B"


def parse_percent(text: str, *, plain: bool = False) -> float:
    """
    Return the percentage (0 to 100) that ``text`` names: ``5%``, ``0.05%``.

    Args:
        text: what was written.
        plain: whether a number without ``%`` is a percentage too.

    Raises:
        QuantityError: no ``%``, out of range, or finer than 0.000001 %.
    """
    found = _PERCENT.fullmatch(text) if len(text) <= TEXT_CHARS_MAX else None
    digits = found[1] if found else None
    if digits is None and plain and len(text) <= TEXT_CHARS_MAX:
        digits = text if re.fullmatch(_NUMBER, text, re.ASCII) else None
    if digits is None:
        raise QuantityError(_expected(text, "a percentage such as 5%"))
    percent = Fraction(digits)
    if percent > 100:  # noqa: PLR2004
        raise QuantityError(f"{text} is more than 100%")
    if (percent * 10**PERCENT_DIGITS).denominator != 1:
        raise QuantityError(f"{text} is finer than 0.000001%")
    return float(percent)


def format_percent(percent: float) -> str:
    """Return the shortest text whose ``parse_percent`` is ``percent``."""
    return f"{percent:.{PERCENT_DIGITS}f}".rstrip("0").rstrip(".") + "%"


def quote(text: str) -> str:
    """Return ``text`` in double quotes, cut to what fits on a line."""
    shown = text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
    return '"' + shown.translate(_CONTROL_CHARS) + '"'


_CONTROL_CHARS = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))},
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
"""A message stays on its line and never reaches a terminal's escape codes."""


def _expected(text: str, what: str) -> str:
    if is_plain_number(text[:TEXT_CHARS_MAX]) and not text.startswith("-"):
        return f"{text[:TEXT_CHARS_MAX]} has no unit, expected {what}"
    return f"{quote(text)} is not {what}"
