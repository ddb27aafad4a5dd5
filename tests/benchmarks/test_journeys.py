"""The Locust report: walks of both ways, put together."""

from typing import Any

import journeys


def walk(name: str, times: dict[str, int], failed: int = 0) -> dict[str, Any]:
    """Return one entry as Locust writes it."""
    return {
        "method": "GET",
        "name": name,
        "num_requests": sum(times.values()),
        "num_failures": failed,
        "total_response_time": sum(float(ms) * count for ms, count in times.items()),
        "response_times": times,
    }


def test_walks_are_added_up() -> None:
    """Quantiles are those of all walks, not means of quantiles."""
    taken = [
        walk("/a", {"1": 90, "10": 5}),
        walk("/a", {"1": 5, "200.0": 100}, failed=2),
        walk("/b", {"7": 1}),
    ]

    found = journeys.summary("GET /a", taken, over_s=20)

    assert found["requests"] == 200
    assert found["requests_per_s"] == 10.0
    assert found["failed"] == 2
    assert (found["p50"], found["p95"], found["p99"]) == (10, 200, 200)


def test_nothing_asked_is_no_error() -> None:
    """A step that nobody took in so short a time has no quantiles."""
    found = journeys.summary("GET /a", [], over_s=1)

    assert (found["requests"], found["mean"], found["p50"]) == (0, 0.0, 0)
