"""Which rule would hide a difference, and which of several is named."""

import pytest

from proxy.parallel.hints import best_hint, hint_of
from proxy.parallel.values import Difference, Kind

UUIDS = ("c0ffee00-0000-4000-8000-000000000000", "c0ffee00-0000-4000-8000-000000000001")


@pytest.mark.parametrize(
    ("kind", "left", "right", "hint"),
    [
        (Kind.ORDER, None, None, "order: multiset"),
        (Kind.EXTRA, None, 1, "extra_fields: allow"),
        (Kind.EXTRA, None, None, "null_equals_missing: true"),
        (Kind.MISSING, 1, None, ""),
        (Kind.MISSING, None, None, "null_equals_missing: true"),
        (Kind.TYPE, 1, "1", ""),
        (Kind.VALUE, *UUIDS, "match: uuid"),
        (
            Kind.VALUE,
            "2026-11-22T10:00:00Z",
            "2026-11-22T10:00:01Z",
            "match: timestamp",
        ),
        (Kind.VALUE, 1_790_000_000, 1_790_000_005, "match: timestamp"),
        (Kind.VALUE, "a", "b", ""),
        (Kind.VALUE, 100.0, 100.9, "tolerance 0.01"),
        (Kind.VALUE, 1.0, 2.0, ""),
        (Kind.VALUE, True, False, ""),
        (Kind.VALUE, 10**400, 1.5, ""),
        (Kind.VALUE, 1, "1", ""),
    ],
)
def test_the_mildest_rule_that_hides_it(
    kind: Kind, left: object, right: object, hint: str
) -> None:
    """A form for what has one, a tolerance for what is near, nothing otherwise."""
    assert hint_of(Difference("$.a", kind, left, right)) == hint


def test_the_rule_that_hides_most_is_named() -> None:
    """Tolerances include one another; the smallest that does nearly all is enough."""
    steps = {"tolerance 0.001": 5, "tolerance 0.01": 90, "tolerance 0.1": 2}

    assert best_hint(steps, 100) == "tolerance 0.01 would hide 95 of 100"
    assert best_hint({"match: uuid": 9, **steps}, 120) == (
        "tolerance 0.01 would hide 95 of 120"
    )
    assert best_hint({"match: uuid": 3}, 3) == "match: uuid would hide 3 of 3"
    assert best_hint({}, 7) is None
