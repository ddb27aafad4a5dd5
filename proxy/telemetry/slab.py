"""
The slab: one sparse memfd that workers count in, and control reads and steers.

``layout`` says where every word lies; here are the three views of it:

- ``WorkerSlab``: memoryviews over a worker's own region (the hot path indexes
  them directly: 0.08 µs an increment), the header and weights, the seen tables;
- ``ControlSlab``: sums over all regions, and the only writer of weights;
- ``SupervisorSlab``: the tree's state, heartbeats, and regions made ready anew.

Words are written through mappings only: an aligned 64-bit store is never torn.
Sums are read with ``pread``: a mapping would give every hole a page. What the
numbers mean, and when to flip, is decided elsewhere.
"""

import mmap
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.errors import StartError
from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.telemetry import layout
from proxy.telemetry.sparse import data_extents, zero_range

_BYTE = layout.WORD_BYTES
_REGION_GAUGES = (
    layout.R_BEAT_MS,
    layout.R_READY,
    layout.R_DOWNSTREAM,
    layout.R_UPSTREAM_ACTIVE,
    layout.R_UPSTREAM_IDLE,
    layout.R_MIRROR_INFLIGHT,
    layout.R_TABLE_GENERATION,
)
"""Words of a region's header that describe a living worker only."""
_CELL_GAUGES = (
    (layout.C_INFLIGHT, 1),
    (layout.C_POOL_ACTIVE, layout.C_EJECTED - layout.C_POOL_ACTIVE + 1),
    (layout.C_TOP_BUCKET, layout.C_TOP_LOOKS - layout.C_TOP_BUCKET + 1),
    (layout.bank_offset(0) + layout.B_OPEN, 1),
    (layout.bank_offset(1) + layout.B_OPEN, 1),
    (layout.bank_offset(0) + layout.B_AGES, BUCKET_COUNT),
    (layout.bank_offset(1) + layout.B_AGES, BUCKET_COUNT),
)
"""(first word, words) of what a cell says about requests in flight."""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """What the supervisor says about one worker."""

    pid: int
    """0 before the first start."""
    state: int
    """``layout.STATE_STARTING`` and its siblings."""
    restarts: int


@dataclass(frozen=True, slots=True)
class Rings:
    """Which rings of the table a row is meant for; see ``routing.decide``."""

    count: int
    """The first so many are open, 1 to 255."""
    all: bool
    """The canary's bound is meant for every request, beside the rings' own."""
    lid: int
    """No ring gives the canary more buckets than this."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What active checks say of a version's endpoints: a bit each, set is down."""

    tag: int
    """Which list of endpoints the bits are about; 0: nothing was written."""
    bits: int


def create(workers: int) -> int:
    """
    Return the descriptor of a new slab, all zero but for its header.

    It is closed on exec. Costs one page; the rest is allocated when touched.

    Raises:
        StartError: more workers than the header page has rows for.
    """
    if not 1 <= workers <= layout.WORKERS_MAX:
        raise StartError(f"{workers} workers, expected 1 to {layout.WORKERS_MAX}")
    fd = os.memfd_create("headgate-slab", os.MFD_CLOEXEC)
    os.ftruncate(fd, layout.slab_bytes(workers))
    header = _map(fd, 0, layout.PAGE_WORDS)
    header[layout.H_WORKERS] = workers
    header[layout.H_MAGIC] = layout.LAYOUT_MAGIC
    return fd


def workers_of(fd: int) -> int:
    """
    Return for how many workers the slab behind ``fd`` was made.

    Raises:
        StartError: the memory holds another layout.
    """
    magic, workers = _read(fd, 0, 2)
    if magic != layout.LAYOUT_MAGIC:
        raise StartError(
            f"shared memory has layout {magic:x}, expected {layout.LAYOUT_MAGIC:x}"
        )
    return workers


class WorkerSlab:
    """
    One worker's view: its own region to write, the rest to read.

    ``words`` (64-bit, writable) starts at the region's first word, so that
    ``layout.R_*`` and ``layout.cell_offset`` index it. ``shared`` (64-bit,
    read-only) covers header and services from word 0. ``seen`` (16-bit,
    writable) covers all seen tables; ``seen_base`` gives a table's first item.
    """

    __slots__ = ("index", "seen", "shared", "words")

    def __init__(self, fd: int, index: int) -> None:
        workers = workers_of(fd)
        assert 0 <= index < workers, (index, workers)
        self.index = index
        self.words = _map(fd, layout.region_base(index), layout.REGION_WORDS)
        self.shared = _map(fd, 0, layout.SEEN_BASE).toreadonly()
        seen_words = layout.REGIONS_BASE - layout.SEEN_BASE
        self.seen = _map(fd, layout.SEEN_BASE, seen_words).cast("B").cast("H")

    @staticmethod
    def seen_base(table: int) -> int:
        """Return the index in ``seen`` of a table's bucket 0."""
        return table * layout.SEEN_WORDS * _BYTE // 2


class ControlSlab:
    """
    The control process's view: sums of all regions, weights, banks.

    Reading never allocates; a word that nobody wrote reads as 0. A sum is not
    a snapshot: each word is exact, two words may be some µs apart.
    """

    __slots__ = ("_header", "_services", "fd", "workers")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.workers = workers_of(fd)
        self._header = _map(fd, 0, layout.PAGE_WORDS)
        self._services = _map(
            fd, layout.SERVICES_BASE, layout.SEEN_BASE - layout.SERVICES_BASE
        )

    # --- the tree ---

    def header_word(self, index: int) -> int:
        """Return a ``layout.H_*`` word."""
        return self._header[index]

    def set_header_word(self, index: int, value: int) -> None:
        """Write one of the header words that are control's (``layout``)."""
        assert index in {
            layout.H_CONTROL_BEAT_MS,
            layout.H_CONTROL_READY,
            layout.H_GENERATION,
        }
        self._header[index] = value

    def worker_row(self, worker: int) -> WorkerRow:
        """Return the supervisor's row about a worker."""
        first = layout.H_WORKER_ROWS + worker * layout.W_ROW_WORDS
        row = self._header[first : first + layout.W_ROW_WORDS]
        return WorkerRow(
            row[layout.WR_PID], row[layout.WR_STATE], row[layout.WR_RESTARTS]
        )

    # --- counters ---

    def region_word(self, worker: int, index: int) -> int:
        """Return one ``layout.R_*`` word of a worker's region."""
        return _read(self.fd, layout.region_base(worker) + index, 1)[0]

    def sum_region_words(self, start: int, count: int) -> list[int]:
        """Return ``count`` words of the regions' headers, summed over workers."""
        return self._sum(start, count)

    def cell_words(self, worker: int, cell: int, start: int, count: int) -> list[int]:
        """Return ``count`` words of a cell from word ``start``, of one worker."""
        first = layout.region_base(worker) + layout.cell_offset(cell) + start
        return _read(self.fd, first, count).tolist()

    def sum_words(self, cell: int, start: int, count: int) -> list[int]:
        """Return ``count`` words of a cell from word ``start``, over all workers."""
        assert start + count <= layout.CELL_WORDS
        return self._sum(layout.cell_offset(cell) + start, count)

    def trips(self, slot: int) -> list[int]:
        """Return, a worker each, the epoch in which fail-fast tripped (0: never)."""
        offset = _region_service(slot) + layout.RS_TRIP
        return [self.region_word(worker, offset) for worker in range(self.workers)]

    def late(self, slot: int) -> int:
        """Return how many completions came after their bank was closed."""
        return self._sum(_region_service(slot) + layout.RS_LATE, 1)[0]

    def _sum(self, offset: int, count: int) -> list[int]:
        # All words of a read are added at once, as the digits of a large integer in
        # base 2^64: no sum comes near it. Half the time of adding word by word.
        if self.workers == 1:
            return _read(self.fd, layout.region_base(0) + offset, count).tolist()
        total = 0
        for worker in range(self.workers):
            first = (layout.region_base(worker) + offset) * _BYTE
            data = os.pread(self.fd, count * _BYTE, first)
            total += int.from_bytes(data, sys.byteorder)
        data = total.to_bytes(count * _BYTE, sys.byteorder)
        return memoryview(data).cast("Q").tolist()

    # --- weights and epochs ---

    def epoch(self, slot: int) -> int:
        """Return the epoch that workers route in now; 0 before the first weights."""
        return self._services[slot * layout.SERVICE_WORDS + layout.S_EPOCH]

    def floor(self, slot: int) -> int:
        """Return the oldest epoch whose completions still count as evidence."""
        return self._services[slot * layout.SERVICE_WORDS + layout.S_FLOOR]

    def weights(self, slot: int) -> list[tuple[int, int]]:
        """Return the row in force: (version index, upper bound), unused words cut."""
        first = self._row(slot, self.epoch(slot))
        row = self._services[first : first + layout.ROW_WORDS]
        return [
            (entry >> layout.ROW_VERSION_SHIFT, entry & layout.ROW_BOUND_MASK)
            for entry in row
            if entry & layout.ROW_BOUND_MASK
            and not entry >> layout.ROW_VERSION_SHIFT & layout.RING_MARK
        ]

    def rings(self, slot: int) -> Rings | None:
        """Return the rings that the row in force is meant for; ``None``: everybody."""
        word = self._services[self._row(slot, self.epoch(slot)) + layout.RING_PLACE]
        flags = word >> layout.ROW_VERSION_SHIFT
        if not flags & layout.RING_MARK:
            return None
        return Rings(
            flags & layout.RING_COUNT_MASK,
            bool(flags & layout.RING_ALL),
            word & layout.ROW_BOUND_MASK,
        )

    def flip(
        self,
        slot: int,
        entries: Sequence[tuple[int, int]],
        cells: Iterable[int],
        rings: Rings | None = None,
    ) -> int:
        """
        Start a new epoch with these weights, and return its number.

        Closes the bank that the new epoch takes over (it belonged to the epoch
        before the present one), zeroes it in ``cells`` and flips. Flips of one
        service are at least 20 ms apart, so that no worker is still reading
        the row that is overwritten.
        """
        epoch = self.epoch(slot)
        self.set_floor(slot, epoch)
        self.zero_bank(cells, epoch + 1)
        return self.write_weights(slot, entries, rings)

    def write_weights(
        self,
        slot: int,
        entries: Sequence[tuple[int, int]],
        rings: Rings | None = None,
    ) -> int:
        """
        Write the row of the next epoch, publish it, and return the epoch.

        ``entries`` are (version index, cumulative upper bound in buckets), the
        bounds rising to 100 000. Every worker's next request sees it.
        """
        bounds = [bound for _, bound in entries]
        assert len(entries) <= layout.ROW_WORDS, len(entries)
        assert bounds == sorted(bounds), bounds
        assert bounds[-1] == UNIT_BUCKETS, bounds
        epoch = self.epoch(slot) + 1
        row = self._row(slot, epoch)
        for place in range(layout.ROW_WORDS):
            version, bound = entries[place] if place < len(entries) else (0, 0)
            word = version << layout.ROW_VERSION_SHIFT | bound
            self._services[row + place] = word
        if rings is not None:
            assert len(entries) < layout.ROW_WORDS, len(entries)
            flags = layout.RING_MARK | layout.RING_ALL * rings.all | rings.count
            word = flags << layout.ROW_VERSION_SHIFT | rings.lid
            self._services[row + layout.RING_PLACE] = word
        _fence()
        self._services[slot * layout.SERVICE_WORDS + layout.S_EPOCH] = epoch
        return epoch

    def checks(self, slot: int, version: int) -> Checks:
        """Return what was written of a version's endpoints."""
        word = self._services[self._checks(slot, version)]
        return Checks(word >> layout.CHECK_TAG_SHIFT, word & layout.CHECK_BITS_MASK)

    def write_checks(self, slot: int, version: int, checks: Checks) -> None:
        """Tell the workers which endpoints of a version are down."""
        word = checks.tag << layout.CHECK_TAG_SHIFT | checks.bits
        self._services[self._checks(slot, version)] = word

    def set_floor(self, slot: int, epoch: int) -> None:
        """Let completions of epochs before ``epoch`` count as late."""
        self._services[slot * layout.SERVICE_WORDS + layout.S_FLOOR] = epoch
        _fence()

    def set_slow(self, slot: int, bucket: int) -> None:
        """Say from which latency bucket on an answer is slow; 0: none is."""
        self._services[slot * layout.SERVICE_WORDS + layout.S_SLOW] = bucket

    def zero_bank(self, cells: Iterable[int], epoch: int) -> None:
        """Zero an epoch's bank of ``cells`` in all regions; the floor is set first."""
        self._zero(cells, layout.bank_offset(epoch), layout.BANK_WORDS)

    def zero_cells(self, cells: Iterable[int]) -> None:
        """Zero whole cells in all regions, before they are given to another arm."""
        self._zero(cells, 0, layout.CELL_WORDS)

    def zero_event(self, cells: Iterable[int], word: int) -> None:
        """Zero an event's counts in ``cells``, before another event gets its word."""
        held = list(cells)
        self._zero(held, layout.C_EVENTS + word, 1)
        for bank in (layout.bank_offset(0), layout.bank_offset(1), layout.C_JUDGED):
            self._zero(held, bank + layout.B_EVENTS + word, 1)

    def judged(self, worker: int, cell: int, epoch: int) -> bytes:
        """
        Return what of a worker's bank was judged in ``epoch``, as raw words.

        Of another epoch nothing was judged: its copy is zeroed.
        """
        first = layout.region_base(worker) + layout.cell_offset(cell)
        at = (first + layout.C_JUDGED) * _BYTE
        tag = _read(self.fd, first + layout.C_JUDGED_EPOCH, 1)[0]
        if tag != epoch + 1:
            zero_range(self.fd, at, at + layout.BANK_WORDS * _BYTE)
            word = (epoch + 1).to_bytes(_BYTE, sys.byteorder)
            os.pwrite(self.fd, word, (first + layout.C_JUDGED_EPOCH) * _BYTE)
        return os.pread(self.fd, layout.BANK_WORDS * _BYTE, at)

    def note_judged(self, worker: int, cell: int, start: int, words: bytes) -> None:
        """Note that ``words`` of a worker's bank, from word ``start``, were judged."""
        first = layout.region_base(worker) + layout.cell_offset(cell) + layout.C_JUDGED
        os.pwrite(self.fd, words, (first + start) * _BYTE)

    def zero_seen(self, table: int) -> None:
        """Forget all units of a seen table, before another version gets it."""
        first = layout.seen_byte_offset(table)
        zero_range(self.fd, first, first + layout.SEEN_WORDS * _BYTE)

    def _zero(self, cells: Iterable[int], start: int, count: int) -> None:
        offsets = [layout.cell_offset(cell) + start for cell in cells]
        for worker in range(self.workers):
            base = layout.region_base(worker)
            for offset in offsets:
                first = (base + offset) * _BYTE
                zero_range(self.fd, first, first + count * _BYTE)

    @staticmethod
    def _checks(slot: int, version: int) -> int:
        return slot * layout.SERVICE_WORDS + layout.S_CHECKS + version

    @staticmethod
    def _row(slot: int, epoch: int) -> int:
        row = layout.S_ROWS + (epoch & 1) * layout.ROW_WORDS
        return slot * layout.SERVICE_WORDS + row


class SupervisorSlab:
    """The supervisor's view: who lives, who beats, and regions made ready."""

    __slots__ = ("_header", "fd", "workers")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.workers = workers_of(fd)
        self._header = _map(fd, 0, layout.PAGE_WORDS)

    def set_started(self, now_s: int) -> None:
        """Note when the tree started, in Unix time."""
        self._header[layout.H_STARTED_AT_S] = now_s

    def set_draining(self) -> None:
        """Tell everybody that the tree is about to end; readiness fails at once."""
        self._header[layout.H_DRAINING] = 1

    def set_control_restarts(self, restarts: int) -> None:
        """Publish how often control was replaced."""
        self._header[layout.H_CONTROL_RESTARTS] = restarts

    def set_worker(self, worker: int, row: WorkerRow) -> None:
        """Publish who a worker is and what state it is in."""
        first = layout.H_WORKER_ROWS + worker * layout.W_ROW_WORDS
        self._header[first + layout.WR_PID] = row.pid
        self._header[first + layout.WR_STATE] = row.state
        self._header[first + layout.WR_RESTARTS] = row.restarts

    def beat_ms(self, worker: int) -> int:
        """Return a worker's last heartbeat (CLOCK_MONOTONIC); 0 before the first."""
        return _read(self.fd, layout.region_base(worker) + layout.R_BEAT_MS, 1)[0]

    def control_beat_ms(self) -> int:
        """Return control's last heartbeat; 0 before the first."""
        return self._header[layout.H_CONTROL_BEAT_MS]

    def clear_control_beat(self) -> None:
        """Forget the heartbeat of the control process that ended."""
        self._header[layout.H_CONTROL_BEAT_MS] = 0

    def prepare_region(self, worker: int, generation: int) -> None:
        """
        Make a dead worker's region ready for its replacement.

        Counters stay, gauges become zero. ``generation`` is that of the table
        which the replacement will be given: it stands in ``R_GENERATION``
        before the process starts, so that none of that table's slots is reused
        meanwhile.
        """
        zero_gauges(self.fd, worker)
        region = _map(self.fd, layout.region_base(worker), layout.PAGE_WORDS)
        region[layout.R_GENERATION] = generation


def zero_gauges(fd: int, worker: int) -> None:
    """
    Zero what a worker's region says about connections and requests in flight.

    Only while that worker does not run. Finds the cells that were ever touched
    by itself; the others keep costing nothing.
    """
    base = layout.region_base(worker)
    for gauge in _REGION_GAUGES:
        zero_range(fd, (base + gauge) * _BYTE, (base + gauge + 1) * _BYTE)
    for cell in _touched_cells(fd, base):
        for start, count in _CELL_GAUGES:
            first = (base + layout.cell_offset(cell) + start) * _BYTE
            zero_range(fd, first, first + count * _BYTE)


def _touched_cells(fd: int, base: int) -> list[int]:
    """Return the cells of the region at ``base`` (a word) that have any page."""
    start = (base + layout.REGION_CELLS) * _BYTE
    end = (base + layout.REGION_WORDS) * _BYTE
    size = layout.CELL_WORDS * _BYTE
    cells: set[int] = set()
    for first, last in data_extents(fd, start, end):
        cells.update(range((first - start) // size, (last - 1 - start) // size + 1))
    return sorted(cells)


def _region_service(slot: int) -> int:
    return layout.REGION_SERVICES + slot * layout.REGION_SERVICE_WORDS


def _read(fd: int, first: int, count: int) -> memoryview:
    return memoryview(os.pread(fd, count * _BYTE, first * _BYTE)).cast("Q")


def _map(fd: int, first: int, count: int) -> memoryview:
    """Return ``count`` words from word ``first``, as a writable view."""
    offset = first * _BYTE
    skipped = offset % mmap.ALLOCATIONGRANULARITY  # 64 KiB pages exist on ARM
    size = skipped + count * _BYTE
    area = mmap.mmap(fd, size, offset=offset - skipped)
    return memoryview(area)[skipped:].cast("Q")


_FENCE = threading.Lock()


def _fence() -> None:
    """
    Keep the stores before it before the stores after it, on ARM too.

    A release and the next acquire are ordered there (x86 never reorders
    stores); readers need none, because the row's address depends on the epoch.
    """
    for _ in range(2):
        with _FENCE:
            pass
