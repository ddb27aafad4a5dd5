"""
From settings to what the pure packages ask for: rollout plans and judge plans.

Nothing is decided here but spelling: one SLO of the file with both an absolute
and a relative limit becomes two, and ``auto`` becomes a number.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from proxy.analysis import min_requests_auto
from proxy.model.external import ExternalMetric
from proxy.model.judging import (
    CLIENT_ERROR_RATE,
    PAIR_METRICS,
    ROUTE_ALL,
    FailFast,
    JudgePlan,
    Safety,
    Slo,
)
from proxy.rollout.plan import (
    After,
    Bake,
    Gate,
    GateType,
    OnNoTraffic,
    OnTimeout,
    OnUndecided,
    Ring,
    Rollback,
    RolloutPlan,
    Start,
    Step,
    Strategy,
)
from proxy.settings.schema import (
    GateSettings,
    RolloutSettings,
    ServiceSettings,
    SloSettings,
    StepSettings,
)
from proxy.settings.slo import PROMETHEUS

USUAL_CODES = SloSettings.model_fields["codes"].default
"""What counts as an error where an SLO does not say it."""


def rollout_plan(service: ServiceSettings) -> RolloutPlan | None:
    """Return the plan of a service's rollout; ``None`` where it has none."""
    rollout = service.rollout
    if rollout is None:
        return None
    judge = judge_plan(rollout)
    external, windows = _external(rollout), _windows(rollout)
    fail_fast = rollout.fail_fast
    return RolloutPlan(
        stable=rollout.stable,
        canary=rollout.canary,
        steps=_steps(rollout, judge.min_requests),
        judge=judge,
        pairs=pair_slos(rollout),
        strategy=Strategy(rollout.strategy),
        start=Start(rollout.start),
        after=After(rollout.after),
        on_undecided=OnUndecided(rollout.on_undecided),
        deadline_s=rollout.deadline,
        external=external,
        windows=windows,
        fail_fast=None
        if fail_fast is None
        else FailFast(
            fail_fast.consecutive_connect_failures,
            fail_fast.error_rate,
            fail_fast.requests,
        ),
        bake=None
        if rollout.bake is None
        else Bake(rollout.bake.duration, rollout.bake.holdback),
        rollback=Rollback(
            rollout.rollback.mode == "gradual", rollout.rollback.interval
        ),
        rollback_window=rollout.rollback_window,
        on_no_traffic=OnNoTraffic(rollout.on_no_traffic),
        progress_deadline_s=rollout.progress_deadline,
        gates=tuple(_gates(rollout)),
        mirrored=_mirrored(service, judge.min_requests),
    )


def _mirrored(service: ServiceSettings, min_requests: int) -> int:
    """Return how many mirrored answers the preview of ``blue_green`` needs."""
    rollout, mirror = service.rollout, service.mirror
    if rollout is None or mirror is None or mirror.to != rollout.canary:
        return 0
    if rollout.strategy == "parallel":
        return 0  # its verdict knows how many pairs are enough
    needed = rollout.steps[0].min_requests
    return min_requests if needed is None else needed


def _gates(rollout: RolloutSettings) -> Iterator[Gate]:
    """Yield the gates of a rollout, and those that belong to a step."""
    for gate in rollout.gates:
        yield _gate(gate, 0)
    for number, step in enumerate(rollout.steps, start=1):
        if step.gate is not None:
            yield _gate(step.gate, number)


def _gate(gate: GateSettings, step: int) -> Gate:
    return Gate(
        type=GateType(gate.type),
        url=gate.url,
        name=gate.name or "",
        timeout_s=gate.timeout,
        retries=gate.retries,
        interval_s=gate.interval,
        on_timeout=OnTimeout(gate.on_timeout),
        secret_file=gate.secret_file,
        metadata=dict(gate.metadata),
        step=step,
    )


def judge_plan(rollout: RolloutSettings) -> JudgePlan:
    """Return what is asked of every step unless the step says otherwise."""
    slos = tuple(_slos(rollout))
    named = rollout.min_requests
    return JudgePlan(
        slos=slos,
        alpha=rollout.alpha,
        alpha_tolerance=rollout.alpha_tolerance,
        min_requests=min_requests_auto(slos) if named is None else named,
        min_duration_s=rollout.min_duration,
        warmup_s=rollout.warmup,
        safety=Safety(rollout.safety),
    )


def _steps(rollout: RolloutSettings, min_requests: int) -> tuple[Step, ...]:
    """Return the steps; ``blue_green`` and ``parallel`` begin with a preview."""
    steps = tuple(_step(rollout, step, min_requests) for step in rollout.steps)
    if rollout.strategy == "blue_green":
        return (replace(steps[0], weight=0.0), replace(steps[0], pause=False))
    if rollout.strategy == "parallel":
        # The parallel run takes what time it needs, and no person has to agree.
        preview = replace(steps[0], weight=0.0, min_duration_s=0.0, pause=False)
        return (replace(preview, max_duration_s=None), *steps)
    return steps


def _step(rollout: RolloutSettings, step: StepSettings, min_requests: int) -> Step:
    return Step(
        weight=step.weight,
        min_duration_s=rollout.min_duration
        if step.min_duration is None
        else step.min_duration,
        max_duration_s=rollout.max_duration
        if step.max_duration is None
        else step.max_duration,
        min_requests=min_requests if step.min_requests is None else step.min_requests,
        pause=step.pause,
        slos=None if step.slos is None else (*_written(step.slos), *_guards(rollout)),
        only=None
        if step.only is None
        else Ring(
            dict(step.only.header),
            dict(step.only.cookie),
            step.only.method,
            step.only.path_prefix,
        ),
    )


def _slos(rollout: RolloutSettings) -> Iterator[Slo]:
    yield from _written(rollout.slos)
    yield from _guards(rollout)


def pair_slos(rollout: RolloutSettings) -> tuple[Slo, ...]:
    """Return the SLOs that a parallel run's pairs are held to."""
    return tuple(
        Slo(slo.metric, max=slo.max, max_ratio=slo.max_ratio)
        for slo in rollout.slos
        if slo.metric in PAIR_METRICS
    )


def _written(slos: Iterable[SloSettings]) -> Iterator[Slo]:
    for slo in slos:
        if slo.metric not in (*PAIR_METRICS, PROMETHEUS):
            yield from _split_slo(slo)


def _guards(rollout: RolloutSettings) -> Iterator[Slo]:
    guard = rollout.guards.client_error_rate
    if guard is not None:
        yield Slo(CLIENT_ERROR_RATE, max_delta=guard.max_delta)


def _split_slo(slo: SloSettings) -> Iterator[Slo]:
    """Yield the absolute and the relative limit of an SLO, whichever it has."""
    limits: list[dict[str, float | None]] = []
    if slo.min_ratio is not None:
        limits.append({"min_ratio": slo.min_ratio})
    if slo.max is not None:
        limits.append({"max": slo.max})
    if slo.max_ratio is not None or slo.max_delta is not None:
        limits.append({"max_ratio": slo.max_ratio, "max_delta": slo.max_delta})
    for limit in limits:
        yield Slo(
            metric=slo.metric,
            quantile=slo.quantile,
            # The usual codes are not part of an SLO's id.
            codes=() if slo.codes == USUAL_CODES else slo.codes,
            route=slo.route or ROUTE_ALL,
            only=slo.only,
            **limit,
        )


def _external(rollout: RolloutSettings) -> tuple[ExternalMetric, ...]:
    """Return what is asked of metric providers, numbered from the second on."""
    asked = [slo for slo in rollout.slos if slo.metric == PROMETHEUS]
    return tuple(
        ExternalMetric(
            id=f"{PROMETHEUS}-max" + (f"-{number}" if number > 1 else ""),
            url=slo.url or "",
            query=slo.query or "",
            max=slo.max or 0.0,
            every_s=slo.every,
            consecutive=slo.consecutive,
        )
        for number, slo in enumerate(asked, start=1)
    )


def _windows(rollout: RolloutSettings) -> dict[str, tuple[float, ...]]:
    """Return the windows of every business metric that has any."""
    return {slo.metric: slo.windows for slo in rollout.slos if slo.windows}
