"""
Parallel runs as control sees them: which run it is, what it counted, its report.

The compare process keeps the evidence (``proxy.compare.store``); here it is read
and put beside the workers' counters, so that every request that could have been
compared is accounted for: offered = compared + skipped by reason + pending.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import Any

from proxy.compare.store import PairReader
from proxy.control.allocation import ARM_MIRROR, Allocation, Wish
from proxy.errors import StoreError
from proxy.model.judging import MISMATCH_RATE, Judgement
from proxy.model.vocabulary import MirrorOutcome, PairOutcome
from proxy.parallel import report, slos, verdict
from proxy.parallel.tally import RunTally
from proxy.rollout.plan import Strategy
from proxy.rollout.state import Run
from proxy.settings.schema import CompareSettings, ServiceSettings
from proxy.telemetry import layout, pairs
from proxy.telemetry.log import log
from proxy.telemetry.slab import ControlSlab

JsonObject = dict[str, Any]

SKIPPED = "SKIPPED_"
ALPHA_USUAL = 0.01
"""For services without a rollout, which says it otherwise."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of the requests that could have been compared, since the start."""

    offered: int
    equal: int
    different: int
    uncopied: Mapping[str, int]
    """Requests that were not copied, by reason."""
    unpaired: Mapping[str, int]
    """Requests that were copied and not compared, by reason."""
    pending: int
    """On the way: copies not yet answered, pairs not yet compared."""
    second: int
    """Second answers asked of stable."""

    def results(self) -> dict[str, int]:
        """Return the pairs by result: equal, different, or why not compared."""
        return {"equal": self.equal, "different": self.different, **self.unpaired}

    def as_json(self) -> JsonObject:
        """Return the totals as the report shows them."""
        return {
            "offered": self.offered,
            "compared": self.equal + self.different,
            "equal": self.equal,
            "different": self.different,
            "skipped": dict(Counter(self.uncopied) + Counter(self.unpaired)),
            "pending": self.pending,
            "second": self.second,
        }


class Parallel:
    """Reads what the compare process and the workers know."""

    def __init__(self, state_dir: Path, pairs_fd: int) -> None:
        self._reader = PairReader(state_dir)
        self._pairs_fd = pairs_fd

    def tally(self, service: str, run: str) -> RunTally | None:
        """
        Return the sums of a run; ``None`` while nothing was compared.

        Raises:
            StoreError: the compare process's file cannot be read.
        """
        return self._reader.run(service, run)

    def judge(
        self, service: str, name: str, run: Run, live: Judgement | None
    ) -> Judgement | None:
        """
        Return what live requests (``live``) and the pairs of run ``name`` say.

        ``None`` while there is nothing to judge. A preview is judged by pairs alone.
        """
        gate = run.previewing and run.plan.strategy is Strategy.PARALLEL
        if not gate and (live is None or not run.plan.pairs):
            return live
        try:
            tally = self._reader.run(service, name)
        except StoreError as error:
            log("error", "pairs cannot be read", service=service, why=str(error))
            tally = None
        tolerance = run.plan.judge.alpha_tolerance
        found = slos.judge(tally or RunTally(), run.plan.pairs, tolerance, gate=gate)
        return found if live is None else slos.merged(live, found)

    def totals(self, slab: ControlSlab, allocation: Allocation, wish: Wish) -> Totals:
        """Return what became of every request that could have been compared."""
        cell = allocation.cell(wish, ARM_MIRROR)
        mirrored = slab.sum_words(cell, layout.C_MIRROR, len(MirrorOutcome))
        paired = slab.sum_words(cell, layout.C_PAIRS, len(PairOutcome))
        words = pairs.service_counts(self._pairs_fd, allocation.slot(wish))
        uncopied = _skipped(MirrorOutcome, mirrored)
        unpaired = Counter(_skipped(PairOutcome, paired))
        unpaired["live"] += words[pairs.S_UNUSABLE]
        unpaired["lost"] += words[pairs.S_LOST]
        equal, different = words[pairs.S_EQUAL], words[pairs.S_DIFFERENT]
        offered = sum(mirrored)
        known = equal + different + sum(uncopied.values()) + unpaired.total()
        return Totals(
            offered,
            equal,
            different,
            uncopied,
            dict(+unpaired),
            max(offered - known, 0),
            paired[PairOutcome.SECOND],
        )

    def report(
        self,
        service: str,
        settings: ServiceSettings,
        run: str,
        *,
        versions: tuple[str, str],
        revisions: Mapping[str, str],
        totals: Totals,
    ) -> JsonObject:
        """
        Return the report of a service's present run.

        ``versions`` are stable and the candidate.

        Raises:
            StoreError: the compare process's file cannot be read.
        """
        tally = self._reader.run(service, run) or RunTally()
        endpoints, examples = self._reader.details(service, run)
        stable, candidate = versions
        return {
            "service": service,
            "run": run,
            "stable": stable,
            "candidate": candidate,
            "revisions": {
                name: revisions[name] for name in versions if name in revisions
            },
            **report.report(tally, endpoints, examples, limit=limit_of(settings)),
            "mirror": totals.as_json(),
        }


def _skipped(outcomes: type[IntEnum], counts: Sequence[int]) -> dict[str, int]:
    """Return what was skipped by reason, as reports and metrics spell it."""
    return {
        outcome.name.removeprefix(SKIPPED).lower(): counts[outcome]
        for outcome in outcomes
        if outcome.name.startswith(SKIPPED) and counts[outcome]
    }


def run_name(
    settings: ServiceSettings, stable: str | None, revisions: Mapping[str, str]
) -> str:
    """
    Return the name of the parallel run that a service is in; empty: none.

    It changes with either version's revision and with the rules: what was seen
    of one candidate says nothing of the next.
    """
    mirror = settings.mirror
    if mirror is None or mirror.compare is None or stable is None:
        return ""
    candidate = revisions.get(mirror.to)
    told = [stable, revisions.get(stable), mirror.to, candidate]
    text = json.dumps([told, rules_document(mirror.compare)], sort_keys=True)
    digest = blake2b(text.encode(), digest_size=4).hexdigest()
    return "-".join([mirror.to, *([candidate] if candidate else []), digest])


def compare_document(settings: ServiceSettings, run: str) -> JsonObject | None:
    """Return what the route table says about comparing."""
    mirror = settings.mirror
    if mirror is None or mirror.compare is None:
        return None
    compare, rollout = mirror.compare, settings.rollout
    return {
        **rules_document(compare),
        "run": run,
        "noise_sample": compare.noise_sample,
        "values": compare.values,
        "redact": list(compare.redact),
        "examples": compare.examples,
        "ttl": compare.ttl,
        "alpha": ALPHA_USUAL if rollout is None else rollout.alpha,
    }


def rules_document(compare: CompareSettings) -> JsonObject:
    """Return the rules as ``parallel.rules.Rules`` reads them."""
    return {
        "ignore": list(compare.ignore),
        "skip": list(compare.skip),
        "match": {
            path: {"form": one.form, "skew": one.skew}
            for path, one in compare.match.items()
        },
        "tolerance": {
            path: {"abs": one.abs, "rel": one.rel}
            for path, one in compare.tolerance.items()
        },
        "order": dict(compare.order),
        "headers": list(compare.headers),
        "status": compare.status,
        "extra_fields": compare.extra_fields,
        "null_equals_missing": compare.null_equals_missing,
    }


def limit_of(settings: ServiceSettings) -> float:
    """Return the rate of misses that an equivalent candidate stays below."""
    for slo in () if settings.rollout is None else settings.rollout.slos:
        if slo.metric == MISMATCH_RATE and slo.max is not None:
            return slo.max
    return verdict.LIMIT_USUAL
