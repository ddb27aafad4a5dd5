"""
What a run says as a whole: equivalent, diverging, or not enough to tell.

``diverging``: at least one field is a regression. ``equivalent``: none is, and
the rate of misses is proven to be below the limit. Everything else is
``inconclusive``, with how many pairs are missing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxy.parallel import evidence
from proxy.parallel.tally import RunTally, ratio_bucket, ratio_of

PAIRS_MIN: Final = 600
"""Fewer pairs are never enough, whatever limit was asked for."""
RATE_ALPHA: Final = 0.05
"""Of the bounds of the rate: they are 95 % bounds, at any time."""
LIMIT_USUAL: Final = 0.005
"""What an equivalent candidate may miss at most, if no objective says it."""


class RunVerdict(StrEnum):
    """What a parallel run proves of its candidate."""

    EQUIVALENT = "equivalent"
    DIVERGING = "diverging"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands; rates are fractions of the pairs that count."""

    verdict: RunVerdict
    message: str
    """One sentence for people, without a full stop."""
    pairs: int
    rate: float | None
    lower: float
    upper: float
    limit: float
    missing: int | None
    """Further pairs without a miss until it may be equivalent; ``None``: never."""


def standing_of(run: RunTally, limit: float = LIMIT_USUAL) -> Standing:
    """Return where a run stands against a limit, 0 < limit < 1."""
    judged, missed = run.judged, run.missed
    missing = evidence.pairs_missing(missed, judged, limit, RATE_ALPHA)
    if missing is not None:
        missing = max(missing, PAIRS_MIN - judged, 0)
    if run.regressions:
        verdict = RunVerdict.DIVERGING
    elif missing == 0:
        verdict = RunVerdict.EQUIVALENT
    else:
        verdict = RunVerdict.INCONCLUSIVE
    standing = Standing(
        verdict,
        "",
        run.pairs,
        missed / judged if judged else None,
        evidence.lower_bound(missed, judged, RATE_ALPHA),
        evidence.upper_bound(missed, judged, RATE_ALPHA),
        limit,
        missing,
    )
    return _told(standing, run)


def _told(standing: Standing, run: RunTally) -> Standing:
    return Standing(
        standing.verdict,
        _sentence(standing, run),
        standing.pairs,
        standing.rate,
        standing.lower,
        standing.upper,
        standing.limit,
        standing.missing,
    )


def _sentence(standing: Standing, run: RunTally) -> str:
    if standing.verdict is RunVerdict.DIVERGING:
        fields = "field differs" if run.regressions == 1 else "fields differ"
        return f"{run.regressions} {fields} beyond the noise in {run.pairs} pairs"
    share = f"{standing.limit * 100:g} %"
    if standing.verdict is RunVerdict.EQUIVALENT:
        return (
            f"{run.missed} of {run.judged} pairs differ: "
            f"below {standing.upper * 100:.2g} %, and {share} is allowed"
        )
    if not run.pairs:
        return "no pair was compared yet"
    if not run.judged:
        return "too few second answers of stable yet to know its noise"
    if standing.missing is None:
        return (
            f"{run.missed} of {run.judged} pairs differ, too many for a rate below "
            f"{share}, but no field is a proven regression"
        )
    return (
        f"{run.missed} of {run.judged} pairs differ; about {standing.missing} more "
        f"without a difference prove a rate below {share}"
    )


# --- latency ---


def median_ratio(run: RunTally) -> float | None:
    """Return the median of candidate over stable latency, in pairs; 1 is as fast."""
    total = sum(run.ratios.values())
    seen = 0
    for bucket in sorted(run.ratios):
        seen += run.ratios[bucket]
        if 2 * seen >= total:
            return ratio_of(bucket)
    return None


def slower_pairs(run: RunTally, limit: float) -> tuple[int, int]:
    """Return how many paired latencies are beyond the ratio ``limit``, and all."""
    highest = ratio_bucket(limit)
    slower = sum(n for bucket, n in run.ratios.items() if bucket > highest)
    return slower, sum(run.ratios.values())
