"""
What the slab says at one moment, summed over the workers.

An arm's *live figures* since the start, which are shown (what may be judged is
read by ``telemetry.added``). They are read with ``pread``, which allocates nothing
where nobody ever wrote, and come as sparse dicts, because a histogram of 1664
buckets mostly holds zeros: whole rows of 64 words are compared with zeros before
any number becomes an object.
Nothing is decided here, and nothing is written.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import CODE_COUNT, Flag, MirrorOutcome
from proxy.telemetry import layout

Counts = dict[int, int]
"""How often each value, bucket or code was seen; what was never seen is absent."""

ROW_WORDS = 64
"""Words skipped at once when they are all zero: one octave of a histogram."""
ROW_BYTES = ROW_WORDS * layout.WORD_BYTES
ZERO_ROW = bytes(ROW_BYTES)

ERROR_CODE_MIN = 500
"""A 5xx, or (from 600) an attempt without a usable answer."""


class Readable(Protocol):
    """A slab as far as readings need it."""

    @property
    def fd(self) -> int:
        """The memfd."""
        ...

    @property
    def workers(self) -> int:
        """How many worker regions it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Again:
    """Attempts that were not a request's first: part of no rate of their version."""

    attempts: int
    failed: int

    def since(self, earlier: "Again") -> "Again":
        """Return what was added after ``earlier``."""
        return Again(
            max(self.attempts - earlier.attempts, 0),
            max(self.failed - earlier.failed, 0),
        )


@dataclass(frozen=True, slots=True)
class Live:
    """One arm on one route since the slab was made; gauges as of now."""

    words: Counts
    """The words before the codes by their place in the layout."""
    requests: Counts
    attempts: Counts
    latency: Counts
    ttfb: Counts

    def word(self, place: int) -> int:
        """Return one of the words ``layout.C_*`` below ``C_REQUESTS``."""
        return self.words.get(place, 0)

    @property
    def again(self) -> Again:
        """Return how many of the attempts were not the first."""
        return Again(self.word(layout.C_AGAIN), self.word(layout.C_AGAIN_FAILED))

    def failures(self) -> dict[Flag, int]:
        """Return how many attempts ended with each flag."""
        return {
            flag: count
            for flag in Flag
            if (count := self.word(layout.C_FLAGS + flag)) > 0
        }

    def mirrored(self) -> dict[MirrorOutcome, int]:
        """Return what became of mirrored requests (in the ``mirror`` arm)."""
        return {
            outcome: count
            for outcome in MirrorOutcome
            if (count := self.word(layout.C_MIRROR + outcome)) > 0
        }


def read_attempts(slab: Readable, cell: int) -> Counts:
    """Return the attempts of ``cell`` by outcome code since the slab was made."""
    start = layout.cell_offset(cell) + layout.C_ATTEMPTS
    return _read_sections(slab, start, (CODE_COUNT,))[0]


def read_again(slab: Readable, cell: int) -> Again:
    """Return how many attempts of ``cell`` were not a request's first."""
    start = layout.cell_offset(cell) + layout.C_AGAIN
    words = _read_sections(slab, start, (2,))[0]
    return Again(words.get(0, 0), words.get(1, 0))


def read_errors(slab: Readable, cell: int) -> bytes:
    """
    Return the raw counters of ``cell``'s failed attempts, one worker after another.

    Only good for telling whether any of them moved: two readings are equal, or
    not. 2 µs a worker, a fortieth of counting them.
    """
    start = layout.cell_offset(cell) + layout.C_ATTEMPTS + ERROR_CODE_MIN
    count = CODE_COUNT - ERROR_CODE_MIN
    return b"".join(
        _pread(slab, worker, start, count) for worker in range(slab.workers)
    )


def read_live(slab: Readable, cell: int) -> Live:
    """Return the figures of ``cell`` since the slab was made."""
    words, requests, attempts, latency, ttfb = _read_sections(
        slab,
        layout.cell_offset(cell),
        (layout.C_REQUESTS, CODE_COUNT, CODE_COUNT, BUCKET_COUNT, BUCKET_COUNT),
    )
    return Live(words, requests, attempts, latency, ttfb)


def difference(now: Mapping[int, int], before: Mapping[int, int]) -> Counts:
    """
    Return what was added between two readings of the same counters.

    A counter that is lower than it was has been started again at zero.
    """
    if not before:
        return dict(now)
    added: Counts = {}
    for place, count in now.items():
        was = before.get(place, 0)
        grown = count - was if count >= was else count
        if grown:
            added[place] = grown
    return added


def add_words(data: bytes, start: int, count: int, totals: Counts) -> None:
    """Add the words ``start`` to ``start + count`` of ``data`` to ``totals``."""
    section = data[start * layout.WORD_BYTES : (start + count) * layout.WORD_BYTES]
    if section == zeros(count):
        return
    # A copy, a comparison and ``tolist`` a row: 2.5 times as fast as reading the
    # words one by one, 40 times for a section of zeros.
    words = memoryview(section).cast("Q")
    get = totals.get
    for row in range(0, count, ROW_WORDS):
        at = row * layout.WORD_BYTES
        if section[at : at + ROW_BYTES] != ZERO_ROW:
            for place, value in enumerate(words[row : row + ROW_WORDS].tolist(), row):
                if value:
                    totals[place] = get(place, 0) + value


@lru_cache(maxsize=8)
def zeros(words: int) -> bytes:
    """Return so many words of zeros; the layout has four sizes of sections."""
    return bytes(words * layout.WORD_BYTES)


def _read_sections(slab: Readable, start: int, sizes: tuple[int, ...]) -> list[Counts]:
    """Return sections that lie one after the other from region word ``start``."""
    totals: list[Counts] = [{} for _ in sizes]
    for worker in range(slab.workers):
        data = _pread(slab, worker, start, sum(sizes))
        at = 0
        for size, total in zip(sizes, totals, strict=True):
            add_words(data, at, size, total)
            at += size
    return totals


def _pread(slab: Readable, worker: int, start: int, count: int) -> bytes:
    offset = (layout.region_base(worker) + start) * layout.WORD_BYTES
    data = os.pread(slab.fd, count * layout.WORD_BYTES, offset)
    assert len(data) == count * layout.WORD_BYTES, "the slab ends before its layout"
    return data
