"""
What the judge remembers between two ticks: values, saved with the rollout.

Only ``analysis`` makes and reads them; a rollout begins with ``JudgeState()``.
Everything is plain numbers, so that a restart goes on with the same evidence
and never spends alpha again.
"""

from dataclasses import dataclass, field

Counts6 = tuple[int, int, int, int, int, int]
"""
Bad and all of the canary, bad and all of stable; then the canary's bad and all
once more, at the threshold that the tolerance allows (the same for rates).
"""
ZERO: Counts6 = (0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Bet:
    """One e-process: wealth by effect size, and what was not bet yet; begins at 1."""

    wealth: tuple[float, ...]
    reserve: float


@dataclass(frozen=True, slots=True)
class CheckState:
    """One check on one route."""

    id: str
    route: str
    worse: Bet
    """Key 1: worse than stable."""
    beyond: Bet
    """Key 2: beyond the tolerance."""
    safe: Bet | None = None
    """Proof of no harm in this step; ``None`` where nobody asked."""
    at: int = -1
    """The threshold, as a latency bucket; -1: not known yet, or a rate."""
    at_tolerated: int = -1
    """The canary's threshold for key 2."""
    at_safe: int = -1
    """The canary's threshold for the proof of no harm."""
    open: Counts6 = ZERO
    """Counted in the block that is open."""
    open_safe: tuple[int, int] = (0, 0)
    """The canary's bad and all at ``at_safe`` in the open block."""
    step: Counts6 = ZERO
    """Counted in the present step, the open block included."""
    lately: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """The first four, fading: what is true now."""
    odds: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Bad events of the canary and of both, by class of the arms' sizes (rates)."""
    ratio: tuple[float, float | None] | None = None
    """What they say of the ratio of the rates, as of the last refresh."""


@dataclass(frozen=True, slots=True)
class TimesState:
    """The recent times of both arms on one route, fading."""

    metric: str
    route: str
    stable: dict[int, float] = field(default_factory=dict)
    """Weights by group of buckets."""
    canary: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SelfCheckState:
    """Stable against a random slice of itself, in both directions."""

    bets: tuple[Bet, ...] = ()
    open: tuple[tuple[int, int, int, int], ...] = ()
    """Slice's bad and all, the rest's bad and all, in the open block."""
    at: tuple[int, ...] = ()
    """Thresholds as latency buckets."""


@dataclass(frozen=True, slots=True)
class ShareState:
    """Requests that were assigned to an arm and never answered, against the other's."""

    canary: Bet
    """Evidence that the canary loses more."""
    stable: Bet
    """Evidence that stable does."""
    open: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Canary's lost and assigned, stable's lost and assigned, in the open block."""
    given_up: tuple[int, int] = (0, 0)
    """Of the step's lost ones, how many clients gave up: canary's, stable's."""
    vanished: tuple[int, int] = (0, 0)
    """And how many nobody knows anything of."""


@dataclass(frozen=True, slots=True)
class JudgeState:
    """What the judge remembers; saved with the rollout, a restart spends no alpha."""

    epoch: int = -1
    """The weight epoch of the last evidence; -1: none seen yet."""
    step: int = 0
    warm: bool = False
    """The warm-up is over."""
    requests: int = 0
    """Canary requests that finished in this step."""
    stable_requests: int = 0
    seen: int = 0
    """Canary requests known of in this step, in flight included."""
    rate: float = 0.0
    """Canary requests a second, of late."""
    block_s: float = 0.0
    """Age of the open block."""
    block_requests: int = 0
    baseline: bool = True
    """Whether the open block has a stable to compare with."""
    refreshed_s: float = 0.0
    """Seconds since the thresholds were last read."""
    staked_s: float = 0.0
    """Seconds since the last stake out of the reserves."""
    top_unit: float | None = None
    """Share of the busiest unit in an arm's traffic, the larger of both."""
    checks: tuple[CheckState, ...] = ()
    resting: tuple[CheckState, ...] = ()
    """Checks that the present step does not ask for; what they know is kept."""
    times: tuple[TimesState, ...] = ()
    share: ShareState | None = None
    itself: SelfCheckState = field(default_factory=SelfCheckState)
