"""
Requests of both versions, second by second, drawn from a scenario.

Times come from tables of their quantiles (one bucket for each of ``TABLE``
equal parts), so that a thousand answers cost a third of a millisecond.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from math import exp, log, pi, sin
from statistics import NormalDist

from decisions.scenarios import Scenario
from proxy.model.buckets import bucket_of, lower_edge_us
from proxy.model.witnesses import Witnesses

TABLE = 8192
MEDIAN_S = 0.080
SIGMA = 0.63
"""Log-normal: p99 is 0.346 s, well below the objective of 0.5 s."""
LIMIT_S = 0.5
HEAVY_PART = 0.03
SLOW_RANK = 0.9
STUCK_S = 1.0
STALL_S = 0.8
STALL_CHANCE = 0.01
"""Each second an arm stalls with this chance, for that second."""
SCALE_STEPS = 105
"""Tables are kept for scales on a grid of 1/105 in the logarithm: 1.10 is on it."""
CLIENT_PART = 0.01
CLIENT_FACTOR = 8.0
SURGE_S = range(90, 150)
NORMAL_FROM = 50.0
"""Poisson counts with a larger mean are drawn by the normal law."""
HALF = 0.5
USER_SIGMA = 0.35
USER_UNLUCKY = 0.02
"""Of sticky users, how many have ten times the usual errors."""


@dataclass(slots=True)
class Arm:
    """One version's second: evidence as the judge sees it, and all that was served."""

    requests: int = 0
    errors: int = 0
    times: Counter[int] = field(default_factory=Counter)
    """Answers that did not fail, by latency bucket."""
    served: int = 0
    harmed: int = 0
    """Faulty answers: errors, and answers beyond the objective."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The law that times follow, but for their scale."""

    heavy: bool = False
    tail: float = 1.0
    stuck: float = 0.0


USUAL = Shape()


@lru_cache(maxsize=4096)
def table(shape: Shape, scale: int) -> tuple[int, ...]:
    """Return the buckets of equally likely times at a scale of the grid."""
    normal = NormalDist()
    factor = exp(scale / SCALE_STEPS)
    buckets = []
    for place in range(TABLE):
        rank = (place + 0.5) / TABLE
        time_s = MEDIAN_S * exp(SIGMA * normal.inv_cdf(rank))
        if shape.heavy and place % 33 == 0:
            time_s = 0.1 / (1.0 - rank) ** (1 / 1.5)
        if rank > SLOW_RANK:
            time_s *= shape.tail
        time_s *= factor
        if shape.stuck and place % round(1 / shape.stuck) == 0:
            time_s += STUCK_S
        buckets.append(bucket_of(int(min(time_s, 120.0) * 1e6)))
    return tuple(buckets)


P99_BUCKET = table(USUAL, 0)[TABLE * 99 // 100]
"""What the proxy takes for slow; here without the drift, which is not looked at."""
LIMIT_BUCKET = bucket_of(int(LIMIT_S * 1e6))


class Traffic:
    """Draws both arms of one rollout."""

    def __init__(self, scenario: Scenario, rate: float, seed: str) -> None:
        self._scenario = scenario
        self._rate = rate
        self._random = random.Random(f"{scenario.name}/{rate}/{seed}")  # noqa: S311
        self._users = [
            (
                self._random.random(),
                exp(self._random.gauss(0.0, USER_SIGMA)),
                10.0 if self._random.random() < USER_UNLUCKY else 0.8,
            )
            for _ in range(scenario.users)
        ]
        self._client = self._random.random()
        self._heard = (Witnesses(), Witnesses())

    def second(self, t: int, weight: float) -> tuple[Arm, Arm]:
        """Return (canary, stable) in second ``t`` at a weight in percent."""
        scenario, chance = self._scenario, self._random
        rate = self._rate
        common = 1.0 + scenario.drift * sin(pi * t / 300.0) ** 2
        if scenario.surge and t in SURGE_S:
            rate *= 3.0
            common *= 1.6
        total = poisson(chance, rate)
        share = weight / 100.0
        if scenario.users:
            return self._by_user(t, total, share, common)
        canary_requests = binomial(chance, total, share)
        arms = []
        for canary in (True, False):
            faulty = canary and self.faulty(t, weight)
            count = canary_requests if canary else total - canary_requests
            arms.append(self._arm(t, count, common, canary=canary, faulty=faulty))
        self._add_client(t, arms, rate, share)
        return arms[0], arms[1]

    def faulty(self, t: float, weight: float) -> bool:
        """Whether the fault shows."""
        scenario = self._scenario
        if not (scenario.bad or scenario.boundary):
            return False
        return t >= scenario.onset_s and weight >= scenario.onset_weight

    def _arm(
        self, t: int, count: int, common: float, *, canary: bool, faulty: bool
    ) -> Arm:
        scenario, chance = self._scenario, self._random
        scale = common
        errors = scenario.errors
        if faulty:
            scale *= scenario.slower
            if scenario.canary_errors is not None:
                errors = scenario.canary_errors
        if canary and t < scenario.cold_s:
            scale *= 1.0 + 3.0 * (1.0 - t / scenario.cold_s)
        shape = Shape(
            scenario.heavy,
            scenario.tail if faulty else 1.0,
            scenario.stuck if faulty else 0.0,
        )
        bad = binomial(chance, count, errors)
        times = chance.choices(
            table(shape, round(log(scale) * SCALE_STEPS)),
            k=count - bad,
        )
        if scenario.stalls and chance.random() < STALL_CHANCE:
            times = [stalled(bucket) for bucket in times]
        counted = Counter(times)
        slow = sum(n for bucket, n in counted.items() if bucket >= LIMIT_BUCKET)
        return Arm(count, bad, counted, count, bad + slow)

    def _by_user(
        self, t: int, total: int, share: float, common: float
    ) -> tuple[Arm, Arm]:
        """Return a second of users who keep their version, time and luck."""
        chance, errors = self._random, self._scenario.errors
        arms = Arm(), Arm()
        for _ in range(total):
            # A few users ask most of the time.
            who = int(len(self._users) * chance.random() ** 1.5)
            place, factor, luck = self._users[who]
            side = 0 if place < share else 1
            arm = arms[side]
            arm.served += 1
            bad = chance.random() < errors * luck
            arm.harmed += bad
            if not self._heard[side].hear(who, t):
                continue
            arm.requests += 1
            if bad:
                arm.errors += 1
                self._heard[side].ended(who, 500, t)
                continue
            times = table(USUAL, round(log(factor * common) * SCALE_STEPS))
            bucket = times[int(chance.random() * TABLE)]
            arm.times[bucket] += 1
            self._heard[side].ended(who, 200, t, slow=bucket >= P99_BUCKET)
        return arms

    def _add_client(self, t: int, arms: list[Arm], rate: float, share: float) -> None:
        """One client fails, or is slow, whoever answers."""
        kind = self._scenario.client
        if not kind:
            return
        side = 0 if self._client < share else 1
        arm, heard = arms[side], self._heard[side]
        for _ in range(poisson(self._random, rate * CLIENT_PART)):
            arm.served += 1
            if not heard.hear("client", t):
                continue
            arm.requests += 1
            if kind == "failing":
                arm.errors += 1
                heard.ended("client", 500, t)
            else:
                arm.times[bucket_of(int(MEDIAN_S * CLIENT_FACTOR * 1e6))] += 1
                heard.ended("client", 200, t, slow=True)


@lru_cache(maxsize=2048)
def stalled(bucket: int) -> int:
    """Return the bucket of a time that a stall made longer."""
    return bucket_of(lower_edge_us(bucket) + int(STALL_S * 1e6))


def poisson(chance: random.Random, mean: float) -> int:
    """Return a Poisson count; by the normal law where the mean is large."""
    if mean > NORMAL_FROM:
        return max(round(chance.gauss(mean, mean**0.5)), 0)
    limit, count, product = exp(-mean), 0, chance.random()
    while product > limit:
        count += 1
        product *= chance.random()
    return count


def binomial(chance: random.Random, count: int, rate: float) -> int:
    """Return how many of ``count`` happen; exactly, by gaps between them."""
    if count <= 0 or rate <= 0.0:
        return 0
    if rate >= 1.0:
        return count
    if rate > HALF:
        return count - binomial(chance, count, 1.0 - rate)
    gaps = log(1.0 - rate)
    hits, place = 0, 0
    while True:
        place += int(log(1.0 - chance.random()) / gaps) + 1
        if place > count:
            return hits
        hits += 1
