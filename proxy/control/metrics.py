"""
What a scrape shows: the governor's state and the slab's sums as plain figures.

``telemetry.exposition`` gives them their names. Reads only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy import __version__
from proxy.control.allocation import ARM_MIRROR
from proxy.control.configuration import Reload
from proxy.control.figures import Figures, shares_of
from proxy.control.governor import Governor
from proxy.control.steward import Steward
from proxy.control.views import rate_per_trial
from proxy.model.vocabulary import Rejection, Verdict
from proxy.rollout.plan import PERCENT_ALL
from proxy.telemetry import layout
from proxy.telemetry.cut import read_live
from proxy.telemetry.exposition import (
    RateFigures,
    RolloutFigures,
    ServiceFigures,
    SloFigures,
    Tree,
    VersionFigures,
)

VERDICT_NUMBER = {Verdict.FAIL: -1, Verdict.UNDECIDED: 0, Verdict.PASS: 1}


@dataclass(frozen=True, slots=True)
class Asked:
    """What gates and addressees were asked and told since the start."""

    gates: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """By service, type and answer."""
    news: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By service and outcome."""


def tree_of(governor: Governor, figures: Figures, reload: Reload, asked: Asked) -> Tree:
    """Return everything a scrape shows."""
    slab = governor.slab
    region = slab.sum_region_words(0, layout.R_REJECTED + len(Rejection))
    return Tree(
        services=tuple(
            _service(governor, figures, one) for one in governor.stewards.values()
        ),
        rejected={
            one.name.lower(): region[layout.R_REJECTED + one] for one in Rejection
        },
        connections={
            "downstream": region[layout.R_DOWNSTREAM],
            "upstream": region[layout.R_UPSTREAM_ACTIVE]
            + region[layout.R_UPSTREAM_IDLE],
        },
        worker_restarts=sum(
            slab.worker_row(worker).restarts for worker in range(slab.workers)
        ),
        access_log_dropped=region[layout.R_ACCESS_LOG_DROPPED],
        reload_ok=reload.ok,
        reloaded_at_s=reload.success_at_s,
        version=__version__,
        store_ok=not governor.store_error,
        gates=dict(asked.gates),
        news=dict(asked.news),
    )


def mirrored(governor: Governor, steward: Steward) -> dict[str, int]:
    """Return a service's mirrored requests by outcome."""
    live = read_live(governor.slab, governor.allocation.cell(steward.wish, ARM_MIRROR))
    return {outcome.name.lower(): n for outcome, n in live.mirrored().items()}


def _compared(governor: Governor, steward: Steward) -> dict[str, int]:
    """Return the pairs of a service that compares by what they came to."""
    mirror, parallel = steward.settings.mirror, governor.parallel
    if parallel is None or mirror is None or mirror.compare is None:
        return {}
    totals = parallel.totals(governor.slab, governor.allocation, steward.wish)
    return totals.results()


def _service(governor: Governor, figures: Figures, steward: Steward) -> ServiceFigures:
    live = figures.read(steward)
    shares = shares_of(figures.windows(steward, live))
    words = governor.event_words(steward)
    return ServiceFigures(
        name=steward.name,
        versions=tuple(
            VersionFigures(
                name,
                live[name],
                steward.weights.get(name, 0.0) / PERCENT_ALL,
                shares[name],
                {
                    event: live[name].word(layout.C_EVENTS + word)
                    for event, word in words.items()
                },
            )
            for name in steward.wish.versions
        ),
        mirrored=mirrored(governor, steward),
        compared=_compared(governor, steward),
        rollout=None
        if steward.plan is None
        else _rollout(steward, governor.clock.unix_s()),
        rates=_rates(governor, steward),
    )


def _rates(governor: Governor, steward: Steward) -> tuple[RateFigures, ...]:
    """Return the present run's business metrics over their windows."""
    run = steward.state.run
    found = governor.chronicle.rates(steward)
    return tuple(
        RateFigures(event, version, one.window_s, rate)
        for event, rates in found.items()
        for one in rates
        for version, counts in (
            ("" if run is None else run.stable, one.stable),
            ("" if run is None else run.canary, one.canary),
        )
        if (rate := rate_per_trial(counts)) is not None
    )


def _rollout(steward: Steward, now_s: float) -> RolloutFigures:
    state, run = steward.state, steward.state.run
    judgement = None if run is None else run.judgement
    ended = {
        (outcome, reason): count
        for key, count in steward.memory.ended.items()
        for outcome, _, reason in [key.partition("/")]
    }
    return RolloutFigures(
        phase=state.phase.value,
        reason=state.reason.value,
        step=0 if run is None else run.step,
        exposed_requests=steward.memory.exposed,
        phase_age_s=max(now_s - state.since_s, 0.0) if state.since_s else None,
        step_age_s=0.0 if run is None or not state.active else run.step_s,
        run_age_s=0.0 if run is None or not state.active else run.run_s,
        frozen=bool(state.frozen),
        ended=ended,
        slos=()
        if judgement is None
        else tuple(
            SloFigures(slo.id, slo.value, slo.limit, VERDICT_NUMBER[slo.verdict])
            for slo in judgement.slos
        ),
    )
