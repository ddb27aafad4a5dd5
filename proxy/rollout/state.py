"""
What is saved of a service's rollouts: the state, the run, the plan it began with.

Values and their JSON; no rule lives here. The weights to apply are
``weights_of(state)`` and nothing else, so a process that dies between saving
and applying heals on its next tick.
"""

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum

from proxy.model.document import decode, encode
from proxy.model.judging import FailFast, Judgement, JudgePlan, JudgeState
from proxy.model.vocabulary import Phase, Reason

PERCENT_ALL = 100.0

ACTIVE_PHASES = frozenset(
    {
        Phase.WAITING,
        Phase.PROGRESSING,
        Phase.PAUSED,
        Phase.PROMOTING,
        Phase.ROLLING_BACK,
    }
)
"""A run is under way; in the other phases the split belongs to people."""


class OnUndecided(StrEnum):
    """What happens when a step is undecided for its ``max_duration``."""

    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class After(StrEnum):
    """What a promoted revision becomes."""

    SWAP = "swap"
    RETURN = "return"


class Start(StrEnum):
    """Who starts a rollout."""

    AUTO = "auto"
    MANUAL = "manual"


class Fate(StrEnum):
    """How a revision's run ended; revisions that have one never start by themselves."""

    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Step:
    """One weight, and what it takes to leave it."""

    weight: float
    """Percent of the service's live traffic; 100 only as the last step."""
    min_duration_s: float = 60.0
    max_duration_s: float | None = 1800.0
    """Judged seconds until ``on_undecided``; ``None``: never."""
    min_requests: int = 299
    pause: bool = False
    """Wait for a person once the step has passed."""


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
    strategy: str = "canary"
    start: Start = Start.AUTO
    after: After = After.SWAP
    on_undecided: OnUndecided = OnUndecided.HOLD
    deadline_s: float | None = None
    """Judged seconds of the whole run until it is rolled back; ``None``: never."""
    fail_fast: FailFast | None = field(default_factory=FailFast)


@dataclass(frozen=True, slots=True)
class Run:
    """One rollout: one revision of the canary on its way from 0 to 100 %."""

    id: str
    """Service and number, such as ``checkout-7``."""
    stable: str
    """The version that was stable when the run began; a swap does not change it."""
    canary: str
    revision: str | None
    """The canary's revision; ``None`` without a revision source."""
    plan: RolloutPlan
    plan_hash: str
    started_at_s: float
    """Unix time."""
    ended_at_s: float | None = None
    step: int = 1
    """The present step, from 1."""
    step_s: float = 0.0
    """Judged seconds in this step."""
    run_s: float = 0.0
    """Judged seconds of the run."""
    canary_silent_s: float | None = None
    """Seconds since the canary was last sent a request; ``None``: never yet."""
    stable_silent_s: float | None = None
    warmed: bool = False
    """The warm-up is over and its evidence was put aside."""
    overdue: bool = False
    """``max_duration`` of this step has passed and was reported."""
    cause: Reason = Reason.NONE
    """Why it is rolled back, while that waits for a healthy stable."""
    exposed_requests: int = 0
    """Live requests that were routed to the canary during the run."""
    judge: JudgeState = field(default_factory=JudgeState)
    judgement: Judgement | None = None
    """The last one."""


@dataclass(frozen=True, slots=True)
class RolloutState:
    """Everything that is remembered of one service's rollouts."""

    service: str
    phase: Phase = Phase.IDLE
    reason: Reason = Reason.NONE
    message: str = ""
    """One sentence: why the phase is what it is."""
    number: int = 0
    """Rollouts started so far."""
    split: dict[str, float] = field(default_factory=dict)
    """The live share of each version in percent; this is what is applied."""
    stable: str = ""
    """The version that is stable now, after swaps; empty: no rollout configured."""
    canary: str = ""
    """The version whose next revision is the next canary."""
    file_split: dict[str, float] = field(default_factory=dict)
    """The file's ``split`` as last seen; only a difference to it is a change."""
    file_roles: tuple[str, str] | None = None
    """The file's stable and canary as last seen; ``None``: no rollout."""
    split_waits: bool = False
    """The file's ``split`` changed during a run and is applied at its end."""
    revisions: dict[str, str] = field(default_factory=dict)
    """The revision last seen of each version."""
    fates: dict[str, Fate] = field(default_factory=dict)
    """How runs of revisions ended, oldest first, ``FATES_MAX`` at most."""
    pending: str | None = None
    """A revision of the canary that starts as soon as it is healthy."""
    unjudged: dict[str, str] = field(default_factory=dict)
    """Versions with live weight whose revision changed outside a rollout."""
    run: Run | None = None
    """The present run, or the last one; ``None`` before the first."""

    @property
    def active(self) -> bool:
        """Whether a run is under way."""
        return self.phase in ACTIVE_PHASES

    @property
    def canary_weight(self) -> float:
        """The live percent of the version that is the canary now."""
        return self.split.get(self.canary, 0.0)

    @property
    def share(self) -> float:
        """The percent that stable and canary have between them."""
        return self.split.get(self.stable, 0.0) + self.canary_weight


def weights_of(state: RolloutState) -> dict[str, float]:
    """Return the live weight of every version in percent, summing to 100."""
    return dict(state.split)


def judge_plan_of(run: Run) -> JudgePlan:
    """Return what the judge is asked in the run's present step."""
    step = run.plan.steps[run.step - 1]
    judge = run.plan.judge
    return JudgePlan(
        slos=judge.slos,
        alpha=judge.alpha,
        alpha_tolerance=judge.alpha_tolerance,
        min_requests=step.min_requests,
        min_duration_s=step.min_duration_s,
        warmup_s=judge.warmup_s,
    )


def exposed(state: RolloutState, requests: int) -> RolloutState:
    """Return the state with so many more requests that the run's canary got."""
    run = state.run
    if run is None or not state.active or not requests:
        return state
    more = replace(run, exposed_requests=run.exposed_requests + requests)
    return replace(state, run=more)


def to_json(state: RolloutState) -> str:
    """Return the state as one line of JSON that ``from_json`` reads back exactly."""
    return json.dumps(
        encode(state), ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def from_json(text: str) -> RolloutState:
    """
    Return the state that ``to_json`` wrote.

    Raises:
        ValueError: the text is not JSON, or has another shape.
    """
    return decode(RolloutState, json.loads(text))
