"""
Paths into answers, and patterns over them.

A path is ``$`` for the body, ``.key`` for a member, ``[]`` for any item of an
array: ``$.items[].price``. In a pattern ``*`` stands for any key and ``..`` for
any depth: ``$.prices.*``, ``$..updated_at``. Indexes are always wildcards.
"""

import re
from dataclasses import dataclass

from proxy.parallel.values import BODY_PATH, HEADER_PREFIX

ITEM = "[]"
ANY_KEY = "*"
ANY_DEPTH = ".."
PATTERN_CHARS_MAX = 512

_SEGMENT = re.compile(
    r"(?P<depth>\.\.(?=[^.]))?"
    r"(?:(?P<item>\[(?:\*|[0-9]+|[A-Za-z_][A-Za-z0-9_]*=)?\])"
    r"|\[(?P<quote>['\"])(?P<quoted>.+?)(?P=quote)\]"
    r"|\.?(?P<key>\*|[^.\[\]*\s]+))"
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern: its segments, each a key, ``*``, ``[]`` or ``..``."""

    text: str
    segments: tuple[str, ...]

    @property
    def precision(self) -> tuple[int, int]:
        """How specific it is: literal segments, then all; the highest wins."""
        literal = sum(part not in (ANY_KEY, ANY_DEPTH) for part in self.segments)
        return literal, len(self.segments)


def parse_pattern(text: str) -> Pattern:
    """
    Compile a pattern over JSON paths.

    Raises:
        ValueError: it is none, with what was expected.
    """
    if not text.startswith(BODY_PATH) or len(text) > PATTERN_CHARS_MAX:
        raise ValueError(
            f"{text[:64]!r} is not a path such as $.items[].price or $..updated_at"
        )
    segments: list[str] = []
    at = 1
    while at < len(text):
        match = _SEGMENT.match(text, at)
        if match is None or (match["key"] and text[at] != "."):
            raise ValueError(
                f"{text[:64]!r} is no path from character {at + 1} on, "
                "expected .key, [] or *"
            )
        if match["depth"]:
            segments.append(ANY_DEPTH)
        if match["item"]:
            segments.append(ITEM)
        else:
            segments.append(match["quoted"] or match["key"])
        at = match.end()
    return Pattern(text, tuple(segments))


def is_header_path(text: str) -> bool:
    """Whether a rule's path names a header, as in ``header:etag``."""
    return text.startswith(HEADER_PREFIX)


State = tuple[tuple[Pattern, int], ...]
"""Patterns that may still match, and how many of their segments have."""


def begin(patterns: tuple[Pattern, ...]) -> State:
    """Return the state at ``$``."""
    return tuple((pattern, 0) for pattern in patterns)


def advance(state: State, segment: str) -> State:
    """Return the state one segment (a key, ``*`` for all keys, or ``[]``) deeper."""
    after: list[tuple[Pattern, int]] = []
    for pattern, at in state:
        segments = pattern.segments
        if at >= len(segments):
            continue
        wanted = segments[at]
        if wanted == ANY_DEPTH:
            after.append((pattern, at))
            at += 1  # noqa: PLW2901 -- the segment behind it
            wanted = segments[at]
        if wanted == segment or (wanted == ANY_KEY and segment != ITEM):
            after.append((pattern, at + 1))
    return tuple(after)


def reached(state: State) -> tuple[Pattern, ...]:
    """Return the patterns that match here, the most specific last."""
    here = [pattern for pattern, at in state if at == len(pattern.segments)]
    return tuple(sorted(here, key=lambda pattern: pattern.precision))
