"""
Sparse counts of one arm, read as samples: rates of codes, and tails of times.

A time is either known (an answer that did not fail) or *late*: the request
failed, was given up, or is still in flight, and all that is known is its age.
A late one is slower than every threshold up to its age and says nothing about
any beyond, so it enters neither side there.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from proxy.analysis.binomial import tail_at_least, tail_at_most
from proxy.analysis.values import Window
from proxy.model.buckets import BUCKET_COUNT, bucket_of, lower_edge_us, upper_edge_us
from proxy.model.judging import CLIENT_ERROR_RATE, LATENCY
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag

CLIENT_CODES = frozenset(
    FLAG_CODE_BASE + flag for flag in (Flag.DC, Flag.DPE, Flag.DT, Flag.NR)
)
"""What the client caused: neither an error nor an answer."""
RANK_SLACK = 1e-9
"""Keeps 0.01 × 300 from becoming 2.9999 exceedances."""
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


def seen(window: Window) -> int:
    """Return how many requests are evidence of anything, in flight included."""
    return finished(window) + sum(window.ages.values())


@dataclass(frozen=True, slots=True)
class Rate:
    """Bad outcomes among finished requests."""

    bad: int
    total: int

    @property
    def value(self) -> float | None:
        """The fraction; ``None`` without requests."""
        return self.bad / self.total if self.total else None


def rate_of(window: Window, is_bad: Callable[[int], bool]) -> Rate:
    """Return the rate of one arm."""
    bad = total = 0
    for code, count in window.codes.items():
        if code not in CLIENT_CODES:
            total += count
            if is_bad(code):
                bad += count
    return Rate(bad, total)


class Times:
    """One arm's times, as counts at or above any bucket."""

    __slots__ = ("_above_known", "_above_late", "buckets", "known")

    def __init__(self, known: Mapping[int, int], *late: Mapping[int, int]) -> None:
        late_counts: dict[int, int] = {}
        for counts in late:
            for bucket, count in counts.items():
                late_counts[bucket] = late_counts.get(bucket, 0) + count
        self.buckets = sorted(known.keys() | late_counts.keys())
        """Distinct buckets that hold anything, rising."""
        self._above_known = _suffix_sums(known.get(b, 0) for b in self.buckets)
        self._above_late = _suffix_sums(late_counts.get(b, 0) for b in self.buckets)
        self.known = self._above_known[0]
        """Answers whose time is known."""

    @property
    def empty(self) -> bool:
        """Whether nothing at all was seen."""
        return not self.buckets

    def slower(self, bucket: int) -> tuple[int, int]:
        """Return (at or above ``bucket``, all that can be told apart there)."""
        place = bisect_left(self.buckets, bucket)
        late = self._above_late[place]
        return self._above_known[place] + late, self.known + late

    def quantile_bucket(self, quantile: float) -> int:
        """Return the first bucket with at most 1 - quantile of the times above it."""
        return self.buckets[
            self._first(lambda slow, total: slow <= allowed(quantile, total))
        ]

    def lower_bucket(self, quantile: float, level: float) -> int | None:
        """
        Return a bucket that the true quantile is not below, but with ``level``.

        ``None``: the evidence does not bound the quantile from below yet.
        """
        place = bisect_left(
            self.buckets,
            x=True,
            key=lambda bucket: (
                tail_at_least(*self.slower(bucket), 1.0 - quantile) > level
            ),
        )
        return self.buckets[place - 1] if place else None

    def upper_bucket(self, quantile: float, level: float) -> int | None:
        """
        Return a bucket that the true quantile is not above, but with ``level``.

        ``None``: the evidence does not bound the quantile from above yet.
        """
        place = self._first(
            lambda slow, total: tail_at_most(slow, total, 1.0 - quantile) <= level
        )
        return self.buckets[place] if place < len(self.buckets) else None

    def _first(self, holds: Callable[[int, int], bool]) -> int:
        """Return the first place with ``holds(above its bucket, total)``."""
        return bisect_left(
            self.buckets, x=True, key=lambda bucket: holds(*self.slower(bucket + 1))
        )


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


def allowed(quantile: float, total: int) -> int:
    """Return how many of ``total`` may be above their ``quantile``."""
    return int((1.0 - quantile) * total + RANK_SLACK)


def middle_s(bucket: int) -> float:
    """Return the middle of a bucket, in seconds."""
    return (lower_edge_us(bucket) + upper_edge_us(bucket)) / 2 * US


def low_edge_s(bucket: int | None) -> float | None:
    """Return a bucket's lower edge in seconds; ``None`` for none."""
    return None if bucket is None else lower_edge_us(bucket) * US


def high_edge_s(bucket: int | None) -> float | None:
    """Return a bucket's upper edge in seconds; ``None`` for none and the last."""
    if bucket is None or bucket >= BUCKET_COUNT - 1:
        return None
    return upper_edge_us(bucket) * US


def first_bucket_above(limit_s: float) -> int:
    """Return the first bucket that holds only times of ``limit_s`` or more."""
    limit_us = round(limit_s / US)
    bucket = bucket_of(limit_us)
    return bucket if lower_edge_us(bucket) >= limit_us else bucket + 1


def _suffix_sums(counts: Iterable[int]) -> list[int]:
    """Return the sums from each place to the end, and a last 0."""
    return list(accumulate(reversed(list(counts)), initial=0))[::-1]
