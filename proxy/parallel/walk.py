"""
The walk over two JSON values: what differs, and at which path.

Types count (a number is no boolean, ``"1"`` no ``1``), but ``1`` equals
``1.0``; whole numbers are equal exactly, others within a relative 1e-9 unless a
rule says otherwise. A path and kind is noted once, with the first values seen:
a list of 200 items that all differ is one observation.
"""

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.parallel.paths import ANY_KEY, ITEM
from proxy.parallel.rules import BY_KEY, EXACT, MULTISET, Node, Rules, is_map
from proxy.parallel.values import Difference, Kind

DEPTH_MAX: Final = 100
"""Levels that are walked; what lies deeper is compared as a whole."""
LIKENESS_MAX: Final = 16
"""Items that are put beside the most similar one; more go by their text."""
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

Pair = tuple[object, object]
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
            self._all(item, _aligned(item, left, right).pairs, depth)
            return
        inside = self._pairs(item, zip(left, right, strict=True), depth)
        if inside:
            aligned = _aligned(item, left, right)
            if aligned.reordered:
                # What moved is said once; what is left beside may differ for real.
                self._note(node, Kind.ORDER, None, None)
                inside = self._pairs(item, aligned.pairs, depth)
        for key, difference in inside.items():
            self.found.setdefault(key, difference)

    def _pairs(self, item: Node, pairs: Iterable[Pair], depth: int) -> Found:
        """Return how items differ from those they are put beside."""
        before, self.found = self.found, {}
        self._all(item, pairs, depth)
        inside, self.found = self.found, before
        return inside

    def _all(self, item: Node, pairs: Iterable[Pair], depth: int) -> None:
        for one, other in pairs:
            self.compare(item, one, other, depth + 1)

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


@dataclass(frozen=True, slots=True)
class _Aligned:
    """Two arrays of the same length, item beside item."""

    pairs: list[Pair]
    reordered: bool
    """Most items are in both, but not at the same places."""


def _aligned(item: Node, left: list[object], right: list[object]) -> _Aligned:
    """
    Put the items of two arrays side by side, whatever their order.

    First those of which the rules leave the same, then the rest by likeness.
    """
    lefts = [_essence(item, one) for one in left]
    rights = [_essence(item, one) for one in right]
    places: dict[str, deque[object]] = {}
    for text, one in zip(rights, right, strict=True):
        places.setdefault(text, deque()).append(one)
    pairs: list[Pair] = []
    alone: list[object] = []
    for text, one in zip(lefts, left, strict=True):
        same = places.get(text)
        if same:
            pairs.append((one, same.popleft()))
        else:
            alone.append(one)
    rest = [one for same in places.values() for one in same]
    moved = sum(text != other for text, other in zip(lefts, rights, strict=True))
    pairs += _alike(alone, rest)
    return _Aligned(pairs, len(alone) < moved and 2 * len(alone) <= len(left))


def _alike(left: list[object], right: list[object]) -> Iterator[Pair]:
    """Yield items that nobody equals, each beside the most similar one that is left."""
    if len(left) > LIKENESS_MAX:
        yield from zip(
            sorted(left, key=canonical), sorted(right, key=canonical), strict=True
        )
        return
    rest = list(right)
    for one in left:
        at = max(range(len(rest)), key=lambda place: _likeness(one, rest[place]))
        yield one, rest.pop(at)


def _likeness(left: object, right: object) -> int:
    """Return how many members two objects share."""
    if not isinstance(left, dict) or not isinstance(right, dict):
        return 0
    return sum(key in right and right[key] == value for key, value in left.items())


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
