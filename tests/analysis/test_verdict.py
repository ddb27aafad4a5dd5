"""The order of the rules, and one sentence for people each time."""

from dataclasses import replace

import pytest

from proxy.analysis.verdict import Keys, Progress, settle, violation_of
from proxy.model.judging import Requests, SloJudgement
from proxy.model.vocabulary import Reason, Verdict

SHUT = Keys(1.0, 1.0, fired=None, noisy=False)
READY = Progress(
    step=2,
    stable_seen=100,
    canary_seen=100,
    requests_missing=0,
    until_told=40,
    wait_s=0.0,
    warmup_s=0.0,
    rate_per_s=10.0,
    baseline=True,
)
LATENCY = SloJudgement(
    "latency-p99-ratio",
    Verdict.UNDECIDED,
    stable=0.2,
    canary=0.26,
    value=1.3,
    limit=1.1,
    interval=(1.1, 1.5),
    requests=Requests(400, 100),
)
ERRORS = replace(
    LATENCY,
    id="error_rate-max",
    stable=0.0,
    canary=0.05,
    value=0.05,
    limit=0.01,
)


@pytest.mark.parametrize(
    ("more", "reason", "text"),
    [
        ({"canary_seen": 0}, Reason.NO_TRAFFIC, "step 2 has no canary requests yet"),
        (
            {"stable_seen": 0},
            Reason.NO_TRAFFIC,
            "step 2 has no stable requests to compare with",
        ),
        (
            {"warmup_s": 3.2},
            Reason.WARM_UP,
            "the canary warms up for another 4 s; only gross faults count",
        ),
        (
            {"hold": (Reason.CONCENTRATED_UNITS, "one unit")},
            Reason.CONCENTRATED_UNITS,
            "step 2 holds: one unit",
        ),
        (
            {"requests_missing": 3000},
            Reason.UNDECIDED,
            "step 2 needs about 3000 more canary requests, about 5 min at this rate",
        ),
        (
            {"requests_missing": 30, "rate_per_s": 0.0},
            Reason.UNDECIDED,
            "step 2 needs about 30 more canary requests; none are coming at present",
        ),
        (
            {"together": "error_rate-max"},
            Reason.UNDECIDED,
            (
                "both versions break error_rate-max at present, so nobody is blamed"
                " and step 2 waits"
            ),
        ),
        (
            {"blind": "latency-p99-max"},
            Reason.UNDECIDED,
            "latency-p99-max has no answers to look at in step 2",
        ),
        (
            {"unsafe": "error_rate-max"},
            Reason.UNDECIDED,
            (
                "error_rate-max is not proven harmless yet; step 2 needs about 40 more"
                " canary requests, about 4 s at this rate"
            ),
        ),
        ({"wait_s": 34.0}, Reason.UNDECIDED, "step 2 needs another 34 s"),
        ({}, Reason.NONE, "step 2 has passed: nothing is suspicious"),
        (
            {"wait_s": 34.0, "hurried": True},
            Reason.NONE,
            "step 2 has passed early: no harm is proven",
        ),
    ],
)
def test_what_is_missing_is_named(
    more: dict[str, object], reason: Reason, text: str
) -> None:
    """The first of traffic, warm-up, guards, requests, suspicion, sight and time."""
    answer = settle((LATENCY,), SHUT, replace(READY, **more))  # type: ignore[arg-type]

    assert (answer.reason, answer.message) == (reason, text)
    passed = reason is Reason.NONE
    assert answer.verdict is (Verdict.PASS if passed else Verdict.UNDECIDED)


def test_without_stable_its_absence_is_nothing_missing() -> None:
    """At 100 % there is no stable to wait for."""
    answer = settle((ERRORS,), SHUT, replace(READY, stable_seen=0, baseline=False))

    assert answer.verdict is Verdict.PASS


def test_the_strongest_suspicion_is_told() -> None:
    """With its figures, and how many requests tell it from chance."""
    weak = replace(LATENCY, suspicious=True, worse=6.0, beyond=1.0)
    strong = replace(ERRORS, suspicious=True, worse=9.0, beyond=3.0)

    answer = settle((weak, strong), SHUT, READY)

    assert answer.message == (
        "error_rate-max looks worse than its limit (5 %, limit 1 %); step 2 needs"
        " about 40 more canary requests, about 4 s at this rate to tell"
    )
    assert (answer.needed, answer.wait_s) == (40, 4.0)
    assert [slo.verdict for slo in answer.slos] == [Verdict.UNDECIDED] * 2
    assert [slo.requests.needed for slo in answer.slos] == [40, 40]


def test_two_open_keys_fail_whatever_is_missing() -> None:
    """The SLO that opened them is named, with both arms."""
    keys = Keys(200.0, 30.0, fired=ERRORS, noisy=False)

    answer = settle((LATENCY, ERRORS), keys, replace(READY, warmup_s=9.0))

    assert (answer.verdict, answer.fired) == (Verdict.FAIL, "error_rate-max")
    assert answer.message == (
        "error_rate-max is violated: 5 %, limit 1 %; canary 5 %, stable 0 % over 100"
        " canary requests in this step"
    )
    assert (answer.needed, answer.wait_s) == (0, 0.0)
    assert [slo.verdict for slo in answer.slos] == [Verdict.UNDECIDED, Verdict.FAIL]


def test_noise_marks_every_verdict() -> None:
    """Nothing is widened silently."""
    for keys in (
        Keys(1.0, 1.0, fired=None, noisy=True),
        Keys(1e5, 1e5, fired=LATENCY, noisy=True),
    ):
        answer = settle((LATENCY,), keys, READY)

        assert answer.noisy
        assert answer.message.endswith("(environment noisy)")


def test_nobody_knows_how_long_a_hold_lasts() -> None:
    """Neither a guard's nor one for want of traffic."""
    held = replace(READY, hold=(Reason.NOISY_ENVIRONMENT, "noise"))
    dry = replace(READY, requests_missing=5, rate_per_s=0.0)

    assert settle((LATENCY,), SHUT, held).wait_s is None
    assert settle((LATENCY,), SHUT, dry).wait_s is None


def test_figures_have_their_units() -> None:
    """Ratios are numbers, times milliseconds, routes are named, gaps are told."""
    assert "ratio 1.3, limit 1.1; canary 260 ms, stable 200 ms" in violation_of(LATENCY)
    on_route = replace(LATENCY, id="latency-p99-ratio@each", route="GET /a")
    assert violation_of(on_route).startswith("latency-p99-ratio@each (GET /a) is")
    own = replace(LATENCY, id="latency-p99-ratio@GET /a", route="GET /a")
    assert violation_of(own).startswith("latency-p99-ratio@GET /a is violated")
    limit = replace(ERRORS, id="latency-p99-max", limit=0.5, value=None)
    assert "unknown, limit 500 ms" in violation_of(limit)
