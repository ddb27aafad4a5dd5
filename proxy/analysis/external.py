"""
External metrics: what a provider's readings mean for a canary; pure.

A value above the limit so many times in a row fails the canary. A provider that
cannot be asked is no failed check: it holds the rollout (``ProviderError``)
until it answers again, and neither adds to the count nor resets it. A query
that finds nothing holds as well. During the warm-up nothing is counted.

The verdict of the evidence and these findings make one judgement: any failure
fails, and ``pass`` needs both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from proxy.model.external import ExternalMetric, Measured, Reading
from proxy.model.judging import Judgement, Requests, SloJudgement
from proxy.model.vocabulary import Reason, Verdict

STALE_PERIODS = 3.0
"""A value is believed for so many periods; a poller that died is no good news."""


def measured(
    metrics: Sequence[ExternalMetric],
    before: Sequence[Measured],
    readings: Mapping[str, Reading],
    *,
    warm: bool,
) -> tuple[Measured, ...]:
    """
    Return what to remember after the newest readings (by id).

    ``warm``: the warm-up is over, values above the limit count. A reading that
    was seen already changes nothing.
    """
    known = {one.id: one for one in before}
    return tuple(
        _measured(
            metric, known.get(metric.id, Measured(metric.id)), readings, warm=warm
        )
        for metric in metrics
    )


def _measured(
    metric: ExternalMetric,
    before: Measured,
    readings: Mapping[str, Reading],
    *,
    warm: bool,
) -> Measured:
    reading = readings.get(metric.id)
    if reading is None or (before.at_s is not None and reading.at_s <= before.at_s):
        return before
    exceeded = before.exceeded
    if reading.value is not None:
        above = reading.value > metric.max
        exceeded = exceeded + 1 if above and warm else 0
    return Measured(metric.id, reading.at_s, reading.value, reading.error, exceeded)


def judged(
    judgement: Judgement,
    metrics: Sequence[ExternalMetric],
    memory: Sequence[Measured],
    *,
    now_s: float,
) -> Judgement:
    """
    Return the judgement with the external metrics in it.

    ``memory`` is what ``measured`` returned for the same metrics; ``now_s`` is
    Unix time.
    """
    found = [
        _finding(metric, one, now_s)
        for metric, one in zip(metrics, memory, strict=True)
    ]
    if not found:
        return judgement
    slos = (*judgement.slos, *(slo for slo, _, _ in found))
    whole = replace(judgement, slos=slos)
    if judgement.verdict is Verdict.FAIL:
        return whole
    for slo, reason, message in found:
        if slo.verdict is Verdict.FAIL:
            return replace(
                whole,
                verdict=Verdict.FAIL,
                reason=reason,
                message=message,
                needed=0,
                wait_s=0.0,
            )
    held = [one for one in found if one[0].verdict is not Verdict.PASS]
    # An unreachable provider is told before anything else that is missing.
    held.sort(key=lambda one: one[1] is not Reason.PROVIDER_ERROR)
    first = held[0] if held else None
    if first is None:
        return whole
    if judgement.verdict is Verdict.PASS or first[1] is Reason.PROVIDER_ERROR:
        return replace(
            whole,
            verdict=Verdict.UNDECIDED,
            reason=first[1],
            message=first[2],
            wait_s=None,
        )
    return whole


def _finding(
    metric: ExternalMetric, memory: Measured, now_s: float
) -> tuple[SloJudgement, Reason, str]:
    """Return what is known of one metric, and what a hold or a failure would say."""
    verdict, reason, message = _verdict(metric, memory, now_s)
    above = memory.value is not None and memory.value > metric.max
    slo = SloJudgement(
        id=metric.id,
        verdict=verdict,
        stable=None,
        canary=memory.value,
        value=memory.value,
        limit=metric.max,
        interval=None,
        requests=Requests(),
        suspicious=above,
    )
    return slo, reason, message


def _verdict(
    metric: ExternalMetric, memory: Measured, now_s: float
) -> tuple[Verdict, Reason, str]:
    name, limit = metric.id, f"{metric.max:g}"
    if memory.exceeded >= metric.consecutive:
        shown = "" if memory.value is None else f"{memory.value:g} is "
        times = "once" if memory.exceeded == 1 else f"{memory.exceeded} times in a row"
        message = f"{name}: {shown}above {limit}, {times}"
        return Verdict.FAIL, Reason.SLO_VIOLATED, message
    if memory.error:
        message = f"{name} cannot be read: {memory.error}"
        return Verdict.UNDECIDED, Reason.PROVIDER_ERROR, message
    waits = Verdict.UNDECIDED, Reason.UNDECIDED
    if memory.at_s is None:
        return *waits, f"{name} has not been read yet"
    if now_s - memory.at_s > metric.every_s * STALE_PERIODS:
        return *waits, f"{name} was last read {now_s - memory.at_s:.0f} s ago"
    if memory.value is None:
        return *waits, f"{name} has no value: its query finds nothing"
    if memory.value > metric.max:
        count = f"{memory.exceeded} of {metric.consecutive} times in a row"
        return *waits, f"{name}: {memory.value:g} is above {limit}, {count}"
    return Verdict.PASS, Reason.NONE, ""
