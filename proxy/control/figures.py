"""
Live figures: counters as rates, shares and quantiles of the last seconds.

A reading of every version is kept every ``SAMPLE_S``; what is shown is the
difference between now and the oldest one kept, so the window is about 10 s
and costs nothing between two looks. For show only: nothing is judged by it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from proxy.control.governor import Governor
from proxy.control.steward import Steward
from proxy.model.buckets import lower_edge_us, upper_edge_us
from proxy.telemetry import layout
from proxy.telemetry.cut import (
    ERROR_CODE_MIN,
    Again,
    Counts,
    Live,
    difference,
    read_live,
)

SAMPLE_S = 2.0
SAMPLES_MAX = 6
"""Readings kept: a window of 10 to 12 s."""
US_PER_S = 1_000_000
QUANTILES = (0.5, 0.9, 0.99)
NONE_AGAIN = Again(0, 0)

Cells = dict[tuple[str, str], Live]
"""Readings by service and version."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one version did in the last ``seconds``."""

    seconds: float
    routed: int
    requests: Counts
    attempts: Counts
    latency: Counts
    ttfb: Counts
    again: Again = NONE_AGAIN
    events: Counts = field(default_factory=dict)
    """Business events by their word."""


NOTHING = Window(0.0, 0, {}, {}, {}, {})


class Figures:
    """Readings of all versions over the last seconds."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._samples: deque[tuple[float, Cells]] = deque(maxlen=SAMPLES_MAX)

    def sample(self) -> None:
        """Keep a reading if the last one is ``SAMPLE_S`` old."""
        now_s = self._governor.clock.monotonic_s()
        if not self._samples or now_s - self._samples[-1][0] >= SAMPLE_S:
            self._samples.append((now_s, self.read_all()))

    def read_all(self) -> Cells:
        """Return the present reading of every version of every service."""
        return {
            (steward.name, version): live
            for steward in self._governor.stewards.values()
            for version, live in self.read(steward).items()
        }

    def read(self, steward: Steward) -> dict[str, Live]:
        """Return the present reading of a service's versions, pushed events in it."""
        allocation, slab = self._governor.allocation, self._governor.slab
        read = {
            version: read_live(slab, allocation.cell(steward.wish, version))
            for version in steward.wish.versions
        }
        for version, events in steward.memory.pushed.items():
            if version in read:
                places = {
                    layout.C_EVENTS + allocation.event(steward.wish, event): count
                    for event, count in events.items()
                    if event in steward.wish.events
                }
                read[version] = _with_words(read[version], places)
        return read

    def windows(self, steward: Steward, now: Mapping[str, Live]) -> dict[str, Window]:
        """Return what each version did between the oldest reading kept and ``now``."""
        if not self._samples:
            return dict.fromkeys(now, NOTHING)
        since_s, before = self._samples[0]
        seconds = self._governor.clock.monotonic_s() - since_s
        return {
            version: _window(seconds, live, before.get((steward.name, version)))
            for version, live in now.items()
        }


def _with_words(live: Live, more: Counts) -> Live:
    words = dict(live.words)
    for place, count in more.items():
        words[place] = words.get(place, 0) + count
    return replace(live, words=words)


def events_in(live: Live) -> Counts:
    """Return a reading's business events by their word."""
    last = layout.C_EVENTS + layout.EVENTS_MAX
    return {
        place - layout.C_EVENTS: count
        for place, count in live.words.items()
        if layout.C_EVENTS <= place < last
    }


def _window(seconds: float, now: Live, before: Live | None) -> Window:
    if before is None or seconds <= 0:
        return NOTHING
    routed = now.word(layout.C_ROUTED) - before.word(layout.C_ROUTED)
    return Window(
        seconds=seconds,
        routed=max(routed, 0),
        requests=difference(now.requests, before.requests),
        attempts=difference(now.attempts, before.attempts),
        latency=difference(now.latency, before.latency),
        ttfb=difference(now.ttfb, before.ttfb),
        again=now.again.since(before.again),
        events=difference(events_in(now), events_in(before)),
    )


def rate_of(window: Window) -> float | None:
    """Return requests a second; ``None`` where nothing was read yet."""
    return round(window.routed / window.seconds, 2) if window.seconds else None


def error_rate_of(codes: Counts, again: Again = NONE_AGAIN) -> float | None:
    """Return the fraction of errors among first attempts; ``None`` without any."""
    total = sum(codes.values()) - again.attempts
    if total <= 0:
        return None
    errors = sum(count for code, count in codes.items() if code >= ERROR_CODE_MIN)
    errors -= again.failed
    return round(errors / total, 6)


def quantiles_of(counts: Counts) -> dict[str, float | None]:
    """Return p50, p90 and p99 in seconds; ``None`` without any answer."""
    return {f"p{round(q * 100)}": quantile(counts, q) for q in QUANTILES}


def quantile(counts: Counts, fraction: float) -> float | None:
    """Return the middle of the bucket that holds the quantile, in seconds."""
    wanted = fraction * sum(counts.values())
    reached = 0
    for bucket, count in sorted(counts.items()):
        reached += count
        if reached >= wanted:
            middle_us = (lower_edge_us(bucket) + upper_edge_us(bucket)) / 2
            return round(middle_us / US_PER_S, 6)
    return None


def shares_of(windows: Mapping[str, Window]) -> dict[str, float | None]:
    """Return each version's fraction of what was routed; ``None`` without traffic."""
    total = sum(window.routed for window in windows.values())
    return {
        version: window.routed / total if total else None
        for version, window in windows.items()
    }
