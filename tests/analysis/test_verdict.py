"""Sentences and the order of the rules, without any statistics."""

import pytest

from proxy.analysis.verdict import Progress, settle, suspicion_of, violation_of
from proxy.model.judging import Requests, SloJudgement
from proxy.model.vocabulary import Reason, Verdict

DONE = Progress(
    step=2,
    canary_finished=500,
    stable_seen=2000,
    canary_seen=500,
    until_look=100,
    requests_missing=0,
    wait_s=0.0,
    warmup_s=0.0,
    rate_per_s=1.0,
    baseline=True,
    look=0,
)
ROW = SloJudgement(
    "error_rate-max", Verdict.UNDECIDED, 0.02, 0.03, 0.03, 0.01, None, Requests(9, 9)
)


def test_long_waits_read_in_minutes() -> None:
    """Rounded up, so nobody waits longer than told."""
    waiting = Progress(2, 1, 1, 1, 0, 600, 0.0, 0.0, 1.0, baseline=True, look=0)

    assert settle((), "", waiting).message == (
        "step 2 needs about 600 more canary requests, about 10 min at this rate"
    )


def test_the_contract_s_example() -> None:
    """The message of the contract comes out as it stands there."""
    waiting = Progress(2, 189, 620, 189, 0, 110, 9.0, 0.0, 40.0, baseline=True, look=0)

    found = settle((), "", waiting)

    assert found.message == (
        "step 2 needs about 110 more canary requests, about 3 s at this rate"
    )
    assert found.needed == 110
    assert found.wait_s == 9.0


def test_sentences_have_units() -> None:
    """Rates in percent, times in milliseconds, ratios plain."""
    timed = SloJudgement(
        "latency-p99-max@GET /a",
        Verdict.FAIL,
        0.2,
        0.7,
        0.7,
        0.5,
        None,
        Requests(9, 9),
        route="GET /a",
    )
    delta = SloJudgement(
        "ttfb-p50-delta", Verdict.FAIL, None, 0.7, 0.7, 0.5, None, Requests(9, 9)
    )

    assert violation_of(timed) == (
        "latency-p99-max@GET /a is violated: 700 ms, limit 500 ms;"
        " canary 700 ms, stable 200 ms over 9 canary requests"
    )
    assert "stable unknown" in violation_of(delta)
    assert suspicion_of(ROW) == (
        "both versions break error_rate-max and nobody is blamed (3 %, limit 1 %)"
    )


@pytest.mark.parametrize(
    ("findings", "blind", "reason", "verdict"),
    [
        ((), "", Reason.NONE, Verdict.PASS),
        ((), "latency-p99-max", Reason.UNDECIDED, Verdict.UNDECIDED),
    ],
)
def test_nothing_missing_passes(
    findings: tuple[SloJudgement, ...], blind: str, reason: Reason, verdict: Verdict
) -> None:
    """Only when nothing is missing does a step pass."""
    found = settle(findings, blind, DONE)

    assert (found.reason, found.verdict) == (reason, verdict)
