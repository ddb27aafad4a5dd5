"""
What one window adds: bad and all, of codes and of times at a threshold.

A time is either known (an answer that did not fail) or *late*: the request
failed, was given up, or is still in flight, and all that is known is its age.
A late one is slower than every threshold up to its age and says nothing about
any beyond, so it enters neither side there. As the ages of those in flight are
given as changes, each request counts once at each threshold: the moment that
its age passes it, or the moment that it ends.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import accumulate

from proxy.analysis.checks import Check
from proxy.analysis.values import RouteEvidence, Window
from proxy.model.buckets import bucket_of, lower_edge_us
from proxy.model.judge_state import ZERO, Counts6
from proxy.model.judging import CLIENT_ERROR_RATE, LATENCY
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag

CLIENT_CODES = frozenset(
    (0, *(FLAG_CODE_BASE + flag for flag in (Flag.DC, Flag.DPE, Flag.DT, Flag.NR)))
)
"""What the client caused: neither an error nor an answer."""
US = 1e-6


def is_error(code: int) -> bool:
    """Whether an outcome is an error when the SLO says nothing of codes."""
    return code >= 500  # noqa: PLR2004 - the status class, and every flag behind it


def is_client_error(code: int) -> bool:
    """Whether an outcome is a 4xx."""
    return code // 100 == 4  # noqa: PLR2004 - the status class


def matches(patterns: tuple[str, ...], code: int) -> bool:
    """
    Whether ``codes: [5xx, 404]`` names the outcome.

    A version that gives no usable answer at all is an error in any case.
    """
    text = f"{code // 100}xx" if code < FLAG_CODE_BASE else ""
    return code >= FLAG_CODE_BASE or text in patterns or str(code) in patterns


def classifier(metric: str, codes: tuple[str, ...]) -> Callable[[int], bool]:
    """Return what tells a bad outcome of a rate metric."""
    if metric == CLIENT_ERROR_RATE:
        return is_client_error
    return (lambda code: matches(codes, code)) if codes else is_error


def finished(window: Window) -> int:
    """Return how many requests came to an end that the version is charged with."""
    return sum(n for code, n in window.codes.items() if code not in CLIENT_CODES)


def rate_of(window: Window, check: Check) -> tuple[int, int]:
    """Return one arm's bad and all of a rate, or a named counter's hits and trials."""
    if check.counted:
        return window.counts.get(check.metric, (0, 0))
    is_bad = classifier(check.metric, check.codes)
    bad = total = 0
    for code, count in window.codes.items():
        if code not in CLIENT_CODES:
            total += count
            if is_bad(code):
                bad += count
    return bad, total


class Times:
    """One window's times, as counts at or above any bucket."""

    __slots__ = ("_late", "_late_buckets", "below", "buckets", "counts", "known")

    def __init__(self, known: Mapping[int, int], *late: Mapping[int, int]) -> None:
        self.counts = known
        self.buckets, self.below = _rising(known)
        """Buckets with answers, rising, and how many answers lie before each."""
        self.known = self.below[-1]
        """Answers whose time is known."""
        merged: dict[int, int] = {}
        for counts in late:
            for bucket, count in counts.items():
                merged[bucket] = merged.get(bucket, 0) + count
        self._late_buckets, self._late = _rising(merged)

    def slower(self, bucket: int) -> tuple[int, int]:
        """Return (at or above ``bucket``, all that can be told apart there)."""
        late = self._late[-1] - self._late[bisect_left(self._late_buckets, bucket)]
        above = self.known - self.below[bisect_left(self.buckets, bucket)]
        return above + late, self.known + late


def _rising(counts: Mapping[int, int]) -> tuple[list[int], list[int]]:
    """Return the buckets, rising, and the sums before each of them and of all."""
    buckets = sorted(counts)
    return buckets, list(accumulate(map(counts.__getitem__, buckets), initial=0))


class Samples:
    """The times of one tick's windows, each sorted once for all its checks."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: dict[tuple[str, int], tuple[Window, Times]] = {}

    def of(self, metric: str, window: Window) -> Times:
        """Return a window's times; only a latency's end is known to be late."""
        key = metric, id(window)
        if key not in self._times:
            times = (
                Times(window.latency, window.censored, window.ages)
                if metric == LATENCY
                else Times(window.ttfb)
            )
            # The window is kept too, so that nothing else takes over its id.
            self._times[key] = window, times
        return self._times[key][1]

    def counts(
        self, check: Check, arms: RouteEvidence, at: int, tolerated: int
    ) -> Counts6:
        """Return what both arms add to a check, at its thresholds if it has any."""
        if not check.timed:
            canary = rate_of(arms.canary, check)
            return (*canary, *rate_of(arms.stable, check), *canary)
        if at < 0:
            return ZERO
        canary_times = self.of(check.metric, arms.canary)
        canary = canary_times.slower(at)
        beyond = canary if tolerated == at else canary_times.slower(tolerated)
        return (*canary, *self.of(check.metric, arms.stable).slower(at), *beyond)


def first_bucket_above(limit_s: float) -> int:
    """Return the first bucket that holds only times of ``limit_s`` or more."""
    limit_us = round(limit_s / US)
    bucket = bucket_of(limit_us)
    return bucket if lower_edge_us(bucket) >= limit_us else bucket + 1
