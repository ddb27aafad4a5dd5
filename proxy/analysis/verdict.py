"""
From keys, guards and progress to one verdict with one sentence.

Decides the order of the rules: two open keys fail; then what keeps the step
from passing is named, the first of traffic, warm-up, guards, requests,
suspicion, sight and time; only when nothing is missing does the step pass.
"""

from dataclasses import dataclass, replace
from math import ceil

from proxy.model.judging import Judgement, SloJudgement
from proxy.model.vocabulary import Reason, Verdict

DAY_S = 86_400
"""Nobody plans with more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step has come, and what stands in its way."""

    step: int
    stable_seen: int
    canary_seen: int
    requests_missing: int
    """Canary requests until ``min_requests``."""
    until_told: int
    """About how many canary requests until a suspicion is proven or gone."""
    wait_s: float
    """Judged seconds until ``min_duration``."""
    warmup_s: float
    """Judged seconds of warm-up left."""
    rate_per_s: float
    baseline: bool
    hold: tuple[Reason, str] | None = None
    """What a guard says; ``None``: nothing."""
    together: str = ""
    """An absolute SLO that both versions break now."""
    blind: str = ""
    """An SLO that has nothing to look at."""
    unsafe: str = ""
    """An SLO whose proof of no harm is missing and required."""
    hurried: bool = False
    """No harm is proven, and time is not waited for."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Both keys, and what they mean."""

    worse: float
    beyond: float
    fired: SloJudgement | None
    """The SLO that opens them the most, if both are open; ``None`` otherwise."""
    noisy: bool


def settle(
    findings: tuple[SloJudgement, ...], keys: Keys, progress: Progress
) -> Judgement:
    """Return the judgement."""
    suspects = [f for f in findings if f.suspicious]
    needed = _needed(progress, suspicious=bool(suspects))
    fired = keys.fired
    if fired is not None:
        reason, message = Reason.SLO_VIOLATED, violation_of(fired)
    else:
        reason, message = _missing(suspects, progress)
    verdict = Verdict.UNDECIDED if reason is not Reason.NONE else Verdict.PASS
    if keys.noisy:
        message = f"{message} (environment noisy)"
    return Judgement(
        verdict=verdict if fired is None else Verdict.FAIL,
        reason=reason,
        message=message,
        needed=needed if fired is None else 0,
        wait_s=_wait_s(needed, progress) if fired is None else 0.0,
        slos=tuple(_settled(f, needed, keys, progress) for f in findings),
        worse=keys.worse,
        beyond=keys.beyond,
        noisy=keys.noisy,
        fired="" if fired is None else fired.id,
    )


def _needed(progress: Progress, *, suspicious: bool) -> int:
    """Return the canary requests that are missing until the step can pass."""
    if progress.requests_missing:
        return progress.requests_missing
    if suspicious or progress.unsafe:
        return max(progress.until_told, 1)
    return 0


def _wait_s(needed: int, progress: Progress) -> float | None:
    """Return about how long it takes, or ``None`` when nobody knows."""
    if progress.hold is not None or progress.together:
        return None
    if needed and progress.rate_per_s <= 0.0:
        return None
    traffic_s = needed / progress.rate_per_s if needed else 0.0
    return max(traffic_s, progress.wait_s, progress.warmup_s)


def _missing(suspects: list[SloJudgement], progress: Progress) -> tuple[Reason, str]:
    """Return what keeps the step from passing; ``Reason.NONE`` when nothing does."""
    step = f"step {progress.step}"
    if not progress.canary_seen:
        return Reason.NO_TRAFFIC, f"{step} has no canary requests yet"
    if progress.baseline and not progress.stable_seen:
        return Reason.NO_TRAFFIC, f"{step} has no stable requests to compare with"
    if progress.warmup_s > 0.0:
        return Reason.WARM_UP, (
            f"the canary warms up for another {_seconds(progress.warmup_s)};"
            " only gross faults count"
        )
    if progress.hold is not None:
        reason, what = progress.hold
        return reason, f"{step} holds: {what}"
    if progress.requests_missing:
        return (
            Reason.UNDECIDED,
            f"{step} needs {_requests(progress.requests_missing, progress)}",
        )
    return _unproven(suspects, progress)


def _unproven(suspects: list[SloJudgement], progress: Progress) -> tuple[Reason, str]:
    """Return what keeps a step with enough requests from passing."""
    step = f"step {progress.step}"
    more = _requests(max(progress.until_told, 1), progress)
    if suspects:
        worst = max(suspects, key=lambda one: one.worse * one.beyond)
        return Reason.UNDECIDED, f"{suspicion_of(worst)}; {step} needs {more} to tell"
    if progress.together:
        return Reason.UNDECIDED, (
            f"both versions break {progress.together} at present, so nobody is"
            f" blamed and {step} waits"
        )
    if progress.blind:
        return (
            Reason.UNDECIDED,
            f"{progress.blind} has no answers to look at in {step}",
        )
    if progress.unsafe:
        return Reason.UNDECIDED, (
            f"{progress.unsafe} is not proven harmless yet; {step} needs {more}"
        )
    if progress.wait_s > 0.0 and not progress.hurried:
        return Reason.UNDECIDED, f"{step} needs another {_seconds(progress.wait_s)}"
    if progress.hurried:
        return Reason.NONE, f"{step} has passed early: no harm is proven"
    return Reason.NONE, f"{step} has passed: nothing is suspicious"


def _requests(needed: int, progress: Progress) -> str:
    """Return how many requests that is, and how long at this rate."""
    text = f"about {needed} more canary requests"
    if progress.rate_per_s <= 0.0:
        return f"{text}; none are coming at present"
    return f"{text}, about {_seconds(needed / progress.rate_per_s)} at this rate"


def _seconds(wait_s: float) -> str:
    """Return a wait for people, rounded up."""
    whole = ceil(wait_s)
    if whole < 120:  # noqa: PLR2004 - two minutes still read well in seconds
        return f"{whole} s"
    if whole > DAY_S:
        return "more than a day"
    return f"{ceil(whole / 60)} min"


def violation_of(finding: SloJudgement) -> str:
    """Return the sentence for an SLO that is proven broken."""
    if finding.canary is None:
        return (
            f"{_named(finding)} is violated: canary requests wait longer than that"
            f" for an answer, and none was answered; stable"
            f" {_value(finding, finding.stable)} over"
            f" {finding.requests.canary} canary requests in this step"
        )
    return (
        f"{_named(finding)} is violated: {_figure(finding)}; canary"
        f" {_value(finding, finding.canary)}, stable {_value(finding, finding.stable)}"
        f" over {finding.requests.canary} canary requests in this step"
    )


def suspicion_of(finding: SloJudgement) -> str:
    """Return the sentence for an SLO that looks broken."""
    return f"{_named(finding)} looks worse than its limit ({_figure(finding)})"


def _named(finding: SloJudgement) -> str:
    """Return the id, and the route that was the worst."""
    if not finding.route or finding.id.endswith(f"@{finding.route}"):
        return finding.id
    return f"{finding.id} ({finding.route})"


def _figure(finding: SloJudgement) -> str:
    """Return value and limit."""
    if finding.id.split("@")[0].endswith("-ratio") and _timed(finding):
        return f"ratio {finding.value or 0.0:.3g}, limit {finding.limit or 0.0:.3g}"
    return f"{_value(finding, finding.value)}, limit {_value(finding, finding.limit)}"


def _value(finding: SloJudgement, value: float | None) -> str:
    """Return a figure with its unit."""
    if value is None:
        return "unknown"
    return f"{value * 1000:.4g} ms" if _timed(finding) else f"{value * 100:.3g} %"


def _timed(finding: SloJudgement) -> bool:
    """Whether the figures are seconds."""
    return finding.id.startswith(("latency-p", "ttfb-p"))


def _settled(
    finding: SloJudgement, needed: int, keys: Keys, progress: Progress
) -> SloJudgement:
    """Return the finding with its own verdict and what is missing for it."""
    verdict = Verdict.UNDECIDED
    ready = not (progress.requests_missing or progress.warmup_s > 0.0)
    if keys.fired is not None and finding.id == keys.fired.id:
        verdict = Verdict.FAIL
    elif ready and not finding.suspicious and finding.canary is not None:
        verdict = Verdict.PASS
    missing = needed if finding.suspicious else min(needed, progress.requests_missing)
    seen = finding.requests
    requests = seen if seen.needed == missing else replace(seen, needed=missing)
    return replace(finding, verdict=verdict, requests=requests)
