"""What must hold between settings: one mistake each, at the place to correct."""

import pytest

from proxy.errors import SettingsError
from proxy.settings import loads
from proxy.settings.checks import CELLS_MAX, CHECKED_MAX, SEEN_MAX, VERSIONS_MAX
from proxy.settings.schema import SERVICES_MAX, WORKERS_MAX
from proxy.settings.service import EVENTS_MAX, ROUTES_MAX, likely_roles
from proxy.telemetry import layout

SERVICE = """
services:
  web:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002], revision: "1"}
"""
ROLLOUT = SERVICE + "    routes: [GET /a]\n    rollout:\n      "
SLO = ROLLOUT + "slos:\n        - "


def problems(text: str) -> list[str]:
    """Return the paths and messages of the mistakes of ``text``."""
    try:
        loads(text.encode(), "a", {})
    except SettingsError as error:
        return [line.split(": ", 1)[1] for line in error.problems]
    return []


def test_the_bounds_are_those_of_the_slab() -> None:
    """Settings that are accepted fit into the shared memory."""
    assert layout.VERSIONS_MAX == VERSIONS_MAX
    assert layout.ROUTES_MAX == ROUTES_MAX
    assert layout.WORKERS_MAX == WORKERS_MAX
    assert layout.SERVICES_MAX == SERVICES_MAX
    assert layout.CELLS_MAX // 2 == CELLS_MAX
    assert layout.SEEN_MAX == SEEN_MAX
    assert layout.CHECKED_MAX == CHECKED_MAX
    assert layout.EVENTS_MAX // 2 == EVENTS_MAX


@pytest.mark.parametrize(
    "text",
    [
        SERVICE,
        "admin: {listen: 0.0.0.0:1, token_file: t}" + SERVICE,
        "admin: {listen: 'unix:/a'}" + SERVICE,
        SERVICE + "    split: {canary: 12.5%, stable: 87.5}",
        SERVICE + "    host: shop.example.com:8080",
        SERVICE + "    mirror: {to: canary, methods: [get]}",
        SERVICE + "    mirror: {to: canary, compare: {}}",
        SERVICE + "    mirror: {to: canary, compare: {values: off}}",
        SERVICE
        + "    mirror: {to: canary, routes: [{route: POST /q, unsafe: it is pure}]}",
        ROLLOUT + "steps: [5, {weight: 10, pause: true}]",
        ROLLOUT + "slos: []",
        ROLLOUT + "fail_fast: off\n      guards: {client_error_rate: off}",
        SLO + "{metric: latency, quantile: 0.999, max_ratio: 1}",
        SLO + "{metric: ttfb, quantile: 0.5, max: 14s}",
        SLO + "{metric: error_rate, max: 1%, max_ratio: 2}",
        SLO + "{metric: error_rate, max_ratio: 1.25, max_delta: 0.05%, route: each}",
        SLO + "{metric: error_rate, max: 1%, codes: [5xx, 404], route: GET /a}",
        ROLLOUT + "start: manual\n      stable: canary\n      canary: stable",
        (ROLLOUT + "after: return").replace(":9001]}", ":9001], revision: '0'}"),
        (ROLLOUT + "after: return")
        .replace(":9001]}", ":9001], revision: {header: x-app-version}}")
        .replace("routes:", "health_check: {path: /}\n    routes:"),
        "admin: {listen: 127.0.0.1:0}\nhealth: {listen: 127.0.0.1:0}" + SERVICE,
    ],
)
def test_what_the_contract_allows_is_accepted(text: str) -> None:
    """The forms that the contract shows are no mistakes."""
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            SERVICE + "    split: {stable: 99}",
            "services.web.split: weights sum to 99, expected 100",
        ),
        (
            SERVICE + "    split: {stable: 99.9995, canary: 1}",
            "services.web.split.stable: 99.9995 is finer than 0.001%",
        ),
        (
            SERVICE + "    mirror: {to: v9}",
            (
                'services.web.mirror.to: no version is named "v9"; there are stable, '
                "canary"
            ),
        ),
        (
            SERVICE + "    mirror: {to: canary, methods: [get, post]}",
            (
                "services.web.mirror.methods[1]: POST may write, and would write "
                'twice; name its routes under `routes` with `unsafe: "why it is safe"`'
            ),
        ),
        (
            SERVICE + "    mirror: {to: canary, routes: [{route: POST /q}]}",
            (
                "services.web.mirror.routes[0]: expected `unsafe` with a reason, "
                "or `never: true`, and not both"
            ),
        ),
        (
            SERVICE + "    mirror: {to: canary, routes: [{route: GET /q, unsafe: x}]}",
            (
                "services.web.mirror.routes[0].unsafe: GET is copied anyway: leave the "
                "route out, or write `never: true`"
            ),
        ),
        (
            SERVICE + "    mirror: {to: canary, compare: {ignore: [ts]}}",
            (
                "services.web.mirror.compare.ignore[0]: 'ts' is not a path such as "
                "$.items[].price or $..updated_at"
            ),
        ),
        (
            SERVICE + "    mirror: {to: canary, compare: {order: {$.a: random}}}",
            (
                'services.web.mirror.compare.order."$.a": "random" is not exact, '
                "multiset or key:FIELD"
            ),
        ),
        (
            SERVICE + "    mirror: {to: canary, compare: {match: {$.a: '('}}}",
            (
                'services.web.mirror.compare.match."$.a": "(" is not uuid, timestamp '
                "or a regular expression: missing ), unterminated "
                "subpattern at position 0"
            ),
        ),
        (
            SERVICE + "    mirror: {to: stable}",
            'services.web.mirror.to: "stable" is stable, which answers already',
        ),
        (
            SERVICE + "    match: [{}]",
            "services.web.match[0]: names neither `host` nor `path_prefix`",
        ),
        (
            SERVICE + "    match: [{host: 'shop:80'}]",
            (
                'services.web.match[0].host: "shop:80" is not a host name such as '
                "shop.example.com, without a port"
            ),
        ),
        (
            SERVICE + "    match: [{host: '*.example.com'}]",
            (
                'services.web.match[0].host: "*.example.com" is not a host name such '
                "as "
                "shop.example.com, without a port"
            ),
        ),
        (
            SERVICE + "    split: {stable: -1}",
            'services.web.split.stable: "-1" is not a percentage such as 5%',
        ),
        (
            SERVICE + "    health_check: {path: /, interval: 1ms}",
            (
                'services.web.health_check.interval: "1ms" is too small, expected at '
                "least "
                "100ms"
            ),
        ),
        (
            ROLLOUT + "after: return",
            (
                "services.web.rollout.after: `return` needs "
                "`versions.stable.revision` to see the winner's there"
            ),
        ),
        (
            (ROLLOUT + "after: return").replace(
                ":9001]}", ":9001], revision: {header: x-app-version}}"
            ),
            (
                "services.web.rollout.after: `return` needs `health_check` beside "
                "the header of `versions.stable.revision`: stable has no traffic to "
                "see it in"
            ),
        ),
        (
            "listen: 127.0.0.1:9901" + SERVICE,
            "admin: 127.0.0.1:9901 is that of `listen` already",
        ),
        (
            "admin: {listen: 'unix:/a'}\nhealth: {listen: 'unix:/a'}" + SERVICE,
            "health.listen: unix:/a is that of `admin.listen` already",
        ),
        (
            "limits: {head: 12B}" + SERVICE,
            'limits.head: "12B" is too small, expected at least 1KiB',
        ),
        (
            SLO + "{metric: latency, quantile: 0.9, max: 0s}",
            (
                "services.web.rollout.slos[0].max: can never be decided: no answer "
                "takes "
                "0s"
            ),
        ),
        (
            SLO + "{metric: latency, quantile: 0.9, max: 1s, codes: [404]}",
            (
                "services.web.rollout.slos[0].codes: `codes` belongs to a rate, not "
                "to a "
                "latency"
            ),
        ),
        (
            SLO + "{metric: error_rate, max: 1%, codes: [999]}",
            (
                'services.web.rollout.slos[0].codes[0]: "999" is not a status such as '
                "404 "
                "or 5xx"
            ),
        ),
        (
            SERVICE + "    unit: [{header: a, cookie: b}]",
            (
                "services.web.unit[0]: expected exactly one of `header`, `cookie` and "
                "`client_address`"
            ),
        ),
        (
            SERVICE + "    unit: [{header: a, issue: true}]",
            "services.web.unit[0].issue: `issue` belongs to a `cookie` only",
        ),
        (
            SERVICE + "    unit: [{cookie: a, max_age: 1h}]",
            (
                "services.web.unit[0].max_age: `max_age` belongs to a cookie with "
                "`issue: true`"
            ),
        ),
        (
            SERVICE + "    overrides: [{when: {}, version: canary}]",
            (
                "services.web.overrides[0].when: expected `header`, `cookie`, "
                "`method` or "
                "`path_prefix`"
            ),
        ),
        (
            SERVICE + "    overrides: [{when: {header: {'a b': c}}, version: canary}]",
            (
                'services.web.overrides[0].when.header."a b": "a b" is not a header\'s '
                "name"
            ),
        ),
        (
            SERVICE + "    routes: [GET /a, get /a]",
            'services.web.routes[1]: "GET /a" is listed twice',
        ),
        (
            SERVICE + "    routes: [" + ", ".join(f"GET /{n}" for n in range(33)) + "]",
            "services.web.routes: has 33 entries, expected at most 32",
        ),
        (
            SERVICE + "    host: 'a b'",
            'services.web.host: "a b" is not preserve, endpoint or a host',
        ),
        (
            SERVICE + "    retries: {on: [404]}",
            (
                'services.web.retries.on[0]: "404" is not connect_failure, reset or a '
                "status such as 503"
            ),
        ),
        (
            SERVICE + "    events: {latency: {}}",
            'services.web.events.latency: "latency" is the name of a metric',
        ),
        (
            SERVICE + "    events: {'a b': {}}",
            (
                'services.web.events."a b": "a b" is not a name: expected letters, '
                "digits, -, _ or ., at most 63"
            ),
        ),
        (
            SERVICE + "    events: {orders: {when: {status: 20x}}}",
            (
                'services.web.events.orders.when.status: "20x" is not a status such '
                "as 404 or 5xx"
            ),
        ),
        (
            SERVICE + "  pay: {versions: {a: {endpoints: [http://a]}}}",
            'services.pay.match: is missing: "web" takes every request already',
        ),
        (
            SERVICE.replace("web:", "we/b:"),
            (
                'services."we/b": "we/b" is not a name: expected letters, digits, -, _ '
                "or ., at most 63"
            ),
        ),
        (
            SERVICE.replace("canary:", "control:"),
            (
                'services.web.versions.control: "control" is the name of an arm of the '
                "evidence"
            ),
        ),
        (
            SERVICE.replace('revision: "1"', "revision: {header: a, path: /b}"),
            (
                "services.web.versions.canary.revision: expected a text, or one of "
                "`header` and `path`"
            ),
        ),
        (
            SERVICE.replace("[http://127.0.0.1:9001]", "[http://a, http://a:80/]"),
            'services.web.versions.stable.endpoints[1]: "http://a" is listed twice',
        ),
        (
            ROLLOUT.replace(', revision: "1"', "") + "after: swap",
            (
                "services.web.rollout.start: `auto` needs `versions.canary.revision` "
                "to "
                "see a new one; give it, or write `start: manual`"
            ),
        ),
        (
            ROLLOUT + "start: manual\n      stable: stable\n      canary: stable",
            "services.web.rollout.canary: stable and canary are the same version",
        ),
        (
            ROLLOUT + "steps: [20, 20]",
            "services.web.rollout.steps[1]: 20 is not more than the step before, 20",
        ),
        (
            ROLLOUT + "steps: [0, 20]",
            (
                "services.web.rollout.steps[0]: a step of 0 moves nothing, expected "
                "more "
                "than 0"
            ),
        ),
        (
            ROLLOUT + "steps: []",
            "services.web.rollout.steps: has 0 entries, expected at least 1",
        ),
        (
            ROLLOUT + "steps: [100, 100]",
            (
                "services.web.rollout.steps[0]: 100 means promotion and must be the "
                "last "
                "step"
            ),
        ),
        (
            ROLLOUT + "min_duration: 1h",
            "services.web.rollout.min_duration: 1h is longer than max_duration, 30m",
        ),
        (
            ROLLOUT + "steps: [{weight: 5, min_duration: 1h}]",
            (
                "services.web.rollout.steps[0].min_duration: 1h is longer than "
                "max_duration, 30m"
            ),
        ),
        (
            ROLLOUT + "deadline: 3m",
            (
                "services.web.rollout.deadline: 3m is shorter than the steps' "
                "min_duration "
                "together, 4m"
            ),
        ),
        (
            ROLLOUT + "fail_fast: {requests: 10}",
            (
                'services.web.rollout.fail_fast.requests: "10" is too small, expected '
                "at "
                "least 20"
            ),
        ),
        (
            SLO + "{metric: error_rate, max: 0%}",
            (
                "services.web.rollout.slos[0].max: can never be decided: 0%, and no "
                "evidence proves a rate of 0"
            ),
        ),
        (
            SLO + "{metric: error_rate, max: 1}",
            (
                "services.web.rollout.slos[0].max: 1 has no unit, expected a "
                "percentage "
                "such as 5%"
            ),
        ),
        (
            SLO + "{metric: latency, max: 1s}",
            (
                "services.web.rollout.slos[0].quantile: is missing: a latency needs "
                "one, "
                "such as 0.99"
            ),
        ),
        (
            SLO + "{metric: latency, quantile: 1, max: 1s}",
            (
                'services.web.rollout.slos[0].quantile: "1" is too large, expected at '
                "most "
                "0.9999"
            ),
        ),
        (
            SLO + "{metric: latency, quantile: 0.9, max_ratio: 0.9}",
            (
                'services.web.rollout.slos[0].max_ratio: "0.9" is too small, expected '
                "at "
                "least 1"
            ),
        ),
        (
            SLO + "{metric: ttfb, quantile: 0.9, max: 15s}",
            (
                "services.web.rollout.slos[0].max: can never be decided: no answer "
                "takes "
                "15s, the timeouts end it after 15s"
            ),
        ),
        (
            SLO + "{metric: error_rate, quantile: 0.9, max: 1%}",
            (
                "services.web.rollout.slos[0].quantile: `quantile` belongs to a "
                "latency, "
                "not to error_rate"
            ),
        ),
        (
            SLO + "{metric: error_rate, max: 1%, route: GET /b}",
            (
                'services.web.rollout.slos[0].route: "GET /b" is none of the routes; '
                "did "
                'you mean "GET /a"?'
            ),
        ),
        (
            SLO.replace("    routes: [GET /a]\n", "")
            + "{metric: error_rate, max: 1%, route: each}",
            (
                "services.web.rollout.slos[0].route: can never be decided: the "
                "service has "
                "no `routes`"
            ),
        ),
        (
            SLO + "{metric: error_rate, max: 1%}\n        - {max: 1.0%, "
            "metric: error_rate}",
            "services.web.rollout.slos[1]: is the same as slos[0]",
        ),
        (
            SLO + "{metric: error_rate, max: 1%, windows: [5m]}",
            (
                "services.web.rollout.slos[0].windows: `windows` belongs to an event, "
                "not to error_rate"
            ),
        ),
    ],
)
def test_what_cannot_work_is_refused(text: str, problem: str) -> None:
    """One mistake gives one message, with the path and what was expected."""
    assert problems(text) == [problem]


def test_fifteen_versions_are_accepted_and_sixteen_are_not() -> None:
    """15 is what a weight row holds."""

    def text(count: int) -> str:
        versions = "".join(
            f"      v{n}: {{endpoints: [http://a{n}]}}\n" for n in range(count)
        )
        return f"services:\n  web:\n    versions:\n{versions}"

    assert problems(text(15)) == []
    assert problems(text(16)) == [
        "services.web.versions: has 16 versions, expected at most 15"
    ]


def test_endpoints_that_are_checked_fit_into_a_word() -> None:
    """48 with a `health_check`, one more without."""

    def text(count: int, check: str) -> str:
        endpoints = ", ".join(f"http://a{n}" for n in range(count))
        version = f"      only: {{endpoints: [{endpoints}]}}\n"
        return f"services:\n  web:\n    versions:\n{version}{check}"

    check = "    health_check: {path: /}\n"
    assert problems(text(48, check)) == []
    assert problems(text(49, "")) == []
    (found,) = problems(text(49, check))
    path = "services.web.versions.only.endpoints"
    assert found == f"{path}: has 49 endpoints, `health_check` covers 48"


def test_256_endpoints_are_accepted_and_one_more_is_not() -> None:
    """Each has a pool in every worker."""

    def text(count: int) -> str:
        endpoints = ", ".join(f"http://a{n}" for n in range(count))
        version = f"{{only: {{endpoints: [{endpoints}]}}}}"
        return f"services: {{web: {{versions: {version}}}}}"

    assert problems(text(256)) == []
    assert len(problems(text(257))) == 1


@pytest.mark.parametrize(("attempts", "taken"), [(0, True), (10, True), (11, False)])
def test_further_attempts_are_ten_at_most(attempts: int, *, taken: bool) -> None:
    """`retries.attempts`."""
    text = SERVICE + f"    retries: {{attempts: {attempts}}}"

    assert (problems(text) == []) is taken


def test_counters_of_all_services_fit_into_the_slab() -> None:
    """Many versions on many routes are refused before the slab is full."""
    routes = ", ".join(f"GET /{n}" for n in range(32))
    one = (
        "  s{n}: {{match: [{{path_prefix: /{n}}}], routes: [" + routes + "], "
        "versions: {{a: {{endpoints: [http://a]}}}}}}\n"
    )

    assert problems("services:\n" + "".join(one.format(n=n) for n in range(41))) == []
    assert problems("services:\n" + "".join(one.format(n=n) for n in range(42))) == [
        "services: versions times routes need 4158 counters, at most 4096"
    ]


@pytest.mark.parametrize(
    ("names", "given", "roles"),
    [
        (["stable", "canary"], {}, ("stable", "canary")),
        (["canary", "stable", "x"], {}, ("stable", "canary")),
        (["v1", "v2", "v3"], {}, ("v1", "v2")),
        (["canary", "v1"], {}, ("v1", "canary")),
        (["v1"], {}, ("v1", None)),
        (["canary"], {}, ("canary", None)),
        (["v1", "v2", "v3"], {"canary": "v1"}, ("v2", "v1")),
        (["v1", "v2", "v3"], {"stable": "v3"}, ("v3", "v1")),
        (["stable", "canary"], {"stable": "canary"}, ("canary", "stable")),
    ],
)
def test_roles_follow_the_names_or_else_the_order(
    names: list[str], given: dict[str, str], roles: tuple[str, str | None]
) -> None:
    """A role that is named stays; the other is never the same version."""
    assert likely_roles(dict.fromkeys(names), **given) == roles
