"""What a rule is asked and answers, and the limits that all rules hold."""

from dataclasses import dataclass
from typing import Protocol

from decisions.traffic import Arm

HOLD, ADVANCE, ROLLBACK = "hold", "advance", "rollback"
STEP_S = 60
RATIO = 1.10
ERROR_MAX = 0.01
ERROR_RATIO = 1.25
ERROR_DELTA = 0.0005


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a rollout stands when a rule is asked; seconds and steps from 1."""

    second: int
    step: int
    step_s: int


class Rule(Protocol):
    """Decides one rollout."""

    def decide(self, moment: Moment, canary: Arm, stable: Arm) -> str:
        """Return what follows from this second."""
        ...
