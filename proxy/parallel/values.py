"""What comparing speaks of: kinds of difference, legs and how they ended."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

LEG_PATH = "leg"
"""Stands for the path of a difference in how a leg ended."""
STATUS_PATH = "status"
HEADER_PREFIX = "header:"
BODY_PATH = "$"
OVERFLOW_PATH = "__overflow__"
"""Collects what differs on further paths once an endpoint has too many."""


class Kind(StrEnum):
    """How two answers differ at one path."""

    VALUE = "value"
    TYPE = "type"
    MISSING = "missing"
    EXTRA = "extra"
    ORDER = "order"
    LENGTH = "length"
    STATUS = "status"
    HEADER = "header"
    SIZE = "size"
    LEG_FAILED = "leg_failed"


class Outcome(IntEnum):
    """How one leg ended; the number travels from worker to compare process."""

    ANSWERED = 0
    TIMEOUT = 1
    CONNECT_ERROR = 2
    ABORTED = 3
    """The connection ended, or what it carried was no whole answer."""
    TOO_LARGE = 4
    """Answered, but the body was longer than what is kept of it."""
    ABSENT = 5
    """There was no such leg."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path at which the candidate's answer is not stable's."""

    path: str
    kind: Kind
    left: object
    """Stable's value; ``None`` where there is none."""
    right: object
    """The candidate's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What one leg came back with.

    ``headers`` have lower-case names, in the order of the answer. ``length`` is
    the body's as declared or counted, -1 where nobody knows. The body of a leg
    that is not ``ANSWERED`` says nothing.
    """

    outcome: Outcome
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: int = -1
    latency_us: int = 0

    def header(self, name: str) -> str:
        """Return the first field with the lower-case ``name``; empty if none."""
        for key, value in self.headers:
            if key == name:
                return value
        return ""

    @property
    def answered(self) -> bool:
        """Whether there is a status to compare."""
        return self.outcome in (Outcome.ANSWERED, Outcome.TOO_LARGE)
