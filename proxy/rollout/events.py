"""
What may happen to a rollout, what it wants done, and what it records: values only.

Events come in through ``rollout.step``; each returns an ``Outcome`` with the
next state, the actions that the shell performs after saving it, and a
``Decision`` when something changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from proxy.model.external import Measured
from proxy.model.judge_state import JudgeState
from proxy.model.judging import Judgement
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.state import RolloutState

CONTROLLER = "controller"
"""Who decides when no person did."""


class Verb(StrEnum):
    """What a person may order; ``split`` is ``SplitOrdered``."""

    START = "start"
    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"
    SKIP = "skip"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"


@dataclass(frozen=True, slots=True)
class Tick:
    """
    One second has passed; sent for every service with a rollout, in every phase.

    ``judgement`` and ``judge`` are what ``analysis.judge`` returned; ``None``
    while the canary has no live weight or no run is active.
    """

    dt_s: float
    """Since the last tick; beyond ``TICK_S_MAX`` it was downtime and does not count."""
    canary_routed: int = 0
    """Live requests routed to the canary since the last tick."""
    stable_routed: int = 0
    canary_healthy: bool = True
    """The canary has a healthy endpoint."""
    stable_healthy: bool = True
    canary_capacity: float = 1.0
    """The part of the canary's endpoints that is healthy, 0 to 1."""
    mirrored: int = 0
    """Mirrored requests that the canary answered since the last tick."""
    mirror_failed: int = 0
    """Mirrored requests that it failed since the last tick."""
    judgement: Judgement | None = None
    judge: JudgeState | None = None
    external: tuple[Measured, ...] | None = None
    """What is remembered of external metrics; ``None``: as before."""


@dataclass(frozen=True, slots=True)
class Tripped:
    """
    Fail-fast fired: in a worker (its trip word names this epoch) or in control.

    When the outcome has no ``SetWeights`` the trip was not confirmed, and the
    shell begins a new epoch with the same weights to clear it.
    """

    message: str
    """What was seen, such as ``20 of the last 20 requests failed, stable 0 of 310``."""
    stable_healthy: bool = True
    judgement: Judgement | None = None


@dataclass(frozen=True, slots=True)
class RevisionSeen:
    """A version reports its revision (file, header or poll); repeating is harmless."""

    version: str
    revision: str


@dataclass(frozen=True, slots=True)
class ConfigSeen:
    """
    The file as it is now: sent at every start of control and after every reload.

    The rollout itself is the ``plan`` argument of ``step``; ``None`` there
    means that the service has none (any more).
    """

    split: Mapping[str, float]
    """The file's split, every declared version named, in percent."""


@dataclass(frozen=True, slots=True)
class CalendarSeen:
    """A freeze window of the file has begun, changed or ended."""

    window: str
    """Which one, for a sentence; empty: none holds now."""


class Answer(StrEnum):
    """What a gate said."""

    OPEN = "open"
    CLOSED = "closed"
    NONE = "none"
    """Nobody answered, in all attempts."""


@dataclass(frozen=True, slots=True)
class GateAnswered:
    """A gate was asked for a run, and this came of it."""

    run: str
    """The run's id; an answer for another run means nothing."""
    gate: int
    """Its place in the run's plan."""
    step: int
    """The step from which it was asked; from another it means nothing."""
    answer: Answer
    detail: str = ""
    """What it said, for a sentence, such as ``403`` or ``timed out``."""
    stable_healthy: bool = True


@dataclass(frozen=True, slots=True)
class Command:
    """A person orders something."""

    verb: Verb
    who: str
    reason: str = ""
    """The person's own words."""
    revision: str | None = None
    """Only if this is the canary's revision; ``None``: whichever it is."""
    full: bool = False
    """``promote``: to 100 % now, without the steps that are left."""
    override: str = ""
    """Why it is done although the service is frozen; empty: it is not done then."""
    owner: str = ""
    """``freeze``: whose it is; empty: the person's."""


@dataclass(frozen=True, slots=True)
class SplitOrdered:
    """A person sets weights by hand; versions left out keep theirs (see ``split``)."""

    weights: Mapping[str, float]
    who: str
    reason: str = ""
    force: bool = False
    """Also for a revision that was rolled back."""
    override: str = ""
    """As a command's."""


Event: TypeAlias = (
    Tick
    | Tripped
    | RevisionSeen
    | ConfigSeen
    | CalendarSeen
    | GateAnswered
    | Command
    | SplitOrdered
)


@dataclass(frozen=True, slots=True)
class SetWeights:
    """Apply ``weights_of(state)`` in a new weight epoch, even if they are equal."""

    weights: dict[str, float]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run ended; ``rollouts_total{outcome,reason}`` counts it, history shows it."""

    run_id: str
    outcome: Phase
    """``Succeeded`` or ``RolledBack``; a superseded run was rolled back."""
    reason: Reason


Action: TypeAlias = SetWeights | Ended


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, why, by whom, and what it was based on; never changed later."""

    at_s: float
    """Unix time."""
    service: str
    rollout: str
    """The run's id; empty outside a run."""
    rule: str
    """The rule that fired, such as ``advance`` or ``slo-violated``."""
    reason: Reason
    message: str
    who: str
    note: str
    """The person's own words; empty for the controller."""
    phase_before: Phase
    phase_after: Phase
    step_before: int
    step_after: int
    weights_before: dict[str, float]
    weights_after: dict[str, float]
    revision: str | None
    plan_hash: str
    evidence: Judgement | None
    """The judgement it stands on; ``None`` where none did."""
    alpha: float | None = None
    """Of the run's plan: key 1 opens at 1/alpha; ``None`` outside a run."""
    alpha_tolerance: float | None = None
    """Key 2 opens at 1/alpha_tolerance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What ``step`` returns: save the state, then perform the actions in order."""

    state: RolloutState
    actions: tuple[Action, ...] = field(default=())
    decision: Decision | None = None
