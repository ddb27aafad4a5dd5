"""Evidence made of plain numbers: latencies in milliseconds, counts of codes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import exp
from random import Random

from proxy.analysis import ALL_ROUTES, Evidence, RouteEvidence, Window
from proxy.model.buckets import bucket_of


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
