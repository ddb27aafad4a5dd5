"""Fail-fast over all workers: the canary's last attempts beside stable's."""

import pytest

from proxy.control.failfast import Lately
from proxy.model.judging import FailFast
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag
from proxy.telemetry import layout
from proxy.telemetry.slab import ControlSlab, WorkerSlab, create

CANARY, STABLE = 0, 1
LIMITS = FailFast(consecutive_connect_failures=5, error_rate=0.5, requests=20)
REFUSED = FLAG_CODE_BASE + Flag.UF


class Bench:
    """Two cells of one worker, read by a ``Lately``."""

    def __init__(self) -> None:
        fd = create(1)
        self._words = WorkerSlab(fd, 0).words
        self._slab = ControlSlab(fd)
        self.lately = Lately()
        self._now_s = 0.0
        self.look()

    def attempt(self, cell: int, code: int, count: int = 1) -> None:
        """Count attempts."""
        place = layout.cell_offset(cell) + layout.C_ATTEMPTS + code
        self._words[place] += count

    def look(self, epoch: int = 1) -> str:
        """Take a reading and return the verdict."""
        self._now_s += 0.1
        moved = self.lately.add(
            self._slab,
            epoch,
            canary_cell=CANARY,
            stable_cell=STABLE,
            now_s=self._now_s,
        )
        return self.lately.verdict(LIMITS) if moved else ""


@pytest.fixture
def bench() -> Bench:
    """Give a bench with a first reading."""
    return Bench()


def test_twenty_failures_are_enough(bench: Bench) -> None:
    """The limit is met at ``requests`` and not one before."""
    bench.attempt(STABLE, 200, 80)
    bench.attempt(CANARY, 500, 19)
    assert bench.look() == ""

    bench.attempt(CANARY, 500)
    assert bench.look() == "20 of the last 20 canary requests failed, stable 0 of 80"


def test_both_failing_is_nobodys_fault(bench: Bench) -> None:
    """Stable at half the canary's rate in the same seconds stops it."""
    bench.attempt(CANARY, 500, 20)
    bench.attempt(STABLE, 500, 50)
    bench.attempt(STABLE, 200, 50)

    assert bench.look() == ""


def test_old_successes_do_not_excuse(bench: Bench) -> None:
    """Successes of more than a second ago are not among the last requests."""
    bench.attempt(CANARY, 200, 1000)
    bench.attempt(STABLE, 200, 1000)
    for _ in range(11):
        assert bench.look() == ""
    bench.attempt(CANARY, 500, 20)
    bench.attempt(STABLE, 200, 20)

    assert bench.look() != ""


def test_recent_successes_excuse_until_the_next_look(bench: Bench) -> None:
    """A first failure among successes is a new baseline, not a verdict."""
    bench.attempt(CANARY, 200, 100)
    bench.attempt(CANARY, 500, 5)
    assert bench.look() == ""

    bench.attempt(CANARY, 500, 20)
    bench.attempt(STABLE, 200, 20)
    assert bench.look() != ""


def test_five_refused_connections_in_a_row(bench: Bench) -> None:
    """An endpoint that is gone is found before 20 requests."""
    bench.attempt(CANARY, REFUSED, 4)
    bench.attempt(STABLE, 200, 4)
    assert bench.look() == ""

    bench.attempt(CANARY, REFUSED)
    assert bench.look() == "the last 5 connections to the canary failed"


def test_stable_is_heard_over_the_same_refusals(bench: Bench) -> None:
    """Both died a moment ago: what stable answered before does not speak for it."""
    bench.attempt(CANARY, 200, 15)
    bench.attempt(CANARY, REFUSED)
    bench.attempt(STABLE, 200, 100)
    bench.attempt(STABLE, REFUSED, 4)
    assert bench.look() == ""
    bench.attempt(CANARY, REFUSED, 6)
    bench.attempt(STABLE, REFUSED, 24)

    assert bench.look() == ""


def test_answer_in_between_ends_the_row(bench: Bench) -> None:
    """Refusals with an answer among them are no row."""
    bench.attempt(CANARY, REFUSED, 3)
    bench.look()
    bench.attempt(CANARY, 200)
    bench.look()
    bench.attempt(CANARY, REFUSED, 3)

    assert bench.look() == ""


def test_new_epoch_forgets(bench: Bench) -> None:
    """Failures at another weight are no reason to trip now."""
    bench.attempt(CANARY, 500, 20)
    bench.attempt(STABLE, 200, 20)

    assert bench.look(epoch=2) == ""


def test_sentence_tells_what_was_seen(bench: Bench) -> None:
    """A trip of a worker is explained by the tree's own figures."""
    bench.attempt(CANARY, 500, 3)
    bench.attempt(STABLE, 200, 9)
    bench.look()

    assert bench.lately.sentence(20) == (
        "3 of the last 3 canary attempts failed, stable 0 of 9"
    )
