"""
From a file to settings, and from settings to a document and back.

A file is read, its variables are put in, pydantic validates it, and ``checks``
compares what belongs together; every mistake of every stage is reported at
once. What one stage cannot read is left out for the next, which is told so.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from proxy.errors import SettingsError
from proxy.settings import checks, tree
from proxy.settings.environment import VariableError, substitute
from proxy.settings.problems import (
    KEY,
    Loc,
    Problem,
    existing,
    in_file_order,
    mark_of,
    node_at,
    path_text,
    sentence,
)
from proxy.settings.schema import Settings

ROUNDS_MAX = 16
"""Validations of what is left; each leaves out a level that could not be read."""

PROBLEMS_MAX = 100
"""Mistakes that are printed; nobody reads more before correcting some."""

SECRET_BYTES_MAX = 4096
"""A token is shorter; a longer file is the wrong one."""

STAND_IN = {"endpoints": ["http://left.out"]}
"""Stands for a version that could not be read while the rest is checked."""

REDACTED = "(redacted)"
_SECRET_KEY = re.compile(
    r"(?i)(token|secret|passw|authorization|credential|api[-_]?key|cookie)"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    Settings with what they were made of.

    ``document`` is canonical JSON that ``from_document`` reads: every default is
    written out, quantities carry their units. ``hash`` (64 hexadecimal digits) is
    equal for two files that mean the same.
    """

    settings: Settings
    document: dict[str, Any]
    hash: str


def load(path: str | Path, environ: Mapping[str, str]) -> Loaded:
    """
    Read the configuration file at ``path``.

    Raises:
        SettingsError: it cannot be read or has mistakes, all of which are listed.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(tree.FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError((f"{name}: cannot be read: {reason}",)) from None
    return loads(content, name, environ)


def loads(content: bytes, name: str, environ: Mapping[str, str]) -> Loaded:
    """
    Read ``content`` as a configuration file that is called ``name``.

    Raises:
        SettingsError: it has mistakes, all of which are listed.
    """
    root = _parse(content, name)
    reading = _Reading(root, environ)
    settings = reading.settings()
    if reading.problems or settings is None:
        raise SettingsError(_lines(in_file_order(reading.problems), name))
    document = document_of(settings)
    return Loaded(settings, document, hash_of(document))


def located(path: str | Path, mistakes: Sequence[tuple[Loc, str]]) -> tuple[str, ...]:
    """Return mistakes found in a file that loads as ``FILE:LINE:COLUMN: …`` lines."""
    name = str(path)
    root = _parse(Path(path).read_bytes(), name)
    problems = [
        Problem(mark_of(root, loc), path_text(loc), message)
        for loc, message in mistakes
    ]
    return _lines(in_file_order(problems), name)


def from_document(document: Mapping[str, Any]) -> Settings:
    """
    Return the settings that a canonical document holds.

    Raises:
        SettingsError: it is none (from another version of Headgate, say).
    """
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        found = [(item["loc"], sentence(item)) for item in error.errors()]
    else:
        found = list(checks.check(settings, lambda _: frozenset()))
        if not found:
            return settings
    raise SettingsError(
        tuple(f"document: {path_text(loc)}: {message}" for loc, message in found)
    )


def document_of(settings: Settings) -> dict[str, Any]:
    """Return the canonical document of ``settings``; what is absent is left out."""
    written: dict[str, Any] = without_absent(settings.model_dump(mode="json"))
    return written


def hash_of(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a canonical document, the order of its keys included."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def redacted(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``document`` that may be shown: secrets are masked."""
    return {key: _redacted(key, value) for key, value in document.items()}


def read_secret(path: str | Path) -> str:
    """
    Return the text of a ``*_file``, without the white space around it.

    Raises:
        SettingsError: it cannot be read, is empty, too long or no visible ASCII.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1).strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError((f"{path}: cannot be read: {reason}",)) from None
    if not content:
        raise SettingsError((f"{path}: is empty, expected a secret",))
    if len(content) > SECRET_BYTES_MAX:
        raise SettingsError((f"{path}: is longer than {SECRET_BYTES_MAX} bytes",))
    if not all(0x21 <= byte <= 0x7E for byte in content):  # noqa: PLR2004
        raise SettingsError((f"{path}: is not one line of visible ASCII",))
    return content.decode("ascii")


def _parse(content: bytes, name: str) -> tree.Node:
    if len(content) > tree.FILE_BYTES_MAX:
        limit = tree.FILE_BYTES_MAX
        raise SettingsError((f"{name}: is larger than {limit} bytes",))
    try:
        root = tree.parse(content.decode("utf-8-sig"))
    except tree.TreeError as error:
        raise SettingsError((Problem(error.mark, "", str(error)).line(name),)) from None
    except UnicodeDecodeError as error:
        before = content[: error.start]
        mark = (before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        raise SettingsError((Problem(mark, "", "is not UTF-8").line(name),)) from None
    if root is None or root.null:
        problem = Problem((1, 1), "", "is empty, expected at least `services`")
        raise SettingsError((problem.line(name),))
    if not root.mapping:
        problem = Problem(root.mark, "", "expected a mapping with `services`")
        raise SettingsError((problem.line(name),))
    return root


def _lines(problems: tuple[Problem, ...], name: str) -> tuple[str, ...]:
    lines = tuple(problem.line(name) for problem in problems[:PROBLEMS_MAX])
    more = len(problems) - len(lines)
    return (*lines, f"{name}: and {more} more mistakes") if more else lines


@dataclass(slots=True)
class _Reading:
    """One attempt to make settings of a tree: collects problems on the way."""

    root: tree.Node
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    broken: set[Loc] = field(default_factory=set)
    kept: dict[Loc, list[int]] = field(default_factory=dict)

    def settings(self) -> Settings | None:
        """Return what can be made of the tree; ``problems`` says what cannot."""
        data = self.data_of(self.root, ())
        for _ in range(ROUNDS_MAX):
            try:
                settings = Settings.model_validate(self.without_broken(data, ()))
            except ValidationError as error:
                if not self.leave_out(error):
                    return None
            else:
                for loc, message in checks.check(settings, self.broken_below):
                    self.add(self.original(loc), message)
                return settings
        return None

    def add(self, loc: Loc, message: str, *, key: bool = False) -> None:
        """Report what is wrong at a place of the file, or where it should be."""
        found = existing(self.root, loc)
        if loc[-1:] == (KEY,) and found != loc:
            loc, key = loc[:-1], True
        shown = loc[: len(found) + 1] if node_at(self.root, found).mapping else found
        mark = mark_of(self.root, found, key=key)
        self.problems.append(Problem(mark, path_text(shown), message))

    def data_of(self, node: tree.Node, loc: Loc) -> Any:  # noqa: ANN401
        """Return plain data with variables put in; mistakes are left out of it."""
        if isinstance(node.value, str):
            return self.text_of(node, loc)
        if not node.mapping:
            items = [item for item in node.value if isinstance(item, tree.Node)]
            return [self.data_of(item, (*loc, n)) for n, item in enumerate(items)]
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for entry in node.value:
            assert isinstance(entry, tree.Entry)
            place = (*loc, entry.key)
            if entry.key in lines:
                first = lines[entry.key]
                message = f"duplicate key, first on line {first}"
                self.problems.append(Problem(entry.key_mark, path_text(place), message))
                continue
            lines[entry.key] = entry.key_mark[0]
            data[entry.key] = self.data_of(entry.node, place)
        return data

    def text_of(self, node: tree.Node, loc: Loc) -> str | None:
        assert isinstance(node.value, str)
        message = "has no value; give one or remove it"
        if not node.null:
            try:
                return substitute(node.value, self.environ)
            except VariableError as error:
                message = str(error)
        self.problems.append(Problem(node.mark, path_text(loc), message))
        self.broken.add(loc)
        return None

    def without_broken(self, data: Any, loc: Loc) -> Any:  # noqa: ANN401
        """Return a copy of ``data`` less what is broken; lists close their gaps."""
        if isinstance(data, dict):
            copy = {
                key: self.without_broken(value, (*loc, key))
                for key, value in data.items()
                if (*loc, key) not in self.broken
            }
            return self.with_stand_ins(copy, data, loc)
        if isinstance(data, list):
            kept = [n for n in range(len(data)) if (*loc, n) not in self.broken]
            self.kept[loc] = kept
            return [self.without_broken(data[n], (*loc, n)) for n in kept]
        return data

    def with_stand_ins(
        self, copy: dict[str, Any], data: dict[str, Any], loc: Loc
    ) -> dict[str, Any]:
        """Keep a version declared, whatever is wrong in it: its name is known."""
        match loc:
            case ("services", _, "versions"):
                return {name: copy.get(name, STAND_IN) for name in data}
            case ("services", _, "versions", _) if self.broken_below(
                (*loc, "endpoints")
            ) and not copy.get("endpoints"):
                return {**copy, **STAND_IN}
        return copy

    def original(self, loc: Loc) -> Loc:
        """Translate a place in the copy without what is broken to the file's."""
        place: Loc = ()
        for part in loc:
            if isinstance(part, int):
                kept = self.kept.get(place, [])
                part = kept[part] if part < len(kept) else part  # noqa: PLW2901
            place = (*place, part)
        return place

    def leave_out(self, error: ValidationError) -> bool:
        """Report what is no consequence, and mark it; False: nothing is left."""
        items = error.errors(include_url=False)
        locs = [self.original(item["loc"]) for item in items]
        before = frozenset(self.broken)
        self.broken.update(self.nearest_whole(loc, before) for loc in locs)
        reasons = before.union(locs)
        for item, loc in zip(items, locs, strict=True):
            few = item["type"] in ("missing", "too_short")
            if not (few and _has_below(reasons, loc)) and loc not in before:
                self.add(loc, sentence(item), key=item["type"] == "extra_forbidden")
        return () not in self.broken

    def nearest_whole(self, loc: Loc, broken: frozenset[Loc]) -> Loc:
        """Return the longest start of ``loc`` that the last copy contained."""
        found = existing(self.root, loc)
        while found in broken:
            found = found[:-1]
        return found

    def broken_below(self, loc: Loc) -> frozenset[str | int]:
        """Return what could not be read below a place of the last copy."""
        loc = self.original(loc)
        size = len(loc)
        return frozenset(
            place[size] for place in self.broken if place[:size] == loc != place
        ) | frozenset("?" for place in self.broken if place == loc)


def _has_below(places: frozenset[Loc], loc: Loc) -> bool:
    """Return whether a mistake further down explains that something is too few."""
    return any(place[: len(loc)] == loc != place for place in places)


def without_absent(value: Any) -> Any:  # noqa: ANN401
    """Return written settings less the keys that hold nothing."""
    if isinstance(value, dict):
        return {
            key: without_absent(item) for key, item in value.items() if item is not None
        }
    return (
        [without_absent(item) for item in value] if isinstance(value, list) else value
    )


def _redacted(key: str, value: Any) -> Any:  # noqa: ANN401
    if key == "url" and isinstance(value, str):
        # The path of a Slack or Discord URL is its password.
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.hostname}/{REDACTED}"
    if isinstance(value, Mapping):
        inside = {name: _redacted(name, item) for name, item in value.items()}
        return {**inside, **_masked(value)} if key in ("header", "cookie") else inside
    if isinstance(value, list):
        return [_redacted(key, item) for item in value]
    return value


def _masked(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: REDACTED for name in values if _SECRET_KEY.search(name)}
