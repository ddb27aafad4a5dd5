"""``explain``: a decision, with what it was based on."""

import json

from proxy.cli.explain import decision_tree
from proxy.cli.screen import plain_tree
from tests.support.admin_api import admin_api
from tests.support.headgate_command import headgate
from tests.support.standin_controller import StandInController, decision


async def test_the_last_decision_is_explained() -> None:
    """Rule, weights before and after, evidence and plan are all told."""
    async with admin_api(StandInController(decisions=5)) as api:
        done = await headgate("explain", "checkout", "--admin", api.url)

    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "checkout decision 5 of rollout checkout-7"
    assert "rule step_passed" in lines
    assert "why decision 5" in lines
    assert "weights stable: 80, canary: 20 → stable: 60, canary: 40" in lines
    assert "phase Progressing" in lines
    assert any("latency-p99-ratio" in line for line in lines)
    assert any("requests 300 errors 1" in line for line in lines)
    assert "plan 0123abcd" in lines


def test_both_keys_and_the_ratio_are_told() -> None:
    """What each key needs and has, in all and by SLO; the ratio's sequence."""
    slo = {
        "id": "error_rate-ratio",
        "verdict": "fail",
        "stable": 0.001,
        "canary": 0.02,
        "value": 0.02,
        "limit": 0.0018,
        "interval": None,
        "requests": {"stable": 4000, "canary": 1000, "needed": 0},
        "worse": 4000.0,
        "beyond": 250.0,
        "ratio": [8.1, None],
    }
    told = {
        **decision(7),
        "evidence": {"worse": 512.25, "beyond": 4.0},
        "levels": {"worse": 0.01, "beyond": 0.1},
        "slos": [slo],
    }

    lines = [" ".join(line.split()) for line in plain_tree(decision_tree("shop", told))]

    assert (
        "keys worse than stable 512.2 (open at 100), "
        "beyond the limits 4 (opens at 10)" in lines
    )
    assert "evidence worse 4000, beyond 250" in lines
    assert "sequence canary's rate is 8.1 to - times stable's" in lines


async def test_any_decision_can_be_explained() -> None:
    """``--decision`` picks one, as a document if that is asked for."""
    async with admin_api(StandInController()) as api:
        arguments = ("explain", "checkout", "--decision", "2", "-o", "json")
        done = await headgate(*arguments, "--admin", api.url)

    assert json.loads(done.out) == decision(2)


async def test_a_decision_that_never_was_exits_1() -> None:
    """A number too high, or a service without decisions, is said so."""
    async with admin_api(StandInController()) as api:
        arguments = ("explain", "checkout", "--decision", "9", "--admin", api.url)
        unknown = await headgate(*arguments)
    async with admin_api(StandInController(decisions=0)) as api:
        none = await headgate("explain", "checkout", "--admin", api.url)

    assert (unknown.code, unknown.err) == (1, "headgate: checkout has no decision 9\n")
    assert none.code == 1
    assert "nothing was decided" in none.err
