"""
What a rollout plan can do at a rate of traffic: how long it takes, what it sees.

Pure arithmetic on a plan, before anything runs: the time of each step, how many
requests see the canary, how much harm of a few sizes is found and when, and
which steps and SLOs can never be decided. Figures are averages, and they stand
on assumptions (``Assumed``), which are told with them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, log
from statistics import NormalDist

from proxy.analysis.checks import slo_id
from proxy.analysis.planning import needed_requests, parts_of
from proxy.model.judging import (
    CLIENT_ERROR_RATE,
    ERROR_RATE,
    ROUTE_ALL,
    JudgePlan,
    Safety,
    Slo,
)
from proxy.rollout.plan import PERCENT_ALL, RolloutPlan, Step

LATENCY_SIGMA = 0.5
"""Of the logarithm of latencies: answers of one kind from a service of usual load."""
LATENCY_QUANTILES = (0.5, 0.9)
"""What a ratio protects beside its own quantile."""
SLOWER = (1.2, 1.5, 2.0)
SLOWER_THAN_LIMIT = (1.1, 1.5, 2.5)
"""For limits that are wider than the usual sizes."""
TOLD_APART = 1.05
"""A canary that is nearer to its limit is hardly told from one within it."""
MORE_BAD = (2.0, 5.0, inf)
"""Times the limit; infinity: every request."""
FEWER = (0.9, 0.6, 0.0)
"""Times the limit, of what should not become less."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is taken for granted of stable; fractions."""

    rps: float
    """Requests a second of the whole service, of units that differ."""
    error_rate: float = 0.001
    client_error_rate: float = 0.01
    event_rate: float = 0.05
    """Of each business event."""


@dataclass(frozen=True, slots=True)
class StepForecast:
    """One step before promotion; a preview has no weight, and needs none."""

    number: int
    weight: float
    canary_per_s: float
    requests: int
    """Canary requests that it needs before it may pass."""
    max_s: float | None
    """``max_duration``; ``None``: none."""
    takes_s: float
    """Until it passes; infinite: never."""
    exposed: float
    """Requests that see the canary meanwhile."""


@dataclass(frozen=True, slots=True)
class Need:
    """What finds harm at one step's share of the traffic."""

    requests: float
    """Canary requests that open both keys, on average; infinite: none ever do."""
    seconds: float
    """How long they take to come, the warm-up left out."""


@dataclass(frozen=True, slots=True)
class Detection:
    """When harm of one size is found."""

    size: str
    """Such as ``20 % slower`` or ``2 % of the requests``."""
    steps: tuple[Need, ...]
    """What each step would need on its own."""
    after_s: float | None
    """Since the rollout began; ``None``: neither before promotion nor in the bake."""
    exposed: float | None
    """Requests that have seen the canary by then."""


@dataclass(frozen=True, slots=True)
class SloForecast:
    """What one SLO finds."""

    id: str
    detections: tuple[Detection, ...]


@dataclass(frozen=True, slots=True)
class Impossible:
    """What can never be decided, and why; the file's ``step`` from 0, or an ``slo``."""

    message: str
    step: int | None = None
    slo: str | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan can do."""

    steps: tuple[StepForecast, ...]
    slos: tuple[SloForecast, ...]
    promoted_s: float
    """Until promotion, if nothing is wrong; infinite: never."""
    exposed: float
    """Requests that see the canary before promotion."""
    bake_s: float
    """After it, while the old version keeps its holdback; 0: no bake."""
    warnings: tuple[str, ...]
    impossible: tuple[Impossible, ...]


def forecast(
    plan: RolloutPlan, assumed: Assumed, routes: Sequence[str] = (), others: float = 0.0
) -> Forecast:
    """
    Return what ``plan`` can do.

    ``routes`` are the service's judged routes, which are assumed to share its
    traffic evenly; ``others`` is the percent of versions that have no role.
    """
    steps = tuple(_steps(plan, assumed))
    road = tuple(_road(plan, steps, assumed, others))
    slos = tuple(
        SloForecast(
            slo_id(slo), tuple(_detections(slo, plan.judge, road, assumed, routes))
        )
        for slo in plan.judge.slos
    )
    slos += tuple(
        SloForecast(one.id, (_measured(one.every_s * one.consecutive, plan, road),))
        for one in plan.external
    )
    impossible = (*_impossible_steps(steps), *(_impossible_slos(slos) if road else ()))
    return Forecast(
        steps=steps,
        slos=slos,
        promoted_s=sum(step.takes_s for step in steps),
        exposed=sum(step.exposed for step in steps),
        bake_s=0.0 if plan.bake is None else plan.bake.duration_s,
        warnings=tuple(_warnings(plan, slos)),
        impossible=impossible,
    )


def _steps(plan: RolloutPlan, assumed: Assumed) -> Iterator[StepForecast]:
    """Yield the steps before promotion; the last of them waits for the windows."""
    before = [step for step in plan.steps if not _promotes(step)]
    windows_s = max((one for row in plan.windows.values() for one in row), default=0.0)
    passed_s = 0.0
    warmup_s = plan.judge.warmup_s
    for number, step in enumerate(before, start=1):
        rate = assumed.rps * step.weight / PERCENT_ALL
        takes_s = step.min_duration_s
        if rate:
            takes_s = max(takes_s, warmup_s + step.min_requests / rate)
            warmup_s = 0.0
        if number == len(before):
            takes_s = max(takes_s, windows_s - passed_s)
        passed_s += takes_s
        yield StepForecast(
            number=number,
            weight=step.weight,
            canary_per_s=rate,
            requests=step.min_requests if rate else 0,
            max_s=step.max_duration_s,
            takes_s=takes_s,
            exposed=rate * takes_s if rate else 0.0,
        )


def _promotes(step: Step) -> bool:
    return step.weight >= PERCENT_ALL and step.only is None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of the rollout at one weight, warm-up left out."""

    share: float
    """The canary's part of what stable and canary have."""
    canary_per_s: float
    lasts_s: float
    silent_s: float
    """Before it: the warm-up, in which nothing but gross faults is found."""


def _road(
    plan: RolloutPlan, steps: Sequence[StepForecast], assumed: Assumed, others: float
) -> Iterator[_Stretch]:
    """Yield the weights at which versions are compared, the bake's last."""
    silent_s = plan.judge.warmup_s
    both = PERCENT_ALL - others
    for step in steps:
        if not step.weight:
            continue
        share = min(step.weight / both, 1.0) if both > 0.0 else 1.0
        silent_here_s = min(silent_s, step.takes_s)
        silent_s -= silent_here_s
        yield _Stretch(
            share, step.canary_per_s, step.takes_s - silent_here_s, silent_here_s
        )

    if plan.bake is not None:
        weight = both - plan.bake.holdback
        rate = assumed.rps * weight / PERCENT_ALL
        yield _Stretch(weight / both, rate, plan.bake.duration_s, 0.0)


def _detections(
    slo: Slo,
    judge: JudgePlan,
    road: Sequence[_Stretch],
    assumed: Assumed,
    routes: Sequence[str],
) -> Iterator[Detection]:
    """Yield when harm of a few sizes is found by one SLO."""
    part = 1.0 if slo.route == ROUTE_ALL else 1.0 / max(len(routes), 1)
    parts = parts_of(slo, judge.slos, routes)
    for size, asked in _sizes(slo, assumed):

        def needed(share: float, asked: Sequence[_Asked] = asked) -> float:
            return min(
                needed_requests(
                    one.slo,
                    stable=one.stable,
                    canary=one.canary,
                    share=share,
                    alpha=judge.alpha,
                    alpha_tolerance=judge.alpha_tolerance,
                    parts=parts,
                )
                for one in asked
            )

        shares = [stretch.share for stretch in road]
        needs = [needed(share) if share < 1.0 else inf for share in shares]
        found = _found(road, needs, part)
        yield Detection(
            size,
            tuple(
                Need(need / part, need / part / stretch.canary_per_s)
                for need, stretch in zip(needs, road, strict=True)
                if stretch.canary_per_s
            ),
            None if found is None else found[0],
            None if found is None else found[1],
        )


def _found(
    road: Sequence[_Stretch], needs: Sequence[float], part: float
) -> tuple[float, float] | None:
    """Return when a fault is found and who saw it; ``part``: of the traffic."""
    passed_s = exposed = won = 0.0
    for stretch, need in zip(road, needs, strict=True):
        passed_s += stretch.silent_s
        exposed += stretch.canary_per_s * stretch.silent_s
        speed = stretch.canary_per_s * part / need if need > 0.0 else inf
        if won + speed * stretch.lasts_s >= 1.0:
            wait_s = (1.0 - won) / speed
            return passed_s + wait_s, exposed + stretch.canary_per_s * wait_s
        won += speed * stretch.lasts_s
        passed_s += stretch.lasts_s
        exposed += stretch.canary_per_s * stretch.lasts_s
    return None


@dataclass(frozen=True, slots=True)
class _Asked:
    """One comparison: what is asked, and each arm's true rate."""

    slo: Slo
    stable: float
    canary: float


def _sizes(slo: Slo, assumed: Assumed) -> Iterator[tuple[str, tuple[_Asked, ...]]]:
    """Yield harm of a few sizes in words, and the comparisons that may find it."""
    if slo.min_ratio is not None:
        for times in FEWER:
            left = slo.min_ratio * times
            canary = assumed.event_rate * left
            size = f"{_percent(1.0 - left)} fewer" if left else "none at all"
            yield size, (_Asked(slo, assumed.event_rate, canary),)
    elif slo.quantile is not None and slo.max is None:
        yield from _slower(slo, slo.max_ratio or 1.0)
    elif slo.quantile is not None:
        limit = 1.0 - slo.quantile
        late = replace(slo, metric=ERROR_RATE, quantile=None, max=limit)
        for rate in _rates(limit):
            size = f"{_percent(rate)} of the requests over the limit"
            yield size, (_Asked(late, limit / 10.0, rate),)
    else:
        stable = assumed.error_rate
        if slo.metric == CLIENT_ERROR_RATE:
            stable = assumed.client_error_rate
        limit = stable * (slo.max_ratio or 1.0) + (slo.max_delta or 0.0)
        if slo.max is not None:
            limit = max(slo.max, stable)
        for rate in _rates(limit):
            yield f"{_percent(rate)} of the requests", (_Asked(slo, stable, rate),)


def _rates(limit: float) -> list[float]:
    """Return some multiples of a limit that are rates, and the rate of all."""
    rates = [min(limit * times, 1.0) for times in MORE_BAD]
    return list(dict.fromkeys(rates))


def _slower(slo: Slo, ratio: float) -> Iterator[tuple[str, tuple[_Asked, ...]]]:
    """Yield a canary that is slower everywhere: its own quantile tells, or another."""
    assert slo.quantile is not None
    told_apart = ratio * TOLD_APART
    usual = [factor for factor in SLOWER if factor >= told_apart]
    factors = usual or [ratio * times for times in SLOWER_THAN_LIMIT]
    quantiles = {slo.quantile} if slo.only else {slo.quantile, *LATENCY_QUANTILES}
    for factor in factors:
        yield (
            f"{_percent(factor - 1.0)} slower",
            tuple(
                _Asked(
                    replace(slo, quantile=quantile),
                    1.0 - quantile,
                    _exceeds(quantile, factor / ratio),
                )
                for quantile in sorted(quantiles)
            ),
        )


def _exceeds(quantile: float, factor: float) -> float:
    """Return how often a log-normal time, ``factor`` slower, exceeds the quantile."""
    usual = NormalDist()
    return 1.0 - usual.cdf(usual.inv_cdf(quantile) - log(factor) / LATENCY_SIGMA)


def _measured(seconds: float, plan: RolloutPlan, road: Sequence[_Stretch]) -> Detection:
    """Return when an external metric's values have failed often enough."""
    after_s = plan.judge.warmup_s + seconds
    needed_s = seconds
    exposed = 0.0
    for stretch in road:
        seen_s = stretch.silent_s + min(stretch.lasts_s, needed_s)
        exposed += stretch.canary_per_s * seen_s
        needed_s -= stretch.lasts_s
        if needed_s <= 0.0:
            return Detection("above the limit", (), after_s, exposed)
    return Detection("above the limit", (), None, None)


def _impossible_steps(steps: Sequence[StepForecast]) -> Iterator[Impossible]:
    # A preview comes first, and is none of the file's steps.
    for at, step in enumerate(step for step in steps if step.weight):
        if step.max_s is None:
            continue
        gathers_s = step.requests / step.canary_per_s
        if gathers_s > step.max_s:
            yield Impossible(
                f"can never pass: {step.requests} canary requests take "
                f"{gathers_s:.0f} s at {step.canary_per_s:g} a second, and "
                f"max_duration is {step.max_s:g} s",
                step=at,
            )


def _impossible_slos(slos: Sequence[SloForecast]) -> Iterator[Impossible]:
    for slo in slos:
        if not slo.detections or any(one.after_s is not None for one in slo.detections):
            continue
        worst = slo.detections[-1]
        least = min((need.requests for need in worst.steps), default=inf)
        why = "no evidence decides it"
        if least < inf:
            why = f"even {worst.size} needs about {least:.0f} canary requests"
        message = f"{slo.id} can never be decided in time: {why}"
        yield Impossible(message, slo=slo.id)


def _warnings(plan: RolloutPlan, slos: Sequence[SloForecast]) -> Iterator[str]:
    for slo in slos:
        missed = [one.size for one in slo.detections if one.after_s is None]
        if missed and len(missed) < len(slo.detections):
            sizes = ", ".join(missed)
            yield f"{slo.id}: not found in time on average: {sizes}"
    if not any(step.weight and not _promotes(step) for step in plan.steps):
        yield "the only step with weight is promotion: nothing is compared before it"
    rings = [at for at, step in enumerate(plan.steps, start=1) if step.only is not None]
    for at in rings:
        yield f"step {at}: the part of the traffic in its ring is taken as all of it"
    if plan.judge.safety is Safety.REQUIRE:
        yield "safety: require waits for proof of no harm, which is not counted here"


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.3g} %"
