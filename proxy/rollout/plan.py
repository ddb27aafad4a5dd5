"""
What the file says about a service's rollout: values that a run keeps a copy of.

No rule lives here. Weights are percent, times are seconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from proxy.model.external import ExternalMetric
from proxy.model.judging import FailFast, JudgePlan, Slo

PERCENT_ALL = 100.0


class Strategy(StrEnum):
    """How the traffic moves."""

    CANARY = "canary"
    BLUE_GREEN = "blue_green"
    PARALLEL = "parallel"
    """A preview that a parallel run must pass, then by weights."""


class OnUndecided(StrEnum):
    """What happens when a step is undecided for its ``max_duration``."""

    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class OnNoTraffic(StrEnum):
    """What happens when a rollout is without traffic for minutes."""

    HOLD = "hold"
    ROLLBACK = "rollback"


class After(StrEnum):
    """What a promoted revision becomes."""

    SWAP = "swap"
    RETURN = "return"


class Start(StrEnum):
    """Who starts a rollout."""

    AUTO = "auto"
    MANUAL = "manual"


class GateType(StrEnum):
    """When a gate is asked; the names are Flagger's webhook types."""

    CONFIRM_ROLLOUT = "confirm-rollout"
    PRE_ROLLOUT = "pre-rollout"
    ROLLOUT = "rollout"
    CONFIRM_TRAFFIC_INCREASE = "confirm-traffic-increase"
    CONFIRM_PROMOTION = "confirm-promotion"
    POST_ROLLOUT = "post-rollout"
    ROLLBACK = "rollback"
    EVENT = "event"


class OnTimeout(StrEnum):
    """What a gate means that does not answer."""

    HOLD = "hold"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Gate:
    """Somebody else who is asked by HTTP POST."""

    type: GateType
    url: str
    name: str = ""
    """How people call it; empty: its type."""
    timeout_s: float = 10.0
    """One call, its answer included."""
    retries: int = 3
    """Further calls when nobody answers, or when a check fails."""
    interval_s: float = 10.0
    """Between two questions to a gate that is closed, or asked all along."""
    on_timeout: OnTimeout = OnTimeout.HOLD
    secret_file: str | None = None
    """Holds the key that signs the question; ``None``: unsigned."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Sent along."""
    step: int = 0
    """Only for leaving this step; 0: wherever its type says."""

    @property
    def title(self) -> str:
        """How a sentence names it."""
        return self.name or self.type.value


@dataclass(frozen=True, slots=True)
class Ring:
    """The requests that a step's weight is meant for; everything named must hold."""

    header: dict[str, str] = field(default_factory=dict)
    cookie: dict[str, str] = field(default_factory=dict)
    method: str | None = None
    path_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One weight, and what it takes to leave it."""

    weight: float
    """Percent of the service's live traffic, or of the ring's; 100 without a ring
    only as the last step, 0 only as a preview."""
    min_duration_s: float = 60.0
    max_duration_s: float | None = 1800.0
    """Judged seconds until ``on_undecided``; ``None``: never."""
    min_requests: int = 299
    pause: bool = False
    """Wait for a person once the step has passed."""
    slos: tuple[Slo, ...] | None = None
    """Judged in this step; ``None``: the rollout's."""
    only: Ring | None = None
    """The weight is meant for these requests alone; ``None``: for all."""


@dataclass(frozen=True, slots=True)
class Bake:
    """After 100 % the old version stays as control for a while."""

    duration_s: float
    """Judged seconds."""
    holdback: float
    """Percent that the old version keeps meanwhile, above 0."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """How a violated objective takes the canary to 0."""

    gradual: bool = False
    """Down through the steps, for a stable that is cold; fail-fast never waits."""
    interval_s: float = 10.0
    """Between two steps down."""


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """What the file says about a service's rollout; a run keeps its own copy."""

    stable: str
    """The version that has the role in the file."""
    canary: str
    steps: tuple[Step, ...]
    """At least one, weights rising; promotion follows the last in any case."""
    judge: JudgePlan
    """SLOs and levels; ``min_requests`` and ``min_duration_s`` come from the step."""
    strategy: Strategy = Strategy.CANARY
    start: Start = Start.AUTO
    after: After = After.SWAP
    on_undecided: OnUndecided = OnUndecided.HOLD
    deadline_s: float | None = None
    """Judged seconds of the whole run until it is rolled back; ``None``: never."""
    fail_fast: FailFast | None = field(default_factory=FailFast)
    bake: Bake | None = None
    rollback: Rollback = field(default_factory=Rollback)
    rollback_window: int = 0
    """A person's start of one of the last so many stable revisions skips steps."""
    on_no_traffic: OnNoTraffic = OnNoTraffic.HOLD
    progress_deadline_s: float | None = 600.0
    """Seconds without a healthy endpoint of the canary; ``None``: for ever."""
    gates: tuple[Gate, ...] = ()
    mirrored: int = 0
    """Mirrored answers that the preview of ``blue_green`` needs; 0: none."""
    pairs: tuple[Slo, ...] = ()
    """SLOs that the parallel run's pairs are judged by, beside ``judge``'s."""
    external: tuple[ExternalMetric, ...] = ()
    """What is asked of metric providers beside the judge's SLOs."""
    windows: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Windows of business metrics by event, in seconds, rising: no promotion before
    the run has judged for the longest."""
