"""Sparse memory: what has pages is found, what has none gets none."""

import mmap
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.telemetry.sparse import data_extents, zero_range

PAGE = mmap.PAGESIZE
PAGES = 64


def memory(touched: set[int]) -> int:
    """Return a memfd in which these pages are full of ones."""
    fd = os.memfd_create("sparse")
    os.ftruncate(fd, PAGES * PAGE)
    for page in touched:
        os.pwrite(fd, b"\xff" * PAGE, page * PAGE)
    return fd


touched_pages = st.sets(st.integers(0, PAGES - 1))
ranges = st.tuples(st.integers(0, PAGES * PAGE), st.integers(0, PAGES * PAGE)).map(
    lambda pair: (min(pair), max(pair))
)


@given(touched_pages, ranges)
@settings(deadline=None)
def test_extents_are_the_touched_pages(
    touched: set[int], wanted: tuple[int, int]
) -> None:
    """Each byte of the range is in an extent exactly when its page was touched."""
    fd = memory(touched)
    start, end = wanted
    extents = list(data_extents(fd, start, end))
    os.close(fd)

    expected = sum(
        max(0, min(end, (page + 1) * PAGE) - max(start, page * PAGE))
        for page in touched
    )
    assert sum(last - first for first, last in extents) == expected
    assert all(start <= first < last <= end for first, last in extents)


@given(touched_pages, ranges)
@settings(deadline=None)
def test_zeroing_changes_the_range_only_and_allocates_nothing(
    touched: set[int], wanted: tuple[int, int]
) -> None:
    """What lies outside keeps its value; holes stay holes."""
    fd = memory(touched)
    before, blocks = os.pread(fd, PAGES * PAGE, 0), os.fstat(fd).st_blocks
    start, end = wanted

    zero_range(fd, start, end)

    after = os.pread(fd, PAGES * PAGE, 0)
    assert after == before[:start] + bytes(end - start) + before[end:]
    assert os.fstat(fd).st_blocks == blocks
    os.close(fd)
