"""
The walk over two JSON values: what differs, and at which path.

Types count (a number is no boolean, ``"1"`` no ``1``), but ``1`` equals
``1.0``; whole numbers are equal exactly, others within a relative 1e-9 unless a
rule says otherwise. A path and kind is noted once, with the first values seen:
a list of 200 items that all differ is one observation.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

from proxy.parallel.paths import ANY_KEY, ITEM
from proxy.parallel.rules import BY_KEY, EXACT, MULTISET, Node, Rules, is_map
from proxy.parallel.values import Difference, Kind

DEPTH_MAX: Final = 100
"""Levels that are walked; what lies deeper is compared as a whole."""
RELATIVE: Final = 1e-9
"""What two ways of computing one float may differ by."""

_NAMES: Final = {
    dict: "object",
    list: "array",
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}

_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

Found = dict[tuple[str, Kind], Difference]


def json_type(value: object) -> str:
    """Return the JSON type of a parsed value."""
    return _NAMES[type(value)]


def canonical(value: object) -> str:
    """Return a text that is the same for equal values."""
    return _ENCODER.encode(value)


class Walk:
    """One comparison under some rules; ``found`` holds what differs."""

    __slots__ = ("_extra_allowed", "_null_is_missing", "found")

    def __init__(self, rules: Rules) -> None:
        self._extra_allowed = rules.extra_allowed
        self._null_is_missing = rules.null_is_missing
        self.found: Found = {}

    def compare(self, node: Node, left: object, right: object, depth: int = 0) -> None:
        """Note how ``right`` differs from ``left`` at ``node`` and below."""
        if node.skip:
            return
        kind = type(left)
        if kind is not type(right) and json_type(left) != json_type(right):
            self._note(node, Kind.TYPE, left, right)
        elif node.match is not None:
            if not node.match(left, right):
                self._note(node, Kind.VALUE, left, right)
        elif node.ignore:
            return
        elif depth >= DEPTH_MAX:
            if canonical(left) != canonical(right):
                self._note(node, Kind.VALUE, left, right)
        elif isinstance(left, dict):
            assert isinstance(right, dict)
            self._objects(node, left, right, depth)
        elif isinstance(left, list):
            assert isinstance(right, list)
            self._arrays(node, left, right, depth)
        elif left != right and not _same_number(node, left, right):
            self._note(node, Kind.VALUE, left, right)

    def _note(self, node: Node, kind: Kind, left: object, right: object) -> None:
        key = (node.path, kind)
        if key not in self.found:
            self.found[key] = Difference(node.path, kind, left, right)

    # --- objects ---

    def _objects(
        self,
        node: Node,
        left: Mapping[str, object],
        right: Mapping[str, object],
        depth: int,
    ) -> None:
        as_map = is_map(node, left) or (
            left.keys() != right.keys() and is_map(node, right)
        )
        star = node.child(ANY_KEY) if as_map else None
        for key, value in left.items():
            below = star or node.child(key)
            if key in right:
                other = right[key]
                # The usual case, two equal texts or numbers, without a call.
                if (
                    below.ruled
                    or type(value) is not type(other)
                    or value != other
                    or isinstance(value, dict | list)
                ):
                    self.compare(below, value, other, depth + 1)
            else:
                self._missing(below, value)
        if len(left) == len(right) and left.keys() == right.keys():
            return
        for key, value in right.items():
            if key not in left:
                self._extra(star or node.child(key), value)

    def _missing(self, node: Node, value: object) -> None:
        if not node.skip and not (value is None and self._null_is_missing):
            self._note(node, Kind.MISSING, value, None)

    def _extra(self, node: Node, value: object) -> None:
        if node.skip or self._extra_allowed:
            return
        if not (value is None and self._null_is_missing):
            self._note(node, Kind.EXTRA, None, value)

    # --- arrays ---

    def _arrays(
        self, node: Node, left: list[object], right: list[object], depth: int
    ) -> None:
        item = node.child(ITEM)
        if node.order.startswith(BY_KEY):
            field = node.order.removeprefix(BY_KEY)
            if self._by_key(item, left, right, field, depth):
                return
        if len(left) != len(right):
            self._note(node, Kind.LENGTH, len(left), len(right))
            return
        if node.order == MULTISET:
            left, right = _unmatched(item, left, right)
        inside = self._pairs(item, left, right, depth)
        if inside and node.order == EXACT and self._reordered(item, left, right, depth):
            self._note(node, Kind.ORDER, None, None)
            return
        for key, difference in inside.items():
            self.found.setdefault(key, difference)

    def _pairs(
        self, item: Node, left: list[object], right: list[object], depth: int
    ) -> Found:
        """Return how items differ from those at the same place."""
        before, self.found = self.found, {}
        for one, other in zip(left, right, strict=True):
            self.compare(item, one, other, depth + 1)
        inside, self.found = self.found, before
        return inside

    def _reordered(
        self, item: Node, left: list[object], right: list[object], depth: int
    ) -> bool:
        """Whether two arrays hold the same items in another order."""
        lefts = [_essence(item, one) for one in left]
        rights = [_essence(item, one) for one in right]
        if lefts == rights or Counter(lefts) != Counter(rights):
            return False
        return not (
            item.ruled and self._pairs(item, *_unmatched(item, left, right), depth)
        )

    def _by_key(
        self,
        item: Node,
        left: list[object],
        right: list[object],
        field: str,
        depth: int,
    ) -> bool:
        """Compare items that have the same key; False if they cannot be told apart."""
        lefts, rights = _keyed(left, field), _keyed(right, field)
        if lefts is None or rights is None:
            return False
        for key, value in lefts.items():
            if key in rights:
                self.compare(item, value, rights[key], depth + 1)
            else:
                self._missing(item, value)
        for key, value in rights.items():
            if key not in lefts:
                self._extra(item, value)
        return True


def _same_number(node: Node, left: object, right: object) -> bool:
    """Whether two values that are not equal are numbers within tolerance."""
    if not isinstance(left, int | float) or not isinstance(right, int | float):
        return False
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if left != left and right != right:  # noqa: PLR0124 -- NaN, which json reads
        return True
    tolerance = node.tolerance
    if tolerance is None:
        if isinstance(left, int) and isinstance(right, int):
            return False
        relative, absolute = RELATIVE, 0.0
    else:
        relative, absolute = tolerance.relative, tolerance.absolute
    try:
        return math.isclose(left, right, rel_tol=relative, abs_tol=absolute)
    except OverflowError:  # a whole number beyond any float
        return False


def _keyed(items: list[object], field: str) -> dict[str, object] | None:
    """Return items by their key; ``None`` where one has none, or two the same."""
    keyed: dict[str, object] = {}
    for item in items:
        if not isinstance(item, dict) or field not in item:
            return None
        keyed[canonical(item[field])] = item
    return keyed if len(keyed) == len(items) else None


def _unmatched(
    item: Node, left: list[object], right: list[object]
) -> tuple[list[object], list[object]]:
    """Return two multisets without what both have, as alike side by side as can be."""
    lefts = [(canonical(one), one) for one in left]
    rights = [(canonical(one), one) for one in right]
    common = Counter(text for text, _ in lefts) & Counter(text for text, _ in rights)
    return _beyond(item, lefts, Counter(common)), _beyond(item, rights, common)


def _beyond(
    item: Node, texts: list[tuple[str, object]], common: "Counter[str]"
) -> list[object]:
    """Return the items that are not in ``common``, by what rules leave of them."""
    rest = []
    for text, one in texts:
        if common[text] > 0:
            common[text] -= 1
        else:
            rest.append((_essence(item, one), text, one))
    rest.sort(key=lambda entry: entry[:2])
    return [one for _, _, one in rest]


def _essence(node: Node, value: object) -> str:
    """Return the canonical text of what rules leave to compare exactly of a value."""
    return canonical(_stripped(node, value) if node.ruled else value)


def _stripped(node: Node, value: object) -> object:
    """Return ``value`` without what may differ; its type stands for it."""
    if node.skip:
        return None
    if node.ignore or node.match is not None or node.tolerance is not None:
        return json_type(value)
    if isinstance(value, dict):
        as_map = is_map(node, value)
        return {
            key: _stripped(node.child(ANY_KEY if as_map else key), one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        below = node.child(ITEM)
        items = [_stripped(below, one) for one in value]
        return items if node.order == EXACT else sorted(items, key=canonical)
    return value
