"""
Pairs on their way to be compared: one ring a worker, in memory that all share.

A sparse memfd that the supervisor makes. Each worker writes records into its own
ring and publishes them by one word; the compare process reads them and publishes
how far it came by another. Neither makes a call into the kernel or ever waits:
a ring without room takes nothing, and the worker counts that. What a worker had
begun to write when it died was never published; what the compare process had not
taken yet when it died is still there for the next one.

::

    header      8 words a worker (ring written, ring read), the heartbeat
    services    8 words a service slot: what became of its pairs (compare process)
    rings       ``RING_BYTES`` a worker

A record is a head of fixed size, the request as it was copied, and the bytes of
up to three answers as they came over the wire.
"""

import mmap
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from proxy.telemetry.layout import SERVICES_MAX, WORD_BYTES, WORKERS_MAX

RING_BYTES: Final = 8 * 1024 * 1024
"""Two and a half of the largest records, or some thousand small ones."""
RECORD_BYTES_MAX: Final = 4 * 1024 * 1024
"""64 KiB of body, three answers of 1 MiB, and their heads."""

_ROW_WORDS: Final = 8
_WRITTEN, _READ = 0, 1
_BEAT: Final = WORKERS_MAX * _ROW_WORDS
SERVICES_AT: Final = (WORKERS_MAX + 1) * _ROW_WORDS
SERVICE_WORDS: Final = 8
S_NAME, S_TAKEN, S_EQUAL, S_DIFFERENT, S_UNUSABLE, S_LOST = range(6)
"""Of a slot: whose it is (a hash), pairs taken from the rings, and what they came
to: equal, different, without a usable live answer, lost with a process that died."""
_HEADER_WORDS: Final = SERVICES_AT + SERVICES_MAX * SERVICE_WORDS
HEADER_BYTES: Final = -(-_HEADER_WORDS * WORD_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE

HEAD: Final = struct.Struct("<IHBBQdII" + "BBIi" * 3)
"""Size, slot, flags, -, table generation, monotonic seconds, sizes of request and
body; then of each leg: outcome, ended, latency in µs, size."""
LEGS: Final = 3
F_SAMPLED: Final = 1
"""A second answer of stable could have been asked for (it need not have been)."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One answer: how it ended (``parallel.values.Outcome``) and its bytes."""

    outcome: int
    ended: bool
    """The origin closed the connection in order."""
    latency_us: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One request and its answers: of stable, the candidate, and stable again."""

    slot: int
    generation: int
    """Of the route table that the request was routed by."""
    monotonic_s: float
    sampled: bool
    request: bytes
    """Head and all, as the copy was sent."""
    body: bytes
    legs: tuple[Leg, Leg, Leg]


def create(workers: int) -> int:
    """Return the descriptor of new rings, closed on exec; costs no memory yet."""
    fd = os.memfd_create("headgate-pairs", os.MFD_CLOEXEC)
    os.ftruncate(fd, HEADER_BYTES + workers * RING_BYTES)
    return fd


def beat_ms(fd: int) -> int:
    """Return the compare process's heartbeat (CLOCK_MONOTONIC)."""
    data = os.pread(fd, WORD_BYTES, _BEAT * WORD_BYTES)
    return int.from_bytes(data, "little")


def clear_beat(fd: int) -> None:
    """Forget the heartbeat of a process that is about to be replaced."""
    os.pwrite(fd, bytes(WORD_BYTES), _BEAT * WORD_BYTES)


def service_counts(fd: int, slot: int) -> tuple[int, ...]:
    """Return a slot's words, by ``S_*``."""
    at = (SERVICES_AT + slot * SERVICE_WORDS) * WORD_BYTES
    return struct.unpack(f"<{SERVICE_WORDS}Q", os.pread(fd, SERVICE_WORDS * 8, at))


def head_of(record: Record) -> bytes:
    """Return the fixed head of a record whose lengths are known."""
    legs: list[int] = []
    for leg in record.legs:
        legs += (leg.outcome, leg.ended, min(leg.latency_us, 0xFFFFFFFF), len(leg.raw))
    sizes = len(record.request), len(record.body)
    total = HEAD.size + sum(sizes) + sum(len(leg.raw) for leg in record.legs)
    return HEAD.pack(
        total,
        record.slot,
        F_SAMPLED if record.sampled else 0,
        0,
        record.generation,
        record.monotonic_s,
        *sizes,
        *legs,
    )


def parse(data: bytes) -> Record | None:
    """Return the record that bytes hold; ``None`` if they hold none."""
    if len(data) < HEAD.size:
        return None
    total, slot, flags, _, generation, at_s, request_bytes, body_bytes, *legs = (
        HEAD.unpack_from(data)
    )
    sizes = [request_bytes, body_bytes, *legs[3::4]]
    if total != len(data) or min(sizes) < 0 or HEAD.size + sum(sizes) != total:
        return None
    parts = []
    at = HEAD.size
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    first, second, third = (
        Leg(legs[4 * n], bool(legs[4 * n + 1]), legs[4 * n + 2], parts[2 + n])
        for n in range(LEGS)
    )
    return Record(
        slot,
        generation,
        at_s,
        bool(flags & F_SAMPLED),
        parts[0],
        parts[1],
        (first, second, third),
    )


class _Ring:
    """Both ends' view of one ring."""

    __slots__ = ("_bytes", "_words")

    def __init__(self, fd: int, worker: int) -> None:
        header = memoryview(mmap.mmap(fd, HEADER_BYTES)).cast("Q")
        at = worker * _ROW_WORDS
        self._words = header[at : at + _ROW_WORDS]
        self._bytes = memoryview(
            mmap.mmap(fd, RING_BYTES, offset=HEADER_BYTES + worker * RING_BYTES)
        )


class RingWriter(_Ring):
    """A worker's end; nobody else writes to its ring."""

    __slots__ = ()

    def put(self, record: Record) -> bool:
        """Publish a record; False if there is no room for it."""
        raws = [leg.raw for leg in record.legs]
        return self.write((head_of(record), record.request, record.body, *raws))

    def has_room(self) -> bool:
        """Whether any record would fit, however large."""
        words = self._words
        return bool(words[_WRITTEN] - words[_READ] <= RING_BYTES - RECORD_BYTES_MAX)

    def write(self, parts: tuple[bytes | bytearray, ...]) -> bool:
        """Publish the parts of a record, its head first; False: there is no room."""
        size = 0
        for part in parts:
            size += len(part)
        written = self._words[_WRITTEN]
        room = RING_BYTES - (written - self._words[_READ])
        if size > room or size > RECORD_BYTES_MAX:
            return False
        at = written % RING_BYTES
        if at + size <= RING_BYTES:
            self._bytes[at : at + size] = b"".join(parts)
        else:
            self._wrap(at, b"".join(parts))
        self._words[_WRITTEN] = written + size
        return True

    def _wrap(self, at: int, data: bytes) -> None:
        cut = RING_BYTES - at
        self._bytes[at:] = data[:cut]
        self._bytes[: len(data) - cut] = data[cut:]


class RingReader(_Ring):
    """The compare process's end."""

    __slots__ = ()

    def take(self) -> Record | None:
        """
        Return the next record, which is then no longer in the ring; or ``None``.

        What is no record is thrown away, with all that follows it: nothing
        behind it can be told apart.
        """
        read, written = self._words[_READ], self._words[_WRITTEN]
        if read == written:
            return None
        (size,) = struct.unpack("<I", self._copy(read, 4))
        record = None
        if HEAD.size <= size <= min(RECORD_BYTES_MAX, written - read):
            record = parse(self._copy(read, size))
        self._words[_READ] = written if record is None else read + size
        return record

    @property
    def waiting(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._words[_READ] != self._words[_WRITTEN])

    def _copy(self, position: int, size: int) -> bytes:
        at = position % RING_BYTES
        end = at + size
        if end <= RING_BYTES:
            return bytes(self._bytes[at:end])
        return bytes(self._bytes[at:]) + bytes(self._bytes[: end - RING_BYTES])


class Ledger:
    """The compare process's words: its heartbeat, and what pairs came to."""

    __slots__ = ("_words",)

    def __init__(self, fd: int) -> None:
        self._words = memoryview(mmap.mmap(fd, HEADER_BYTES)).cast("Q")

    def beat(self, now_ms: int) -> None:
        """Show that the process is alive."""
        self._words[_BEAT] = now_ms

    def add(self, slot: int, word: int) -> None:
        """Count one pair of a slot under ``S_*``."""
        self._words[SERVICES_AT + slot * SERVICE_WORDS + word] += 1

    def adopt(self, owners: Iterable[tuple[int, int]]) -> None:
        """
        Take slots over: (slot, a hash of who has it now).

        A slot of somebody else begins at zero. What the last process had taken
        and not brought to an end is lost, and counted so.
        """
        for slot, owner in owners:
            at = SERVICES_AT + slot * SERVICE_WORDS
            words = self._words[at : at + SERVICE_WORDS]
            if words[S_NAME] != owner:
                for place in range(SERVICE_WORDS):
                    words[place] = 0
                words[S_NAME] = owner
            known = words[S_EQUAL] + words[S_DIFFERENT] + words[S_UNUSABLE]
            words[S_LOST] = words[S_TAKEN] - known
