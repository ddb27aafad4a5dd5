"""
From settings to what the pure packages ask for: rollout plans and judge plans.

Nothing is decided here but spelling: one SLO of the file with both an absolute
and a relative limit becomes two, and ``auto`` becomes a number.
"""

from collections.abc import Iterator
from dataclasses import replace

from proxy.analysis import min_requests_auto
from proxy.model.judging import (
    CLIENT_ERROR_RATE,
    ROUTE_ALL,
    FailFast,
    JudgePlan,
    Slo,
)
from proxy.rollout.state import After, OnUndecided, RolloutPlan, Start, Step
from proxy.settings.schema import RolloutSettings, ServiceSettings, SloSettings

USUAL_CODES = SloSettings.model_fields["codes"].default
"""What counts as an error where an SLO does not say it."""


def rollout_plan(service: ServiceSettings) -> RolloutPlan | None:
    """Return the plan of a service's rollout; ``None`` where it has none."""
    rollout = service.rollout
    if rollout is None:
        return None
    judge = judge_plan(rollout)
    fail_fast = rollout.fail_fast
    return RolloutPlan(
        stable=rollout.stable,
        canary=rollout.canary,
        steps=_steps(rollout, judge.min_requests),
        judge=judge,
        strategy=rollout.strategy,
        start=Start(rollout.start),
        after=After(rollout.after),
        on_undecided=OnUndecided(rollout.on_undecided),
        deadline_s=rollout.deadline,
        fail_fast=None
        if fail_fast is None
        else FailFast(
            fail_fast.consecutive_connect_failures,
            fail_fast.error_rate,
            fail_fast.requests,
        ),
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
    )


def _steps(rollout: RolloutSettings, min_requests: int) -> tuple[Step, ...]:
    return tuple(
        Step(
            weight=step.weight,
            min_duration_s=(
                rollout.min_duration if step.min_duration is None else step.min_duration
            ),
            max_duration_s=rollout.max_duration,
            min_requests=min_requests
            if step.min_requests is None
            else step.min_requests,
            pause=step.pause,
        )
        for step in rollout.steps
    )


def _slos(rollout: RolloutSettings) -> Iterator[Slo]:
    for slo in rollout.slos:
        yield from _split_slo(slo)
    guard = rollout.guards.client_error_rate
    if guard is not None:
        yield Slo(CLIENT_ERROR_RATE, max_delta=guard.max_delta)


def _split_slo(slo: SloSettings) -> Iterator[Slo]:
    """Yield the absolute and the relative limit of an SLO, whichever it has."""
    shared = Slo(
        metric=slo.metric,
        quantile=slo.quantile,
        # The usual codes are not part of an SLO's id.
        codes=() if slo.codes == USUAL_CODES else slo.codes,
        route=slo.route or ROUTE_ALL,
        only=slo.only,
    )
    if slo.max is not None:
        yield replace(shared, max=slo.max)
    if slo.max_ratio is not None or slo.max_delta is not None:
        yield replace(shared, max_ratio=slo.max_ratio, max_delta=slo.max_delta)
