"""
Who decides: Headgate's judge, and the usual rules of others as yardsticks.

Each rule is asked once a second with both arms of that second and answers
"hold", "advance" or "rollback". ``plain`` is the judge's own method without its
refinements. The rules of others follow their sources with the values of their
tutorials, and read exact histograms, which flatters them (Prometheus' buckets
are coarser):

- Flagger (``scheduler.go``): every 60 s, windows of a minute, a failed check is
  never forgotten, rollback once five have failed.
- Argo Rollouts (``analysis.go``): in each step four measurements 15 s apart;
  more than one failed is a rollback (three where it compares with stable).
- Kayenta: Mann-Whitney at 98 % on the points of a growing window, tolerance
  0.25, groups of errors and p99 weighed equally, pass at 95, marginal at 75; a
  verdict at the end of each step, a failed score in between rolls back.
"""

from collections import Counter, deque
from collections.abc import Callable
from math import erfc, sqrt

from decisions.plain import Plain
from decisions.terms import (
    ADVANCE,
    ERROR_DELTA,
    ERROR_MAX,
    ERROR_RATIO,
    HOLD,
    RATIO,
    ROLLBACK,
    STEP_S,
    Moment,
    Rule,
)
from decisions.traffic import LIMIT_BUCKET, LIMIT_S, Arm
from proxy.analysis import (
    ALL_ROUTES,
    DEFAULT_GUARD,
    Evidence,
    JudgePlan,
    JudgeState,
    RouteEvidence,
    Slo,
    Window,
    judge,
)
from proxy.model.buckets import lower_edge_us
from proxy.model.vocabulary import Verdict

SLOS = (
    Slo("latency", quantile=0.99, max=LIMIT_S),
    Slo("latency", quantile=0.99, max_ratio=RATIO),
    Slo("error_rate", max=ERROR_MAX),
    Slo("error_rate", max_ratio=ERROR_RATIO, max_delta=ERROR_DELTA),
    DEFAULT_GUARD,
)


class Headgate:
    """The judge, fed with each second's evidence."""

    def __init__(self, plan: JudgePlan) -> None:
        self._plan = plan
        self._state = JudgeState()

    def decide(self, moment: Moment, canary: Arm, stable: Arm) -> str:
        """See ``Rule``."""
        arms = RouteEvidence(_window(stable), _window(canary))
        self._state, answer = judge(
            self._plan,
            self._state,
            Evidence(moment.step, {ALL_ROUTES: arms}),
            step=moment.step,
            step_age_s=moment.step_s,
            rollout_age_s=moment.second,
        )
        return {Verdict.FAIL: ROLLBACK, Verdict.PASS: ADVANCE}.get(answer.verdict, HOLD)


def _window(arm: Arm) -> Window:
    codes = {200: arm.requests - arm.errors}
    if arm.errors:
        codes[500] = arm.errors
    return Window(codes=codes, latency=arm.times)


class Recorded:
    """The last seconds of both arms, for rules that look at windows."""

    def __init__(self, seconds: int) -> None:
        self._arms: deque[tuple[Arm, Arm]] = deque(maxlen=seconds)

    def add(self, canary: Arm, stable: Arm) -> None:
        """Keep a second."""
        self._arms.append((canary, stable))

    def window(self, seconds: int) -> tuple[Arm, Arm]:
        """Return both arms over the last seconds."""
        arms = Arm(), Arm()
        for pair in list(self._arms)[-seconds:]:
            for whole, one in zip(arms, pair, strict=True):
                whole.requests += one.requests
                whole.errors += one.errors
                whole.times.update(one.times)
        return arms


def p99_s(times: Counter[int]) -> float:
    """Return the 99th percentile in seconds; 0 without answers."""
    left = sum(times.values()) // 100
    for bucket in sorted(times, reverse=True):
        left -= times[bucket]
        if left < 0:
            return lower_edge_us(bucket) / 1e6
    return 0.0


def error_rate(arm: Arm) -> float:
    """Return the rate of errors; 0 without requests."""
    return arm.errors / arm.requests if arm.requests else 0.0


def within_limits(canary: Arm, _stable: Arm) -> bool:
    """Whether a window keeps the absolute objectives."""
    slow = sum(n for bucket, n in canary.times.items() if bucket >= LIMIT_BUCKET)
    answers = sum(canary.times.values())
    return slow <= answers * 0.01 and error_rate(canary) <= ERROR_MAX


def within_stable(canary: Arm, stable: Arm) -> bool:
    """Whether a window keeps the relative objectives too."""
    errors = ERROR_RATIO * error_rate(stable) + ERROR_DELTA
    return (
        within_limits(canary, stable)
        and p99_s(canary.times) <= RATIO * p99_s(stable.times)
        and error_rate(canary) <= errors
    )


Check = Callable[[Arm, Arm], bool]


class Flagger:
    """A check a minute; failures add up."""

    FAILURES_MAX = 5

    def __init__(self, check: Check) -> None:
        self._check = check
        self._seen = Recorded(60)
        self._failed = 0

    def decide(self, moment: Moment, canary: Arm, stable: Arm) -> str:
        """See ``Rule``."""
        self._seen.add(canary, stable)
        if moment.second % STEP_S:
            return HOLD
        if self._failed >= self.FAILURES_MAX:
            return ROLLBACK
        if self._check(*self._seen.window(60)):
            return ADVANCE
        self._failed += 1
        return HOLD


class Argo:
    """Four measurements a step."""

    EVERY_S = 15

    def __init__(self, check: Check, failures_max: int) -> None:
        self._check = check
        self._failures_max = failures_max
        self._seen = Recorded(60)
        self._failed = 0

    def decide(self, moment: Moment, canary: Arm, stable: Arm) -> str:
        """See ``Rule``."""
        self._seen.add(canary, stable)
        if moment.step_s == 1:
            self._failed = 0
        if moment.step_s % self.EVERY_S == 0:
            self._failed += not self._check(*self._seen.window(60))
            if self._failed > self._failures_max:
                return ROLLBACK
        return ADVANCE if moment.step_s >= STEP_S else HOLD


class Kayenta:
    """A score of two groups of points, over all there is so far."""

    TOLERANCE = 0.25
    Z = 2.054
    """One side of 98 %."""
    PASS, MARGINAL = 95.0, 75.0

    def __init__(self, every_s: int) -> None:
        self._every_s = every_s
        self._seen = Recorded(every_s)
        self._points: list[tuple[tuple[float, float], tuple[float, float]]] = []

    def decide(self, moment: Moment, canary: Arm, stable: Arm) -> str:
        """See ``Rule``."""
        self._seen.add(canary, stable)
        if moment.second % self._every_s == 0:
            arms = self._seen.window(self._every_s)
            first, second = ((p99_s(arm.times), error_rate(arm)) for arm in arms)
            self._points.append((first, second))
        if moment.second % STEP_S:
            return HOLD
        score = self._score()
        if score < self.MARGINAL:
            return ROLLBACK
        return ADVANCE if score >= self.PASS or moment.step_s >= STEP_S else HOLD

    def _score(self) -> float:
        passed = 0
        for metric in (0, 1):
            canary = [one[metric] for one, _ in self._points]
            stable = [other[metric] for _, other in self._points]
            passed += not self._high(canary, stable)
        return 50.0 * passed

    def _high(self, canary: list[float], stable: list[float]) -> bool:
        """Whether the canary's points are higher by more than the tolerance."""
        differences = sorted(c - s for c in canary for s in stable)
        shift = differences[len(differences) // 2]
        mean = sum(stable) / len(stable)
        if shift <= self.TOLERANCE * mean:
            return False
        wins = sum((c > s) + 0.5 * (c == s) for c in canary for s in stable)
        n, m = len(canary), len(stable)
        z = (wins - n * m / 2) / sqrt(max(n * m * (n + m + 1) / 12, 1e-9))
        return erfc(z / sqrt(2)) / 2 < erfc(self.Z / sqrt(2)) / 2


RULES: dict[str, Callable[[], Rule]] = {
    "headgate": lambda: Headgate(JudgePlan(SLOS)),
    "plain": Plain,
    "headgate-299": lambda: Headgate(JudgePlan(SLOS, min_requests=299)),
    "flagger-abs": lambda: Flagger(within_limits),
    "flagger-rel": lambda: Flagger(within_stable),
    "argo-abs": lambda: Argo(within_limits, 1),
    "argo-rel": lambda: Argo(within_stable, 3),
    "kayenta-60s": lambda: Kayenta(60),
    "kayenta-10s": lambda: Kayenta(10),
}
