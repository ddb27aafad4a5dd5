"""What must hold between the settings of one SLO, and with those of its service."""

import pytest

from proxy.settings import loads
from tests.settings.test_checks import SERVICE, SLO, problems

EVENT = SERVICE + (
    "    events: {orders: {when: {method: POST}}}\n"
    "    rollout:\n      slos:\n        - "
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            EVENT + "{metric: order, min_ratio: 0.9}",
            (
                'services.web.rollout.slos[0].metric: "order" is not one of latency, '
                "ttfb, error_rate, mismatch_rate, latency_ratio, prometheus, orders; "
                'did you mean "orders"?'
            ),
        ),
        (
            EVENT + "{metric: orders}",
            (
                "services.web.rollout.slos[0].min_ratio: is missing: orders needs one, "
                "such as 0.95"
            ),
        ),
        (
            EVENT + "{metric: orders, min_ratio: 0.95, max: 5%}",
            (
                "services.web.rollout.slos[0].max: `max` does not belong to an event: "
                "orders has `min_ratio`"
            ),
        ),
        (
            EVENT + "{metric: orders, min_ratio: 0.95, windows: [30m, 5m]}",
            (
                "services.web.rollout.slos[0].windows[1]: 5m is not longer than the "
                "one before"
            ),
        ),
        (
            EVENT + "{metric: orders, min_ratio: 0.95, windows: [2h]}\n"
            "      deadline: 1h",
            (
                "services.web.rollout.deadline: 1h is shorter than the longest window "
                "of an event, 2h"
            ),
        ),
        (
            SLO + "{metric: error_rate, max: 1%, every: 10s}",
            (
                "services.web.rollout.slos[0].every: `every` belongs to prometheus, "
                "not to error_rate"
            ),
        ),
        (
            SLO + "{metric: prometheus, url: 'http://a', query: up}",
            (
                "services.web.rollout.slos[0].max: is missing: prometheus needs `url`, "
                "`query` and `max`"
            ),
        ),
        (
            SLO + "{metric: prometheus, url: 'http://a', query: up, max: 5%}",
            ('services.web.rollout.slos[0].max: "5%" is not a number without a unit'),
        ),
        (
            SLO + "{metric: prometheus, url: 'http://me:pw@a/', query: up, max: 5}",
            (
                "services.web.rollout.slos[0].url: is not a server such as "
                "http://127.0.0.1:9090, without user and query"
            ),
        ),
        (
            SLO + "{metric: prometheus, url: 'http://a', query: up, max: 5, "
            "route: GET /a}",
            (
                "services.web.rollout.slos[0].route: `route` does not belong to "
                "prometheus: write a query"
            ),
        ),
        (
            EVENT + "{metric: orders, min_ratio: 1.1}",
            (
                'services.web.rollout.slos[0].min_ratio: "1.1" is too large, expected '
                "at most 1"
            ),
        ),
        (
            EVENT + "{metric: orders, min_ratio: 0.9}\n"
            "        - {metric: orders, min_ratio: 0.95, windows: [5m]}",
            "services.web.rollout.slos[1]: judges the same as slos[0]",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(text: str, problem: str) -> None:
    """Each mistake is found alone, with its place and one sentence."""
    assert problems(text) == [problem]


STEP = SERVICE + (
    "    events: {orders: {}}\n"
    "    rollout:\n      steps:\n        - {weight: 20, slos: ["
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            STEP + "{metric: prometheus, url: 'http://a', query: up, max: 5}]}",
            (
                "services.web.rollout.steps[0].slos[0].metric: prometheus is asked "
                "all along: name it in the rollout's `slos`"
            ),
        ),
        (
            STEP + "{metric: orders, min_ratio: 0.9, windows: [5m]}]}",
            (
                "services.web.rollout.steps[0].slos[0].windows: `windows` last over "
                "steps: name them in the rollout's `slos`"
            ),
        ),
        (
            EVENT + "{metric: orders, min_ratio: 0.9, windows: [5m]}\n"
            "      steps: [100]",
            (
                "services.web.rollout.slos: `windows` need a step below 100 %, in "
                "which versions are compared"
            ),
        ),
    ],
)
def test_what_lasts_over_steps_belongs_to_the_rollout(text: str, problem: str) -> None:
    """A step of a minute has no window of five, and no provider of its own."""
    assert problems(text) == [problem]


@pytest.mark.parametrize(
    "slo",
    [
        "{metric: orders, min_ratio: 1}",
        "{metric: orders, min_ratio: 0.95, windows: [5m, 30m, 2h]}",
        "{metric: prometheus, url: 'http://p:9090/base', query: up, max: -1.5e3}",
        "{metric: prometheus, url: 'https://p', query: up, max: 5, every: 1s}",
    ],
)
def test_what_can_be_judged_is_read_back_from_its_document(slo: str) -> None:
    """The canonical document means the same."""
    loaded = loads((EVENT + slo).encode(), "a", {})
    again = loads(str(loaded.document).encode(), "b", {})

    assert again.settings == loaded.settings
