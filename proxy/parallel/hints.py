"""Which rule would hide a difference: counted while the values are at hand."""

from collections.abc import Mapping
from typing import Final

from proxy.parallel.matching import UUID, unix_time
from proxy.parallel.values import Difference, Kind

RELATIVE_STEPS: Final = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
TOLERANCE: Final = "tolerance "
MOST: Final = 0.9
"""The smallest tolerance that hides so many of the differences is named."""


def hint_of(difference: Difference) -> str:
    """Return the mildest rule that hides this difference; empty if none would."""
    left, right, kind = difference.left, difference.right, difference.kind
    if kind is Kind.ORDER:
        return "order: multiset"
    if kind in (Kind.MISSING, Kind.EXTRA):
        if left is None and right is None:
            return "null_equals_missing: true"
        return "extra_fields: allow" if kind is Kind.EXTRA else ""
    if kind is not Kind.VALUE:
        return ""
    if isinstance(left, str) and isinstance(right, str):
        return _text_hint(left, right)
    if _is_number(left) and _is_number(right):
        assert isinstance(left, int | float)
        assert isinstance(right, int | float)
        return _number_hint(left, right)
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text_hint(left: str, right: str) -> str:
    if UUID.fullmatch(left) and UUID.fullmatch(right):
        return "match: uuid"
    if unix_time(left) is not None and unix_time(right) is not None:
        return "match: timestamp"
    return ""


def _number_hint(left: float, right: float) -> str:
    if unix_time(left) is not None and unix_time(right) is not None:
        return "match: timestamp"
    try:
        share = abs(left - right) / max(abs(left), abs(right))
    except OverflowError:
        return ""
    for step in RELATIVE_STEPS:
        if share <= step:
            return f"{TOLERANCE}{step:g}"
    return ""


def best_hint(hints: Mapping[str, int], total: int) -> str | None:
    """
    Return the rule that hides most of ``total`` differences, with how many.

    Tolerances include one another: the smallest that hides nearly as much as
    any is named, as a relative one.
    """
    counts = {name: n for name, n in hints.items() if not name.startswith(TOLERANCE)}
    steps = sorted(
        (float(name.removeprefix(TOLERANCE)), n)
        for name, n in hints.items()
        if name.startswith(TOLERANCE)
    )
    hidden, within = 0, sum(n for _, n in steps)
    for step, n in steps:
        hidden += n
        if hidden >= MOST * within:
            counts[f"{TOLERANCE}{step:g}"] = hidden
            break
    if not counts:
        return None
    name = max(counts, key=lambda name: (counts[name], name))
    return f"{name} would hide {counts[name]} of {total}"
