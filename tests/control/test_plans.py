"""Plans: what the file says of a rollout, as the pure packages ask for it."""

from proxy.control.plans import rollout_plan
from proxy.model.judging import CLIENT_ERROR_RATE
from proxy.rollout.plan import RolloutPlan
from tests.support.control_room import load

HEAD = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002]}
    routes: ["GET /a"]
"""


def plan(rollout: str) -> RolloutPlan:
    """Return the plan of a rollout written in flow style."""
    text = f"{HEAD}    rollout: {{start: manual, {rollout}}}\n"
    made = rollout_plan(load(text).settings.services["shop"])
    assert made is not None
    return made


def test_service_without_rollout_has_no_plan() -> None:
    """Weights then change by hand only."""
    assert rollout_plan(load(HEAD).settings.services["shop"]) is None


def test_one_slo_with_both_limits_becomes_two() -> None:
    """An absolute and a relative limit are judged on their own."""
    slo = "{metric: latency, quantile: 0.99, max: 500ms, max_ratio: 1.1}"
    first, second, guard = plan(f"slos: [{slo}]").judge.slos

    assert (first.max, first.max_ratio) == (0.5, None)
    assert (second.max, second.max_ratio) == (None, 1.1)
    assert guard.metric == CLIENT_ERROR_RATE


def test_ratio_and_delta_stay_one_limit() -> None:
    """``stable × 1.25 + 0.05 points`` is one limit."""
    slo = "{metric: error_rate, max_ratio: 1.25, max_delta: 0.05%, route: each}"
    limit, _ = plan(f"slos: [{slo}]").judge.slos

    assert (limit.max_ratio, limit.max_delta) == (1.25, 0.0005)
    assert limit.route == "each"


def test_auto_asks_the_slos() -> None:
    """``min_requests: auto`` is 299 for 99 % and 2995 for 99.9 %."""
    strict = "slos: [{metric: latency, quantile: 0.999, max: 1s}]"

    assert plan("slos: [{metric: error_rate, max: 1%}]").steps[0].min_requests == 299
    assert plan(strict).steps[0].min_requests == 2995
    assert plan(f"{strict}, min_requests: 50").steps[0].min_requests == 50


def test_steps_take_over_what_they_do_not_say() -> None:
    """A step's own figures win, the rollout's stand for the rest."""
    steps = "steps: [5, {weight: 50, min_duration: 5s, min_requests: 7, pause: true}]"
    first, second, last = plan(f"{steps}, min_duration: 9s, max_duration: 20m").steps

    assert (first.weight, first.min_duration_s, first.pause) == (5.0, 9.0, False)
    assert (second.min_duration_s, second.min_requests) == (5.0, 7)
    assert second.pause
    assert (last.weight, last.max_duration_s) == (100.0, 1200.0)


def test_guard_and_fail_fast_can_be_off() -> None:
    """What the file switches off is not judged."""
    made = plan("fail_fast: off, guards: {client_error_rate: off}, slos: []")

    assert made.fail_fast is None
    assert made.judge.slos == ()
