"""
How the tree ends, as a table of stages; pure.

::

    SERVING --SIGTERM--> ANNOUNCED        readiness fails, still accepting
    ANNOUNCED --delay--> FINISHING        nothing is accepted, exchanges finish
    FINISHING --timeout--> KILLING_WORKERS
    FINISHING | KILLING_WORKERS --no worker left--> STOPPING     control saves and ends
    STOPPING --5 s--> KILLING_CONTROL
    STOPPING | KILLING_CONTROL --control gone--> ENDED

Entering a stage is the effect; ``tree`` knows what it means. A second signal
hurries: no delay any more, and one second for what is in flight.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum, auto

HURRY_S = 1.0
"""What is left to finish after a second SIGTERM."""
CONTROL_STOP_S = 5.0
"""Control has only to save its state; a save takes milliseconds."""
KILL_WAIT_S = 2.0
"""A killed process is gone at once, unless the kernel holds it (a dead disk)."""


class Stage(Enum):
    """Where the end of the tree stands."""

    SERVING = auto()
    ANNOUNCED = auto()
    FINISHING = auto()
    KILLING_WORKERS = auto()
    STOPPING = auto()
    KILLING_CONTROL = auto()
    ENDED = auto()


class _Awaits(Enum):
    NOTHING = auto()
    WORKERS = auto()
    CONTROL = auto()


@dataclass(frozen=True, slots=True)
class _Row:
    """Whose end a stage awaits, and the stage after it, its deadline, a signal."""

    awaits: _Awaits
    gone: Stage
    late: Stage
    asked: Stage


_TABLE = {
    Stage.SERVING: _Row(_Awaits.NOTHING, Stage.SERVING, Stage.SERVING, Stage.ANNOUNCED),
    Stage.ANNOUNCED: _Row(
        _Awaits.WORKERS, Stage.FINISHING, Stage.FINISHING, Stage.FINISHING
    ),
    Stage.FINISHING: _Row(
        _Awaits.WORKERS, Stage.STOPPING, Stage.KILLING_WORKERS, Stage.FINISHING
    ),
    Stage.KILLING_WORKERS: _Row(
        _Awaits.WORKERS, Stage.STOPPING, Stage.STOPPING, Stage.KILLING_WORKERS
    ),
    Stage.STOPPING: _Row(
        _Awaits.CONTROL, Stage.ENDED, Stage.KILLING_CONTROL, Stage.STOPPING
    ),
    Stage.KILLING_CONTROL: _Row(
        _Awaits.CONTROL, Stage.ENDED, Stage.ENDED, Stage.KILLING_CONTROL
    ),
    Stage.ENDED: _Row(_Awaits.NOTHING, Stage.ENDED, Stage.ENDED, Stage.ENDED),
}


@dataclass(frozen=True, slots=True)
class Draining:
    """A stage, until when it lasts at most, and the configured patience."""

    delay_s: float
    timeout_s: float
    stage: Stage = Stage.SERVING
    deadline_s: float = math.inf
    hurried: bool = False

    def asked(self, now_s: float) -> "Draining":
        """Return what holds after a SIGTERM or SIGINT."""
        if self.stage is Stage.SERVING:
            return _enter(self, Stage.ANNOUNCED, now_s)
        hurried = replace(self, hurried=True)
        stage = _TABLE[self.stage].asked
        if stage is not self.stage:
            return _enter(hurried, stage, now_s)
        return replace(hurried, deadline_s=min(self.deadline_s, now_s + HURRY_S))

    def advanced(
        self, now_s: float, *, workers_alive: bool, control_alive: bool
    ) -> "Draining":
        """Return what holds now: this, or the next stage (one at a time)."""
        row = _TABLE[self.stage]
        alive = {
            _Awaits.NOTHING: True,
            _Awaits.WORKERS: workers_alive,
            _Awaits.CONTROL: control_alive,
        }[row.awaits]
        if not alive:
            return _enter(self, row.gone, now_s)
        if now_s >= self.deadline_s:
            return _enter(self, row.late, now_s)
        return self


def _enter(draining: Draining, stage: Stage, now_s: float) -> Draining:
    patience_s = {
        Stage.SERVING: math.inf,
        Stage.ANNOUNCED: draining.delay_s,
        Stage.FINISHING: draining.timeout_s,
        Stage.KILLING_WORKERS: KILL_WAIT_S,
        Stage.STOPPING: CONTROL_STOP_S,
        Stage.KILLING_CONTROL: KILL_WAIT_S,
        Stage.ENDED: math.inf,
    }[stage]
    if draining.hurried and stage is not Stage.ENDED:
        patience_s = min(patience_s, HURRY_S)
    return replace(draining, stage=stage, deadline_s=now_s + patience_s)
