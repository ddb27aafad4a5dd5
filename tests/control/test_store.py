"""The embedded store: nothing lost, nothing torn, nothing foreign overwritten."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.control import store as store_module
from proxy.control.store import FILE_NAME, Change, Saved, SqliteStore
from proxy.errors import StoreConflictError, StoreError

WRITER = """
import sys
from pathlib import Path
from proxy.control.store import Change, SqliteStore

store = SqliteStore.open(Path(sys.argv[1]))
saved = store.load().get("shop")
revision, count = (saved.revision, saved.document["count"]) if saved else (0, 0)
while True:
    count += 1
    decision = {"rollout": "shop-1", "count": count, "pad": "x" * 2000}
    store.save([Change("shop", revision, {"count": count}, (decision,))])
    revision += 1
    print(count, flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Give a fresh store."""
    with closing(SqliteStore.open(tmp_path)) as opened:
        yield opened


def test_document_survives_reopening(tmp_path: Path) -> None:
    """What was saved is read back by the next process, with its revision."""
    with closing(SqliteStore.open(tmp_path)) as first:
        first.save([Change("shop", 0, {"weight": 20})])
        first.save([Change("shop", 1, {"weight": 40})])

    with closing(SqliteStore.open(tmp_path)) as second:
        assert second.load() == {"shop": Saved(2, {"weight": 40})}


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_save_refuses_another_revision(store: SqliteStore, expected: int) -> None:
    """A compare-and-swap whose revision is older, newer or none changes nothing."""
    store.save([Change("shop", 0, {"weight": 20})])
    store.save([Change("shop", 1, {"weight": 40})])

    with pytest.raises(StoreConflictError, match="no longer at revision"):
        store.save([Change("shop", expected, {"weight": 60}, ({"rollout": "r"},))])

    assert store.load() == {"shop": Saved(2, {"weight": 40})}
    assert store.decisions("shop") == []


def test_two_writers_cannot_both_win(tmp_path: Path) -> None:
    """Of two processes that read the same revision only the first one saves."""
    with (
        closing(SqliteStore.open(tmp_path)) as one,
        closing(SqliteStore.open(tmp_path)) as two,
    ):
        one.save([Change("shop", 0, {"by": "one"})])

        with pytest.raises(StoreConflictError):
            two.save([Change("shop", 0, {"by": "two"})])

        assert two.load()["shop"].document == {"by": "one"}


def test_changes_are_saved_together_or_not_at_all(store: SqliteStore) -> None:
    """One conflict among several services leaves all of them as they were."""
    store.save([Change("a", 0, {"n": 1})])

    with pytest.raises(StoreConflictError):
        store.save([Change("b", 0, {"n": 1}), Change("a", 0, {"n": 2})])

    assert store.load() == {"a": Saved(1, {"n": 1})}


def test_decisions_are_numbered_by_service_and_filtered(store: SqliteStore) -> None:
    """Decisions come back oldest first, by rollout and above a number."""
    first = ({"rollout": "a-1", "rule": "x"}, {"rollout": "a-1", "rule": "y"})
    numbers = store.save([Change("a", 0, {}, first), Change("b", 0, {}, first[:1])])
    store.save([Change("a", 1, {}, ({"rollout": "a-2", "rule": "z"},))])

    assert numbers == [[1, 2], [1]]
    assert [d["number"] for d in store.decisions("a")] == [1, 2, 3]
    assert [d["rule"] for d in store.decisions("a", rollout="a-2")] == ["z"]
    assert [d["rule"] for d in store.decisions("a", after=1)] == ["y", "z"]


def test_old_decisions_are_forgotten_and_numbers_go_on(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is bounded: one past the limit drops the oldest, never a number."""
    monkeypatch.setattr(store_module, "DECISIONS_MAX", 3)
    for revision in range(3):
        store.save([Change("a", revision, {}, ({"rollout": "a-1"},))])
    assert [d["number"] for d in store.decisions("a")] == [1, 2, 3]

    store.save([Change("a", 3, {}, ({"rollout": "a-1"},))])

    assert [d["number"] for d in store.decisions("a")] == [2, 3, 4]


def test_runs_are_listed_newest_first(store: SqliteStore) -> None:
    """Ended rollouts are kept beside the document of the present one."""
    store.save([Change("a", 0, {}, runs=({"id": "a-1"},))])
    store.save([Change("a", 1, {}, runs=({"id": "a-2"},))])

    assert [run["id"] for run in store.runs("a")] == ["a-2", "a-1"]


def test_memory_is_kept(store: SqliteStore) -> None:
    """The process's own notes are replaced, not collected."""
    assert store.recall("settings") is None

    store.remember("settings", {"hash": "1"})
    store.remember("settings", {"hash": "2"})

    assert store.recall("settings") == {"hash": "2"}


def test_empty_file_is_refused_and_kept(tmp_path: Path) -> None:
    """A file cut to nothing is a torn store, not a new one."""
    path = tmp_path / FILE_NAME
    path.touch()

    with pytest.raises(StoreError, match="is torn: 0 bytes"):
        SqliteStore.open(tmp_path)

    assert path.read_bytes() == b""


def test_text_file_is_refused_and_kept(tmp_path: Path) -> None:
    """Somebody else's file under our name is named and left as it was."""
    path = tmp_path / FILE_NAME
    path.write_text("my notes\n" * 100)

    with pytest.raises(StoreError, match="is not a Headgate store"):
        SqliteStore.open(tmp_path)

    assert path.read_text() == "my notes\n" * 100
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]


def test_foreign_database_is_refused_and_kept(tmp_path: Path) -> None:
    """A healthy SQLite file of another program is refused by its application id."""
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("CREATE TABLE notes (text)")
        foreign.commit()
    before = path.read_bytes()

    with pytest.raises(StoreError, match="is not a Headgate store"):
        SqliteStore.open(tmp_path)

    assert path.read_bytes() == before


def test_newer_format_is_refused(tmp_path: Path) -> None:
    """A store of a later program is not guessed at."""
    SqliteStore.open(tmp_path).close()
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 9")

    with pytest.raises(StoreError, match="has format 9, this program reads 1"):
        SqliteStore.open(tmp_path)


@pytest.mark.parametrize("damage", ["truncate", "scribble", "drop"])
def test_torn_store_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    """Lost or overwritten pages are found before anything is written."""
    path = tmp_path / FILE_NAME
    with closing(SqliteStore.open(tmp_path)) as whole:
        for revision in range(50):
            decision = {"rollout": "a-1", "pad": "x" * 3000}
            whole.save([Change("a", revision, {}, (decision,))])
    _damage(path, damage)
    before = path.read_bytes()

    with pytest.raises(StoreError, match=r"is torn: .* it was left alone"):
        SqliteStore.open(tmp_path)

    assert path.read_bytes() == before


def test_log_without_store_is_refused(tmp_path: Path) -> None:
    """A store that was taken away from its write-ahead log is not replaced."""
    log = tmp_path / f"{FILE_NAME}-wal"
    log.write_bytes(b"x" * 100)

    with pytest.raises(StoreError, match="is missing, but its log"):
        SqliteStore.open(tmp_path)

    assert log.read_bytes() == b"x" * 100


def test_half_made_store_is_made_again(tmp_path: Path) -> None:
    """A crash while the first store was built leaves nothing in the way."""
    (tmp_path / f"{FILE_NAME}.new").write_bytes(b"half")

    with closing(SqliteStore.open(tmp_path)) as store:
        assert store.load() == {}


def test_kill_between_any_two_writes_loses_nothing(tmp_path: Path) -> None:
    """Whatever a killed process had acknowledged is there, whole and in order."""
    for lines in (1, 7, 23):
        acknowledged = _write_until_killed(tmp_path, lines)

        with closing(SqliteStore.open(tmp_path)) as store:
            saved = store.load()["shop"]
            decisions = store.decisions("shop")
        assert saved.document["count"] >= acknowledged
        assert saved.revision == saved.document["count"]
        assert [d["count"] for d in decisions] == list(range(1, saved.revision + 1))


def test_full_disk_is_an_error_and_heals(store: SqliteStore) -> None:
    """A save that does not fit changes nothing, and the next one that fits works."""
    store.save([Change("a", 0, {"n": 1})])
    signal_before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            store.save([Change("a", 1, {"n": "x" * 100_000})])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, signal_before)

    assert store.load() == {"a": Saved(1, {"n": 1})}
    store.save([Change("a", 1, {"n": 2})])
    assert store.load() == {"a": Saved(2, {"n": 2})}


def test_missing_directory_is_made(tmp_path: Path) -> None:
    """The state directory may be named before it exists."""
    SqliteStore.open(tmp_path / "state" / "deep").close()

    assert (tmp_path / "state" / "deep" / FILE_NAME).is_file()


def test_unusable_directory_is_a_sentence(tmp_path: Path) -> None:
    """A path that cannot be a directory is a StoreError, not an OSError."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore.open(tmp_path / "file" / "state")


def test_documents_hold_no_infinity(store: SqliteStore) -> None:
    """What is saved can be read by every JSON reader."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.save([Change("a", 0, {"n": float("inf")})])

    assert store.load() == {}


def test_half_a_character_is_kept_as_it_came(store: SqliteStore) -> None:
    """JSON can write a lone surrogate, so a reason may hold one; all else is saved."""
    store.save([Change("a", 0, {"why": "\ud800"}), Change("b", 0, {"n": 1})])

    saved = store.load()

    assert saved["a"].document == {"why": "\ud800"}
    assert saved["b"].document == {"n": 1}


def _damage(path: Path, how: str) -> None:
    size = path.stat().st_size
    if how == "truncate":
        os.truncate(path, size // 2)
    elif how == "scribble":
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE runs")


def _write_until_killed(state_dir: Path, lines: int) -> int:
    """Start a writer, read so many acknowledgements, kill it; return the last."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(state_dir)],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        seen = [json.loads(writer.stdout.readline()) for _ in range(lines)]
        writer.kill()
        # What it still acknowledged before the signal arrived counts too.
        seen += [json.loads(line) for line in writer.stdout if line.endswith("\n")]
    return int(seen[-1])


@pytest.mark.parametrize("text", ["{oops", ""])
def test_document_that_is_no_json_is_a_sentence(tmp_path: Path, text: str) -> None:
    """A store that somebody edited is told by service, without a traceback."""
    with closing(SqliteStore.open(tmp_path)) as store:
        store.save([Change("shop", 0, {"a": 1})])
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("UPDATE documents SET document = ?", (text,))
        connection.commit()

    with (
        closing(SqliteStore.open(tmp_path)) as store,
        pytest.raises(StoreError, match="saved state of shop is not JSON"),
    ):
        store.load()
