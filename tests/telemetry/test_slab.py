"""The slab: nothing overlaps, nothing tears, holes stay holes."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import StartError
from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import CODE_COUNT, UNIT_BUCKETS
from proxy.telemetry import layout, slab

WORKERS = 3


@pytest.fixture
def fd() -> Iterator[int]:
    """Return a slab for three workers."""
    fd = slab.create(WORKERS)
    yield fd
    os.close(fd)


def pages_of(fd: int) -> int:
    """Return how many 512-byte blocks the memory takes."""
    return os.fstat(fd).st_blocks


# --- where things lie ---

cells = st.integers(0, layout.CELLS_MAX - 1)
workers = st.integers(0, layout.WORKERS_MAX - 1)


@given(cells, st.integers(0, layout.SERVICES_MAX - 1))
def test_cells_and_service_words_lie_inside_the_region(cell: int, slot: int) -> None:
    """A worker that counts can never reach its neighbour's region."""
    first = layout.cell_offset(cell)
    service = layout.REGION_SERVICES + slot * layout.REGION_SERVICE_WORDS

    assert service + layout.REGION_SERVICE_WORDS <= layout.REGION_CELLS <= first
    assert first + layout.CELL_WORDS <= layout.REGION_WORDS


@given(cells, cells)
def test_cells_never_overlap(one: int, other: int) -> None:
    """Two cells share no word."""
    first, second = sorted([one, other])

    assert first == second or (
        layout.cell_offset(first) + layout.CELL_WORDS <= layout.cell_offset(second)
    )


def test_events_have_words_of_their_own() -> None:
    """All that a service may have fit before the codes, live and in a bank."""
    assert layout.C_EVENTS + layout.EVENTS_MAX <= layout.C_REQUESTS
    assert layout.B_TRIALS < layout.B_EVENTS
    assert layout.B_EVENTS + layout.EVENTS_MAX <= layout.B_CODES


@given(workers, workers)
def test_regions_never_overlap(one: int, other: int) -> None:
    """Two workers share no word, and both lie inside the slab."""
    first, second = sorted([one, other])
    end = layout.region_base(first) + layout.REGION_WORDS

    assert first == second or end <= layout.region_base(second)
    assert end * layout.WORD_BYTES <= layout.slab_bytes(second + 1)


@given(st.integers(0, 2**63))
def test_banks_lie_apart_inside_the_cell(epoch: int) -> None:
    """The banks of an epoch and of the next share no word with anything."""
    banks = sorted([layout.bank_offset(epoch), layout.bank_offset(epoch + 1)])

    assert banks[0] >= layout.C_TTFB + BUCKET_COUNT
    assert banks[0] + layout.BANK_WORDS <= banks[1]
    assert banks[1] + layout.BANK_WORDS <= layout.CELL_WORDS


def test_the_parts_of_a_bank_lie_apart() -> None:
    """Codes and the four histograms of a bank share no word."""
    starts = [
        (layout.B_CODES, CODE_COUNT),
        (layout.B_LATENCY, BUCKET_COUNT),
        (layout.B_TTFB, BUCKET_COUNT),
        (layout.B_CENSORED, BUCKET_COUNT),
        (layout.B_AGES, BUCKET_COUNT),
    ]
    ends = [start + size for start, size in starts]

    assert [start for start, _ in starts[1:]] == ends[:-1]
    assert ends[-1] == layout.BANK_WORDS


@given(st.integers(0, layout.SERVICES_MAX - 2))
def test_the_services_area_ends_before_the_seen_area(slot: int) -> None:
    """Two weight rows fit in a slot, and the slots in their area."""
    base = layout.service_base(slot)

    assert layout.S_ROWS + 2 * layout.ROW_WORDS <= layout.SERVICE_WORDS
    assert layout.service_base(slot + 1) + layout.SERVICE_WORDS <= layout.SEEN_BASE
    assert base >= layout.H_WORKER_ROWS + layout.WORKERS_MAX * layout.W_ROW_WORDS


def test_a_seen_table_holds_every_bucket() -> None:
    """The last bucket of a table lies before the next table, the last in the area."""
    after = layout.seen_byte_offset(layout.SEEN_MAX - 1) + 2 * UNIT_BUCKETS

    assert layout.seen_byte_offset(0) + 2 * UNIT_BUCKETS <= layout.seen_byte_offset(1)
    assert after <= layout.region_base(0) * layout.WORD_BYTES


# --- the views ---


def test_a_new_slab_costs_one_page(fd: int) -> None:
    """A gigabyte of layout costs what was touched, and opening touches nothing."""
    slab.ControlSlab(fd)
    slab.WorkerSlab(fd, 0)

    assert pages_of(fd) * 512 == os.sysconf("SC_PAGE_SIZE")


def test_reading_as_control_keeps_holes(fd: int) -> None:
    """A sum over what nobody counted allocates nothing."""
    control = slab.ControlSlab(fd)
    before = pages_of(fd)

    total = control.sum_words(77, 0, layout.CELL_WORDS)
    control.cell_words(2, 78, 0, layout.CELL_WORDS)
    control.zero_cells([77, 78])
    control.zero_bank([79], 4)
    control.zero_seen(5)
    slab.zero_gauges(fd, 1)

    assert not any(total)
    assert pages_of(fd) == before


@given(
    counts=st.lists(
        st.tuples(
            st.integers(0, WORKERS - 1),
            st.integers(0, 5),
            st.integers(0, layout.CELL_WORDS - 1),
            st.integers(1, 2**40),
        ),
        max_size=30,
    )
)
@settings(max_examples=30, deadline=None)
def test_sums_are_what_the_workers_counted(
    counts: list[tuple[int, int, int, int]],
) -> None:
    """Control sees each count in its place, once, and nowhere else."""
    fd = slab.create(WORKERS)
    views = [slab.WorkerSlab(fd, index) for index in range(WORKERS)]
    expected: dict[tuple[int, int], int] = {}
    for worker, cell, word, amount in counts:
        views[worker].words[layout.cell_offset(cell) + word] += amount
        expected[cell, word] = expected.get((cell, word), 0) + amount

    control = slab.ControlSlab(fd)
    found = {
        (cell, word): total
        for cell in range(6)
        for word, total in enumerate(control.sum_words(cell, 0, layout.CELL_WORDS))
        if total
    }
    os.close(fd)

    assert found == expected


def test_one_worker_is_summed_like_several() -> None:
    """The shortcut for one region gives the same numbers."""
    fd = slab.create(1)
    slab.WorkerSlab(fd, 0).words[layout.cell_offset(4) + 9] = 12

    assert slab.ControlSlab(fd).sum_words(4, 8, 3) == [0, 12, 0]
    os.close(fd)


def test_region_words_trips_and_late_counts(fd: int) -> None:
    """Control reads a worker's own words by worker and in sum."""
    place = layout.REGION_SERVICES + 7 * layout.REGION_SERVICE_WORDS
    for index in range(WORKERS):
        words = slab.WorkerSlab(fd, index).words
        words[layout.R_DOWNSTREAM] = index
        words[place + layout.RS_TRIP] = index * 10
        words[place + layout.RS_LATE] = 5
    control = slab.ControlSlab(fd)

    assert control.region_word(2, layout.R_DOWNSTREAM) == 2
    assert control.sum_region_words(layout.R_DOWNSTREAM, 1) == [3]
    assert control.trips(7) == [0, 10, 20]
    assert control.late(7) == 15


def test_workers_cannot_write_weights(fd: int) -> None:
    """A stray write into what is control's raises instead of changing weights."""
    shared = slab.WorkerSlab(fd, 0).shared

    with pytest.raises(TypeError):
        shared[layout.service_base(0)] = 1


def test_seen_tables_are_shared_by_all_workers(fd: int) -> None:
    """What one worker marks, another sees; forgetting a table leaves the next."""
    one, other = slab.WorkerSlab(fd, 0), slab.WorkerSlab(fd, 1)
    last = UNIT_BUCKETS - 1
    one.seen[one.seen_base(3) + last] = 41
    one.seen[one.seen_base(4)] = 42

    assert other.seen[other.seen_base(3) + last] == 41
    slab.ControlSlab(fd).zero_seen(3)
    assert other.seen[other.seen_base(3) + last] == 0
    assert other.seen[other.seen_base(4)] == 42


def test_the_supervisor_tells_control_about_workers(fd: int) -> None:
    """A row that the supervisor writes is the row that control reads."""
    supervisor, control = slab.SupervisorSlab(fd), slab.ControlSlab(fd)
    row = slab.WorkerRow(pid=12, state=layout.STATE_READY, restarts=3)

    supervisor.set_worker(2, row)
    supervisor.set_started(1_700_000_000)
    supervisor.set_control_restarts(4)
    supervisor.set_draining()
    control.set_header_word(layout.H_CONTROL_BEAT_MS, 77)

    assert control.worker_row(2) == row
    assert control.worker_row(1) == slab.WorkerRow(0, layout.STATE_STARTING, 0)
    assert control.header_word(layout.H_STARTED_AT_S) == 1_700_000_000
    assert control.header_word(layout.H_CONTROL_RESTARTS) == 4
    assert control.header_word(layout.H_DRAINING) == 1
    assert supervisor.control_beat_ms() == 77


def test_a_foreign_memory_is_refused() -> None:
    """A slab of another layout is refused, not misread."""
    fd = os.memfd_create("foreign")
    os.ftruncate(fd, layout.slab_bytes(1))

    with pytest.raises(StartError, match="shared memory has layout 0"):
        slab.ControlSlab(fd)
    os.close(fd)


@pytest.mark.parametrize("count", [0, layout.WORKERS_MAX + 1])
def test_too_many_or_no_workers_are_refused(count: int) -> None:
    """The header page has rows for 48 workers."""
    with pytest.raises(StartError, match=f"{count} workers, expected 1 to 48"):
        slab.create(count)


def test_the_most_workers_fit() -> None:
    """48 workers are allowed."""
    fd = slab.create(layout.WORKERS_MAX)

    assert slab.workers_of(fd) == layout.WORKERS_MAX
    os.close(fd)


# --- weights and epochs ---


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Draw entries of a weight row."""
    bounds = draw(st.lists(st.integers(0, UNIT_BUCKETS), max_size=15))
    versions = draw(st.permutations(range(16)))
    return list(zip(versions, [*sorted(bounds), UNIT_BUCKETS], strict=False))


@given(flips=st.lists(rows(), min_size=1, max_size=5))
@settings(deadline=None)
def test_weights_read_back_as_written(flips: list[list[tuple[int, int]]]) -> None:
    """The row in force is the last one written, whatever stood there before."""
    fd = slab.create(1)
    control = slab.ControlSlab(fd)
    epochs = [control.write_weights(9, row) for row in flips]
    shown = [entry for entry in flips[-1] if entry[1]]

    assert epochs == list(range(1, len(flips) + 1))
    assert control.weights(9) == shown
    assert control.weights(8) == []
    os.close(fd)


@pytest.mark.parametrize(
    "row", [[(0, 99_999)], [(0, 60_000), (1, 50_000), (2, 100_000)]]
)
def test_a_row_that_leaves_buckets_out_is_refused(
    fd: int, row: list[tuple[int, int]]
) -> None:
    """Bounds rise to 100 000, or somebody's requests would have no version."""
    with pytest.raises(AssertionError):
        slab.ControlSlab(fd).write_weights(0, row)


def fill_cell(view: slab.WorkerSlab, cell: int) -> None:
    """Set every word of a cell to 7."""
    first = layout.cell_offset(cell)
    for word in range(layout.CELL_WORDS):
        view.words[first + word] = 7


def test_zeroing_a_bank_zeroes_that_bank_only(fd: int) -> None:
    """The other bank and the live counters stay, in every region."""
    control = slab.ControlSlab(fd)
    fill_cell(slab.WorkerSlab(fd, 2), 1)
    fill_cell(slab.WorkerSlab(fd, 2), 2)

    control.zero_bank([1], 3)

    first = layout.bank_offset(3)
    words = control.cell_words(2, 1, 0, layout.CELL_WORDS)
    assert set(words[first : first + layout.BANK_WORDS]) == {0}
    assert set(words[:first] + words[first + layout.BANK_WORDS :]) == {7}
    assert set(control.cell_words(2, 2, 0, layout.CELL_WORDS)) == {7}


def test_a_flip_starts_with_an_empty_bank_and_keeps_the_present_one(fd: int) -> None:
    """The evidence of the epoch that ends survives the flip; the older is gone."""
    control = slab.ControlSlab(fd)
    control.flip(0, [(0, UNIT_BUCKETS)], [1])
    fill_cell(slab.WorkerSlab(fd, 0), 1)

    epoch = control.flip(0, [(1, 5_000), (0, UNIT_BUCKETS)], [1])

    now = control.sum_words(1, layout.bank_offset(epoch), layout.BANK_WORDS)
    before = control.sum_words(1, layout.bank_offset(epoch - 1), layout.BANK_WORDS)
    assert (epoch, control.floor(0)) == (2, 1)
    assert control.weights(0) == [(1, 5_000), (0, UNIT_BUCKETS)]
    assert not any(now)
    assert set(before) == {7}


def test_a_word_that_another_event_gets_is_empty(fd: int) -> None:
    """Live and in both banks, in all regions; the events beside it stay."""
    control = slab.ControlSlab(fd)
    fill_cell(slab.WorkerSlab(fd, 1), 4)

    control.zero_event([4], 2)

    for start in (
        layout.C_EVENTS,
        layout.bank_offset(0) + layout.B_EVENTS,
        layout.bank_offset(1) + layout.B_EVENTS,
        layout.C_JUDGED + layout.B_EVENTS,
    ):
        assert control.sum_words(4, start, 4) == [7, 7, 0, 7]


def test_a_cell_that_is_given_away_is_empty(fd: int) -> None:
    """All counters of a cell are zero in all regions; its neighbours stay."""
    control = slab.ControlSlab(fd)
    for cell in (4, 5, 6):
        fill_cell(slab.WorkerSlab(fd, 1), cell)

    control.zero_cells([5])

    assert set(control.sum_words(4, 0, layout.CELL_WORDS)) == {7}
    assert set(control.sum_words(5, 0, layout.CELL_WORDS)) == {0}
    assert set(control.sum_words(6, 0, layout.CELL_WORDS)) == {7}


def test_a_replacement_keeps_the_counters_and_loses_the_gauges(fd: int) -> None:
    """In-flight figures of a dead worker vanish, its requests do not."""
    view = slab.WorkerSlab(fd, 1)
    fill_cell(view, 3)
    view.words[layout.R_DOWNSTREAM] = 5
    view.words[layout.R_DOWNSTREAM_TOTAL] = 6
    view.words[layout.R_BEAT_MS] = 9

    slab.SupervisorSlab(fd).prepare_region(1, generation=12)

    words = slab.ControlSlab(fd).cell_words(1, 3, 0, layout.CELL_WORDS)
    gauges = {layout.C_INFLIGHT, layout.C_POOL_ACTIVE, layout.C_POOL_IDLE}
    gauges |= {layout.C_EJECTED}
    gauges |= {layout.C_TOP_BUCKET, layout.C_TOP_HITS, layout.C_TOP_LOOKS}
    for epoch in (0, 1):
        ages = layout.bank_offset(epoch) + layout.B_AGES
        gauges |= set(range(ages, ages + BUCKET_COUNT))
        gauges |= {layout.bank_offset(epoch) + layout.B_OPEN}
    assert {place for place, value in enumerate(words) if value == 0} == gauges
    assert view.words[layout.R_DOWNSTREAM] == 0
    assert view.words[layout.R_DOWNSTREAM_TOTAL] == 6
    assert view.words[layout.R_GENERATION] == 12
    assert slab.SupervisorSlab(fd).beat_ms(1) == 0


# --- two processes at once ---


def flip_for_ever(fd: int) -> None:
    """Write rows whose entries all tell the epoch they belong to."""
    control = slab.ControlSlab(fd)
    while True:
        version = (control.epoch(0) + 1) % 1000
        row = [(version, bound) for bound in range(1, layout.ROW_WORDS)]
        control.write_weights(0, [*row, (version, UNIT_BUCKETS)])


def count_for_ever(fd: int) -> None:
    """Switch words between zero and all ones."""
    words = slab.WorkerSlab(fd, 0).words
    first = layout.cell_offset(0)
    while True:
        for value in (0, 2**64 - 1):
            for word in range(64):
                words[first + word] = value


@pytest.fixture
def beside(fd: int, request: pytest.FixtureRequest) -> Iterator[int]:
    """Run a function with the slab in a process of its own."""
    pid = os.fork()
    if pid == 0:
        request.param(fd)
    yield fd
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("beside", [flip_for_ever], indirect=True)
def test_no_reader_sees_a_torn_row(beside: int) -> None:
    """While another process flips at full speed, every row read is of one epoch."""
    shared = slab.WorkerSlab(beside, 0).shared
    base = layout.service_base(0)
    checked = 0
    for _ in range(100_000):
        epoch = shared[base]
        first = base + layout.S_ROWS + (epoch & 1) * layout.ROW_WORDS
        row = [shared[first + place] for place in range(layout.ROW_WORDS)]
        # Flips are 20 ms apart in life; here a second one may have come.
        if shared[base] != epoch or epoch == 0:
            continue
        assert {word >> layout.ROW_VERSION_SHIFT for word in row} == {epoch % 1000}
        checked += 1

    assert checked > 100


@pytest.mark.parametrize("beside", [count_for_ever], indirect=True)
def test_no_count_is_read_torn(beside: int) -> None:
    """A word that changes while control reads it has its old or its new value."""
    control = slab.ControlSlab(beside)
    seen: set[int] = set()
    for _ in range(20_000):
        seen.update(control.cell_words(0, 0, 0, 64))

    assert seen == {0, 2**64 - 1}
