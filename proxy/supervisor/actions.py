"""
What the supervisor may do, as values; ``tree`` decides, ``loop`` performs.

A child is named by a number: a worker by its index, control by ``CONTROL``, the
process that compares by ``COMPARE``.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONTROL = -1
"""The control process among the children."""
COMPARE = -2
"""The compare process, which is there only while a service compares."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a child; ``restarted`` when another sat on its place before."""

    child: int
    restarted: bool


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to a child; it is dropped when the child is gone."""

    child: int
    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GiveTable:
    """Send the newest table to a child."""

    child: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send a signal to a child."""

    child: int
    number: signal.Signals


@dataclass(frozen=True, slots=True)
class ShowWorker:
    """Publish a worker's row in the slab; ``state`` is a ``layout.STATE_*``."""

    worker: int
    pid: int
    state: int
    restarts: int


@dataclass(frozen=True, slots=True)
class ShowControl:
    """Publish how often control was replaced."""

    restarts: int


@dataclass(frozen=True, slots=True)
class ShowDraining:
    """Publish that the tree is about to end."""


@dataclass(frozen=True, slots=True)
class CloseListeners:
    """Close the supervisor's copies of the listeners for traffic."""


@dataclass(frozen=True, slots=True)
class Note:
    """Write a log line."""

    level: str
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class End:
    """End the tree with an exit code; ``message`` is the sentence on stderr."""

    code: int
    message: str = ""


Action = (
    Spawn
    | Tell
    | GiveTable
    | Kill
    | ShowWorker
    | ShowControl
    | ShowDraining
    | CloseListeners
    | Note
    | End
)


def name_of(child: int) -> str:
    """Return what logs and ``ps`` call a child, less the ``headgate-``."""
    return {CONTROL: "control", COMPARE: "compare"}.get(child, f"worker-{child}")
