"""
What was added to an arm's evidence since it was judged last.

The bank of the present weight epoch is compared with control's copy of what was
judged of it before, which lies beside it in the slab: so a control process that
was restarted judges all that came meanwhile, and nothing twice. The copy is
moved on before the judgement is saved; dying in between loses a second of
evidence and never counts one twice. Most words stay as they are from one second
to the next, so rows of 64 are compared before any number becomes an object.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from proxy.analysis.values import Window
from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import CODE_COUNT
from proxy.telemetry import layout
from proxy.telemetry.cut import ROW_BYTES, ROW_WORDS, Counts
from proxy.telemetry.slab import ControlSlab

SECTIONS = (
    (0, layout.B_CODES),
    (layout.B_CODES, CODE_COUNT),
    (layout.B_LATENCY, BUCKET_COUNT),
    (layout.B_TTFB, BUCKET_COUNT),
    (layout.B_CENSORED, BUCKET_COUNT),
    (layout.B_AGES, BUCKET_COUNT),
)
"""(first word, words) of a bank's parts."""

HALF = 1 << 63
"""Added to each change, so that a gauge may go down and no word is negative."""
HALF_ROW = HALF.to_bytes(layout.WORD_BYTES, sys.byteorder) * ROW_WORDS

Bank = tuple[int, bytes, bytes]
"""A worker, its bank now, and what of it was judged before."""


@dataclass(frozen=True, slots=True)
class Added:
    """One arm on one route: what one look found new."""

    head: Counts
    """The words before the codes, by their place in the layout; gauges by change."""
    window: Window

    @property
    def routed(self) -> int:
        """Evidence requests routed."""
        return self.head.get(layout.B_ROUTED, 0)

    @property
    def ended(self) -> int:
        """Evidence requests that came to an end, with an outcome or without."""
        return self.routed - self.head.get(layout.B_OPEN, 0)


def read_added(slab: ControlSlab, cell: int, epoch: int) -> Added:
    """Return what ``cell`` gained in ``epoch`` since the last call, and note it."""
    at = layout.cell_offset(cell) + layout.bank_offset(epoch)
    count = layout.BANK_WORDS * layout.WORD_BYTES
    banks: list[Bank] = []
    for worker in range(slab.workers):
        first = (layout.region_base(worker) + at) * layout.WORD_BYTES
        now = os.pread(slab.fd, count, first)
        before = slab.judged(worker, cell, epoch)
        if now != before:
            banks.append((worker, now, before))
    parts = [_gained(slab, cell, start, words, banks) for start, words in SECTIONS]
    head, codes, latency, ttfb, censored, ages = parts
    return Added(head, Window(codes, latency, ttfb, censored, ages))


def _gained(
    slab: ControlSlab, cell: int, start: int, words: int, banks: Iterable[Bank]
) -> Counts:
    """Return what changed in a section over all workers, and note it."""
    at, end = start * layout.WORD_BYTES, (start + words) * layout.WORD_BYTES
    changed: list[tuple[bytes, bytes]] = []
    low, high = words * layout.WORD_BYTES, 0
    for worker, bank, judged in banks:
        now, before = bank[at:end], judged[at:end]
        if now == before:
            continue
        first, last = _extent(now, before)
        # In one write: a row with nothing new is written as it is already.
        place = start + first // layout.WORD_BYTES
        slab.note_judged(worker, cell, place, now[first:last])
        changed.append((now, before))
        low, high = min(low, first), max(high, last)
    if not changed:
        return {}
    # All words are subtracted and summed at once, as the digits of one large
    # integer in base 2^64. None carries: each is a small change to ``HALF``.
    total = _halves(high - low)
    for now, before in changed:
        total += int.from_bytes(now[low:high], sys.byteorder)
        total -= int.from_bytes(before[low:high], sys.byteorder)
    return _counts(total.to_bytes(high - low, sys.byteorder), low // layout.WORD_BYTES)


def _extent(now: bytes, before: bytes) -> tuple[int, int]:
    """Return where the rows that differ begin and end, in bytes; some row does."""
    first, last = 0, -(-len(now) // ROW_BYTES) * ROW_BYTES
    while now[first : first + ROW_BYTES] == before[first : first + ROW_BYTES]:
        first += ROW_BYTES
    while now[last - ROW_BYTES : last] == before[last - ROW_BYTES : last]:
        last -= ROW_BYTES
    return first, min(last, len(now))


def _counts(data: bytes, place: int) -> Counts:
    """Return the changes among words with ``HALF`` added; the first is ``place``."""
    counts: Counts = {}
    for first in range(0, len(data), ROW_BYTES):
        row = data[first : first + ROW_BYTES]
        if row == HALF_ROW:
            continue
        values = memoryview(row).cast("Q").tolist()
        for offset, value in enumerate(values, place + first // layout.WORD_BYTES):
            if value != HALF:
                counts[offset] = value - HALF
    return counts


@lru_cache(maxsize=64)
def _halves(size: int) -> int:
    """Return so many bytes of words that are ``HALF``; there are 27 sizes."""
    word = HALF.to_bytes(layout.WORD_BYTES, sys.byteorder)
    return int.from_bytes(word * (size // layout.WORD_BYTES), sys.byteorder)
