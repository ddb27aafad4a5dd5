"""Evidence made of plain numbers: latencies in milliseconds, counts of codes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from math import exp
from random import Random

from proxy.analysis import (
    ALL_ROUTES,
    Evidence,
    Judgement,
    JudgePlan,
    JudgeState,
    RouteEvidence,
    Window,
    judge,
)
from proxy.model.buckets import bucket_of
from proxy.model.document import decode, encode


def buckets(times_ms: Iterable[float]) -> dict[int, int]:
    """Return bucket counts of times in milliseconds."""
    return dict(Counter(bucket_of(round(time * 1000)) for time in times_ms))


def window(
    times_ms: Iterable[float] = (),
    *,
    codes: Mapping[int, int] | None = None,
    censored_ms: Iterable[float] = (),
    ages_ms: Iterable[float] = (),
) -> Window:
    """Return a window of answers; without ``codes`` each was a 200."""
    times = list(times_ms)
    counted = {200: len(times)} if codes is None else dict(codes)
    known = buckets(times)
    return Window(counted, known, known, buckets(censored_ms), buckets(ages_ms))


def errors(requests: int, failed: int, code: int = 500) -> Window:
    """Return a window of equal answers of 100 ms, ``failed`` of them with ``code``."""
    good = requests - failed
    codes = {key: n for key, n in ((200, good), (code, failed)) if n}
    return window([100.0] * good, codes=codes, censored_ms=[1.0] * failed)


def evidence(
    canary: Window,
    stable: Window,
    *,
    epoch: int = 1,
    baseline: bool = True,
    routes: Mapping[str, RouteEvidence] | None = None,
) -> Evidence:
    """Return evidence of all requests, and of ``routes`` on their own."""
    everything = {ALL_ROUTES: RouteEvidence(stable, canary), **(routes or {})}
    return Evidence(epoch, everything, baseline)


def lognormal_ms(
    random: Random, count: int, median_ms: float, sigma: float
) -> list[float]:
    """Return latencies with a heavy tail."""
    return [median_ms * exp(random.gauss(0.0, sigma)) for _ in range(count)]


class Trial:
    """A rollout that is judged second by second, as control does it."""

    def __init__(self, plan: JudgePlan, *, epoch: int = 1) -> None:
        self.plan = plan
        self.state = JudgeState()
        self.epoch = epoch
        self.step = 1
        self.age_s = 0.0
        self.run_s = 0.0
        self._last: Judgement | None = None

    def second(
        self,
        canary: Window,
        stable: Window,
        *,
        control: Window | None = None,
        baseline: bool = True,
        routes: Mapping[str, RouteEvidence] | None = None,
    ) -> Judgement:
        """Let a second with this evidence pass; the state goes through JSON."""
        self.age_s += 1.0
        self.run_s += 1.0
        arms = RouteEvidence(stable, canary, control)
        shown = Evidence(self.epoch, {ALL_ROUTES: arms, **(routes or {})}, baseline)
        state, self._last = judge(
            self.plan,
            self.state,
            shown,
            step=self.step,
            step_age_s=self.age_s,
            rollout_age_s=self.run_s,
        )
        self.state = decode(JudgeState, json.loads(json.dumps(encode(state))))
        assert self.state == state
        return self._last

    @property
    def last(self) -> Judgement:
        """The judgement of the last second."""
        assert self._last is not None
        return self._last

    def weigh(self) -> None:
        """Begin the next step, with other weights."""
        self.step += 1
        self.epoch += 1
        self.age_s = 0.0


def drawn(
    random: Random,
    requests: int,
    *,
    errors: float = 0.0,
    median_ms: float = 80.0,
    sigma: float = 0.5,
    code: int = 500,
) -> Window:
    """Return a window of requests drawn at random."""
    failed = sum(random.random() < errors for _ in range(requests))
    good = requests - failed
    codes = {key: n for key, n in ((200, good), (code, failed)) if n}
    return window(lognormal_ms(random, good, median_ms, sigma), codes=codes)
