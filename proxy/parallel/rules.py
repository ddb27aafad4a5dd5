"""
How answers are compared: the rules of one service, made ready for the walk.

``Rules`` come from the route table. A ``Node`` is one path with what applies
there; nodes are made once for each path and kept, so that the walk over two
documents looks rules up by a dictionary and never by a pattern.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.parallel import paths
from proxy.parallel.matching import UUID, Matcher
from proxy.parallel.values import BODY_PATH, HEADER_PREFIX

NODES_MAX = 20_000
"""Paths kept in mind; those beyond are made anew each time."""
MAP_KEYS_MAX = 50
"""An object with more keys is a map from ids to values (Diffy's rule)."""

HEADERS_USUAL = frozenset(
    {
        *("content-type", "content-language", "location", "cache-control"),
        *("vary", "etag", "www-authenticate", "allow", "set-cookie"),
    }
)
"""Compared without being named; of ``etag`` the presence, of cookies the names."""

EXACT, MULTISET, BY_KEY = "exact", "multiset", "key:"

_NAME = re.compile(r"[A-Za-z_@$][A-Za-z0-9_.@$-]{0,63}")
_LOOKS_LIKE_ID = re.compile(r"[0-9]{6}|[0-9a-fA-F]{16}")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may differ: ``math.isclose``'s two limits."""

    absolute: float = 0.0
    relative: float = 0.0


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The rules of one service; every pattern was checked when it was read.

    ``tolerance``, ``match`` and ``order`` map patterns to what applies there.
    """

    ignore: tuple[str, ...] = ()
    """Values that may differ; presence and type are still checked."""
    skip: tuple[str, ...] = ()
    """What is not looked at at all."""
    match: tuple[tuple[str, Matcher], ...] = ()
    tolerance: tuple[tuple[str, Tolerance], ...] = ()
    order: tuple[tuple[str, str], ...] = ()
    headers: frozenset[str] = HEADERS_USUAL
    status_class: bool = False
    """201 is as good as 200."""
    extra_allowed: bool = False
    """The candidate may add members to objects."""
    null_is_missing: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Rules":
        """Read what ``control`` wrote into the route table."""
        ignored = tuple(str(path) for path in document["ignore"])
        unseen = {
            path.removeprefix(HEADER_PREFIX).lower()
            for path in (*ignored, *document["skip"])
            if paths.is_header_path(path)
        }
        named = {str(name).lower() for name in document["headers"]}
        return cls(
            ignore=tuple(path for path in ignored if not paths.is_header_path(path)),
            skip=tuple(
                path for path in document["skip"] if not paths.is_header_path(path)
            ),
            match=tuple(
                (path, Matcher(one["form"], one["skew"]))
                for path, one in document["match"].items()
            ),
            tolerance=tuple(
                (path, Tolerance(one["abs"], one["rel"]))
                for path, one in document["tolerance"].items()
            ),
            order=tuple(document["order"].items()),
            headers=(HEADERS_USUAL | named) - unseen,
            status_class=document["status"] == "class",
            extra_allowed=document["extra_fields"] == "allow",
            null_is_missing=document["null_equals_missing"],
        )


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What may apply at a path, by the text of a pattern."""

    skip: frozenset[str]
    ignore: frozenset[str]
    match: Mapping[str, Callable[[object, object], bool]]
    tolerance: Mapping[str, Tolerance]
    order: Mapping[str, str]


class Node:
    """
    One path: its text, what applies there, and the nodes below it.

    ``ruled`` says whether a rule lies here or may lie below: where none does,
    two values of the same text are equal without a walk.
    """

    __slots__ = (
        "_children",
        "_forest",
        "_state",
        "ignore",
        "match",
        "order",
        "path",
        "ruled",
        "skip",
        "tolerance",
    )

    def __init__(self, forest: "Forest", path: str, state: paths.State) -> None:
        self._forest = forest
        self._state = state
        self._children: dict[str, Node] = {}
        self.path = path
        self.skip = self.ignore = False
        self.match: Callable[[object, object], bool] | None = None
        self.tolerance: Tolerance | None = None
        self.order = EXACT
        rules = forest.rules
        for pattern in paths.reached(state):
            text = pattern.text
            self.skip |= text in rules.skip
            self.ignore |= text in rules.ignore
            self.match = rules.match.get(text, self.match)
            self.tolerance = rules.tolerance.get(text, self.tolerance)
            self.order = rules.order.get(text, self.order)
        self.ruled = bool(state)

    def child(self, segment: str) -> "Node":
        """Return the node one segment below: a key, ``*`` or ``[]``."""
        known = self._children.get(segment)
        return self._grow(segment) if known is None else known

    def knows(self, key: str) -> bool:
        """Whether ``key`` was a name here before, and not an id."""
        return key in self._children

    def _grow(self, segment: str) -> "Node":
        below = self.path + (segment if segment == paths.ITEM else "." + segment)
        node = Node(self._forest, below, paths.advance(self._state, segment))
        if self._forest.nodes < NODES_MAX:
            self._forest.nodes += 1
            self._children[segment] = node
        return node


class Forest:
    """The paths of one service's answers, growing from ``$``."""

    __slots__ = ("compiled", "nodes", "root", "rules")

    def __init__(self, rules: Rules) -> None:
        self.nodes = 0
        texts = {*rules.ignore, *rules.skip}
        for pairs in (rules.match, rules.tolerance, rules.order):
            texts.update(text for text, _ in pairs)
        self.rules = _Compiled(
            frozenset(rules.skip),
            frozenset(rules.ignore),
            {text: matcher.compiled() for text, matcher in rules.match},
            dict(rules.tolerance),
            dict(rules.order),
        )
        patterns = tuple(paths.parse_pattern(text) for text in sorted(texts))
        self.root = Node(self, BODY_PATH, paths.begin(patterns))


def is_map(node: Node, keys: "set[str] | Mapping[str, Any]") -> bool:
    """
    Whether an object's keys are ids rather than names.

    So are more than 50 of them, and any that is no name: a UUID, a long number,
    a text with spaces. Ids as keys must not become a path each (Diffy's rule).
    """
    if len(keys) > MAP_KEYS_MAX:
        return True
    return any(not node.knows(key) and not is_name(key) for key in keys)


def is_name(key: str) -> bool:
    """Whether a key is one that a programmer chose."""
    return (
        _NAME.fullmatch(key) is not None
        and _LOOKS_LIKE_ID.search(key) is None
        and UUID.fullmatch(key) is None
    )
