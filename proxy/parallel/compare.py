"""
Two answers to one request: what differs, in the order in which it matters.

How the legs ended, then the status, then the named headers, then the body. An
answer with another status has another body too; that is said once, as a status.
"""

from collections.abc import Iterable
from typing import Final

from proxy.parallel.bodies import compare_bodies
from proxy.parallel.rules import Forest, Rules
from proxy.parallel.values import (
    BODY_PATH,
    HEADER_PREFIX,
    LEG_PATH,
    STATUS_PATH,
    Answer,
    Difference,
    Kind,
    Outcome,
)

PRESENCE_ONLY: Final = frozenset({"etag"})
"""Two deployments make different tags of the same thing."""
UNORDERED: Final = frozenset({"cache-control", "vary", "allow"})
"""Lists whose order means nothing (RFC 9110)."""


class Comparer:
    """Compares under the rules of one service; paths seen are remembered."""

    __slots__ = ("_forest", "_rules")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._forest = Forest(rules)

    def compare(self, left: Answer, right: Answer) -> tuple[Difference, ...]:
        """
        Return how ``right`` differs from ``left``, each path and kind once.

        ``left`` is stable's and has an answer; a ``right`` that has none differs
        in how it ended and in nothing else.
        """
        assert left.answered
        if not right.answered:
            ended = (left.outcome.name.lower(), right.outcome.name.lower())
            return (Difference(LEG_PATH, Kind.LEG_FAILED, *ended),)
        if not self._same_status(left.status, right.status):
            return (Difference(STATUS_PATH, Kind.STATUS, left.status, right.status),)
        found = list(_headers(self._rules, left, right))
        if Outcome.TOO_LARGE in (left.outcome, right.outcome):
            found += _sizes(left, right)
        else:
            found += compare_bodies(self._rules, self._forest.root, left, right)
        return tuple(found)

    def _same_status(self, left: int, right: int) -> bool:
        if self._rules.status_class:
            return left // 100 == right // 100
        return left == right


def _sizes(left: Answer, right: Answer) -> list[Difference]:
    """Compare bodies of which one at least is too large to be kept."""
    if left.outcome is right.outcome and (
        left.length == right.length or min(left.length, right.length) < 0
    ):
        return []
    return [Difference(BODY_PATH, Kind.SIZE, left.length, right.length)]


def _headers(rules: Rules, left: Answer, right: Answer) -> Iterable[Difference]:
    lefts = _named(rules, left)
    rights = _named(rules, right)
    for name in sorted(lefts.keys() | rights.keys()):
        one, other = lefts.get(name), rights.get(name)
        if one != other:
            yield Difference(HEADER_PREFIX + name, Kind.HEADER, one, other)


def _named(rules: Rules, answer: Answer) -> dict[str, str]:
    """Return the headers to compare, each as one text that says what matters."""
    values: dict[str, list[str]] = {}
    for name, value in answer.headers:
        if name in rules.headers:
            values.setdefault(name, []).append(_reduced(name, value))
    return {name: ", ".join(sorted(given)) for name, given in values.items()}


def _reduced(name: str, value: str) -> str:
    """Return what is compared of one field."""
    if name in PRESENCE_ONLY:
        return "present"
    if name == "set-cookie":
        return value.partition("=")[0].strip()
    if name in UNORDERED:
        return ", ".join(sorted(part.strip().lower() for part in value.split(",")))
    if name == "content-type":
        kind, *parameters = (part.strip().lower() for part in value.split(";"))
        return "; ".join([kind, *sorted(parameters)])
    return value.strip()
