"""Pairs on their way to be compared, in memory that processes share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry import pairs
from proxy.telemetry.pairs import Ledger, Leg, Record, RingReader, RingWriter


@pytest.fixture
def fd() -> Iterator[int]:
    """Return rings of two workers."""
    made = pairs.create(2)
    yield made
    os.close(made)


def record(size: int = 100, *, slot: int = 3, tag: bytes = b"x") -> Record:
    """Return a record with an answer of ``size`` bytes."""
    legs = (
        Leg(0, ended=False, latency_us=1200, raw=tag * size),
        Leg(1, ended=True, latency_us=0, raw=b""),
        Leg(5, ended=False, latency_us=2**40, raw=b"y"),
    )
    return Record(slot, 7, 12.5, True, b"GET / HTTP/1.1\r\n\r\n", b"body", legs)  # noqa: FBT003


def test_records_come_out_as_they_went_in(fd: int) -> None:
    """Each worker has a ring of its own; order is kept within it."""
    writers = [RingWriter(fd, worker) for worker in range(2)]
    readers = [RingReader(fd, worker) for worker in range(2)]
    for n in range(5):
        assert writers[0].put(record(10 + n))
    assert writers[1].put(record(1, slot=9))

    taken = [readers[0].take() for _ in range(6)]
    other = readers[1].take()

    assert [len(one.legs[0].raw) for one in taken[:5] if one] == [10, 11, 12, 13, 14]
    assert taken[5] is None
    assert not readers[0].waiting
    assert other is not None
    assert (other.slot, other.generation, other.monotonic_s) == (9, 7, 12.5)
    assert (other.sampled, other.body) == (True, b"body")
    assert other.legs[1] == Leg(1, ended=True, latency_us=0, raw=b"")
    assert other.legs[2].latency_us == 2**32 - 1


def test_a_full_ring_takes_nothing_and_recovers(fd: int) -> None:
    """Without room ``put`` says no; once something was taken there is room again."""
    writer, reader = RingWriter(fd, 0), RingReader(fd, 0)
    written = 0
    while writer.put(record(1_000_000)):
        written += 1

    assert written == pairs.RING_BYTES // 1_000_000
    assert reader.take() is not None
    assert writer.put(record(1_000_000, tag=b"z"))
    last = None
    while (one := reader.take()) is not None:
        last = one
    assert last is not None
    assert last.legs[0].raw == b"z" * 1_000_000


def test_records_survive_the_end_of_the_ring(fd: int) -> None:
    """A record that reaches over the end is put together again."""
    writer, reader = RingWriter(fd, 0), RingReader(fd, 0)
    for n in range(40):
        tag = bytes([n + 1])
        assert writer.put(record(900_001, tag=tag))
        taken = reader.take()
        assert taken is not None
        assert taken.legs[0].raw == tag * 900_001


def test_what_is_too_large_is_not_taken(fd: int) -> None:
    """A record beyond the bound is refused at both ends."""
    assert not RingWriter(fd, 0).put(record(pairs.RECORD_BYTES_MAX))


def test_garbage_is_thrown_away(fd: int) -> None:
    """What is no record never stops the ring: later records come through."""
    writer, reader = RingWriter(fd, 0), RingReader(fd, 0)
    assert writer.put(record())
    os.pwrite(fd, b"\xff" * 64, pairs.HEADER_BYTES)
    assert reader.take() is None
    assert not reader.waiting
    assert writer.put(record())
    assert reader.take() is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    """Bytes that are no record are ``None``, whatever they claim."""
    parsed = pairs.parse(data)

    assert parsed is None or pairs.head_of(parsed)


def test_what_a_dead_process_had_taken_is_lost(fd: int) -> None:
    """The next process counts what was taken and never brought to an end."""
    first = Ledger(fd)
    first.adopt([(3, 77)])
    for word in (pairs.S_TAKEN, pairs.S_EQUAL, pairs.S_TAKEN, pairs.S_DIFFERENT):
        first.add(3, word)
    first.add(3, pairs.S_TAKEN)
    Ledger(fd).adopt([(3, 77)])

    assert pairs.service_counts(fd, 3)[:6] == (77, 3, 1, 1, 0, 1)


def test_a_slot_of_somebody_else_begins_at_zero(fd: int) -> None:
    """Counters belong to the service, not to the place."""
    ledger = Ledger(fd)
    ledger.adopt([(3, 77)])
    ledger.add(3, pairs.S_TAKEN)
    ledger.adopt([(3, 78)])

    assert pairs.service_counts(fd, 3)[:6] == (78, 0, 0, 0, 0, 0)


def test_the_heartbeat_is_seen_by_others(fd: int) -> None:
    """The supervisor reads the beat without a mapping, and clears it."""
    Ledger(fd).beat(4711)
    assert pairs.beat_ms(fd) == 4711
    pairs.clear_beat(fd)
    assert pairs.beat_ms(fd) == 0
