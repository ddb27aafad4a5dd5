"""A unit's bucket: the contract's vectors, and what follows from hashing."""

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.buckets import bucket_of_unit, salt_prefix

UNITS = [f"user-{number}".encode() for number in range(100_000)]


@pytest.mark.parametrize(
    ("salt", "unit", "bucket"),
    [
        ("2.4.0", "user-1", 9029),
        ("2.4.0", "user-2", 61361),
        ("2.4.1", "user-1", 13790),
        ("checkout", "ann@example.com", 7528),
        ("2.4.0", "Zoë", 68386),
    ],
)
def test_the_contracts_vectors(salt: str, unit: str, bucket: int) -> None:
    """Every replica, and every other program, computes the same."""
    assert bucket_of_unit(salt_prefix(salt), unit.encode()) == bucket


@given(st.text(max_size=20), st.binary(max_size=64))
def test_buckets_are_in_range_and_stay(salt: str, unit: bytes) -> None:
    """0 to 99 999, of salt, NUL and unit alone."""
    bucket = bucket_of_unit(salt_prefix(salt), unit)

    hashed = mmh3.hash(salt.encode() + b"\0" + unit, 0, signed=False)
    assert bucket == hashed * 100_000 // 2**32
    assert 0 <= bucket < 100_000


def test_units_spread_evenly() -> None:
    """A share of the buckets is that share of the units: within 4 sigma."""
    prefix = salt_prefix("2.4.0")
    buckets = [bucket_of_unit(prefix, unit) for unit in UNITS]

    for low in range(0, 100_000, 10_000):
        inside = sum(low <= bucket < low + 10_000 for bucket in buckets)
        assert abs(inside - 10_000) < 4 * 95


def test_two_salts_are_independent() -> None:
    """Another service, or another revision, puts other users first."""
    one, other = salt_prefix("checkout"), salt_prefix("search")
    both = sum(
        bucket_of_unit(one, unit) < 20_000 and bucket_of_unit(other, unit) < 20_000
        for unit in UNITS
    )

    assert abs(both - 4_000) < 4 * 62
