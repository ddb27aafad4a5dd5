"""
The latency histogram's buckets: log-linear, in whole microseconds.

Values below 128 µs have a bucket each; every octave above has 64 buckets, so a
bucket is never wider than 1/64 (1.5625 %) of its lower edge. The last bucket
also holds everything longer than about 35.8 minutes.
(The scheme is that of HdrHistogram with 64 sub-buckets.)
"""

SUB_BUCKETS = 64
BUCKET_COUNT = 1664
"""Two linear rows of 64 and one row for each of the 24 octaves above 128 µs."""

SHIFT_MAX = 24
"""The octave of the last row: its buckets are 2^24 µs wide."""

VALUE_US_MAX = (127 << 24) | ((1 << 24) - 1)
"""The largest value with a bucket of its own width: 2^31 - 1 µs."""


def bucket_of(value_us: int) -> int:
    """Return the index (0 to 1663) of the bucket that holds ``value_us`` (≥ 0)."""
    shift = value_us.bit_length() - 7
    if shift <= 0:
        return value_us
    if shift > SHIFT_MAX:
        return BUCKET_COUNT - 1
    return (shift << 6) + (value_us >> shift)


def lower_edge_us(index: int) -> int:
    """Return the smallest value, in µs, that falls into bucket ``index``."""
    if index < 2 * SUB_BUCKETS:
        return index
    shift = (index >> 6) - 1
    return (index - (shift << 6)) << shift


def upper_edge_us(index: int) -> int:
    """Return the smallest value, in µs, that lies above bucket ``index``."""
    return lower_edge_us(index + 1)
