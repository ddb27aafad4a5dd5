"""
What parallel runs have shown, on disk: one SQLite file beside the store's.

The compare process writes, once a second and in one transaction; control reads,
through a connection of its own that cannot write. Rows are bounded: the runs of
a service, the endpoints of a run and the fields of an endpoint by the tallies,
examples by field, by age and altogether. The file is evidence, not state: one
that cannot be read is moved aside, and a run begins anew.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from proxy.errors import StoreError
from proxy.model.document import decode
from proxy.parallel.tally import EndpointTally, RunTally

JsonObject = dict[str, Any]

FILE_NAME: Final = "parallel.db"
APPLICATION_ID: Final = 0x48475041
"""``HGPA``."""
SCHEMA_VERSION: Final = 1
RUNS_MAX: Final = 5
"""Runs kept a service: the present one and those that it can be compared with."""
EXAMPLES_MAX: Final = 20_000
"""Examples altogether; the oldest go first."""
BUSY_WAIT_S: Final = 0.5

SCHEMA: Final = """
CREATE TABLE runs (
    service TEXT NOT NULL, run TEXT NOT NULL, updated REAL NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (service, run)
) WITHOUT ROWID;
CREATE TABLE endpoints (
    service TEXT NOT NULL, run TEXT NOT NULL, endpoint TEXT NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (service, run, endpoint)
) WITHOUT ROWID;
CREATE TABLE examples (
    service TEXT NOT NULL, run TEXT NOT NULL, endpoint TEXT NOT NULL,
    path TEXT NOT NULL, kind TEXT NOT NULL, place INTEGER NOT NULL,
    at REAL NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (service, run, endpoint, path, kind, place)
) WITHOUT ROWID;
CREATE INDEX examples_by_age ON examples (at);
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One example of one field; ``place`` is that of an older one it replaces."""

    endpoint: str
    path: str
    kind: str
    place: int
    at_s: float
    document: JsonObject


@dataclass(frozen=True, slots=True)
class Change:
    """What is saved of one run in one moment."""

    service: str
    run: str
    document: object
    endpoints: Mapping[str, object]
    examples: tuple[Example, ...]
    ttl_s: float
    """Examples older than this are dropped."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A run as it was saved."""

    run: RunTally
    endpoints: tuple[EndpointTally, ...]
    examples: Mapping[tuple[str, str, str], int]
    """How many examples each field has, by endpoint, path and kind."""


class PairStore:
    """The compare process's end: the only one that writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """
        Open the file under ``state_dir``, made if there is none of ours.

        Raises:
            StoreError: it cannot be opened or made.
        """
        path = state_dir / FILE_NAME
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            if path.exists() and not _is_ours(path):
                _move_aside(path)
            connection = sqlite3.connect(
                path, timeout=BUSY_WAIT_S, isolation_level=None
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -1024")
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.executescript(SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path} cannot be opened: {error}") from None
        return cls(connection)

    def load(self, service: str, run: str) -> Stored | None:
        """Return what was saved of a run; ``None``: nothing that can be read."""
        tally = read_run(self._connection, service, run)
        if tally is None:
            return None
        endpoints = read_endpoints(self._connection, service, run)
        counted = self._connection.execute(
            "SELECT endpoint, path, kind, count(*) FROM examples"
            " WHERE service = ? AND run = ? GROUP BY endpoint, path, kind",
            (service, run),
        )
        counts = {(endpoint, path, kind): n for endpoint, path, kind, n in counted}
        return Stored(tally, tuple(endpoints), counts)

    def save(self, changes: Iterable[Change], now_s: float) -> None:
        """
        Save all changes, and drop what is too old or too much.

        Raises:
            StoreError: it could not be written; nothing was.
        """
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                for change in changes:
                    self._save_one(change, now_s)
                execute(
                    "DELETE FROM examples WHERE at < (SELECT at FROM examples"
                    " ORDER BY at DESC LIMIT 1 OFFSET ?)",
                    (EXAMPLES_MAX - 1,),
                )
                execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(f"{FILE_NAME} cannot be written: {error}") from None

    def _save_one(self, change: Change, now_s: float) -> None:
        connection = self._connection
        key = (change.service, change.run)
        connection.execute(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)",
            (*key, now_s, _dump(change.document)),
        )
        connection.executemany(
            "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?)",
            [(*key, name, _dump(one)) for name, one in change.endpoints.items()],
        )
        connection.executemany(
            "INSERT OR REPLACE INTO examples VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*key, one.endpoint, one.path, one.kind, one.place, one.at_s, text)
                for one in change.examples
                for text in [_dump(one.document)]
            ],
        )
        connection.execute(
            "DELETE FROM examples WHERE service = ? AND run = ? AND at < ?",
            (*key, now_s - change.ttl_s),
        )
        old = connection.execute(
            "SELECT run FROM runs WHERE service = ? ORDER BY updated DESC"
            " LIMIT -1 OFFSET ?",
            (change.service, RUNS_MAX),
        ).fetchall()
        for (run,) in old:
            for table in ("runs", "endpoints", "examples"):
                connection.execute(
                    f"DELETE FROM {table} WHERE service = ? AND run = ?",  # noqa: S608 -- our own three names
                    (change.service, run),
                )

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()


class PairReader:
    """Control's end: reads whatever the compare process saved last."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._connection: sqlite3.Connection | None = None

    def run(self, service: str, run: str) -> RunTally | None:
        """
        Return a run's sums; ``None`` while there are none.

        Raises:
            StoreError: the file cannot be read.
        """
        connection = self._connected()
        if connection is None:
            return None
        try:
            return read_run(connection, service, run)
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def details(
        self, service: str, run: str
    ) -> tuple[list[EndpointTally], dict[tuple[str, str, str], list[JsonObject]]]:
        """
        Return a run's endpoints, and its examples by endpoint, path and kind.

        Raises:
            StoreError: the file cannot be read.
        """
        connection = self._connected()
        if connection is None:
            return [], {}
        try:
            examples: dict[tuple[str, str, str], list[JsonObject]] = {}
            rows = connection.execute(
                "SELECT endpoint, path, kind, document FROM examples"
                " WHERE service = ? AND run = ? ORDER BY at",
                (service, run),
            )
            for endpoint, path, kind, text in rows:
                examples.setdefault((endpoint, path, kind), []).append(json.loads(text))
            return read_endpoints(connection, service, run), examples
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _broken(self, error: sqlite3.Error) -> StoreError:
        """Return what to raise; the next call opens the file anew."""
        self.close()
        return StoreError(f"{self._path} cannot be read: {error}")

    def _connected(self) -> sqlite3.Connection | None:
        if self._connection is None and self._path.exists():
            try:
                self._connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro",
                    uri=True,
                    timeout=BUSY_WAIT_S,
                    isolation_level=None,
                )
            except sqlite3.Error as error:
                raise self._broken(error) from None
        return self._connection


def read_run(connection: sqlite3.Connection, service: str, run: str) -> RunTally | None:
    """Return a run's sums as saved; ``None``: none that this program wrote."""
    query = "SELECT document FROM runs WHERE service = ? AND run = ?"
    row = connection.execute(query, (service, run)).fetchone()
    if row is None:
        return None
    try:
        return decode(RunTally, json.loads(row[0]))
    except ValueError:
        return None


def read_endpoints(
    connection: sqlite3.Connection, service: str, run: str
) -> list[EndpointTally]:
    """Return the endpoints of a run as saved."""
    query = "SELECT document FROM endpoints WHERE service = ? AND run = ?"
    found = []
    for (text,) in connection.execute(query, (service, run)):
        with suppress(ValueError):
            found.append(decode(EndpointTally, json.loads(text)))
    return found


def _dump(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def _is_ours(path: Path) -> bool:
    """Whether a file is one of this program, and whole."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_WAIT_S)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        return False
    ours = (application, version) == (APPLICATION_ID, SCHEMA_VERSION)
    return ours and check == "ok"


def _move_aside(path: Path) -> None:
    path.replace(path.with_name(path.name + ".broken"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
