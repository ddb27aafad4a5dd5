"""
YAML text to a tree of nodes that know their line and column.

The tree is built from the parser's events, without recursion, so that depth,
number of nodes and the expansion of aliases are bounded before anything is
built. Scalars stay texts: what a text means is the schema's decision, not
YAML's, so that ``off`` is no boolean and ``2.40`` no number.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from proxy.settings.units import quote

FILE_BYTES_MAX = 1 << 20
"""A file of a thousand services has half of it."""

DEPTH_MAX = 32
"""The schema is 9 deep; more is an attack or an accident."""

NODES_MAX = 100_000
"""Nodes after aliases are expanded (the "billion laughs" have 10^9)."""

_NULL_TEXTS = frozenset({"", "~", "null", "Null", "NULL"})
_TAG_PREFIX = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _TAG_PREFIX + name for name in ("str", "int", "float", "bool", "null", "map", "seq")
)

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where it was built in: ten times as fast."""


class TreeError(Exception):
    """The text is no usable YAML; ``mark`` is its line and column, from 1."""

    def __init__(self, mark: tuple[int, int], message: str) -> None:
        super().__init__(message)
        self.mark = mark


@dataclass(slots=True, eq=False)
class Node:
    """
    One value of the file.

    ``value`` is a text, a list of nodes, or a list of ``Entry``; ``mark`` is line
    and column, from 1. ``size`` and ``depth`` count with aliases expanded.
    """

    value: "str | list[Node] | list[Entry]"
    mark: tuple[int, int]
    null: bool = False
    mapping: bool = False
    size: int = 1
    depth: int = 1


@dataclass(slots=True, eq=False)
class Entry:
    """One key of a mapping with its value."""

    key: str
    key_mark: tuple[int, int]
    node: Node


@dataclass(slots=True, eq=False)
class _Open:
    """A collection that is not complete yet."""

    node: Node
    anchor: str | None
    key: tuple[str, tuple[int, int]] | None = None
    children: list[Any] = field(default_factory=list)


def parse(text: str) -> Node | None:
    """
    Return the root of the only document of ``text``; None if there is none.

    Raises:
        TreeError: a syntax error, a tag, several documents, or a bound that is
            exceeded.
    """
    try:
        return _Builder().build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise TreeError(*_syntax_error(error, text)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise TreeError(place, f"not valid YAML: {error.reason}") from None


def _syntax_error(
    error: yaml.MarkedYAMLError, text: str
) -> tuple[tuple[int, int], str]:
    """Return where a syntax error is and what was read there."""
    lines = text.split("\n")
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if place[0] > len(lines):
        place = (len(lines), len(lines[-1]) + 1)
    message = f"not valid YAML: {error.problem}"
    if error.context and error.context_mark:
        first = min(error.context_mark.line + 1, len(lines))
        message += f" {error.context} that starts on line {first}"
    if "${" in lines[place[0] - 1]:
        message += "; a text with ${…} between brackets needs quotes"
    return place, message


class _Builder:
    """Builds nodes from events; a stack instead of recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        for event in events:
            assert event.start_mark is not None
            mark = (event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.ScalarEvent):
                self.scalar(event, mark)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.open(event, mark)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.close()
            elif isinstance(event, yaml.AliasEvent):
                self.alias(event.anchor, mark)
            elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                raise TreeError(mark, "a second document; a file holds only one")
        return self.root

    def scalar(self, event: yaml.ScalarEvent, mark: tuple[int, int]) -> None:
        self.refuse_tag(event.tag, mark)
        plain = event.style is None or event.style == ""
        node = Node(event.value, mark, null=plain and event.value in _NULL_TEXTS)
        self.remember(event.anchor, node)
        self.add(node, mark)

    def open(self, event: yaml.CollectionStartEvent, mark: tuple[int, int]) -> None:
        self.refuse_tag(event.tag, mark)
        if len(self.stack) >= DEPTH_MAX:
            raise TreeError(mark, f"nested more than {DEPTH_MAX} deep")
        mapping = isinstance(event, yaml.MappingStartEvent)
        if mapping and self.stack and self.expects_key(self.stack[-1]):
            raise TreeError(mark, "a key must be a plain text")
        self.remember(event.anchor, None)
        node = Node([], mark, mapping=mapping)
        self.stack.append(_Open(node, event.anchor))

    def close(self) -> None:
        opened = self.stack.pop()
        opened.node.value = opened.children
        self.remember(opened.anchor, opened.node)
        self.add(opened.node, opened.node.mark)

    def alias(self, anchor: str | None, mark: tuple[int, int]) -> None:
        assert anchor is not None
        node = self.anchors.get(anchor)
        if node is None:
            reason = "is not known" if anchor not in self.anchors else "contains itself"
            raise TreeError(mark, f"the alias {quote(anchor)} {reason}")
        self.add(node, mark)

    def add(self, node: Node, mark: tuple[int, int]) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if self.expects_key(parent):
            parent.key = (self.key_text(node), node.mark)
            return
        self.measure(parent.node, node, mark)
        if parent.key is None:
            parent.children.append(node)
            return
        parent.children.append(Entry(*parent.key, node))
        parent.key = None

    def measure(self, parent: Node, node: Node, mark: tuple[int, int]) -> None:
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > NODES_MAX:
            raise TreeError(mark, f"more than {NODES_MAX} values, aliases included")
        if len(self.stack) + node.depth > DEPTH_MAX + 1:
            raise TreeError(mark, f"nested more than {DEPTH_MAX} deep")

    def remember(self, anchor: str | None, node: Node | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node

    @staticmethod
    def expects_key(parent: _Open) -> bool:
        return parent.node.mapping and parent.key is None

    @staticmethod
    def key_text(node: Node) -> str:
        if not isinstance(node.value, str):
            raise TreeError(node.mark, "a key must be a plain text")
        if node.value == "<<":
            message = (
                "merge keys (<<) are not supported; use an alias for a whole value"
            )
            raise TreeError(node.mark, message)
        return node.value

    @staticmethod
    def refuse_tag(tag: str | None, mark: tuple[int, int]) -> None:
        if tag is not None and tag not in _TAGS and tag != "!":
            raise TreeError(mark, f"the tag {quote(tag)} is not supported")
