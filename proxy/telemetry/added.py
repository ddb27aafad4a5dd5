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
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.analysis.values import Window
from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import CODE_COUNT
from proxy.telemetry import layout
from proxy.telemetry.cut import ROW_BYTES, Counts
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
    parts: list[Counts] = [{} for _ in SECTIONS]
    at = layout.cell_offset(cell) + layout.bank_offset(epoch)
    count = layout.BANK_WORDS * layout.WORD_BYTES
    for worker in range(slab.workers):
        first = (layout.region_base(worker) + at) * layout.WORD_BYTES
        now = os.pread(slab.fd, count, first)
        before = slab.judged(worker, cell, epoch)
        if now == before:
            continue
        for (start, words), part in zip(SECTIONS, parts, strict=True):
            for place, row in _changed(start, words, now, before, part):
                slab.note_judged(worker, cell, place, row)
    head, codes, latency, ttfb, censored, ages = parts
    return Added(head, Window(codes, latency, ttfb, censored, ages))


def _changed(
    start: int, words: int, now: bytes, before: bytes, part: Counts
) -> Iterator[tuple[int, bytes]]:
    """Add what changed in a section to ``part``; yield the rows and their places."""
    end = (start + words) * layout.WORD_BYTES
    at = start * layout.WORD_BYTES
    if now[at:end] == before[at:end]:
        return
    for first in range(at, end, ROW_BYTES):
        last = min(first + ROW_BYTES, end)
        row = now[first:last]
        old = before[first:last]
        if row == old:
            continue
        place = first // layout.WORD_BYTES
        yield place, row
        pairs = zip(
            memoryview(row).cast("Q").tolist(),
            memoryview(old).cast("Q").tolist(),
            strict=True,
        )
        for offset, (new, was) in enumerate(pairs, place - start):
            if new != was:
                part[offset] = part.get(offset, 0) + new - was
