"""
A unit's bucket: deterministic, the same on every replica and after a restart.

``bucket = (murmur3_32(salt + NUL + unit) × 100 000) >> 32`` over UTF-8 bytes
with seed 0. Multiplying and shifting maps 2^32 hashes evenly (Lemire 2016).
"""

import mmh3

from proxy.model.vocabulary import UNIT_BUCKETS


def salt_prefix(salt: str) -> bytes:
    """Return what stands before the unit in the hashed bytes."""
    return salt.encode() + b"\0"


def bucket_of_unit(prefix: bytes, unit: bytes) -> int:
    """Return the bucket, 0 to 99 999, of a unit under a salt's prefix."""
    return (mmh3.hash(prefix + unit, 0, signed=False) * UNIT_BUCKETS) >> 32
