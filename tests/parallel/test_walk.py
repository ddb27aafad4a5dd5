"""The walk over two JSON values."""

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.parallel.matching import Matcher
from proxy.parallel.rules import Forest, Rules, Tolerance, is_name
from proxy.parallel.values import Kind
from proxy.parallel.walk import Walk

LOOKS_MAX = 14.0
"""Comparing two documents, in times of parsing both and looking at each value: 3 to 5
were seen, which is 5 to 6 ms, and 9 where branches are measured beside other work."""

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
documents = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=6), inner)
    ),
    max_leaves=25,
)
rule_sets = st.sampled_from(
    [
        Rules(),
        Rules(ignore=("$..a",), order=(("$", "multiset"),)),
        Rules(skip=("$.*",), extra_allowed=True, null_is_missing=True),
        Rules(tolerance=(("$..b", Tolerance(0.5)),), order=(("$.a", "key:b"),)),
        Rules(match=(("$.a", Matcher("[a-z]*")),), order=(("$..a", "multiset"),)),
    ]
)


def differences(
    left: object, right: object, rules: Rules | None = None
) -> set[tuple[str, str]]:
    """Return the paths and kinds of a comparison."""
    rules = rules or Rules()
    walk = Walk(rules)
    walk.compare(Forest(rules).root, left, right)
    return {(path, kind.value) for path, kind in walk.found}


@given(documents, rule_sets.filter(lambda rules: not rules.match))
def test_nothing_differs_from_itself(document: object, rules: Rules) -> None:
    """``diff(a, a)`` is empty, whatever the rules (but for a form it lacks)."""
    assert differences(document, document, rules) == set()


@given(documents, documents)
def test_sides_may_be_exchanged(left: object, right: object) -> None:
    """Exchanged sides differ at the same paths, with missing and extra exchanged."""
    mirrored = {"missing": "extra", "extra": "missing"}

    forward = differences(left, right)
    backward = differences(right, left)

    assert {(path, mirrored.get(kind, kind)) for path, kind in backward} == forward


@given(documents, documents)
def test_what_does_not_differ_is_equal(left: object, right: object) -> None:
    """Without rules, no difference means the same JSON (floats within 1e-9)."""
    if not differences(left, right):
        assert _loose(left) == _loose(right)


def _loose(value: object) -> object:
    if isinstance(value, bool) or value is None:
        return ("is", str(value))
    if isinstance(value, float) and value != value:  # noqa: PLR0124
        return "nan"
    if isinstance(value, int | float):
        return pytest.approx(value, rel=2e-9) if abs(value) < 1e300 else value
    if isinstance(value, list):
        return [_loose(one) for one in value]
    if isinstance(value, dict):
        return {key: _loose(one) for key, one in value.items()}
    return value


@given(st.lists(documents, max_size=6), st.randoms(use_true_random=False))
def test_a_multiset_has_no_order(items: list[object], chance: random.Random) -> None:
    """Shuffled items are the same multiset, and one ``order`` without the rule."""
    shuffled = items[:]
    chance.shuffle(shuffled)
    rules = Rules(order=(("$", "multiset"),))

    assert differences(items, shuffled, rules) == set()
    assert differences(items, shuffled) in (set(), {("$", "order")})


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, set()),
        ({"a": 1}, {"a": "1"}, {("$.a", "type")}),
        ({"a": 1}, {"a": True}, {("$.a", "type")}),
        ({"a": 0}, {"a": False}, {("$.a", "type")}),
        ({"a": None}, {}, {("$.a", "missing")}),
        ({}, {"a": 1}, {("$.a", "extra")}),
        ([1, 2], [2, 1], {("$", "order")}),
        ([1, 2], [1], {("$", "length")}),
        ([1, 2], [1, 3], {("$[]", "value")}),
        (10**400, 1.5, {("$", "value")}),
        (12345678901234567, 12345678901234568, {("$", "value")}),
        (0.1 + 0.2, 0.3, set()),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": 2}]}}, {("$.a.b[].c", "value")}),
    ],
)
def test_what_differs(left: Any, right: Any, expected: set[Any]) -> None:  # noqa: ANN401
    """Types count, 1 equals 1.0, whole numbers are exact, order is its own kind."""
    assert differences(left, right) == expected


@pytest.mark.parametrize(
    ("rules", "left", "right", "expected"),
    [
        (Rules(ignore=("$.a",)), {"a": 1}, {"a": 2}, set()),
        (Rules(ignore=("$.a",)), {"a": 1}, {"a": "2"}, {("$.a", "type")}),
        (Rules(ignore=("$.a",)), {"a": 1}, {}, {("$.a", "missing")}),
        (Rules(skip=("$.a",)), {"a": 1}, {}, set()),
        (Rules(skip=("$.a",)), {"a": {"b": 1}}, {"a": "x"}, set()),
        (Rules(extra_allowed=True), {}, {"a": 1}, set()),
        (Rules(extra_allowed=True), {"a": 1}, {}, {("$.a", "missing")}),
        (Rules(null_is_missing=True), {"a": None}, {}, set()),
        (Rules(tolerance=(("$.a", Tolerance(0.01)),)), {"a": 1}, {"a": 1.009}, set()),
        (
            Rules(tolerance=(("$.a", Tolerance(0.01)),)),
            {"a": 1},
            {"a": 1.02},
            {("$.a", "value")},
        ),
        (
            Rules(order=(("$", "key:id"),)),
            [{"id": 1, "p": 1}, {"id": 2, "p": 2}],
            [{"id": 2, "p": 2}, {"id": 1, "p": 3}],
            {("$[].p", "value")},
        ),
        (
            Rules(order=(("$", "key:id"),)),
            [{"id": 1}],
            [{"id": 2}],
            {("$[]", "missing"), ("$[]", "extra")},
        ),
        (
            Rules(match=(("$.t", Matcher("timestamp", 5.0)),)),
            {"t": "2026-11-22T10:00:00Z"},
            {"t": "2026-11-22T11:00:04+01:00"},
            set(),
        ),
        (
            Rules(match=(("$.t", Matcher("timestamp", 5.0)),)),
            {"t": "2026-11-22T10:00:00Z"},
            {"t": "2026-11-22T10:00:06Z"},
            {("$.t", "value")},
        ),
    ],
)
def test_rules(
    rules: Rules,
    left: Any,  # noqa: ANN401
    right: Any,  # noqa: ANN401
    expected: set[Any],
) -> None:
    """Each rule hides what it says, and no more."""
    assert differences(left, right, rules) == expected


def test_a_tolerance_inside_a_multiset_still_holds() -> None:
    """Items are paired by what rules leave of them, and then compared."""
    rules = Rules(
        order=(("$", "multiset"),), tolerance=(("$[].p", Tolerance(relative=0.01)),)
    )
    left = [{"id": 1, "p": 100}, {"id": 2, "p": 50}]

    near = differences(left, [{"id": 2, "p": 50.2}, {"id": 1, "p": 100.5}], rules)
    far = differences(left, [{"id": 2, "p": 50.2}, {"id": 1, "p": 150}], rules)

    assert near == set()
    assert far == {("$[].p", "value")}


def test_an_ignored_field_does_not_hide_an_order() -> None:
    """Items that differ in an ignored field only are shuffled, not different."""
    rules = Rules(ignore=("$[].t",))
    left = [{"id": 1, "t": 1}, {"id": 2, "t": 2}]
    right = [{"id": 2, "t": 3}, {"id": 1, "t": 4}]

    assert differences(left, right, rules) == {("$", "order")}


@pytest.mark.parametrize("rule", ["exact", "multiset"])
def test_a_change_in_a_shuffled_list_is_found(rule: str) -> None:
    """What moved is one order; the price that changed is named, and nothing else."""
    left = [{"sku": n, "name": f"n{n}", "price": 10 + n, "t": n} for n in range(9)]
    right = [{**one, "t": 0} for one in left]
    right[3]["price"] = right[5]["price"] = 1
    random.Random(4).shuffle(right)  # noqa: S311
    rules = Rules(ignore=("$[].t",), order=(("$", rule),))

    found = differences(left, right, rules)

    assert found - {("$", "order")} == {("$[].price", "value")}
    assert (("$", "order") in found) is (rule == "exact")


def test_another_list_is_no_order() -> None:
    """Where most items are in one list only, they differ, item by item."""
    left = [{"a": n} for n in range(6)]
    right = [{"a": n} for n in (9, 8, 7, 6, 1, 0)]

    assert differences(left, right) == {("$[].a", "value")}


def test_ids_as_keys_are_one_path() -> None:
    """An object keyed by ids is a map: its paths do not grow with its entries."""
    left = {"users": {f"{n:08d}": {"age": n} for n in range(100)}}
    right = {"users": {f"{n:08d}": {"age": n + 1} for n in range(100)}}

    assert differences(left, right) == {("$.users.*.age", "value")}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("price", True),
        ("first-name", True),
        ("@type", True),
        ("user_1", True),
        ("4711", False),
        ("a b", False),
        ("", False),
        ("user123456", False),
        ("5f4dcc3b5aa765d61d8327deb882cf99", False),
        ("c0ffee00-0000-4000-8000-000000000000", False),
    ],
)
def test_names_and_ids(key: str, name: bool) -> None:  # noqa: FBT001
    """A name is what a programmer chose; a number, UUID or digest is an id."""
    assert is_name(key) is name


def test_depth_is_bounded() -> None:
    """Below the depth that is walked, values are compared as a whole."""
    left: object = 1
    right: object = 2
    for _ in range(150):
        left, right = [left], [right]

    assert {kind for _, kind in differences(left, right)} == {"value"}


def _order(seed: int, factor: float) -> dict[str, Any]:
    chance = random.Random(seed)  # noqa: S311
    items = [
        {
            "id": n,
            "sku": f"sku-{n:06}",
            "name": f"Item number {n}",
            "price": round(chance.random() * 100 * factor, 2),
            "stock": chance.randrange(99),
            "tags": ["a", "b"],
        }
        for n in range(200)
    ]
    return {"id": "x", "total": 1.5, "items": items}


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_large_document_compares_quickly(shuffle: bool) -> None:  # noqa: FBT001
    """20 KiB with 200 items, all changed: a few times what a bare look costs."""
    changed = _order(1, 1.01)
    if shuffle:
        random.Random(2).shuffle(changed["items"])  # noqa: S311
    left, right = json.dumps(_order(1, 1.0)), json.dumps(changed)
    rules = Rules()
    forest = Forest(rules)
    compare_s, look_s = [], []
    walk = Walk(rules)
    for _ in range(20):
        began_s = time.process_time()
        walk.found = {}
        walk.compare(forest.root, json.loads(left), json.loads(right))
        compared_s = time.process_time()
        _nodes(json.loads(left)), _nodes(json.loads(right))
        compare_s.append(compared_s - began_s)
        look_s.append(time.process_time() - compared_s)

    assert len(left) > 20_000
    assert ("$.items[].price", Kind.VALUE) in walk.found
    assert min(compare_s) <= LOOKS_MAX * min(look_s)


def _nodes(value: object) -> int:
    """Look at each value once, as the cheapest comparing would have to."""
    match value:
        case dict():
            return 1 + sum(map(_nodes, value.values()))
        case list():
            return 1 + sum(map(_nodes, value))
        case _:
            return 1
