"""
Whether the canary is dropped at once, without statistics.

Decides from the canary's last outcomes and stable's in the same seconds, all
endpoints together. Workers keep the same rule incrementally, a request at a
time; this is the decision over all of them. It is outside ``alpha``, so it
fires only where stable is clearly better: below half the canary's rate.
"""

from dataclasses import dataclass

from proxy.model.judging import FailFast

STABLE_RATE_PART = 0.5
"""Stable must fail less often than this part of the canary's rate."""


@dataclass(frozen=True, slots=True)
class Recent:
    """One version's last outcomes, all endpoints and workers together."""

    requests: int = 0
    errors: int = 0
    connect_failures: int = 0
    """Connect failures in a row, up to now."""

    @property
    def rate(self) -> float:
        """The fraction of errors; 0 without requests."""
        return self.errors / self.requests if self.requests else 0.0


def decide(plan: FailFast, canary: Recent, stable: Recent) -> str:
    """Return what was seen, as a sentence, when the canary must go; else ``""``."""
    if canary.connect_failures >= plan.consecutive_connect_failures:
        if stable.rate >= STABLE_RATE_PART:
            return ""
        return f"the last {canary.connect_failures} connections to the canary failed"
    if canary.requests < plan.requests or canary.rate < plan.error_rate:
        return ""
    if stable.rate >= canary.rate * STABLE_RATE_PART:
        return ""
    return (
        f"{canary.errors} of the last {canary.requests} canary requests failed,"
        f" stable {stable.errors} of {stable.requests}"
    )


def is_shared(canary: Recent, stable: Recent) -> bool:
    """
    Tell whether stable fails too, so that the canary is not to blame.

    A worker trips on its own requests, and its view of stable may begin earlier
    than the canary's: when both begin to fail it can be the first to see it.
    Of a canary that sent nothing any more since it tripped, all is taken to fail.
    """
    rate = canary.rate if canary.requests else 1.0
    return rate > 0.0 and stable.errors > 0 and stable.rate >= rate * STABLE_RATE_PART
