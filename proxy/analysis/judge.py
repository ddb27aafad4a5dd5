"""
The verdict of one tick: pass, fail or undecided, and what is still missing.

The rule is simple and honest. The evidence of the present weight epoch is
looked at when 1, 2, 4, 8, … times ``min_requests`` canary requests are there.
Each look of a rollout, in whichever step, may spend half of what was left of
``alpha`` and ``alpha_tolerance``, so all of them together never spend more;
the count of looks is in the state, so a restart never spends twice. Between
looks the figures move on, but nothing can fail.

After the first epoch each look also holds the epochs of the run against the
limit together (``together``); the present one alone and all of them then have
half of the look's part each.

``fail`` needs both keys of one SLO at a look. ``pass`` needs the step's time
and requests, a look, and nothing suspicious. Everything else is undecided.
During the warm-up only gross faults count, and nothing passes.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from proxy.analysis.checks import Check, checks_of, gross
from proxy.analysis.findings import SUSPICION_P, Levels, finding_of
from proxy.analysis.samples import Samples, finished, seen
from proxy.analysis.together import added, beyond_p, harms_of, told
from proxy.analysis.values import ALL_ROUTES, Evidence
from proxy.analysis.verdict import Progress, settle
from proxy.model.judging import Judgement, JudgePlan, JudgeState, SloJudgement
from proxy.model.vocabulary import Verdict

GROWTH = 1.25
"""Between looks an epoch is summed up when it grew by so much: a fifth of an
epoch's end may be missing from the sums, and each request is read some times only."""


def judge(
    plan: JudgePlan,
    state: JudgeState,
    evidence: Evidence,
    *,
    step: int,
    step_age_s: float,
    rollout_age_s: float,
    rate_per_s: float,
) -> tuple[JudgeState, Judgement]:
    """
    Return what to remember, and the verdict on the canary now.

    ``step`` counts from 1; ages are judged seconds; ``rate_per_s`` is the
    present rate of canary evidence, 0 when there is none.
    """
    arms = evidence.routes[ALL_ROUTES]
    canary_seen = seen(arms.canary)
    state = _follow(state, evidence.epoch, canary_seen)
    warm = rollout_age_s >= plan.warmup_s
    due = canary_seen >= next_look(plan, state)
    levels = _levels(plan, state) if due else None
    checks = checks_of(plan.slos, evidence.routes)
    if not warm:
        checks = tuple(gross(check) for check in checks)
    samples = Samples()
    if warm and evidence.baseline and (due or _grown(state, canary_seen)):
        state = _remembered(plan, state, checks, evidence, samples)
    found = {check.id: finding_of(check, evidence, levels, samples) for check in checks}
    if warm and state.before:
        found = _together(
            state,
            checks,
            found,
            levels,
            lambda check: finding_of(check, evidence, levels, samples),
        )
    if due:
        state = _looked(plan, state, canary_seen, tuple(found.values()))
    else:
        found = {key: _carried(state, finding) for key, finding in found.items()}
    progress = Progress(
        step=step,
        canary_finished=finished(arms.canary),
        stable_seen=seen(arms.stable),
        canary_seen=canary_seen,
        until_look=max(next_look(plan, state) - canary_seen, 0),
        requests_missing=max(plan.min_requests - finished(arms.canary), 0),
        wait_s=max(plan.min_duration_s - step_age_s, 0.0),
        warmup_s=max(plan.warmup_s - rollout_age_s, 0.0),
        rate_per_s=rate_per_s,
        baseline=evidence.baseline,
        look=state.looks if due else 0,
    )
    return state, settle(
        tuple(found.values()), _blind(checks, found, evidence), progress
    )


def next_look(plan: JudgePlan, state: JudgeState) -> int:
    """Return how much canary evidence of this epoch the next look waits for."""
    return plan.min_requests << state.epoch_looks


def _follow(state: JudgeState, epoch: int, canary_seen: int) -> JudgeState:
    """Return the state in the present epoch; less evidence than before is a new one."""
    if epoch == state.epoch and canary_seen >= _shrunk(state.epoch_requests):
        return replace(state, epoch_requests=max(canary_seen, state.epoch_requests))
    return JudgeState(
        looks=state.looks,
        epoch=epoch,
        epoch_requests=canary_seen,
        before=added(state.before, state.here),
        epochs=state.epochs + bool(state.here),
    )


def _shrunk(requests: int) -> int:
    """
    Return how far evidence may fall without being another epoch's.

    Requests in flight are counted by a gauge that may fall a little while they
    end; after a cold start the counters begin at zero.
    """
    return requests // 2


def _levels(plan: JudgePlan, state: JudgeState) -> Levels:
    """Return what the look that is due may spend: half of what is left."""
    part = 0.5 ** (state.looks + 1 + bool(state.before))
    return Levels(plan.alpha * part, plan.alpha_tolerance * part)


def _looked(
    plan: JudgePlan,
    state: JudgeState,
    canary_seen: int,
    findings: tuple[SloJudgement, ...],
) -> JudgeState:
    """Return the state after a look; thresholds that were jumped over are spent."""
    epoch_looks = state.epoch_looks
    while canary_seen >= plan.min_requests << epoch_looks:
        epoch_looks += 1
    return replace(
        state, looks=state.looks + 1, epoch_looks=epoch_looks, findings=findings
    )


def _grown(state: JudgeState, canary_seen: int) -> bool:
    """Whether there is so much more evidence that this epoch is summed up anew."""
    return canary_seen > state.here_requests * GROWTH


def _remembered(
    plan: JudgePlan,
    state: JudgeState,
    checks: tuple[Check, ...],
    evidence: Evidence,
    samples: Samples,
) -> JudgeState:
    """Return the state with this epoch's harm, for itself and for those after it."""
    # Stable's bounds spend an eighth in all epochs together (1/2 + 1/6 + 1/12 +
    # …). The looks leave it: _together takes half of what they leave to it.
    part = 1 / ((state.epochs + 1) * (state.epochs + 2))
    level = plan.alpha_tolerance / 8 * part
    level /= max(sum(len(check.routes) for check in checks), 1)
    return replace(
        state,
        here=harms_of(checks, evidence, level, samples),
        here_requests=state.epoch_requests,
    )


def _together(
    state: JudgeState,
    checks: tuple[Check, ...],
    found: Mapping[str, SloJudgement],
    levels: Levels | None,
    figures: Callable[[Check], SloJudgement],
) -> dict[str, SloJudgement]:
    """
    Return the findings with what all epochs of the run say together.

    ``figures`` finds what a check shows now, of the route that is shown.
    """
    by_id = {check.id: check for check in checks}
    out = dict(found)
    for harm in added(state.before, state.here):
        known = out.get(harm.id)
        if known is None or harm.beyond <= harm.allowed:
            continue
        summed, check = told(harm), by_id[harm.id]
        failed = (
            levels is not None
            and summed.worse_p <= levels.worse * check.share
            and beyond_p(harm) <= levels.beyond / 2 * check.share
        )
        suspicious = summed.worse_p <= SUSPICION_P and not known.suspicious
        if known.verdict is Verdict.FAIL or not (failed or suspicious):
            continue
        out[harm.id] = replace(
            figures(replace(check, routes=(harm.route,))),
            verdict=Verdict.FAIL if failed else Verdict.UNDECIDED,
            suspicious=True,
            together=summed,
        )
    return out


def _carried(state: JudgeState, finding: SloJudgement) -> SloJudgement:
    """Return the present figures with the last look's interval and second key."""
    for last in state.findings:
        if last.id == finding.id and last.route == finding.route:
            return replace(finding, interval=last.interval, beyond=last.beyond)
    return finding


def _blind(
    checks: tuple[Check, ...], found: Mapping[str, SloJudgement], evidence: Evidence
) -> str:
    """
    Return the id of an SLO over all requests that has nothing to look at, or "".

    A canary that answers nothing has no latency; that is no success.
    """
    for check in checks:
        finding = found[check.id]
        compared = check.absolute is None and evidence.baseline
        if check.everywhere and (
            finding.canary is None or (compared and finding.stable is None)
        ):
            return check.id
    return ""
