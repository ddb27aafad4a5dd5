"""Readings of the slab: exact sums over workers, sparse, and free of charge."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag, MirrorOutcome
from proxy.telemetry import layout
from proxy.telemetry.cut import (
    Counts,
    add_words,
    difference,
    read_attempts,
    read_live,
)
from proxy.telemetry.slab import ControlSlab, WorkerSlab, create

CELL = 5


class Bench:
    """A slab with two workers and the view that reads it."""

    def __init__(self) -> None:
        fd = create(2)
        self.workers = [WorkerSlab(fd, index) for index in range(2)]
        self.slab = ControlSlab(fd)

    def add(self, worker: int, place: int, count: int) -> None:
        """Count in a worker's cell at a place of the cell."""
        self.workers[worker].words[layout.cell_offset(CELL) + place] += count


@pytest.fixture
def bench() -> Bench:
    """Give an empty slab."""
    return Bench()


def test_live_reads_every_section(bench: Bench) -> None:
    """Counters, codes and histograms come from their own places."""
    bench.add(0, layout.C_INFLIGHT, 1)
    bench.add(1, layout.C_ROUTED, 12)
    bench.add(0, layout.C_FLAGS + Flag.UT, 2)
    bench.add(1, layout.C_MIRROR + MirrorOutcome.SKIPPED_BODY, 3)
    bench.add(0, layout.C_REQUESTS + 404, 4)
    bench.add(1, layout.C_ATTEMPTS + FLAG_CODE_BASE + Flag.UT, 5)
    bench.add(0, layout.C_LATENCY + 3, 6)
    bench.add(0, layout.C_TTFB + BUCKET_COUNT - 1, 7)

    live = read_live(bench.slab, CELL)

    assert (live.word(layout.C_INFLIGHT), live.word(layout.C_ROUTED)) == (1, 12)
    assert live.failures() == {Flag.UT: 2}
    assert live.mirrored() == {MirrorOutcome.SKIPPED_BODY: 3}
    assert live.requests == {404: 4}
    assert live.attempts == {FLAG_CODE_BASE + Flag.UT: 5}
    assert live.latency == {3: 6}
    assert live.ttfb == {BUCKET_COUNT - 1: 7}
    assert read_attempts(bench.slab, CELL) == live.attempts


def test_reading_gives_holes_no_memory(bench: Bench) -> None:
    """A scrape of cells that nobody used leaves the slab as small as it was."""
    before = os.fstat(bench.slab.fd).st_blocks

    for cell in range(100):
        read_live(bench.slab, cell)

    assert os.fstat(bench.slab.fd).st_blocks == before


@given(
    st.dictionaries(st.integers(0, 299), st.integers(1, 2**63)),
    st.integers(0, 100),
    st.integers(1, 200),
)
def test_sparse_words_are_the_nonzero_ones(
    counts: Counts, start: int, length: int
) -> None:
    """Skipping whole rows loses no word, wherever a section begins and ends."""
    words = memoryview(bytearray(300 * 8)).cast("Q")
    for place, count in counts.items():
        words[place] = count

    found: Counts = {}
    add_words(bytes(words), start, length, found)

    inside = range(start, start + length)
    assert found == {at - start: n for at, n in counts.items() if at in inside}


@given(
    st.dictionaries(st.integers(0, 50), st.integers(0, 100)),
    st.dictionaries(st.integers(0, 50), st.integers(1, 100)),
)
def test_difference_is_what_was_added(before: Counts, added: Counts) -> None:
    """Two readings give the additions between them, sparse."""
    now = {key: before.get(key, 0) + added.get(key, 0) for key in before.keys() | added}

    assert difference(now, before) == {k: n for k, n in added.items() if n} or not (
        before
    )


def test_counter_that_fell_has_begun_again() -> None:
    """After a slab was replaced a counter counts from zero, never below."""
    assert difference({1: 3, 2: 9}, {1: 5, 2: 5}) == {1: 3, 2: 4}
