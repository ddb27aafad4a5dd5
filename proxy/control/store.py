"""
What survives every process: one revisioned document a service, and decisions.

The store decides nothing. A document is saved by compare-and-swap on its
revision, together with the decisions and the ended run that belong to the same
moment, in one transaction; decisions are appended and never changed.

SQLite in WAL mode. A transaction that carries a decision or an ended run is
synced to the disk before it returns (``synchronous=FULL``); the once-a-second
saves of clocks between them are not (``NORMAL``: a power cut may lose the last
of them, never tear the file; a killed process loses nothing).

A file that is not a whole store of ours is refused and never written to: the
header is read as plain bytes and the pages are checked by a read-only
connection before the first writable one is made. A new store is built under
another name and renamed, so that a half-made one is never found.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic_core import PydanticSerializationError, to_json

from proxy.control import chain
from proxy.errors import StoreConflictError, StoreError
from proxy.model.document import encode

JsonObject = dict[str, Any]

FILE_NAME = "headgate.db"
APPLICATION_ID = 0x48474154
"""``HGAT``, at byte 68 of the file (https://www.sqlite.org/fileformat2.html)."""
SCHEMA_VERSION = 1

HEADER_BYTES = 100
HEADER_MAGIC = b"SQLite format 3\x00"

BUSY_WAIT_S = 0.2
"""The supervisor's lock keeps others out; only a backup's reader may hold us up."""
DECISIONS_MAX = 10_000
"""Decisions kept a service: some months of daily rollouts; the oldest go first."""
RUNS_MAX = 500
"""Ended runs kept a service."""
DECISIONS_PAGE = 500
"""Decisions returned by one call."""

SCHEMA = """
CREATE TABLE documents (
    service TEXT PRIMARY KEY, revision INTEGER NOT NULL, document TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE decisions (
    service TEXT NOT NULL, number INTEGER NOT NULL, rollout TEXT NOT NULL,
    document TEXT NOT NULL, PRIMARY KEY (service, number)
) WITHOUT ROWID;
CREATE TABLE runs (
    service TEXT NOT NULL, number INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (service, number)
) WITHOUT ROWID;
CREATE TABLE memory (
    name TEXT PRIMARY KEY, document TEXT NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """A service's document as the store holds it; ``revision`` 0: none yet."""

    revision: int
    document: JsonObject


@dataclass(frozen=True, slots=True)
class Change:
    """
    What is saved for one service in one moment.

    ``expected`` is the revision that the document was derived from (0: none).
    ``decisions`` are numbered by the store; ``runs`` are ended rollouts.
    """

    service: str
    expected: int
    document: object
    """A JSON object, or a dataclass whose fields it is made of."""
    decisions: tuple[JsonObject, ...] = ()
    runs: tuple[JsonObject, ...] = ()


class Store(Protocol):
    """Where documents and decisions are kept; every method may raise StoreError."""

    def load(self) -> dict[str, Saved]:
        """Return every service's document by the service's name."""
        ...

    def save(self, changes: Sequence[Change]) -> list[list[int]]:
        """
        Save all changes or none; return the numbers given to each one's decisions.

        Raises:
            StoreConflictError: a document is no longer at its expected revision.
            StoreError: it could not be written; nothing was.
        """
        ...

    def decisions(
        self, service: str, *, rollout: str | None = None, after: int = 0
    ) -> list[JsonObject]:
        """Return decisions with their ``number``, oldest first, above ``after``."""
        ...

    def runs(self, service: str) -> list[JsonObject]:
        """Return the ended rollouts of a service, newest first."""
        ...

    def remember(self, name: str, document: JsonObject) -> None:
        """Keep a document of the process itself under ``name``."""
        ...

    def recall(self, name: str) -> JsonObject | None:
        """Return what ``remember`` kept, or ``None``."""
        ...

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        ...


class SqliteStore:
    """The embedded store: one file under the state directory."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """
        Open the store under ``state_dir``, made if there is none.

        Raises:
            StoreError: the file is torn, foreign or cannot be opened; it was
                not touched.
        """
        path = state_dir / FILE_NAME
        with _sqlite_errors(path, "cannot be opened"):
            if path.exists():
                _refuse_foreign(path)
                _refuse_torn(path)
            else:
                _refuse_leftovers(path)
                _make(path)
            return cls(_connect(path), path)

    def load(self) -> dict[str, Saved]:
        """Return every service's document by the service's name."""
        query = "SELECT service, revision, document FROM documents"
        return {
            service: Saved(revision, _parse(service, document))
            for service, revision, document in self._read(query, ())
        }

    def save(self, changes: Sequence[Change]) -> list[list[int]]:
        """Save all changes or none; see ``Store.save``."""
        lasting = any(change.decisions or change.runs for change in changes)
        with self._transaction(lasting=lasting):
            return [self._save_one(change) for change in changes]

    def decisions(
        self, service: str, *, rollout: str | None = None, after: int = 0
    ) -> list[JsonObject]:
        """Return decisions with their ``number``; at most ``DECISIONS_PAGE``."""
        rows = self._read(
            "SELECT number, document FROM decisions WHERE service = ? AND number > ?"
            " AND (? IS NULL OR rollout = ?) ORDER BY number LIMIT ?",
            (service, after, rollout, rollout, DECISIONS_PAGE),
        )
        return [{"number": number, **json.loads(text)} for number, text in rows]

    def runs(self, service: str) -> list[JsonObject]:
        """Return the ended rollouts of a service, newest first."""
        query = "SELECT document FROM runs WHERE service = ? ORDER BY number DESC"
        return [json.loads(text) for (text,) in self._read(query, (service,))]

    def remember(self, name: str, document: JsonObject) -> None:
        """Keep a document of the process itself under ``name``."""
        with self._transaction(lasting=True):
            self._connection.execute(
                "INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, _dump(document))
            )

    def recall(self, name: str) -> JsonObject | None:
        """Return what ``remember`` kept, or ``None``."""
        query = "SELECT document FROM memory WHERE name = ?"
        for (text,) in self._read(query, (name,)):
            document: JsonObject = json.loads(text)
            return document
        return None

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _save_one(self, change: Change) -> list[int]:
        text = _text_of(change.document)
        if change.expected == 0:
            done = self._connection.execute(
                "INSERT OR IGNORE INTO documents VALUES (?, 1, ?)",
                (change.service, text),
            )
        else:
            done = self._connection.execute(
                "UPDATE documents SET revision = revision + 1, document = ?"
                " WHERE service = ? AND revision = ?",
                (text, change.service, change.expected),
            )
        if done.rowcount != 1:
            raise StoreConflictError(
                f"the saved state of {change.service} is no longer at revision "
                f"{change.expected}: somebody else saved it"
            )
        for run in change.runs:
            self._append("runs", change.service, (_dump(run),), RUNS_MAX)
        return [
            self._append_decision(change.service, decision)
            for decision in change.decisions
        ]

    def _append_decision(self, service: str, decision: JsonObject) -> int:
        """Add a decision to its chain, and remember it as the newest."""
        name = chain.HEADS + service
        head = self.recall(name) or {}
        number = self._next("decisions", service)
        link = chain.linked(decision, service, number, str(head.get(chain.HASH, "")))
        columns = (str(decision.get("rollout", "")), _dump(link))
        self._append("decisions", service, columns, DECISIONS_MAX)
        self._connection.execute(
            "INSERT OR REPLACE INTO memory VALUES (?, ?)",
            (name, _dump({"number": number, chain.HASH: link[chain.HASH]})),
        )
        return number

    def _next(self, table: str, service: str) -> int:
        """Return the number that a service's next row gets."""
        newest = f"SELECT coalesce(max(number), 0) FROM {table} WHERE service = ?"  # noqa: S608 -- our own two names
        return int(self._connection.execute(newest, (service,)).fetchone()[0]) + 1

    def _append(
        self, table: str, service: str, columns: tuple[str, ...], keep: int
    ) -> int:
        """Add a row under the next number and drop what is older than ``keep``."""
        execute = self._connection.execute
        number = self._next(table, service)
        marks = ", ".join("?" for _ in columns)
        insert = f"INSERT INTO {table} VALUES (?, ?, {marks})"  # noqa: S608 -- ditto
        execute(insert, (service, number, *columns))
        forget = f"DELETE FROM {table} WHERE service = ? AND number <= ?"  # noqa: S608 -- ditto
        execute(forget, (service, number - keep))
        return number

    def _read(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with _sqlite_errors(self._path, "cannot be read"):
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self, *, lasting: bool) -> Iterator[None]:
        """Commit what the block did or nothing of it; ``lasting``: synced."""
        with _sqlite_errors(self._path, "cannot be written"):
            level = "FULL" if lasting else "NORMAL"
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # Some errors (disk full) have rolled back by themselves.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


@contextmanager
def _sqlite_errors(path: Path, what: str) -> Iterator[None]:
    """Turn SQLite's and the system's errors into one sentence of ours."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the store {path} {what}: {error}") from error


def _dump(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def _text_of(document: object) -> str:
    """
    Return a document as JSON; ValueError for what JSON has no number for.

    Saved once a second for every rollout, so compiled code writes it, in a
    quarter of the time. The standard library has the word where something looks
    like a number that is none, and where a text has half a character (a lone
    surrogate, which it escapes): one service's text must not keep all from being
    saved.
    """
    try:
        text = to_json(document, inf_nan_mode="constants").decode()
    except PydanticSerializationError:
        return _dump(encode(document))
    if "Infinity" in text or "NaN" in text:
        return _dump(encode(document))
    return text


def _parse(service: str, text: str) -> JsonObject:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise StoreError(
            f"the saved state of {service} is not JSON: {error}; it was left alone,"
            " restore a copy of the store or move it away to start empty"
        ) from None
    return document if isinstance(document, dict) else {}


def _refuse_foreign(path: Path) -> None:
    """Read the header as bytes; nothing of SQLite has seen the file yet."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise StoreError(
            f"the store {path} is torn: {len(header)} bytes, expected at least "
            f"{HEADER_BYTES}; it was left alone, move it away to start empty"
        )
    application = int.from_bytes(header[68:72], "big")
    if not header.startswith(HEADER_MAGIC) or application != APPLICATION_ID:
        raise StoreError(
            f"{path} is not a Headgate store; it was left alone, "
            "move it away or choose another state_dir"
        )
    version = int.from_bytes(header[60:64], "big")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"the store {path} has format {version}, this program reads "
            f"{SCHEMA_VERSION}; it was left alone"
        )


def _refuse_torn(path: Path) -> None:
    """Let SQLite check every page through a connection that cannot write."""
    try:
        with closing(_connect(path, read_only=True)) as connection:
            problems = _problems(connection)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        problems = [str(error)]
    if problems:
        # SQLite puts a heading above the problem itself.
        what = problems[0].splitlines()[-1]
        raise StoreError(
            f"the store {path} is torn: {what}; it was left alone, "
            "restore a copy or move it away to start empty"
        )


def _problems(connection: sqlite3.Connection) -> list[str]:
    rows: Iterable[tuple[str]] = connection.execute("PRAGMA quick_check(1)")
    found = [text for (text,) in rows if text != "ok"]
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    wanted = {"documents", "decisions", "runs", "memory"}
    return found + [f"table {name} is missing" for name in sorted(wanted - names)]


def _refuse_leftovers(path: Path) -> None:
    """Refuse a write-ahead log without its store: the store was taken away."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise StoreError(
            f"the store {path} is missing, but its log {log.name} is there; "
            "restore the store or move the log away"
        )


def _make(path: Path) -> None:
    """Build an empty store beside ``path`` and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    for suffix in ("", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
    draft.rename(path)


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_WAIT_S,
        isolation_level=None,
        cached_statements=32,
    )
    # 256 KiB of page cache: documents are small and the process must stay so.
    connection.execute("PRAGMA cache_size = -256")
    return connection


OpenStore = Callable[[Path], Store]


def audit(state_dir: Path) -> tuple[int, list[str]]:
    """
    Return how many decisions a store holds, and what is wrong with them.

    Reads only, also while Headgate runs.

    Raises:
        StoreError: there is no store, or it is torn, foreign or cannot be read.
    """
    path = state_dir / FILE_NAME
    if not path.exists():
        raise StoreError(f"there is no store {path}")
    with _sqlite_errors(path, "cannot be read"):
        _refuse_foreign(path)
        _refuse_torn(path)
        with closing(_connect(path, read_only=True)) as connection:
            return _audited(connection)


def _audited(connection: sqlite3.Connection) -> tuple[int, list[str]]:
    """Walk every service's chain, within one view of the store."""
    connection.execute("BEGIN")
    heads = {
        name.removeprefix(chain.HEADS): json.loads(text)
        for name, text in connection.execute("SELECT name, document FROM memory")
        if name.startswith(chain.HEADS)
    }
    rows = connection.execute(
        "SELECT service, number, document FROM decisions ORDER BY service, number"
    ).fetchall()
    services = sorted({service for service, _, _ in rows} | set(heads))
    found: list[str] = []
    for service in services:
        decisions = [
            (number, json.loads(text)) for name, number, text in rows if name == service
        ]
        found += chain.problems(service, decisions, heads.get(service))
    return len(rows), found
