"""
The metrics page: the contract's names over figures that were read elsewhere.

``prometheus_client`` renders and does not count: the collector below lives for
one scrape and yields families made from a ``Tree`` of plain figures. Nothing is
read from the slab here, and nothing is decided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_text
from prometheus_client.registry import Collector

from proxy.model.buckets import bucket_of, lower_edge_us, upper_edge_us
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag
from proxy.telemetry import layout
from proxy.telemetry.cut import Counts, Live

BUCKETS = (
    *(".001", ".0025", ".005", ".01", ".025", ".05", ".075", ".1", ".25", ".5"),
    *(".75", "1", "2.5", "5", "7.5", "10", "30", "60"),
)
"""Upper edges of the public histograms in seconds, as the contract writes them."""

US_PER_S = 1_000_000

UPSTREAM_FLAGS = (
    *(Flag.UF, Flag.UC, Flag.UT, Flag.UR, Flag.UPE, Flag.UH, Flag.UO, Flag.UCT),
    Flag.SI,
)
"""What is a version's failure, and answers that stalled (SI), which are charged to
nobody and yet cut; the others are the client's."""

RETRY_OUTCOMES = {
    "success": layout.C_RETRY_OK,
    "failure": layout.C_RETRY_FAILED,
    "over_budget": layout.C_RETRY_OVER_BUDGET,
    "shielded": layout.C_SHIELDED,
}


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """One version: its counters, and its set and seen share as fractions."""

    name: str
    live: Live
    weight_ratio: float
    share_ratio: float | None
    events: Mapping[str, int]
    """Business events by name."""


@dataclass(frozen=True, slots=True)
class SloFigures:
    """One objective's last judgement: -1 fail, 0 undecided, 1 pass."""

    id: str
    value: float | None
    limit: float | None
    verdict: int


@dataclass(frozen=True, slots=True)
class RolloutFigures:
    """Where a service's rollout stands, and how many ended which way."""

    phase: str
    reason: str
    step: int
    exposed_requests: int
    phase_age_s: float | None
    """Since the phase began; ``None``: there was no other before."""
    step_age_s: float
    """Judged seconds of the step."""
    run_age_s: float
    """Judged seconds of the rollout."""
    frozen: bool
    ended: Mapping[tuple[str, str], int]
    """Ended rollouts by outcome and reason."""
    slos: tuple[SloFigures, ...]


@dataclass(frozen=True, slots=True)
class RateFigures:
    """A business metric of one version over one window of the present rollout."""

    event: str
    version: str
    window_s: float
    rate: float
    """Per request that is evidence."""


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """One service of the table in force."""

    name: str
    versions: tuple[VersionFigures, ...]
    mirrored: Mapping[str, int]
    """Mirrored requests by outcome."""
    compared: Mapping[str, int]
    """Pairs of answers by result: equal, different, or why they were not compared."""
    rollout: RolloutFigures | None
    rates: tuple[RateFigures, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """Everything a scrape shows."""

    services: tuple[ServiceFigures, ...]
    rejected: Mapping[str, int]
    connections: Mapping[str, int]
    worker_restarts: int
    access_log_dropped: int
    reload_ok: bool
    reloaded_at_s: float
    version: str
    store_ok: bool = True
    """The last save worked."""
    gates: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """Answers of gates by service, type and answer."""
    news: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Notifications by service and outcome."""


class Exposition(Collector):
    """One scrape's worth of metric families."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def collect(self) -> Iterator[Metric]:
        """Yield every family of the contract, empty ones too."""
        yield from _traffic(self._tree)
        yield from _histograms(self._tree)
        yield from _versions(self._tree)
        yield from _rollouts(self._tree)
        yield from _ages(self._tree)
        yield from _told(self._tree)
        yield from _slos(self._tree)
        yield from _process(self._tree)


def render(tree: Tree, *, openmetrics: bool) -> tuple[bytes, str]:
    """Return the metrics page and its content type."""
    collector = Exposition(tree)
    if openmetrics:
        page: bytes = openmetrics_text.generate_latest(collector)  # type: ignore[no-untyped-call]
        return page, openmetrics_text.CONTENT_TYPE_LATEST
    return generate_latest(collector), CONTENT_TYPE_PLAIN_0_0_4


def _pairs(tree: Tree) -> Iterator[tuple[list[str], VersionFigures]]:
    for service in tree.services:
        for version in service.versions:
            yield [service.name, version.name], version


def _code(code: int) -> str:
    """Return an outcome code's label: a status, or ``0`` where there was none."""
    return str(code) if code < FLAG_CODE_BASE else "0"


def _by_code(counts: Counts) -> dict[str, int]:
    totals: dict[str, int] = {}
    for code, count in sorted(counts.items()):
        totals[_code(code)] = totals.get(_code(code), 0) + count
    return totals


def _traffic(tree: Tree) -> Iterator[Metric]:
    labels = ["service", "version"]
    requests = CounterMetricFamily(
        "headgate_requests", "What users got, and from whom.", labels=[*labels, "code"]
    )
    attempts = CounterMetricFamily(
        "headgate_attempts", "What the versions did.", labels=[*labels, "code"]
    )
    failures = CounterMetricFamily(
        "headgate_upstream_failures",
        "Attempts that ended without a usable answer, by Envoy's response flag.",
        labels=[*labels, "reason"],
    )
    retries = CounterMetricFamily(
        "headgate_retries", "Second attempts.", labels=[*labels, "outcome"]
    )
    events = CounterMetricFamily(
        "headgate_events", "Business events.", labels=[*labels, "event"]
    )
    for names, version in _pairs(tree):
        for event, count in version.events.items():
            events.add_metric([*names, event], count)
        for code, count in _by_code(version.live.requests).items():
            requests.add_metric([*names, code], count)
        for code, count in _by_code(version.live.attempts).items():
            attempts.add_metric([*names, code], count)
        for flag in UPSTREAM_FLAGS:
            if count := version.live.word(layout.C_FLAGS + flag):
                failures.add_metric([*names, flag.name], count)
        for outcome, place in RETRY_OUTCOMES.items():
            if count := version.live.word(place):
                retries.add_metric([*names, outcome], count)
    yield from (requests, attempts, failures, retries, events)


def _histograms(tree: Tree) -> Iterator[Metric]:
    duration = HistogramMetricFamily(
        "headgate_request_duration_seconds",
        "Last byte of the request sent to last byte of the answer received.",
        labels=["service", "version"],
    )
    ttfb = HistogramMetricFamily(
        "headgate_request_ttfb_seconds",
        "Last byte of the request sent to first byte of the answer received.",
        labels=["service", "version"],
    )
    for names, version in _pairs(tree):
        live = version.live
        for family, counts, total_us in (
            (duration, live.latency, live.word(layout.C_LATENCY_SUM_US)),
            (ttfb, live.ttfb, live.word(layout.C_TTFB_SUM_US)),
        ):
            family.add_metric(names, _cumulated(counts), sum_value=total_us / US_PER_S)
    yield from (duration, ttfb)


def _fine_buckets_below(edge: str) -> int:
    """Return how many fine buckets lie at or below ``edge`` seconds."""
    edge_us = round(float(edge) * US_PER_S)
    bucket = bucket_of(edge_us)
    exact = upper_edge_us(bucket) - lower_edge_us(bucket) == 1
    return bucket + exact


EDGES = tuple((edge, _fine_buckets_below(edge)) for edge in BUCKETS)
"""Each public bucket and the fine buckets it takes in; off by at most 1.6 %."""


def _cumulated(counts: Counts) -> list[tuple[str, float]]:
    """Return the public histogram's cumulative buckets."""
    found = sorted(counts.items())
    buckets: list[tuple[str, float]] = []
    total = at = 0
    for edge, below in EDGES:
        while at < len(found) and found[at][0] < below:
            total += found[at][1]
            at += 1
        buckets.append((str(float(edge)), total))
    total += sum(count for _, count in found[at:])
    return [*buckets, ("+Inf", total)]


def _versions(tree: Tree) -> Iterator[Metric]:
    labels = ["service", "version"]
    inflight = GaugeMetricFamily(
        "headgate_inflight_requests", "Requests not yet answered.", labels=labels
    )
    weight = GaugeMetricFamily(
        "headgate_version_weight_ratio", "The share that is set.", labels=labels
    )
    share = GaugeMetricFamily(
        "headgate_version_share_ratio",
        "The share of the last seconds' requests.",
        labels=labels,
    )
    pool = GaugeMetricFamily(
        "headgate_pool_connections",
        "Connections to the version's endpoints.",
        labels=[*labels, "state"],
    )
    for names, version in _pairs(tree):
        inflight.add_metric(names, version.live.word(layout.C_INFLIGHT))
        weight.add_metric(names, version.weight_ratio)
        if version.share_ratio is not None:
            share.add_metric(names, version.share_ratio)
        pool.add_metric([*names, "active"], version.live.word(layout.C_POOL_ACTIVE))
        pool.add_metric([*names, "idle"], version.live.word(layout.C_POOL_IDLE))
    mirror = CounterMetricFamily(
        "headgate_mirror_requests",
        "Requests that could have been mirrored.",
        labels=["service", "outcome"],
    )
    for service in tree.services:
        for outcome, count in service.mirrored.items():
            mirror.add_metric([service.name, outcome], count)
    compared = CounterMetricFamily(
        "headgate_mirror_comparisons",
        "Pairs of answers that were compared, or could have been.",
        labels=["service", "result"],
    )
    for service in tree.services:
        for result, count in service.compared.items():
            compared.add_metric([service.name, result], count)
    yield from (inflight, weight, share, pool, mirror, compared)


def _rollouts(tree: Tree) -> Iterator[Metric]:
    info = InfoMetricFamily(
        "headgate_rollout", "Where the rollout stands.", labels=["service"]
    )
    step = GaugeMetricFamily(
        "headgate_rollout_step", "The step, from 1.", labels=["service"]
    )
    ended = CounterMetricFamily(
        "headgate_rollouts",
        "Ended rollouts.",
        labels=["service", "outcome", "reason"],
    )
    exposed = CounterMetricFamily(
        "headgate_exposed_requests",
        "Live requests routed to the canary.",
        labels=["service"],
    )
    for service in tree.services:
        rollout = service.rollout
        if rollout is None:
            continue
        state = {"phase": rollout.phase, "reason": rollout.reason}
        info.add_metric([service.name], state)
        step.add_metric([service.name], rollout.step)
        exposed.add_metric([service.name], rollout.exposed_requests)
        for (outcome, reason), count in sorted(rollout.ended.items()):
            ended.add_metric([service.name, outcome, reason], count)
    yield from (info, step, ended, exposed)


def _ages(tree: Tree) -> Iterator[Metric]:
    phase = GaugeMetricFamily(
        "headgate_rollout_phase_age_seconds",
        "Time since the phase began.",
        labels=["service"],
    )
    step = GaugeMetricFamily(
        "headgate_rollout_step_age_seconds",
        "Judged time of the step.",
        labels=["service"],
    )
    run = GaugeMetricFamily(
        "headgate_rollout_age_seconds",
        "Judged time of the rollout.",
        labels=["service"],
    )
    frozen = GaugeMetricFamily(
        "headgate_rollout_frozen", "1 while nothing may rise.", labels=["service"]
    )
    for service in tree.services:
        rollout = service.rollout
        if rollout is None:
            continue
        names = [service.name]
        if rollout.phase_age_s is not None:
            phase.add_metric(names, rollout.phase_age_s)
        step.add_metric(names, rollout.step_age_s)
        run.add_metric(names, rollout.run_age_s)
        frozen.add_metric(names, int(rollout.frozen))
    yield from (phase, step, run, frozen)


def _told(tree: Tree) -> Iterator[Metric]:
    gates = CounterMetricFamily(
        "headgate_gate_answers",
        "What gates said; none: nobody answered.",
        labels=["service", "type", "answer"],
    )
    for labels, count in sorted(tree.gates.items()):
        gates.add_metric([*labels], count)
    news = CounterMetricFamily(
        "headgate_notifications",
        "Messages to those who are told.",
        labels=["service", "outcome"],
    )
    for names, count in sorted(tree.news.items()):
        news.add_metric([*names], count)
    yield from (gates, news)
    yield GaugeMetricFamily(
        "headgate_store_writable",
        "0 while state cannot be saved: nothing rises then.",
        value=int(tree.store_ok),
    )


def _slos(tree: Tree) -> Iterator[Metric]:
    labels = ["service", "slo"]
    value = GaugeMetricFamily(
        "headgate_slo_value", "What the canary shows.", labels=labels
    )
    limit = GaugeMetricFamily("headgate_slo_limit", "What is allowed.", labels=labels)
    verdict = GaugeMetricFamily(
        "headgate_slo_verdict", "-1 fail, 0 undecided, 1 pass.", labels=labels
    )
    for service in tree.services:
        for slo in service.rollout.slos if service.rollout else ():
            names = [service.name, slo.id]
            if slo.value is not None:
                value.add_metric(names, slo.value)
            if slo.limit is not None:
                limit.add_metric(names, slo.limit)
            verdict.add_metric(names, slo.verdict)
    rates = GaugeMetricFamily(
        "headgate_event_rate",
        "Business events per request, over the last seconds of the rollout.",
        labels=["service", "version", "event", "window"],
    )
    for service in tree.services:
        for rate in service.rates:
            names = [service.name, rate.version, rate.event, f"{rate.window_s:g}s"]
            rates.add_metric(names, rate.rate)
    yield from (value, limit, verdict, rates)


def _process(tree: Tree) -> Iterator[Metric]:
    rejected = CounterMetricFamily(
        "headgate_rejected_requests",
        "Requests that the proxy itself refused.",
        labels=["reason"],
    )
    for reason, count in tree.rejected.items():
        rejected.add_metric([reason], count)
    connections = GaugeMetricFamily(
        "headgate_connections", "Open connections.", labels=["side"]
    )
    for side, count in tree.connections.items():
        connections.add_metric([side], count)
    yield from (rejected, connections)
    yield CounterMetricFamily(
        "headgate_worker_restarts",
        "Workers that were replaced.",
        value=tree.worker_restarts,
    )
    yield CounterMetricFamily(
        "headgate_access_log_dropped",
        "Access log lines that nobody took in time.",
        value=tree.access_log_dropped,
    )
    yield GaugeMetricFamily(
        "headgate_config_last_reload_successful",
        "1 while the file's content is in force.",
        value=int(tree.reload_ok),
    )
    yield GaugeMetricFamily(
        "headgate_config_last_reload_success_timestamp_seconds",
        "When the settings in force were loaded.",
        value=tree.reloaded_at_s,
    )
    build = InfoMetricFamily("headgate_build", "The running program.")
    build.add_metric([], {"version": tree.version})
    yield build
