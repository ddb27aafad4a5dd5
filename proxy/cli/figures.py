"""
Numbers as a person reads them; ``-`` where there is no data.

Decides digits and units only.
"""

MISSING = "-"
_MS_BELOW_S = 1.0
_THREE_DIGITS_FROM = 100


def percent(share: float | None) -> str:
    """Return a share that is in percent already: ``40 %``, ``0.001 %``."""
    return MISSING if share is None else f"{share:.6g} %"


def fraction(value: float | None) -> str:
    """Return a fraction as a percentage of two decimals: ``0.51 %``."""
    return MISSING if value is None else f"{value * 100:.2f} %"


def duration(value_s: float | None) -> str:
    """Return a latency: ``3.21 ms``, ``212 ms``, ``1.20 s``."""
    if value_s is None:
        return MISSING
    if value_s >= _MS_BELOW_S:
        return f"{value_s:.2f} s"
    value_ms = value_s * 1000
    return (
        f"{value_ms:.0f} ms" if value_ms >= _THREE_DIGITS_FROM else f"{value_ms:.3g} ms"
    )


def rate(value_per_s: float | None) -> str:
    """Return a rate: ``12.3/s``, ``4210/s``."""
    if value_per_s is None:
        return MISSING
    digits = 0 if value_per_s >= _THREE_DIGITS_FROM else 1
    return f"{value_per_s:.{digits}f}/s"


def number(value: float | None) -> str:
    """Return any other figure with four significant digits."""
    return MISSING if value is None else f"{value:.4g}"


def word(value: object) -> str:
    """Return a text of the API, ``-`` if it is empty or absent."""
    return MISSING if value in (None, "") else str(value)
