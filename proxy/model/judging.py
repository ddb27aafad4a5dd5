"""
What is asked of a canary, and what was found: values shared by analysis and rollout.

``JudgePlan`` is the question (made from the settings, kept with the rollout it
was started with), ``Judgement`` the answer of one tick. No behaviour here.
"""

from dataclasses import dataclass

from proxy.model.vocabulary import Reason, Verdict

LATENCY = "latency"
TTFB = "ttfb"
ERROR_RATE = "error_rate"
CLIENT_ERROR_RATE = "client_error_rate"
MISMATCH_RATE = "mismatch_rate"
LATENCY_RATIO = "latency_ratio"
PAIR_METRICS = (MISMATCH_RATE, LATENCY_RATIO)
"""Judged by the pairs of a parallel run, not by live requests."""

ROUTE_ALL = "all"
"""An SLO over every request of the service."""
ROUTE_EACH = "each"
"""An SLO over each declared route on its own, sharing one alpha."""


@dataclass(frozen=True, slots=True)
class Slo:
    """
    One service level objective, or a guard.

    ``max`` is absolute; ``max_ratio`` and ``max_delta`` make one limit,
    stable × ratio + delta (ratio 1 and delta 0 where absent). Seconds for
    latencies, fractions for rates. Exactly one of absolute or relative is set.
    """

    metric: str
    """``latency``, ``ttfb``, ``error_rate`` or ``client_error_rate``."""
    quantile: float | None = None
    """0 < quantile < 1 for latencies; ``None`` for rates."""
    max: float | None = None
    max_ratio: float | None = None
    max_delta: float | None = None
    codes: tuple[str, ...] = ()
    """Status codes that are errors (``5xx``, ``404``); empty: the usual ones."""
    route: str = ROUTE_ALL
    """``all``, ``each``, or a route as the file writes it (``POST /orders``)."""
    only: bool = False
    """A latency ratio protects its own quantile only, not p50 and p90 too."""


DEFAULT_GUARD = Slo(CLIENT_ERROR_RATE, max_delta=0.02)
"""On without being named: a canary that answers 404 to everyone is not healthy."""


@dataclass(frozen=True, slots=True)
class FailFast:
    """When the canary is dropped within a second, without statistics."""

    consecutive_connect_failures: int = 5
    error_rate: float = 0.5
    """Fraction of failed requests, 0 < rate ≤ 1."""
    requests: int = 20
    """The last so many canary requests are looked at, at least 20."""


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """The question that ``analysis.judge`` answers for one step."""

    slos: tuple[Slo, ...]
    """SLOs and guards, in the file's order, the default guard included."""
    alpha: float = 0.01
    """Chance that a canary no worse than stable is rolled back, whole rollout."""
    alpha_tolerance: float = 0.10
    """The same for one that is worse, but within the limits."""
    min_requests: int = 299
    """Canary evidence that a step needs before it may pass, at least 1."""
    min_duration_s: float = 60.0
    """Judged seconds that a step needs before it may pass, warm-up included."""
    warmup_s: float = 20.0
    """Judged seconds of the rollout in which only gross faults count."""


@dataclass(frozen=True, slots=True)
class Requests:
    """How much evidence an SLO stands on."""

    stable: int = 0
    canary: int = 0
    needed: int = 0
    """Canary requests still missing until the step can pass, or be looked at."""


@dataclass(frozen=True, slots=True)
class Together:
    """What the weight epochs of a run say of one SLO together, each within itself."""

    beyond: int
    """Canary requests beyond the limit that held in their own epoch."""
    requests: int
    """Canary requests that were held against it."""
    allowed: float
    """How many of them a canary at the limit would have beyond it."""
    worse_p: float
    """Bound on the chance of this much harm if the canary were no worse."""


@dataclass(frozen=True, slots=True)
class SloJudgement:
    """
    What is known of one SLO.

    Seconds for latencies, fractions for rates; ``None`` where nothing is known.
    """

    id: str
    """``latency-p99-ratio``, or with a route ``latency-p99-ratio@POST /orders``."""
    verdict: Verdict
    stable: float | None
    canary: float | None
    value: float | None
    """What is held against ``limit``: the ratio, or the canary's own figure."""
    limit: float | None
    interval: tuple[float | None, float | None] | None
    """
    Of ``value``, at the ``alpha_tolerance`` of the last look; ``None`` before it.

    An end is ``None`` where the evidence does not bound that side yet.
    """
    requests: Requests
    suspicious: bool = False
    """The canary looks worse than the limit, though it is not proven."""
    worse_p: float | None = None
    """Key 1: chance of this much harm if the canary were no worse than stable."""
    beyond: bool | None = None
    """Key 2: beyond the limit at ``alpha_tolerance``; ``None`` before a look."""
    route: str = ""
    """The route that was judged; empty: all requests."""
    together: Together | None = None
    """Set where it is the run's epochs together that look or are proven worse."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one tick, with everything it stands on."""

    verdict: Verdict
    reason: Reason
    message: str
    """One sentence for people, without a full stop."""
    needed: int
    """Canary requests still missing, 0 when only time is."""
    wait_s: float | None
    """About how long until the verdict can be ``pass``; ``None``: nobody knows."""
    slos: tuple[SloJudgement, ...] = ()
    look: int = 0
    """Which look at the evidence this was, over the whole rollout; 0: none was due."""


@dataclass(frozen=True, slots=True)
class Harm:
    """
    Sums over weight epochs of what one check saw on one route.

    Each epoch is compared within itself before it is added, so the sums are
    never confounded by weights or hours (``analysis.together`` says how).
    """

    id: str
    route: str
    excess: float = 0.0
    """Bad canary events above what both arms' common rate leads to expect."""
    canary: int = 0
    """Canary requests of the epochs in which it was the smaller arm."""
    canary_expected: float = 0.0
    """Bad events expected among those."""
    stable: int = 0
    """Stable requests of the epochs in which stable was the smaller arm."""
    stable_expected: float = 0.0
    beyond: int = 0
    """Canary events beyond the limit of their epoch."""
    judged: int = 0
    """Canary requests held against a limit."""
    allowed: float = 0.0
    """How many of them the limits allow."""
    noise: float = 0.0
    """Where stable's own rate makes the limit: at most so many of ``allowed`` are
    stable's, at its upper bound; 0 for limits that are known."""
    leverage: float = 0.0
    """``noise`` times how much one bad stable request moves the limit."""
    slack: float = 0.0
    """The part of ``allowed`` that is ``max_delta``'s."""


@dataclass(frozen=True, slots=True)
class JudgeState:
    """
    What the judge remembers; saved with the rollout, so a restart spends no alpha.

    Only ``analysis`` makes and reads the fields; a rollout begins with
    ``JudgeState()``.
    """

    looks: int = 0
    """Looks taken since the rollout began; each halves what is left of alpha."""
    epoch: int = -1
    """The weight epoch of the last evidence; -1: none seen yet."""
    epoch_looks: int = 0
    """Looks taken in that epoch: the next is due at min_requests × 2^this."""
    epoch_requests: int = 0
    """Canary evidence of that epoch when it was last seen; it only grows."""
    findings: tuple[SloJudgement, ...] = ()
    """What the last look in this epoch found (intervals and keys are from here)."""
    before: tuple[Harm, ...] = ()
    """The run's epochs before this one."""
    here: tuple[Harm, ...] = ()
    """This epoch, as of ``here_requests`` canary requests."""
    here_requests: int = 0
    epochs: int = 0
    """Epochs added to ``before``."""
