"""The metrics page: the contract's names, in both text formats."""

from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from proxy.model.buckets import bucket_of
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag
from proxy.telemetry import layout
from proxy.telemetry.cut import Live
from proxy.telemetry.exposition import (
    BUCKETS,
    RolloutFigures,
    ServiceFigures,
    SloFigures,
    Tree,
    VersionFigures,
    render,
)

NAMES = {
    "headgate_requests_total",
    "headgate_attempts_total",
    "headgate_request_duration_seconds_bucket",
    "headgate_request_ttfb_seconds_bucket",
    "headgate_upstream_failures_total",
    "headgate_events_total",
    "headgate_retries_total",
    "headgate_inflight_requests",
    "headgate_rejected_requests_total",
    "headgate_version_weight_ratio",
    "headgate_version_share_ratio",
    "headgate_mirror_requests_total",
    "headgate_mirror_comparisons_total",
    "headgate_rollout_info",
    "headgate_rollout_step",
    "headgate_rollouts_total",
    "headgate_slo_value",
    "headgate_slo_limit",
    "headgate_slo_verdict",
    "headgate_exposed_requests_total",
    "headgate_connections",
    "headgate_pool_connections",
    "headgate_worker_restarts_total",
    "headgate_access_log_dropped_total",
    "headgate_config_last_reload_successful",
    "headgate_config_last_reload_success_timestamp_seconds",
    "headgate_build_info",
}


def version(name: str = "canary") -> VersionFigures:
    """Return a version with something in every counter."""
    live = Live(
        words={
            layout.C_INFLIGHT: 3,
            layout.C_LATENCY_SUM_US: 2_500_000,
            layout.C_TTFB_SUM_US: 1_000_000,
            layout.C_RETRY_OK: 1,
            layout.C_SHIELDED: 2,
            layout.C_POOL_IDLE: 4,
            layout.C_FLAGS + Flag.UF: 5,
            layout.C_FLAGS + Flag.DC: 6,
        },
        requests={200: 90, 503: 10, 0: 1},
        attempts={200: 90, FLAG_CODE_BASE + Flag.UF: 5},
        latency={bucket_of(900): 10, bucket_of(30_000): 70, bucket_of(90_000_000): 10},
        ttfb={bucket_of(1000): 90},
    )
    return VersionFigures(
        name, live, weight_ratio=0.2, share_ratio=0.19, events={"orders": 7}
    )


def tree() -> Tree:
    """Return figures with something in every family."""
    rollout = RolloutFigures(
        phase="Progressing",
        reason="Undecided",
        step=2,
        exposed_requests=4211,
        phase_age_s=12.5,
        step_age_s=10.0,
        run_age_s=70.0,
        frozen=True,
        ended={("RolledBack", "SloViolated"): 2},
        slos=(SloFigures("latency-p99-ratio", 1.04, 1.1, 0),),
    )
    service = ServiceFigures(
        'sh"op', (version(),), {"answered": 7}, {"equal": 6}, rollout
    )
    return Tree(
        services=(service,),
        rejected={"bad_request": 8},
        connections={"downstream": 11, "upstream": 12},
        worker_restarts=1,
        access_log_dropped=0,
        reload_ok=True,
        reloaded_at_s=1_000_000.0,
        version="0.1.0",
    )


def samples(*, openmetrics: bool) -> Iterator[Sample]:
    """Yield what a Prometheus server would store."""
    page, _ = render(tree(), openmetrics=openmetrics)
    parse = parse_openmetrics if openmetrics else parse_text
    families = parse(page.decode())
    for family in families:
        yield from family.samples


def value(name: str, **labels: str) -> float:
    """Return one sample of the plain format."""
    found = [
        sample.value
        for sample in samples(openmetrics=False)
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_name_of_the_contract_is_there(openmetrics: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """Both formats are parsed by Prometheus's own readers and hold every name."""
    assert {sample.name for sample in samples(openmetrics=openmetrics)} >= NAMES


def test_content_type_tells_the_format() -> None:
    """A scraper sees which format it got."""
    assert render(tree(), openmetrics=False)[1].startswith("text/plain; version=0.0.4")
    assert render(tree(), openmetrics=True)[1].startswith("application/openmetrics")


def test_empty_tree_is_a_valid_page() -> None:
    """Nothing configured is no error."""
    empty = Tree((), {}, {}, 0, 0, True, 0.0, "0.1.0")  # noqa: FBT003 -- all fields

    page, _ = render(empty, openmetrics=True)

    assert page.endswith(b"# EOF\n")
    assert list(parse_openmetrics(page.decode()))  # type: ignore[no-untyped-call]


def test_histogram_counts_fine_buckets_into_public_ones() -> None:
    """Buckets are cumulative, keep the contract's edges, and lose nothing."""
    name = "headgate_request_duration_seconds"
    edges = [
        sample.labels["le"]
        for sample in samples(openmetrics=False)
        if sample.name == f"{name}_bucket"
    ]

    assert [float(edge) for edge in edges] == [*map(float, BUCKETS), float("inf")]
    assert value(f"{name}_bucket", le="0.001") == 10
    assert value(f"{name}_bucket", le="0.025") == 10
    assert value(f"{name}_bucket", le="0.05") == 80
    assert value(f"{name}_bucket", le="60.0") == 80
    assert value(f"{name}_bucket", le="+Inf") == 90
    assert value(f"{name}_count") == 90
    assert value(f"{name}_sum") == 2.5


def test_outcomes_without_an_answer_are_code_0_and_a_reason() -> None:
    """A failed attempt has no status; its flag names the version's failure."""
    assert value("headgate_attempts_total", code="0") == 5
    assert value("headgate_upstream_failures_total", reason="UF") == 5
    reasons = {
        sample.labels["reason"]
        for sample in samples(openmetrics=False)
        if sample.name == "headgate_upstream_failures_total"
    }
    assert "DC" not in reasons


def test_labels_are_escaped() -> None:
    """A quote in a name cannot break the page."""
    assert value("headgate_rollout_step", service='sh"op') == 2


def test_rollout_and_slo_are_shown() -> None:
    """Phase, reason, outcome counts and verdicts carry the contract's labels."""
    labels = {"phase": "Progressing", "reason": "Undecided"}
    assert value("headgate_rollout_info", **labels) == 1
    ended = {"outcome": "RolledBack", "reason": "SloViolated"}
    assert value("headgate_rollouts_total", **ended) == 2
    assert value("headgate_slo_verdict", slo="latency-p99-ratio") == 0
    assert value("headgate_exposed_requests_total") == 4211


def test_business_events_are_counted_by_version() -> None:
    """`headgate_events_total` tells which event, and whose."""
    labels = {"service": 'sh"op', "version": version().name, "event": "orders"}
    assert value("headgate_events_total", **labels) == 7
