"""
The plain form of the judge's own method, to see what the rest of it is worth.

Six e-processes of equal weight (errors against stable and against their limit,
p50, p90 and p99 against stable's, and the tail beyond the latency limit), bounds
on moments in the place of exact sums, no guards, and fixed rules of waiting. It
shares no code with ``analysis``.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import exp, inf, log, log1p

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
)
from decisions.traffic import LIMIT_BUCKET, Arm
from proxy.model.buckets import bucket_of, lower_edge_us

ERRORS = (1.5, 2.5, 5.0, 10.0, 30.0, 100.0)
ABSOLUTE = (1.3, 1.7, 2.5, 5.0, 12.0, 40.0)
TIMES = {
    0.5: (1.1, 1.25, 1.5, 2.0, 4.0),
    0.9: (1.2, 1.5, 2.0, 4.0, 8.0),
    0.99: (1.3, 1.7, 2.5, 5.0, 12.0),
}
"""Effects that are bet on at each quantile."""
CAP_ERRORS, CAP_TIMES = 3.5, 2.0
WORSE_MIN, BEYOND_MIN = 100.0, 10.0
"""Both keys this far open: rollback."""
DOUBT_WORSE, DOUBT_BEYOND = 5.0, 1.0
WARM_UP_S = 20
WARM_UP = (1.0, 0.05, 5.0)
"""Ratio and points more of errors, and ratio of times, that it forgives."""
BLOCK_REQUESTS, BLOCK_S = 50, 5
HALF_LIFE_S, REFRESH_S = 60.0, 5
KNOWN_MIN = 30.0
REQUESTS_MIN, REQUESTS_LEAST = 50, 10
WAIT_MAX_S, DOUBT_MAX_S = 240, 300


def rate(c: Arm, b: Arm, more: float, points: float) -> list[float]:
    """Return bets on the canary's errors being more frequent than allowed."""
    total = c.requests * (1.0 + more) + b.requests
    q = c.requests * (1.0 + more) / total if total else 0.0
    bets = []
    for r in ERRORS:
        z = 1.0 + q * (r - 1.0)
        won = c.errors * log(r) - (c.errors + b.errors) * log(z)
        bets.append(won - points * c.requests * (r / z - 1.0))
    return bets


def exceed(
    k_c: int, n_c: int, k_b: int, n_b: int, effects: Sequence[float]
) -> list[float]:
    """Return bets on the canary's exceeding more often."""
    k, n = k_c + k_b, n_c + n_b
    if not n_c or not n_b or not 0 < k < n:
        return [0.0] * len(effects)
    w = n_c / n
    variance = k * w * (1.0 - w) * (n - k) / (n - 1)
    bets = []
    for r in effects:
        tilt = log(r)
        bennett = tilt * k * w + variance * (exp(tilt) - 1.0 - tilt)
        bets.append(tilt * k_c - min(k * log1p(w * (r - 1.0)), bennett))
    return bets


def absolute(k: int, n: int, limit: float) -> list[float]:
    """Return bets on more than ``limit`` of the canary's being bad."""
    return [k * log(r) - n * log1p(limit * (r - 1.0)) for r in ABSOLUTE]


def slower(arm: Arm, bucket: int) -> tuple[int, int]:
    """Return how many answers are at or above a bucket, and how many there are."""
    hits = sum(count for at, count in arm.times.items() if at >= bucket)
    return hits, arm.times.total()


class Wealth:
    """What bets on several effects have won, and what is not staked yet."""

    def __init__(self, effects: Sequence[float], cap: float) -> None:
        self._staked = [0.2] * len(effects)
        self._reserve = 0.8
        self._cap = cap

    def stake(self, part: float) -> None:
        """Stake a part of the reserve."""
        more = self._reserve * part
        self._reserve -= more
        self._staked = [one + more for one in self._staked]

    def settle(self, bets: Iterable[float]) -> None:
        """Take a block's result."""
        pairs = zip(self._staked, bets, strict=True)
        self._staked = [one * exp(min(won, self._cap)) for one, won in pairs]

    @property
    def value(self) -> float:
        """The evidence."""
        return sum(self._staked) / len(self._staked) + self._reserve


def _key() -> dict[str, Wealth]:
    found = {
        "errors": Wealth(ERRORS, CAP_ERRORS),
        "errors-max": Wealth(ABSOLUTE, CAP_ERRORS),
        "latency-max": Wealth(ABSOLUTE, CAP_TIMES),
    }
    for quantile, effects in TIMES.items():
        found[f"p{quantile}"] = Wealth(effects, CAP_TIMES)
    return found


class Plain:
    """Both keys are plain means over six metrics."""

    def __init__(self) -> None:
        self._worse, self._beyond = _key(), _key()
        self._base: dict[int, float] = {}
        self._thresholds: dict[float, tuple[int, int]] = {}
        self._arms = Arm(), Arm()
        self._block_s = self._refreshed_s = self._requests = 0
        self._step = 1
        self._warm = False

    def decide(self, moment: Moment, canary: Arm, stable: Arm) -> str:
        """See ``Rule``."""
        self._turn(moment)
        for arm, one in zip(self._arms, (canary, stable), strict=True):
            arm.requests += one.requests
            arm.errors += one.errors
            arm.times.update(one.times)
        self._requests += canary.requests
        self._block_s += 1
        self._refreshed_s += 1
        seen = sum(arm.requests for arm in self._arms)
        if seen >= BLOCK_REQUESTS or self._block_s >= BLOCK_S:
            self._close()
            if self._refreshed_s >= REFRESH_S or not self._thresholds:
                self._refresh()
        if self._warm and moment.second % 10 == 0:
            self._stake(0.03)
        return self._answer(moment)

    def _turn(self, moment: Moment) -> None:
        """Cut the block at the warm-up's end and where the weights change."""
        if moment.second > WARM_UP_S and not self._warm:
            self._close()
            self._warm = True
            self._stake(0.6)
            self._refresh()
        if moment.step != self._step:
            self._close()
            self._step, self._requests = moment.step, 0
            self._stake(0.1)

    def _answer(self, moment: Moment) -> str:
        worse, beyond = (
            sum(one.value for one in key.values()) / len(key)
            for key in (self._worse, self._beyond)
        )
        if worse >= WORSE_MIN and beyond >= BEYOND_MIN:
            return ROLLBACK
        doubtful = worse >= DOUBT_WORSE and beyond >= DOUBT_BEYOND
        age_s, requests = moment.step_s, self._requests
        waits = (
            age_s < STEP_S
            or (requests < REQUESTS_MIN and age_s < WAIT_MAX_S)
            or requests < REQUESTS_LEAST
            or (doubtful and age_s < DOUBT_MAX_S)
        )
        return HOLD if waits else ADVANCE

    def _stake(self, part: float) -> None:
        for key in (self._worse, self._beyond):
            for wealth in key.values():
                wealth.stake(part)

    def _close(self) -> None:
        """Settle the open block and begin another."""
        c, b = self._arms
        self._arms, self._block_s = (Arm(), Arm()), 0
        if not c.requests and not b.requests:
            return
        more, points, _ = WARM_UP
        forgiven = rate(c, b, more, points)
        if self._warm:
            self._settle(
                "errors",
                rate(c, b, 0.0, 0.0),
                rate(c, b, ERROR_RATIO - 1.0, ERROR_DELTA),
            )
            self._close_absolute(c, b)
        else:
            self._settle("errors", forgiven, forgiven)
        for quantile, (at, beyond_at) in self._thresholds.items():
            worse_at = at if self._warm else beyond_at
            base = slower(b, at)
            effects = TIMES[quantile]
            self._settle(
                f"p{quantile}",
                exceed(*slower(c, worse_at), *base, effects),
                exceed(*slower(c, beyond_at), *base, effects),
            )
        for bucket, count in b.times.items():
            self._base[bucket] = self._base.get(bucket, 0.0) + count

    def _close_absolute(self, c: Arm, b: Arm) -> None:
        """Bet on broken limits, where it is the canary's doing."""
        alone = absolute(c.errors, c.requests, ERROR_MAX)
        compared = exceed(c.errors, c.requests, b.errors, b.requests, ABSOLUTE)
        lesser = [min(pair) for pair in zip(alone, compared, strict=True)]
        self._settle("errors-max", lesser, lesser)
        slow, other = slower(c, LIMIT_BUCKET), slower(b, LIMIT_BUCKET)
        alone = absolute(*slow, 0.01)
        compared = exceed(*slow, *other, ABSOLUTE)
        lesser = [min(pair) for pair in zip(alone, compared, strict=True)]
        self._settle("latency-max", lesser, lesser)

    def _settle(
        self, metric: str, worse: Iterable[float], beyond: Iterable[float]
    ) -> None:
        self._worse[metric].settle(worse)
        self._beyond[metric].settle(beyond)

    def _refresh(self) -> None:
        """Read thresholds from stable's recent times; the block is empty."""
        factor = 0.5 ** (self._refreshed_s / HALF_LIFE_S)
        self._refreshed_s = 0
        self._base = {
            at: n * factor for at, n in self._base.items() if n * factor > 0.02
        }
        total = sum(self._base.values())
        if total < KNOWN_MIN:
            return
        buckets = sorted(self._base)
        below = list(accumulate(self._base[at] for at in buckets))
        ratio = RATIO if self._warm else WARM_UP[2]
        for quantile in TIMES:
            wanted = quantile * total * (1.0 - 1e-9)
            place = next(i for i, n in enumerate([*below, inf]) if n >= wanted)
            at = buckets[min(place, len(buckets) - 1)] + 1
            edge = lower_edge_us(at) * ratio
            beyond_at = bucket_of(int(edge))
            beyond_at += lower_edge_us(beyond_at) < edge
            self._thresholds[quantile] = at, beyond_at
