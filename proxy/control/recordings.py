"""
The recordings of rollouts: what each second showed, kept compactly and bounded.

A file of its own beside the store (``recordings.db``): it is large, and it may
be lost, so nothing waits for the disk because of it and a fault here never
stops a rollout; it is logged, and that run is not recorded further. Lines are
kept in compressed chunks. The oldest recordings go first.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from proxy.analysis.recording import Second, read, written
from proxy.control.judging import Judged
from proxy.errors import StoreError
from proxy.rollout.events import Tick
from proxy.rollout.state import RolloutState
from proxy.telemetry.log import log

FORMAT = 1
"""Of exported recordings."""
FILE_NAME = "recordings.db"
CHUNK_LINES = 15
"""Seconds in a chunk: what a killed control process loses at most."""
RUNS_MAX = 10
"""Rollouts kept a service: as many as Argo Rollouts keeps revisions."""
RUN_BYTES_MAX = 16 * 1024 * 1024
"""Of one rollout, compressed: half a day at 1 000 requests/s (335 bytes a second
were measured), days at ten; the rest of the rollout is not recorded."""
ALL_BYTES_MAX = 256 * 1024 * 1024
"""Of all rollouts together."""
ROOM_EVERY_BYTES = 4 * 1024 * 1024
"""Room is looked for each time so much was written, by all rollouts together."""
LEVEL = 6
"""zlib's own default; a chunk of 15 lines takes about a millisecond."""
BUSY_WAIT_S = 0.2

SCHEMA = """
CREATE TABLE IF NOT EXISTS chunks (
    service TEXT NOT NULL, rollout TEXT NOT NULL, number INTEGER NOT NULL,
    begun REAL NOT NULL, lines BLOB NOT NULL,
    PRIMARY KEY (service, rollout, number)
) WITHOUT ROWID;
"""


class RecordingFile:
    """The chunks of all recordings; every method may raise StoreError."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, path: Path) -> Self:
        """
        Open the file at ``path``, made if there is none.

        Raises:
            StoreError: it cannot be opened, or holds something else.
        """
        with _sqlite_errors(path):
            connection = sqlite3.connect(
                path, timeout=BUSY_WAIT_S, isolation_level=None
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA cache_size = -256")
            connection.executescript(SCHEMA)
        return cls(connection, path)

    def append(self, service: str, rollout: str, begun_s: float, lines: str) -> int:
        """Add a chunk whose first line is of ``begun_s``; return its bytes."""
        data = zlib.compress(lines.encode(), LEVEL)
        with _sqlite_errors(self._path):
            self._connection.execute(
                "INSERT INTO chunks SELECT ?, ?, coalesce(max(number), 0) + 1, ?, ?"
                " FROM chunks WHERE service = ? AND rollout = ?",
                (service, rollout, begun_s, data, service, rollout),
            )
        return len(data)

    def lines(
        self, service: str, rollout: str, *, since_s: float = 0.0
    ) -> Iterator[str]:
        """Yield the lines of a recording in order, whole chunks from ``since_s`` on."""
        query = (
            "SELECT lines FROM chunks WHERE service = ? AND rollout = ?"
            " AND begun >= ? ORDER BY number"
        )
        with _sqlite_errors(self._path):
            rows = self._connection.execute(query, (service, rollout, since_s))
            for (data,) in rows:
                yield from zlib.decompress(data).decode().splitlines()

    def kept(self, service: str | None = None) -> list[tuple[str, str, int]]:
        """Return (service, rollout, bytes) of what is kept, oldest first."""
        with _sqlite_errors(self._path):
            return self._connection.execute(
                "SELECT service, rollout, sum(length(lines)) FROM chunks"
                " WHERE ? IS NULL OR service = ?"
                " GROUP BY service, rollout ORDER BY min(begun)",
                (service, service),
            ).fetchall()

    def forget(self, service: str, rollout: str) -> None:
        """Drop a recording."""
        with _sqlite_errors(self._path):
            self._connection.execute(
                "DELETE FROM chunks WHERE service = ? AND rollout = ?",
                (service, rollout),
            )

    def forget_old(self, service: str) -> None:
        """Drop a service's oldest recordings, so that one more may be kept."""
        own = self.kept(service)
        for name, rollout, _ in own[: max(len(own) - RUNS_MAX + 1, 0)]:
            self.forget(name, rollout)

    def make_room(self) -> None:
        """Drop the oldest recordings of all, so that some more may be written."""
        everything = self.kept()
        total = sum(size for _, _, size in everything)
        for name, rollout, size in everything:
            if total <= ALL_BYTES_MAX - ROOM_EVERY_BYTES:
                break
            self.forget(name, rollout)
            total -= size

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        with suppress(sqlite3.Error):
            self._connection.close()


@dataclass(slots=True)
class _Tape:
    """The recording of one service's present run."""

    rollout: str
    bytes: int
    """Compressed bytes on the disk."""
    lines: list[str] = field(default_factory=list)
    begun_s: float = 0.0
    stopped: bool = False
    """It is full, or could not be written: nothing more of this run is recorded."""


class Recorder:
    """Writes what each second showed, and reads it back."""

    def __init__(self, file: RecordingFile) -> None:
        self.file = file
        self._tapes: dict[str, _Tape] = {}
        self._since_room = ROOM_EVERY_BYTES
        """Bytes written since room was looked for; at the start nobody knows."""

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """Open the recordings under ``state_dir``, or keep them in memory only."""
        try:
            return cls(RecordingFile.open(state_dir / FILE_NAME))
        except StoreError as error:
            log("warning", "recordings are kept in memory only", error=str(error))
            return cls(RecordingFile.open(Path(":memory:")))

    def note(self, service: str, rollout: str, second: Second) -> None:
        """Record a second of a service's present rollout."""
        tape = self._tapes.get(service)
        if tape is None or tape.rollout != rollout:
            self.flush(service)
            tape = self._tapes[service] = self._begun(service, rollout)
        if tape.stopped:
            return
        if not tape.lines:
            tape.begun_s = second.at_s
        tape.lines.append(written(second))
        if len(tape.lines) >= CHUNK_LINES:
            self.flush(service)

    def flush(self, service: str | None = None) -> None:
        """Write what is still held of a service, or of all."""
        for name in [service] if service is not None else list(self._tapes):
            tape = self._tapes.get(name)
            if tape is not None and tape.lines:
                self._write(name, tape)

    def close(self) -> None:
        """Write what is held and let go of the file."""
        self.flush()
        self.file.close()

    def lines(
        self, service: str, rollout: str, *, since_s: float = 0.0
    ) -> Iterator[str]:
        """Yield a recording's lines; what is still held of it is written first."""
        self.flush(service)
        return self.file.lines(service, rollout, since_s=since_s)

    def _begun(self, service: str, rollout: str) -> _Tape:
        """Return the tape of a run, which may have been begun by another process."""
        try:
            sizes = {name: size for _, name, size in self.file.kept(service)}
            if rollout not in sizes:
                self.file.forget_old(service)
        except StoreError as error:
            return self._broken(service, _Tape(rollout, 0), error)
        return _Tape(rollout, sizes.get(rollout, 0))

    def _write(self, service: str, tape: _Tape) -> None:
        lines, tape.lines = tape.lines, []
        if tape.bytes > RUN_BYTES_MAX:
            tape.stopped = True
            log("warning", "recording is full", service=service, rollout=tape.rollout)
            return
        try:
            if self._since_room >= ROOM_EVERY_BYTES:
                self._since_room = 0
                self.file.make_room()
            size = self.file.append(
                service, tape.rollout, tape.begun_s, "\n".join(lines)
            )
            tape.bytes += size
            self._since_room += size
        except StoreError as error:
            self._broken(service, tape, error)

    def _broken(self, service: str, tape: _Tape, error: StoreError) -> _Tape:
        tape.stopped = True
        log(
            "warning",
            "recording stopped",
            service=service,
            rollout=tape.rollout,
            error=str(error),
        )
        return tape


def second_of(
    state: RolloutState, tick: Tick, judged: Judged | None, now_s: float
) -> Second:
    """Return a tick as it is recorded."""
    return Second(
        at_s=now_s,
        dt_s=tick.dt_s,
        weight=state.canary_weight,
        evidence=None if judged is None else judged.evidence,
        canary_routed=tick.canary_routed,
        stable_routed=tick.stable_routed,
        canary_healthy=tick.canary_healthy,
        stable_healthy=tick.stable_healthy,
        canary_capacity=tick.canary_capacity,
        mirrored=tick.mirrored,
        mirror_failed=tick.mirror_failed,
        readings={} if judged is None else judged.readings,
    )


def header(
    service: str, run: Mapping[str, Any], decisions: Iterable[Mapping[str, Any]]
) -> str:
    """Return the first line of an exported recording: whose it is, what was decided."""
    told = ("at", "rule", "reason", "message", "phase", "step", "weights", "who")
    document = {
        "headgate_recording": FORMAT,
        "service": service,
        "run": dict(run),
        "decisions": [{key: one[key] for key in told} for one in decisions],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def seconds_in(lines: Iterable[str]) -> Iterator[Second]:
    """Yield the seconds of a recording; what cannot be read ends it."""
    try:
        for line in lines:
            yield read(line)
    except (StoreError, ValueError) as error:
        log("warning", "recording cannot be read", error=str(error))


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, zlib.error, UnicodeDecodeError) as error:
        raise StoreError(f"the recordings {path} cannot be used: {error}") from error
