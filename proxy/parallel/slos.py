"""
Objectives that pairs are held to, and whether a parallel run allows live traffic.

``mismatch_rate`` fails when at least one field is a regression (or the rate
itself is proven too high, where stable was never asked twice) *and* the rate is
beyond its limit at ``alpha_tolerance``; it passes once the rate is proven to be
below. ``latency_ratio`` is the share of pairs in which the candidate took longer
than ``max_ratio`` times stable's second answer, against a half: a sign test of
the median, with the same e-values. Both may be looked at at any time.
"""

import math
from collections.abc import Iterable

from proxy.model.judging import (
    MISMATCH_RATE,
    Judgement,
    Requests,
    Slo,
    SloJudgement,
)
from proxy.model.vocabulary import Reason, Verdict
from proxy.parallel import evidence, report, verdict
from proxy.parallel.tally import RunTally
from proxy.parallel.verdict import PAIRS_MIN, RATE_ALPHA, RunVerdict

RATIO_PAIRS_MIN = 30
"""Paired latencies below this many say nothing yet."""
LIMIT_SIDE = "max"


def judge(
    run: RunTally, slos: Iterable[Slo], alpha_tolerance: float, *, gate: bool
) -> Judgement:
    """
    Return what pairs say of their objectives.

    ``gate``: the run's own verdict counts too, because live traffic waits for
    it: it must be equivalent, and a diverging one fails.
    """
    slos = tuple(slos)
    judged = tuple(
        _mismatches(slo, run, alpha_tolerance)
        if slo.metric == MISMATCH_RATE
        else _latency(slo, run, alpha_tolerance)
        for slo in slos
    )
    verdicts = [one.verdict for one in judged]
    limit = limit_of(slos)
    standing = verdict.standing_of(run, limit)
    message = standing.message
    if gate:
        verdicts.append(_GATE[standing.verdict])
    elif judged:
        message = _worst(judged, standing.message)
    return Judgement(
        verdict=_together(verdicts),
        reason=_reason(_together(verdicts)),
        message=f"parallel run: {message}",
        needed=max((one.requests.needed for one in judged), default=0),
        wait_s=None,
        slos=judged,
    )


def limit_of(slos: Iterable[Slo]) -> float:
    """Return the rate of misses that is allowed, as an objective says or as usual."""
    for slo in slos:
        if slo.metric == MISMATCH_RATE and slo.max is not None:
            return slo.max
    return verdict.LIMIT_USUAL


def merged(live: Judgement, pairs: Judgement) -> Judgement:
    """Return one judgement of live requests and of pairs: the worse of the two."""
    order = (Verdict.PASS, Verdict.UNDECIDED, Verdict.FAIL)
    worse = max((live, pairs), key=lambda one: order.index(one.verdict))
    leading = live if live.verdict is worse.verdict else pairs
    return Judgement(
        verdict=worse.verdict,
        reason=leading.reason,
        message=leading.message,
        needed=max(live.needed, pairs.needed),
        wait_s=live.wait_s,
        slos=live.slos + pairs.slos,
    )


_GATE = {
    RunVerdict.EQUIVALENT: Verdict.PASS,
    RunVerdict.DIVERGING: Verdict.FAIL,
    RunVerdict.INCONCLUSIVE: Verdict.UNDECIDED,
}


def _together(verdicts: list[Verdict]) -> Verdict:
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.UNDECIDED if Verdict.UNDECIDED in verdicts else Verdict.PASS


def _reason(found: Verdict) -> Reason:
    return Reason.NONE if found is Verdict.PASS else Reason.MISMATCH


def _worst(judged: tuple[SloJudgement, ...], message: str) -> str:
    """Return the sentence about the objective that stands worst."""
    for one in judged:
        if one.verdict is Verdict.FAIL and one.value is not None:
            return f"{one.id} is {one.value:.4g}, allowed is {one.limit:.4g}"
    return message


def _mismatches(slo: Slo, run: RunTally, alpha_tolerance: float) -> SloJudgement:
    limit = limit_of((slo,))
    missed, judged = run.missed, run.judged
    standing = verdict.standing_of(run, limit)
    beyond = judged > 0 and evidence.proves_above(
        missed, judged, limit, alpha_tolerance
    )
    worse = run.regressions > 0 or (
        judged > 0 and evidence.proves_above(missed, judged, limit, run.alpha)
    )
    found = Verdict.UNDECIDED
    if worse and beyond:
        found = Verdict.FAIL
    elif standing.missing == 0:
        found = Verdict.PASS
    return SloJudgement(
        id=f"{slo.metric}-{LIMIT_SIDE}",
        verdict=found,
        stable=None,
        canary=standing.rate,
        value=standing.rate,
        limit=limit,
        interval=(standing.lower, standing.upper) if judged else None,
        requests=Requests(
            judged, judged, PAIRS_MIN if standing.missing is None else standing.missing
        ),
        suspicious=run.regressions > 0 and found is not Verdict.FAIL,
    )


def _latency(slo: Slo, run: RunTally, alpha_tolerance: float) -> SloJudgement:
    limit = slo.max_ratio or 1.0
    slower, pairs = verdict.slower_pairs(run, limit)
    slower_at_all, _ = verdict.slower_pairs(run, 1.0)
    faster = sum(n for bucket, n in run.ratios.items() if bucket < 0)
    found = Verdict.UNDECIDED
    if pairs >= RATIO_PAIRS_MIN:
        beyond = evidence.log_e_value(slower, pairs - slower)
        worse = evidence.log_e_value(slower_at_all, faster)
        within = evidence.log_e_value(pairs - slower, slower)
        if worse >= -math.log(run.alpha) and beyond >= -math.log(alpha_tolerance):
            found = Verdict.FAIL
        elif within >= -math.log(RATE_ALPHA):
            found = Verdict.PASS
    return SloJudgement(
        id=f"{slo.metric}-ratio",
        verdict=found,
        stable=report.quantile(run.second.latencies, 0.5),
        canary=report.quantile(run.candidate.latencies, 0.5),
        value=verdict.median_ratio(run),
        limit=limit,
        interval=None,
        requests=Requests(pairs, pairs, max(RATIO_PAIRS_MIN - pairs, 0)),
    )
