"""
Mistakes of a file: where each is, and one sentence that says what is wrong.

pydantic finds most of them; this module turns its findings into the project's
words. Nothing here decides whether a value is allowed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from proxy.settings import units
from proxy.settings.fields import MISTAKE
from proxy.settings.schema import Settings
from proxy.settings.tree import Node
from proxy.settings.units import quote

Loc = tuple[str | int, ...]
"""Keys and list indexes from the root."""

Mistake = tuple[Loc, str]
"""A place and what is wrong there."""

KEY = "[key]"
"""Ends a place where the key itself is wrong; pydantic's own convention."""

SIMILARITY_MIN = 0.6
"""difflib's own threshold for a close match."""

SUGGESTED_CHARS_MAX = 64
"""A longer word is no misspelt key; comparing takes quadratic time."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake; ``path`` is empty if it concerns the whole file."""

    mark: tuple[int, int]
    path: str
    message: str

    def line(self, name: str) -> str:
        """Return ``FILE:LINE:COLUMN: path: what is wrong``."""
        row, column = self.mark
        path = f"{self.path}: " if self.path else ""
        return f"{name}:{row}:{column}: {path}{self.message}"


def in_file_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems by place, each only once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.mark))


def path_text(loc: Loc) -> str:
    """Return ``services.checkout.rollout.steps[0]``."""
    text = ""
    for part in loc[:-1] if loc[-1:] == (KEY,) else loc:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        shown = part if re.fullmatch(r"[\w-]{1,64}", part) else quote(part)
        text += f".{shown}" if text else shown
    return text


def existing(root: Node, loc: Loc) -> Loc:
    """Return the longest start of ``loc`` that the file itself contains."""
    node: Node | None = root
    for depth, part in enumerate(loc):
        node = _child(node, part) if node else None
        if node is None:
            return loc[:depth]
    return loc


def node_at(root: Node, loc: Loc) -> Node:
    """Return the node at ``loc``, which the file contains."""
    node = root
    for part in loc:
        node = _child(node, part) or node
    return node


def mark_of(root: Node, loc: Loc, *, key: bool = False) -> tuple[int, int]:
    """Return the place of what is at ``loc``, or of its key if ``key`` is set."""
    node = root
    mark = root.mark
    for part in existing(root, loc):
        if key and isinstance(part, str):
            mark = next(entry.key_mark for entry in _entries(node) if entry.key == part)
        node = _child(node, part) or node
        mark = mark if key and isinstance(part, str) else node.mark
    return mark


def _entries(node: Node) -> list[Any]:
    return node.value if node.mapping and isinstance(node.value, list) else []


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(part, str):
        found = (entry.node for entry in _entries(node) if entry.key == part)
        return next(found, None)
    if node.mapping or isinstance(node.value, str) or part >= len(node.value):
        return None
    item = node.value[part]
    return item if isinstance(item, Node) else None


def changed(group: BaseModel, *keys: str) -> Iterator[str]:
    """Yield those of ``keys`` that are not at their default."""
    for key in keys:
        if getattr(group, key) != type(group).model_fields[key].default:
            yield key


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "x"?`` for the closest known word, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 (costs 3 ms, rarely used)

    if len(word) > SUGGESTED_CHARS_MAX:
        return ""
    words = {other.lower(): other for other in sorted(known)}
    close = get_close_matches(word.lower(), words, n=1, cutoff=SIMILARITY_MIN)
    return f"; did you mean {quote(words[close[0]])}?" if close else ""


def sentence(error: ErrorDetails) -> str:
    """Return what a finding of pydantic means, for the person who wrote the file."""
    kind = error["type"]
    loc = error["loc"]
    if kind == MISTAKE:
        return error["msg"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return unknown_key(loc)
    if kind == "literal_error":
        return _unknown_word(error)
    return _by_kind(kind, error.get("ctx", {}), error["input"])


def unknown_key(loc: Loc) -> str:
    """Return why the key at the end of ``loc`` is not accepted."""
    key = str(loc[-1])
    group = group_at(loc[:-1])
    if key in getattr(group, "later", ()):
        return f"`{key}` is not supported by this version"
    known = group.model_fields if group else ()
    return "unknown key" + did_you_mean(key, known)


def _unknown_word(error: ErrorDetails) -> str:
    word = str(error["input"])
    group = group_at(error["loc"][:-1])
    key = str(error["loc"][-1])
    if word in getattr(group, "later_values", {}).get(key, ()):
        return f"`{word}` is not supported by this version"
    words = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    return f"{_shown(word)} is not one of {', '.join(words)}" + did_you_mean(
        word, words
    )


_EXPECTED = {
    "model_type": "expected a mapping",
    "model_attributes_type": "expected a mapping",
    "dict_type": "expected a mapping",
    "tuple_type": "expected a list",
    "string_type": "expected a text",
}
_WRONG = {
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "int_parsing_size": "is too large",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_parsing": "is not true or false",
    "bool_type": "is not true or false",
    "greater_than": "is too small, expected more than {gt}",
    "greater_than_equal": "is too small, expected at least {ge}",
    "less_than": "is too large, expected less than {lt}",
    "less_than_equal": "is too large, expected at most {le}",
}
_LENGTH = {
    "too_short": "has {actual_length} entries, expected at least {min_length}",
    "too_long": "has {actual_length} entries, expected at most {max_length}",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
}


def _by_kind(kind: str, context: dict[str, Any], value: object) -> str:
    if kind in _EXPECTED:
        what = f", got {_shown(value)}" if isinstance(value, str | int | float) else ""
        return _EXPECTED[kind] + what
    if kind in _WRONG:
        bounds = {name: _bound(bound, value) for name, bound in context.items()}
        return f"{_shown(value)} {_WRONG[kind].format(**bounds)}"
    if kind in _LENGTH:
        return _LENGTH[kind].format(**context)
    return f"{_shown(value)} is not valid"


def _bound(bound: object, value: object) -> str:
    """Write a bound as the value was written: with its unit."""
    if not isinstance(bound, float | int):
        return str(bound)
    for read, write in (
        (units.parse_duration, units.format_duration),
        (units.parse_size, lambda size: units.format_size(int(size))),
    ):
        try:
            read(str(value))
        except units.QuantityError:
            continue
        return write(bound)
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return str(value)


def group_at(loc: Loc) -> type[BaseModel] | None:
    """Return the group of settings that stands at ``loc``; None: no group does."""
    annotation: Any = Settings
    for part in loc:
        annotation = _inside(annotation, part)
    group = _bare(annotation)
    is_group = isinstance(group, type) and issubclass(group, BaseModel)
    return group if is_group else None


def _bare(annotation: Any) -> Any:  # noqa: ANN401
    """Strip ``Annotated`` and ``| None`` from an annotation."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    parts = get_args(annotation)
    if type(None) in parts or get_origin(annotation) is Union:
        return _bare(next(part for part in parts if part is not type(None)))
    return annotation


def _inside(annotation: Any, part: str | int) -> Any:  # noqa: ANN401
    """Return the annotation of what is at ``part`` of something annotated."""
    bare = _bare(annotation)
    if isinstance(part, int):
        return get_args(bare)[0] if get_origin(bare) is tuple else None
    if get_origin(bare) is dict:
        return get_args(bare)[1]
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        known = bare.model_fields.get(part)
        return known.annotation if known else None
    return None
