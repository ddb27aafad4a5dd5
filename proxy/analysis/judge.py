"""
The verdict of one tick: pass, fail or undecided, and what is still missing.

Each second adds to an open block; when the block closes, every check bets on
which arm its bad events were (``bets``). The two keys are means over all checks
of what the bets have won: *worse than stable* and *beyond the limit*. Both keys
open (1/alpha, 1/alpha_tolerance) is ``fail``; by Ville's inequality a canary no
worse than stable gets there with probability alpha at most, over the whole
rollout and however often it is looked at. ``pass`` needs the step's time and
requests, and nothing suspicious. Everything else is undecided.

During the warm-up only gross faults count, and nothing passes. The guards hold
and never fail; with a noisy environment the keys must be open wider by as much
as stable seems to differ from itself.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from proxy.analysis import guards
from proxy.analysis.blocks import (
    BLOCK_REQUESTS,
    BLOCK_S,
    FiguresBy,
    aimed,
    closed,
    counted,
    in_step,
    opened,
    staked,
    thresholds_of,
)
from proxy.analysis.checks import Check, checks_of, gross, slo_id
from proxy.analysis.findings import (
    SUSPICION_BEYOND,
    SUSPICION_WORSE,
    Pair,
    both_break,
    finding_of,
    in_doubt,
    keys_of,
    strongest,
)
from proxy.analysis.outlook import is_safe, until_safe, until_told
from proxy.analysis.recent import Figures, faded, with_added
from proxy.analysis.samples import Samples, finished
from proxy.analysis.values import ALL_ROUTES, Evidence
from proxy.analysis.verdict import Keys, Progress, settle
from proxy.model.judge_state import JudgeState, TimesState
from proxy.model.judging import (
    LATENCY,
    ROUTE_EACH,
    Judgement,
    JudgePlan,
    Safety,
    SloJudgement,
)
from proxy.model.vocabulary import Reason

STAKE_WARM = 0.60
"""Of the reserves, when the warm-up ends: most faults are there from the start."""
STAKE_WEIGHT = 0.10
"""When the weights change: what breaks under load breaks then."""
STAKE_LATER = 0.03
STAKE_LATER_S = 10.0
"""And a little all the time, for faults that come with the hour."""
REFRESH_S = 5.0
"""Thresholds are read anew so often."""
RATE_S = 10.0
"""The rate of requests looks back about so far."""
PASS_REQUESTS_MIN = 10
"""No step passes on fewer, whatever ``min_requests`` says: an error in three
requests is nothing, and neither is none."""
EACH_END = f"@{ROUTE_EACH}"
HURRY_S = 10.0
"""A step takes at least so long, also when no harm is proven."""

Both = tuple[FiguresBy, FiguresBy]
"""Stable's recent times and the canary's."""


def judge(
    plan: JudgePlan,
    state: JudgeState,
    evidence: Evidence,
    *,
    step: int,
    step_age_s: float,
    rollout_age_s: float,
    dt_s: float = 1.0,
) -> tuple[JudgeState, Judgement]:
    """
    Return what to remember, and the verdict on the canary now.

    ``step`` counts from 1; ages are judged seconds; ``dt_s`` is how long the
    evidence took to come, also while the judged clocks stand still.

    Raises:
        ValueError: the evidence has nothing under ``ALL_ROUTES``.
    """
    if ALL_ROUTES not in evidence.routes:
        known = ", ".join(map(repr, evidence.routes)) or "nothing"
        raise ValueError(f"the evidence has {known}, expected ALL_ROUTES, the key ''")
    routes = tuple(sorted(evidence.routes))
    warm = rollout_age_s >= plan.warmup_s
    usual = checks_of(plan.slos, routes)
    checks = usual if warm else gross(usual)
    state = _known(state, usual, plan)
    state = _cut(usual, state, plan, evidence, warm=warm)
    state = _in_step(state, plan, step)
    samples = Samples()
    state = _counted(checks, state, evidence, samples, dt_s)
    if state.block_requests >= BLOCK_REQUESTS or state.block_s >= BLOCK_S:
        state = _closed(checks, state, plan)
        state = _next_block(checks, state, plan)
    return state, _judgement(
        plan,
        state,
        checks,
        evidence,
        step_age_s=step_age_s,
        warmup_s=max(plan.warmup_s - rollout_age_s, 0.0),
    )


# --- blocks ---


def _known(state: JudgeState, checks: tuple[Check, ...], plan: JudgePlan) -> JudgeState:
    """Return the state with a place for each check, in the checks' order."""
    if len(state.checks) == len(checks) and all(
        one.id == check.id and one.route == check.route
        for one, check in zip(state.checks, checks, strict=True)
    ):
        return state
    found = {(one.id, one.route): one for one in (*state.checks, *state.resting)}
    asked = []
    for check in checks:
        key = check.id, check.route
        asked.append(found.pop(key) if key in found else opened(check, plan))
    return replace(state, checks=tuple(asked), resting=tuple(found.values()))


def _cut(
    usual: tuple[Check, ...],
    state: JudgeState,
    plan: JudgePlan,
    evidence: Evidence,
    *,
    warm: bool,
) -> JudgeState:
    """Return the state with its block cut where weights or what counts changed."""
    turned = evidence.epoch != state.epoch
    warmed = warm and not state.warm
    if not (turned or warmed or evidence.baseline != state.baseline):
        return state
    before = usual if state.warm else gross(usual)
    after = usual if warm else gross(usual)
    state = _closed(before, state, plan)
    if turned and state.epoch >= 0 and not warmed:
        state = _staked(state, STAKE_WEIGHT)
    if warmed:
        state = _staked(state, STAKE_WARM)
        # What cold caches did is no reason to doubt what comes now.
        state = replace(state, checks=tuple(in_step(one, plan) for one in state.checks))
    state = replace(state, epoch=evidence.epoch, warm=warm, baseline=evidence.baseline)
    return _aimed(after, state, plan)


def _in_step(state: JudgeState, plan: JudgePlan, step: int) -> JudgeState:
    """Return the state in the present step; minimums do not accumulate."""
    if step == state.step:
        return state
    return replace(
        state,
        step=step,
        requests=0,
        stable_requests=0,
        seen=0,
        checks=tuple(in_step(one, plan) for one in state.checks),
        share=guards.share_in_step(state.share),
    )


def _counted(
    checks: tuple[Check, ...],
    state: JudgeState,
    evidence: Evidence,
    samples: Samples,
    dt_s: float,
) -> JudgeState:
    """Return the state with a second's evidence in its open block."""
    arms = evidence.routes[ALL_ROUTES]
    canary, stable = finished(arms.canary), finished(arms.stable)
    weight = min(dt_s / RATE_S, 1.0)
    now = canary / dt_s if dt_s > 0.0 else state.rate
    waiting = sum(arms.canary.ages.values())
    return replace(
        state,
        requests=state.requests + canary,
        stable_requests=state.stable_requests + stable,
        seen=max(state.seen + canary + waiting, state.requests + canary),
        rate=state.rate + weight * (now - state.rate) if state.rate else now,
        block_s=state.block_s + dt_s,
        block_requests=state.block_requests + canary + stable,
        refreshed_s=state.refreshed_s + dt_s,
        staked_s=state.staked_s + dt_s,
        top_unit=guards.top_unit_of(arms, state.top_unit),
        checks=tuple(
            counted(check, one, evidence, samples, dt_s)
            for check, one in zip(checks, state.checks, strict=True)
        ),
        times=_times(checks, state, evidence, samples),
        share=guards.share_counted(state.share, arms),
        itself=guards.self_counted(state.itself, arms, samples),
    )


def _times(
    checks: tuple[Check, ...],
    state: JudgeState,
    evidence: Evidence,
    samples: Samples,
) -> tuple[TimesState, ...]:
    """Return the recent times with a second's answers."""
    known = {(one.metric, one.route): one for one in state.times}
    grown = []
    for metric, route in _timed(checks):
        one = known.get((metric, route)) or TimesState(metric, route)
        arms = evidence.routes.get(route)
        if arms is None:
            grown.append(one)
            continue
        stable = with_added(one.stable, samples.of(metric, arms.stable))
        canary = with_added(one.canary, samples.of(metric, arms.canary))
        grown.append(TimesState(metric, route, stable, canary))
    return tuple(grown)


@lru_cache(maxsize=256)
def _timed(checks: tuple[Check, ...]) -> tuple[tuple[str, str], ...]:
    """Return the metrics and routes whose times are kept; latency always is."""
    wanted = [(check.metric, check.route) for check in checks if check.timed]
    return tuple(dict.fromkeys([(LATENCY, ALL_ROUTES), *wanted]))


def _closed(
    checks: tuple[Check, ...], state: JudgeState, plan: JudgePlan
) -> JudgeState:
    """Return the state with its block settled; the next one is empty."""
    return replace(
        state,
        block_s=0.0,
        block_requests=0,
        checks=tuple(
            closed(check, one, plan, baseline=state.baseline, warm=state.warm)
            for check, one in zip(checks, state.checks, strict=True)
        ),
        share=guards.share_closed(state.share),
        itself=guards.self_closed(state.itself, judged=state.warm),
    )


def _next_block(
    checks: tuple[Check, ...], state: JudgeState, plan: JudgePlan
) -> JudgeState:
    """Return the state before its next block, with what is due between blocks."""
    if state.staked_s >= STAKE_LATER_S and state.warm:
        state = replace(_staked(state, STAKE_LATER), staked_s=0.0)
    if state.refreshed_s >= REFRESH_S or _aimless(checks, state):
        state = _aimed(checks, state, plan)
    return state


def _aimless(checks: tuple[Check, ...], state: JudgeState) -> bool:
    """Whether a check of times has no threshold yet."""
    return any(
        check.timed and one.at < 0
        for check, one in zip(checks, state.checks, strict=True)
    )


def _staked(state: JudgeState, part: float) -> JudgeState:
    """Return the state with a part of all reserves staked; the block is empty."""
    return replace(
        state,
        checks=tuple(staked(one, part) for one in state.checks),
        itself=guards.self_staked(state.itself, part),
    )


def _aimed(checks: tuple[Check, ...], state: JudgeState, plan: JudgePlan) -> JudgeState:
    """Return the state with thresholds read anew; the block is empty."""
    age_s = state.refreshed_s
    times = tuple(
        replace(one, stable=faded(one.stable, age_s), canary=faded(one.canary, age_s))
        for one in state.times
    )
    figures = _figures(times, canary=False)
    everywhere = figures.get((LATENCY, ALL_ROUTES))
    return replace(
        state,
        refreshed_s=0.0,
        times=times,
        checks=tuple(
            aimed(check, one, figures, plan)
            for check, one in zip(checks, state.checks, strict=True)
        ),
        itself=state.itself
        if everywhere is None
        else replace(state.itself, at=thresholds_of(everywhere, guards.SELF_QUANTILES)),
    )


def _figures(times: Iterable[TimesState], *, canary: bool) -> FiguresBy:
    """Return one arm's recent times, sorted for reading."""
    return {
        (one.metric, one.route): Figures(one.canary if canary else one.stable)
        for one in times
    }


# --- the answer ---


def _judgement(
    plan: JudgePlan,
    state: JudgeState,
    checks: tuple[Check, ...],
    evidence: Evidence,
    *,
    step_age_s: float,
    warmup_s: float,
) -> Judgement:
    """Return what the state says now."""
    pairs = [Pair(*one) for one in zip(checks, state.checks, strict=True)]
    figures = (
        _figures(state.times, canary=False),
        _figures(state.times, canary=True),
    )
    keys = _keys(plan, state, pairs, figures)
    both = keys.worse, keys.beyond
    suspects = _suspects(plan, state, pairs, keys)
    unsafe = _unsafe(plan, pairs)
    requests_min = max(plan.min_requests, PASS_REQUESTS_MIN)
    progress = Progress(
        step=state.step,
        stable_seen=state.stable_requests,
        canary_seen=state.seen,
        requests_missing=max(requests_min - state.requests, 0),
        until_told=until_safe(pairs, plan)
        if unsafe and not suspects
        else until_told(pairs, both, plan),
        wait_s=max(plan.min_duration_s - step_age_s, 0.0),
        warmup_s=warmup_s,
        rate_per_s=state.rate,
        baseline=evidence.baseline,
        hold=_hold(plan, state, noisy=keys.noisy),
        together=next((pair.check.id for pair in pairs if both_break(pair)), ""),
        blind=_blind(plan, pairs, evidence),
        unsafe=unsafe,
        hurried=_hurried(plan, pairs, step_age_s),
    )
    return settle(_findings(pairs, figures, suspects), keys, progress)


def _keys(plan: JudgePlan, state: JudgeState, pairs: list[Pair], figures: Both) -> Keys:
    """Return both keys and whether they are open."""
    worse, beyond = keys_of(pairs)
    noise = guards.self_value(state.itself)
    noisy = noise >= 1.0 / plan.alpha
    wider = noise if noisy else 1.0
    failed = worse >= wider / plan.alpha and beyond >= wider / plan.alpha_tolerance
    if not failed:
        return Keys(worse, beyond, fired=None, noisy=noisy)
    top = strongest(pairs, plan.alpha, plan.alpha_tolerance)
    return Keys(worse, beyond, finding_of([top], *figures), noisy)


def _findings(
    pairs: list[Pair], figures: Both, suspects: frozenset[str]
) -> tuple[SloJudgement, ...]:
    """Return what is known of each SLO."""
    by_id: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_id.setdefault(pair.check.id, []).append(pair)
    return tuple(
        finding_of(group, *figures, suspicious=key in suspects)
        for key, group in by_id.items()
    )


def _suspects(
    plan: JudgePlan, state: JudgeState, pairs: list[Pair], keys: Keys
) -> frozenset[str]:
    """Return the ids of SLOs that look broken, though it is not proven."""
    suspects: set[str] = set()
    if keys.worse >= SUSPICION_WORSE and keys.beyond >= SUSPICION_BEYOND:
        top = strongest(pairs, plan.alpha, plan.alpha_tolerance)
        suspects = {top.check.id}
    if state.warm:
        doubted = (pair for pair in pairs if in_doubt(pair, state.requests))
        suspects.update(pair.check.id for pair in doubted)
    return frozenset(suspects)


def _hold(
    plan: JudgePlan, state: JudgeState, *, noisy: bool
) -> tuple[Reason, str] | None:
    """Return what a guard says; ``None``: nothing."""
    if mismatch := guards.mismatch_of(state.share, plan.alpha):
        return Reason.SAMPLE_RATIO_MISMATCH, mismatch
    if concentrated := guards.concentration_of(state.top_unit):
        return Reason.CONCENTRATED_UNITS, concentrated
    if noisy:
        return Reason.NOISY_ENVIRONMENT, (
            "a random slice of stable differs from the rest of it, so no comparison"
            " can be trusted"
        )
    return None


def _blind(plan: JudgePlan, pairs: list[Pair], evidence: Evidence) -> str:
    """
    Return the id of an SLO that has nothing to look at, or "".

    A canary that answers nothing has no latency; that is no success. Of the
    routes of ``each`` only those are asked that somebody asks for.
    """
    each = {pair.check.id for pair in pairs if pair.check.id.endswith(EACH_END)}
    for slo in plan.slos:
        if slo.route == ROUTE_EACH and slo_id(slo) not in each:
            return slo_id(slo)
    for pair in pairs:
        compared = pair.check.absolute is None
        if pair.check.id in each or (compared and not evidence.baseline):
            continue
        canary, stable = pair.state.step[1], pair.state.step[3]
        if canary <= 0 or (compared and stable <= 0):
            return pair.check.id
    return ""


def _unsafe(plan: JudgePlan, pairs: list[Pair]) -> str:
    """Return the id of an SLO that is not proven harmless though it must be."""
    if plan.safety is not Safety.REQUIRE:
        return ""
    return next((pair.check.id for pair in pairs if not is_safe(pair)), "")


def _hurried(plan: JudgePlan, pairs: list[Pair], step_age_s: float) -> bool:
    """Whether the step need not wait for its time."""
    return (
        plan.safety is Safety.ACCELERATE
        and step_age_s >= HURRY_S
        and all(is_safe(pair) for pair in pairs)
    )
