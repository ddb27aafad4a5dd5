"""
What is saved of a service's rollouts: the state, and the run under way.

Values and their JSON; no rule lives here. The weights to apply are
``weights_of(state)`` and nothing else, so a process that dies between saving
and applying heals on its next tick.
"""

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum

from proxy.model.document import decode, encode
from proxy.model.external import Measured
from proxy.model.judge_state import JudgeState
from proxy.model.judging import Judgement, JudgePlan
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.plan import PERCENT_ALL, RolloutPlan, Step

ACTIVE_PHASES = frozenset(
    {
        Phase.WAITING,
        Phase.PROGRESSING,
        Phase.PAUSED,
        Phase.BAKING,
        Phase.PROMOTING,
        Phase.ROLLING_BACK,
    }
)
"""A run is under way; in the other phases the split belongs to people."""


class Fate(StrEnum):
    """How a revision's run ended; revisions that have one never start by themselves."""

    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A person's word that nothing may rise."""

    owner: str
    reason: str
    since_s: float
    """Unix time."""


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
    step: int = 0
    """The present step, from 1; 0 while gates keep the run from its first."""
    granted: float = 0.0
    """Percent that the canary may have now; a lack of capacity gives it less."""
    step_s: float = 0.0
    """Judged seconds in this step."""
    run_s: float = 0.0
    """Judged seconds of the run."""
    baking: bool = False
    """All steps are done and the bake has begun."""
    bake_s: float = 0.0
    """Judged seconds of the bake."""
    canary_silent_s: float | None = None
    """Seconds since the canary was last sent a request; ``None``: never yet."""
    stable_silent_s: float | None = None
    idle_s: float = 0.0
    """Seconds without traffic in a row, while there should be some."""
    capacity: float = 1.0
    """The part of the canary's endpoints that is healthy, 0 to 1."""
    down_s: float = 0.0
    """Seconds in a row without a healthy endpoint of the canary."""
    fall_s: float = 0.0
    """Seconds since the last step down of a gradual rollback."""
    mirrored: int = 0
    """Mirrored answers of the canary during the preview."""
    mirror_failed: int = 0
    """Mirrored requests that it failed meanwhile."""
    warmed: bool = False
    """The warm-up is over and its evidence was put aside."""
    overdue: bool = False
    """``max_duration`` of this step has passed and was reported."""
    waits: tuple[int, ...] = ()
    """Gates of the plan, by their place, that must open before ``then``."""
    then: int = 0
    """The step that is entered when they have opened; 0: none is asked."""
    override: str = ""
    """Why freezes do not hold this run; empty: they do."""
    cause: Reason = Reason.NONE
    """Why it is rolled back, while that takes time."""
    exposed_requests: int = 0
    """Live requests that were routed to the canary during the run."""
    judge: JudgeState = field(default_factory=JudgeState)
    judgement: Judgement | None = None
    """The last one."""
    external: tuple[Measured, ...] = ()
    """What is remembered of the external metrics."""

    @property
    def present(self) -> Step:
        """The step under way; the first while none has been entered."""
        return self.plan.steps[max(self.step, 1) - 1]

    @property
    def previewing(self) -> bool:
        """Whether the present step gives the canary no live weight."""
        return self.step > 0 and not self.baking and not self.present.weight


@dataclass(frozen=True, slots=True)
class RolloutState:
    """Everything that is remembered of one service's rollouts."""

    service: str
    phase: Phase = Phase.IDLE
    reason: Reason = Reason.NONE
    message: str = ""
    """One sentence: why the phase is what it is."""
    since_s: float = 0.0
    """When the phase began, Unix time; 0: at the very beginning."""
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
    """The file's ``split`` changed during a run or a freeze and is applied later."""
    revisions: dict[str, str] = field(default_factory=dict)
    """The revision last seen of each version."""
    fates: dict[str, Fate] = field(default_factory=dict)
    """How runs of revisions ended, oldest first, ``FATES_MAX`` at most."""
    stables: tuple[str, ...] = ()
    """Revisions that had the role of stable, the newest last."""
    pending: str | None = None
    """A revision of the canary that starts as soon as it is healthy."""
    pending_s: float = 0.0
    """How long it has waited for a healthy endpoint."""
    unjudged: dict[str, str] = field(default_factory=dict)
    """Versions with live weight whose revision changed outside a rollout."""
    freeze: Freeze | None = None
    """What a person froze; ``None``: nobody did."""
    calendar: str = ""
    """The window of the file that freezes now; empty: none."""
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

    @property
    def frozen(self) -> str:
        """Why nothing may rise now, as a sentence; empty: it may."""
        if self.active and self.run is not None and self.run.override:
            return ""
        return self.standstill

    @property
    def standstill(self) -> str:
        """What freezes the service, whether or not the run overrides it."""
        if self.freeze is not None:
            return f"frozen by {self.freeze.owner}: {self.freeze.reason}"
        return f"frozen by the calendar: {self.calendar}" if self.calendar else ""


def is_last(run: Run) -> bool:
    """Whether promotion follows the run's present step."""
    steps = run.plan.steps
    if run.step >= len(steps):
        return True
    following = steps[run.step]
    return following.only is None and following.weight >= PERCENT_ALL


def window_left_s(run: Run) -> float:
    """
    Return the judged seconds that promotion waits for the longest window.

    0 in every step but the last before it.
    """
    if run.previewing or not is_last(run):
        return 0.0
    windows = run.plan.windows.values()
    longest_s = max((one_s for row in windows for one_s in row), default=0.0)
    return max(longest_s - run.run_s, 0.0)


def weights_of(state: RolloutState) -> dict[str, float]:
    """Return the live weight of every version in percent, summing to 100."""
    return dict(state.split)


@dataclass(frozen=True, slots=True)
class OpenRings:
    """Whom the canary's weight is meant for, while that is not everybody alike."""

    count: int
    """So many of the plan's rings have opened, the first ones; they stay open."""
    all: bool
    """The weight is meant for every request, beside the rings."""
    lid: float
    """No ring gives the canary more percent: its weight was lowered meanwhile."""


def open_rings_of(state: RolloutState) -> OpenRings | None:
    """Return the rings that are open; ``None``: the weight is meant for everybody."""
    run = state.run
    if run is None or not state.active or not run.step or not state.canary_weight:
        return None
    count = sum(step.only is not None for step in run.plan.steps[: run.step])
    if not count:
        return None
    risen = run.baking or state.phase is Phase.PROMOTING
    lowered = not risen and state.canary_weight < run.present.weight
    return OpenRings(
        count=count,
        all=risen or run.present.only is None,
        lid=state.canary_weight if lowered else PERCENT_ALL,
    )


def judge_plan_of(run: Run) -> JudgePlan:
    """Return what the judge is asked in the run's present step."""
    step = run.present
    steps = run.plan.steps
    next_weight = steps[run.step].weight if run.step < len(steps) else PERCENT_ALL
    return replace(
        run.plan.judge,
        slos=run.plan.judge.slos if step.slos is None else step.slos,
        min_requests=step.min_requests,
        min_duration_s=step.min_duration_s,
        next_share=next_weight / PERCENT_ALL,
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
