"""
Reading and zeroing ranges of a sparse memfd without giving its holes pages.

A page fault on a hole of shared memory allocates the page, even when it only
reads. ``pread`` does not, and ``SEEK_DATA`` tells where pages are; both are
used here, so that a slab that is read as a whole stays as small as it was.
Nothing here knows what the words mean.
"""

import errno
import os
from collections.abc import Iterator

_ZEROS = bytes(64 * 1024)
"""What is written over a range, piece by piece."""


def data_extents(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """
    Yield the parts of ``[start, end)`` (bytes) that have pages, in order.

    The parts are cut to the range; a page that was allocated but holds zeros
    counts as data.
    """
    position = start
    while position < end:
        try:
            first = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data up to the end of the file
                return
            raise
        if first >= end:
            return
        position = min(os.lseek(fd, first, os.SEEK_HOLE), end)
        yield first, position


def zero_range(fd: int, start: int, end: int) -> None:
    """Make the bytes ``[start, end)`` zero; holes stay holes."""
    for first, last in data_extents(fd, start, end):
        position = first
        while position < last:
            piece = _ZEROS[: last - position]
            position += os.pwrite(fd, piece, position)
