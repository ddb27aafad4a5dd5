"""
The report of a run, in the shape that the contract gives it.

Fields of endpoints without a triple stand apart: nothing is known of the noise
there, so a difference proves nothing yet.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from proxy.model.buckets import lower_edge_us, upper_edge_us
from proxy.model.instants import rfc3339
from proxy.parallel import evidence, verdict
from proxy.parallel.hints import best_hint
from proxy.parallel.tally import EndpointTally, FieldTally, LegTally, RunTally
from proxy.parallel.values import Outcome
from proxy.parallel.verdict import RATE_ALPHA, Standing

JsonObject = dict[str, Any]
Examples = Mapping[tuple[str, str, str], list[JsonObject]]
"""By endpoint, path and kind."""

E_VALUE_MAX: Final = 1e300
"""A larger e-value is written as this one: JSON has no infinity."""
REGRESSION, NOISE, UNDECIDED = "regression", "noise", "undecided"
DIGITS: Final = 6


def report(
    run: RunTally,
    endpoints: Iterable[EndpointTally],
    examples: Examples,
    *,
    limit: float = verdict.LIMIT_USUAL,
) -> JsonObject:
    """Return the report; ``limit`` is the rate of misses that is allowed."""
    standing = verdict.standing_of(run, limit)
    ordered = sorted(endpoints, key=lambda one: (-_regressions(one), one.name))
    return {
        "verdict": standing.verdict.value,
        "message": standing.message,
        "since": _instant(run.first_s),
        "last": _instant(run.last_s),
        "pairs": run.pairs,
        "triples": run.triples,
        "alpha": run.alpha,
        "mismatch_rate": _rate(run, standing),
        "latency_ratio": _latency(run),
        "legs": {
            "stable": _leg(run.stable),
            "candidate": _leg(run.candidate),
            "second": _leg(run.second),
        },
        "endpoints": [_endpoint(one, examples) for one in ordered],
    }


def _rate(run: RunTally, standing: Standing) -> JsonObject:
    return {
        "judged": run.judged,
        "missed": run.missed,
        "rate": _rounded(standing.rate),
        "lower95": _rounded(standing.lower),
        "upper95": _rounded(standing.upper),
        "limit": standing.limit,
        "missing": standing.missing,
    }


def _latency(run: RunTally) -> JsonObject:
    slower, pairs = verdict.slower_pairs(run, 1.0)
    faster = sum(n for bucket, n in run.ratios.items() if bucket < 0)
    return {
        "pairs": pairs,
        "median": _rounded(verdict.median_ratio(run)),
        "slower": slower,
        "faster": faster,
        "e_value": e_value(evidence.log_e_value(slower, faster)) if pairs else 1.0,
    }


def _leg(leg: LegTally) -> JsonObject:
    return {
        "answers": sum(leg.latencies.values()),
        "failed": {
            Outcome(outcome).name.lower(): n
            for outcome, n in sorted(leg.outcomes.items())
            if outcome not in (Outcome.ANSWERED, Outcome.TOO_LARGE, Outcome.ABSENT)
        },
        "p50": quantile(leg.latencies, 0.5),
        "p95": quantile(leg.latencies, 0.95),
    }


def quantile(latencies: Mapping[int, int], share: float) -> float | None:
    """Return a quantile of a latency histogram in seconds; ``None`` without data."""
    wanted = share * sum(latencies.values())
    seen = 0
    for bucket in sorted(latencies):
        seen += latencies[bucket]
        if seen >= wanted:
            middle_us = (lower_edge_us(bucket) + upper_edge_us(bucket)) / 2
            return round(middle_us / 1e6, DIGITS)
    return None


def _endpoint(endpoint: EndpointTally, examples: Examples) -> JsonObject:
    judged, missed = endpoint.judged, endpoint.missed
    fields = [
        _field(endpoint, one, examples)
        for one in sorted(
            endpoint.fields.values(),
            key=lambda one: (not one.regression, one.noisy, -one.raw, one.path),
        )
    ]
    known = endpoint.triples > 0
    return {
        "endpoint": endpoint.name,
        "pairs": endpoint.pairs,
        "triples": endpoint.triples,
        "mismatched": missed,
        "differing": endpoint.differing,
        "rate": _rounded(missed / judged) if judged else None,
        "upper95": _rounded(evidence.upper_bound(missed, judged, RATE_ALPHA)),
        "fields": fields if known else [],
        "unsampled_fields": [] if known else fields,
    }


def _field(
    endpoint: EndpointTally, field: FieldTally, examples: Examples
) -> JsonObject:
    key = (endpoint.name, field.path, field.kind.value)
    return {
        "path": field.path,
        "kind": field.kind.value,
        "raw": field.raw,
        "candidate_only": field.candidate_only,
        "noise_only": field.noise_only,
        "both": field.both,
        "e_value": e_value(field.log_e),
        "verdict": field_verdict(field),
        "first_seen": _instant(field.first_s),
        "last_seen": _instant(field.last_s),
        "rule_hint": best_hint(field.hints, field.raw),
        "examples": examples.get(key, []),
    }


def field_verdict(field: FieldTally) -> str:
    """Return what is known of a field."""
    if field.regression:
        return REGRESSION
    return NOISE if field.noisy else UNDECIDED


def e_value(log_e: float) -> float:
    """Return an e-value from its logarithm, four digits of it."""
    value = math.exp(min(log_e, math.log(E_VALUE_MAX)))
    return float(f"{value:.4g}")


def _regressions(endpoint: EndpointTally) -> int:
    return sum(field.regression for field in endpoint.fields.values())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _instant(unix_s: float) -> str | None:
    return rfc3339(unix_s) if unix_s else None
