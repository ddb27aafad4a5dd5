"""
What an arm's times were of late: a fading histogram on a coarser grid.

Two neighbouring buckets are one group (at most 3.1 % wide), and all weights
halve in ``HALF_LIFE_S``. It gives the thresholds that the next blocks are held
against, read before those blocks are seen, and the figures for people.
"""

from bisect import bisect_right
from itertools import accumulate

from proxy.analysis.intervals import margin
from proxy.analysis.samples import Times
from proxy.model.buckets import BUCKET_COUNT, lower_edge_us

GROUP_SHIFT = 1
GROUPS = BUCKET_COUNT >> GROUP_SHIFT
HALF_LIFE_S = 60.0
WEIGHT_MIN = 0.02
"""A group that faded below this is dropped: 5.6 half-lives of one answer."""
DENSE = 400
"""A second with answers in more buckets is thinned first."""
RANKS = 64
TAIL = 0.98
BASELINE_MIN = 30.0
"""Answers of stable before a threshold is read from them."""
US = 1e-6

EDGES_US = tuple(lower_edge_us(group << GROUP_SHIFT) for group in range(GROUPS + 1))
"""Where each group begins, in µs; the last one is where the last group ends."""

Recent = dict[int, float]
"""Weights by group."""


def with_added(recent: Recent, times: Times) -> Recent:
    """Return the histogram with a window's answers."""
    if not times.counts:
        return recent
    grown = dict(recent)
    get = grown.get
    dense = len(times.counts) > DENSE
    for bucket, count in _thinned(times) if dense else times.counts.items():
        group = bucket >> GROUP_SHIFT
        grown[group] = get(group, 0.0) + count
    return grown


def _thinned(times: Times) -> list[tuple[int, float]]:
    """
    Return a crowded second's answers as ``RANKS`` of each of its two halves.

    The upper half is the tail beyond ``TAIL``. A second with answers in so many
    buckets has thousands of them, and a threshold needs no more.
    """
    buckets, below, total = times.buckets, times.below, times.known
    points = []
    for low, high in ((0.0, TAIL), (TAIL, 1.0)):
        weight = total * (high - low) / RANKS
        first = total * low + weight / 2
        points += [
            (buckets[bisect_right(below, first + weight * rank, 1) - 1], weight)
            for rank in range(RANKS)
        ]
    return points


def faded(recent: Recent, age_s: float) -> Recent:
    """Return the histogram as it counts ``age_s`` later; three digits are kept."""
    factor = 0.5 ** (age_s / HALF_LIFE_S)
    return {
        group: kept
        for group, weight in recent.items()
        if (kept := round(weight * factor, 3)) >= WEIGHT_MIN
    }


class Figures:
    """One histogram, sorted for reading."""

    __slots__ = ("_below", "_groups", "total")

    def __init__(self, recent: Recent) -> None:
        self._groups = sorted(recent)
        self._below = list(
            accumulate(map(recent.__getitem__, self._groups), initial=0.0)
        )
        self.total = self._below[-1]
        """Weight of all answers."""

    def threshold(self, quantile: float) -> int:
        """
        Return the bucket whose edge has about 1 - ``quantile`` above it; -1: unknown.

        The nearer of the two edges about it, the upper one in doubt.
        """
        if self.total < BASELINE_MIN:
            return -1
        wanted = self.total * quantile
        place = bisect_right(self._below, wanted * (1.0 - 1e-9))
        place = min(place, len(self._groups))
        below, above = self._below[place - 1], self._below[place]
        if place > 1 and wanted - below < above - wanted:
            place -= 1
        return (self._groups[place - 1] + 1) << GROUP_SHIFT

    def quantile_s(self, quantile: float) -> float | None:
        """Return a quantile in seconds, linear in its group; ``None``: no answer."""
        if not self._groups:
            return None
        return self._at(self.total * quantile)

    def bounds_s(self, quantile: float) -> tuple[float | None, float | None]:
        """
        Return bounds of a quantile, in seconds; an end is ``None`` if unknown.

        Ranks n(p ± ``margin``); for people, so they never decide.
        """
        n = self.total
        if n <= 0.0:
            return None, None
        off = margin(quantile, n)
        low, high = quantile - off, quantile + off
        return (
            self._at(n * low) if low > 0.0 else None,
            self._at(n * high) if high < 1.0 else None,
        )

    def _at(self, rank: float) -> float:
        place = min(bisect_right(self._below, rank), len(self._groups))
        group = self._groups[place - 1]
        low, high = EDGES_US[group], EDGES_US[group + 1]
        inside = self._below[place] - self._below[place - 1]
        part = (rank - self._below[place - 1]) / inside if inside else 0.5
        return (low + (high - low) * min(max(part, 0.0), 1.0)) * US


def tolerated(bucket: int, ratio: float, delta_s: float = 0.0) -> int:
    """
    Return the first bucket from ``ratio`` × the edge of ``bucket`` (+ ``delta_s``) on.

    Rounded up, so that a canary at the tolerance never counts as beyond it.
    """
    edge_us = lower_edge_us(min(bucket, BUCKET_COUNT - 1))
    limit_us = edge_us * ratio + delta_s / US
    low, high = min(bucket, BUCKET_COUNT), BUCKET_COUNT
    while low < high:
        middle = (low + high) // 2
        if lower_edge_us(middle) < limit_us - 1e-6:
            low = middle + 1
        else:
            high = middle
    return low
