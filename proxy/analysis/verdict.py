"""
From findings and progress to one verdict with one sentence.

Decides the order of the rules: a proven violation fails; then what is missing
is named, the first of traffic, warm-up, requests, suspicion, sight and time;
only when nothing is missing does the step pass.
"""

from dataclasses import dataclass, replace
from math import ceil

from proxy.model.judging import Judgement, SloJudgement
from proxy.model.vocabulary import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step has come."""

    step: int
    canary_finished: int
    stable_seen: int
    canary_seen: int
    until_look: int
    """Canary requests until the evidence is looked at again."""
    requests_missing: int
    """Canary requests until ``min_requests``."""
    wait_s: float
    """Judged seconds until ``min_duration``."""
    warmup_s: float
    """Judged seconds of warm-up left."""
    rate_per_s: float
    baseline: bool
    look: int


def settle(
    findings: tuple[SloJudgement, ...], blind: str, progress: Progress
) -> Judgement:
    """Return the judgement; ``blind`` names an SLO that has nothing to look at."""
    failed = [f for f in findings if f.verdict is Verdict.FAIL]
    suspects = [f for f in findings if f.suspicious]
    needed = _needed(progress, suspicious=bool(suspects))
    if failed:
        reason, message = Reason.SLO_VIOLATED, violation_of(failed[0])
    else:
        reason, message = _missing(suspects, blind, progress)
    verdict = Verdict.UNDECIDED if reason is not Reason.NONE else Verdict.PASS
    return Judgement(
        verdict=Verdict.FAIL if failed else verdict,
        reason=reason,
        message=message,
        needed=0 if failed else needed,
        wait_s=0.0 if failed else _wait_s(needed, progress),
        slos=tuple(_settled(f, needed, progress) for f in findings),
        look=progress.look,
    )


def _needed(progress: Progress, *, suspicious: bool) -> int:
    """Return the canary requests that are missing until the step can pass."""
    if progress.requests_missing:
        return progress.requests_missing
    return progress.until_look if suspicious else 0


def _wait_s(needed: int, progress: Progress) -> float | None:
    """Return about how long it takes, or ``None`` when nobody knows."""
    if needed and progress.rate_per_s <= 0.0:
        return None
    traffic_s = needed / progress.rate_per_s if needed else 0.0
    return max(traffic_s, progress.wait_s, progress.warmup_s)


def _missing(
    suspects: list[SloJudgement], blind: str, progress: Progress
) -> tuple[Reason, str]:
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
    if progress.requests_missing:
        return (
            Reason.UNDECIDED,
            f"{step} needs {_requests(progress.requests_missing, progress)}",
        )
    if suspects:
        return Reason.UNDECIDED, (
            f"{suspicion_of(suspects[0])}; {step} needs"
            f" {_requests(progress.until_look, progress)} to tell"
        )
    if blind:
        return Reason.UNDECIDED, f"{blind} has no answers to look at in {step}"
    if progress.wait_s > 0.0:
        return Reason.UNDECIDED, f"{step} needs another {_seconds(progress.wait_s)}"
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
    return f"{ceil(whole / 60)} min"


def violation_of(finding: SloJudgement) -> str:
    """Return the sentence for an SLO that is proven broken."""
    if finding.together is not None:
        return f"{_named(finding)} is violated over all steps: {_summed(finding)}"
    return (
        f"{_named(finding)} is violated: {_figure(finding)}; canary"
        f" {_value(finding, finding.canary)}, stable {_value(finding, finding.stable)}"
        f" over {finding.requests.canary} canary requests"
    )


def suspicion_of(finding: SloJudgement) -> str:
    """Return the sentence for an SLO that looks broken."""
    if finding.together is not None:
        return (
            f"{_named(finding)} looks worse than its limit over all steps:"
            f" {_summed(finding)}"
        )
    if finding.stable is not None and _absolute(finding):
        limit = finding.limit or 0.0
        if finding.stable > limit:
            return (
                f"both versions break {_named(finding)} and nobody is blamed"
                f" ({_figure(finding)})"
            )
    return f"{_named(finding)} looks worse than its limit ({_figure(finding)})"


def _summed(finding: SloJudgement) -> str:
    """Return what the run's epochs show together."""
    together = finding.together
    assert together is not None
    return (
        f"{together.beyond} of {together.requests} canary requests beyond it,"
        f" where {together.allowed:.3g} would be within"
    )


def _absolute(finding: SloJudgement) -> bool:
    """Whether the finding's limit does not depend on stable."""
    return finding.id.split("@")[0].endswith("-max")


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
    return finding.id.startswith(("latency", "ttfb"))


def _settled(finding: SloJudgement, needed: int, progress: Progress) -> SloJudgement:
    """Return the finding with its own verdict and what is missing for it."""
    verdict = finding.verdict
    ready = not (progress.requests_missing or progress.warmup_s > 0.0)
    if (
        verdict is not Verdict.FAIL
        and ready
        and not finding.suspicious
        and finding.canary is not None
    ):
        verdict = Verdict.PASS
    missing = needed if finding.suspicious else min(needed, progress.requests_missing)
    requests = replace(finding.requests, needed=missing)
    return replace(finding, verdict=verdict, requests=requests)
