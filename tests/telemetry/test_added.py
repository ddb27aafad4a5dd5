"""What came since the last look: exact, over workers, and never twice."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.model.buckets import BUCKET_COUNT
from proxy.telemetry import layout
from proxy.telemetry.added import read_added
from proxy.telemetry.slab import ControlSlab, WorkerSlab, create

CELL = 5


class Bench:
    """A slab with two workers and the view that judges."""

    def __init__(self) -> None:
        self.fd = create(2)
        self.workers = [WorkerSlab(self.fd, index) for index in range(2)]
        self.slab = ControlSlab(self.fd)

    def add(self, worker: int, epoch: int, place: int, count: int) -> None:
        """Count in a worker's bank of an epoch."""
        words = self.workers[worker].words
        words[layout.cell_offset(CELL) + layout.bank_offset(epoch) + place] += count


def test_the_first_look_finds_all_that_the_workers_counted() -> None:
    """Evidence is the sum of all regions, without empty buckets."""
    bench = Bench()
    for worker, count in ((0, 2), (1, 3)):
        bench.add(worker, 7, layout.B_ROUTED, count)
        bench.add(worker, 7, layout.B_CODES + 200, count)
        bench.add(worker, 7, layout.B_LATENCY + 1000, count)
    bench.add(0, 7, layout.B_TTFB, 1)
    bench.add(1, 7, layout.B_CENSORED + BUCKET_COUNT - 1, 4)
    bench.add(0, 7, layout.B_AGES + 17, 6)
    bench.add(0, 7, layout.B_OPEN, 6)

    added = read_added(bench.slab, CELL, 7)

    assert (added.routed, added.ended) == (5, -1)
    assert added.window.codes == {200: 5}
    assert added.window.latency == {1000: 5}
    assert added.window.ttfb == {0: 1}
    assert added.window.censored == {BUCKET_COUNT - 1: 4}
    assert added.window.ages == {17: 6}


def test_a_second_look_finds_only_what_is_new() -> None:
    """Counters are read once; gauges by how much they changed, also down."""
    bench = Bench()
    bench.add(0, 4, layout.B_CODES + 200, 9)
    bench.add(0, 4, layout.B_AGES + 17, 6)
    read_added(bench.slab, CELL, 4)

    bench.add(1, 4, layout.B_CODES + 200, 2)
    bench.add(0, 4, layout.B_AGES + 17, -4)

    added = read_added(bench.slab, CELL, 4)
    assert added.window.codes == {200: 2}
    assert added.window.ages == {17: -4}
    assert read_added(bench.slab, CELL, 4).window.codes == {}


def test_another_process_goes_on_where_the_last_one_was() -> None:
    """Control that was killed and restarted counts nothing twice and misses nothing."""
    bench = Bench()
    bench.add(0, 4, layout.B_CODES + 200, 9)
    read_added(bench.slab, CELL, 4)
    bench.add(0, 4, layout.B_CODES + 500, 3)

    restarted = ControlSlab(bench.fd)

    assert read_added(restarted, CELL, 4).window.codes == {500: 3}


def test_a_new_epoch_begins_at_nothing() -> None:
    """What was judged of the epoch before last says nothing of the bank's next use."""
    bench = Bench()
    bench.add(0, 4, layout.B_CODES + 200, 9)
    read_added(bench.slab, CELL, 4)
    bench.slab.zero_bank([CELL], 6)
    bench.add(0, 6, layout.B_CODES + 200, 2)

    assert read_added(bench.slab, CELL, 5).window.codes == {}
    assert read_added(bench.slab, CELL, 6).window.codes == {200: 2}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, layout.BANK_WORDS - 1), st.integers(1, 9)
        ),
        max_size=20,
    ),
    st.integers(0, 20),
)
def test_looks_add_up_to_the_whole(
    counts: list[tuple[int, int, int]], pause: int
) -> None:
    """However often one looks, everything is seen exactly once."""
    bench = Bench()
    seen = 0
    for place, (worker, word, count) in enumerate(counts):
        if place == pause:
            seen += total(bench)
        bench.add(worker, 3, word, count)

    assert seen + total(bench) == sum(count for _, _, count in counts)


def total(bench: Bench) -> int:
    """Return everything that one look finds."""
    added = read_added(bench.slab, CELL, 3)
    window = added.window
    parts = (
        added.head,
        window.codes,
        window.latency,
        window.ttfb,
        window.censored,
        window.ages,
    )
    return sum(sum(part.values()) for part in parts)
