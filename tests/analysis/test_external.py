"""External metrics: what fails, what holds, and what only looks like either."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.external import judged, measured
from proxy.model.external import ExternalMetric, Measured, Reading
from proxy.model.judging import Judgement
from proxy.model.vocabulary import Reason, Verdict

QUEUE = ExternalMetric("prometheus-max", "http://p", "q", max=0.8, every_s=30.0)
PASS = Judgement(Verdict.PASS, Reason.NONE, "step 1 passes", 0, 0.0)
WAIT = Judgement(Verdict.UNDECIDED, Reason.WARM_UP, "the warm-up lasts", 9, 9.0)
FAIL = Judgement(Verdict.FAIL, Reason.SLO_VIOLATED, "worse", 0, 0.0)


def after(*readings: Reading, warm: bool = True) -> tuple[Measured, ...]:
    """Return what is remembered after readings, each seen by two ticks."""
    memory: tuple[Measured, ...] = ()
    for reading in readings:
        for _ in range(2):
            memory = measured([QUEUE], memory, {QUEUE.id: reading}, warm=warm)
    return memory or measured([QUEUE], (), {}, warm=warm)


def values(*said: float | None, error: str = "") -> list[Reading]:
    """Return readings 30 s apart; ``None`` with ``error`` where there is one."""
    return [
        Reading(30.0 * (at + 1), value, error if value is None else "")
        for at, value in enumerate(said)
    ]


def verdict(memory: tuple[Measured, ...], base: Judgement = PASS) -> Judgement:
    """Judge right after the last reading."""
    return judged(base, [QUEUE], memory, now_s=(memory[0].at_s or 0.0) + 1.0)


def test_good_values_let_the_step_pass() -> None:
    """The evidence's own verdict stands, and the metric is shown beside it."""
    found = verdict(after(*values(0.5, 0.8)))

    assert (found.verdict, found.message) == (Verdict.PASS, "step 1 passes")
    assert found.slos[0].id == "prometheus-max"
    assert (found.slos[0].value, found.slos[0].limit) == (0.8, 0.8)
    assert found.slos[0].verdict is Verdict.PASS


def test_three_values_above_in_a_row_fail() -> None:
    """`consecutive: 3`: not two, not three with a good one between."""
    two = verdict(after(*values(0.9, 0.9)))
    broken = verdict(after(*values(0.9, 0.9, 0.5, 0.9)))
    three = verdict(after(*values(0.9, 0.9, 0.93)), WAIT)

    assert (two.verdict, two.reason) == (Verdict.UNDECIDED, Reason.UNDECIDED)
    assert two.message == "prometheus-max: 0.9 is above 0.8, 2 of 3 times in a row"
    assert two.slos[0].suspicious
    assert broken.verdict is Verdict.UNDECIDED
    assert (three.verdict, three.reason) == (Verdict.FAIL, Reason.SLO_VIOLATED)
    assert three.message == "prometheus-max: 0.93 is above 0.8, 3 times in a row"


def test_a_provider_that_cannot_be_asked_holds() -> None:
    """It is no failed check, however long it lasts, and it is told first."""
    down = values(None, None, None, None, None, error="connection refused")
    found = verdict(after(*down))
    early = verdict(after(*down), WAIT)

    for one in (found, early):
        assert (one.verdict, one.reason) == (Verdict.UNDECIDED, Reason.PROVIDER_ERROR)
        assert one.message == "prometheus-max cannot be read: connection refused"
        assert one.wait_s is None


def test_an_error_neither_counts_nor_forgives() -> None:
    """Two bad values, an outage, and a third one: the canary failed."""
    found = verdict(after(*values(0.9, 0.9, None, 0.9, error="timeout")))

    assert found.verdict is Verdict.FAIL


def test_a_query_that_finds_nothing_holds() -> None:
    """No data is not success, and no failure."""
    found = verdict(after(*values(0.5, None)))

    assert (found.verdict, found.reason) == (Verdict.UNDECIDED, Reason.UNDECIDED)
    assert found.message == "prometheus-max has no value: its query finds nothing"


def test_nothing_counts_during_the_warm_up() -> None:
    """Cold caches are not held against the canary."""
    cold = after(*values(0.9, 0.9, 0.9, 0.9), warm=False)

    assert cold[0].exceeded == 0
    assert verdict(cold).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("memory", "now_s", "says"),
    [
        (after(), 0.0, "has not been read yet"),
        (after(*values(0.5)), 130.0, "was last read 100 s ago"),
    ],
)
def test_what_is_not_known_now_holds(
    memory: tuple[Measured, ...], now_s: float, says: str
) -> None:
    """Before the first reading, and when nobody asked for three periods."""
    found = judged(PASS, [QUEUE], memory, now_s=now_s)

    assert found.verdict is Verdict.UNDECIDED
    assert says in found.message


def test_a_failure_of_the_evidence_stays_one() -> None:
    """A good metric saves nobody."""
    found = verdict(after(*values(0.5)), FAIL)

    assert (found.verdict, found.message) == (Verdict.FAIL, "worse")
    assert len(found.slos) == 1


def test_without_external_metrics_nothing_changes() -> None:
    """The judgement is the very same."""
    assert judged(WAIT, [], (), now_s=0.0) is WAIT


@given(
    st.lists(st.one_of(st.none(), st.floats(0.0, 2.0, allow_nan=False)), max_size=12),
    st.integers(1, 4),
)
def test_it_fails_exactly_by_the_rule(
    said: list[float | None], consecutive: int
) -> None:
    """Whatever comes: a failure is a run of bad values, gaps left out."""
    metric = replace(QUEUE, consecutive=consecutive)
    memory: tuple[Measured, ...] = ()
    for reading in values(*said, error="down"):
        memory = measured([metric], memory, {metric.id: reading}, warm=True)
    heard = [value for value in said if value is not None]
    tail = 0
    for value in heard:
        tail = tail + 1 if value > metric.max else 0

    if memory:
        found = judged(PASS, [metric], memory, now_s=memory[0].at_s or 0.0)
        assert (found.verdict is Verdict.FAIL) == (tail >= consecutive)
