"""What parallel runs have shown, on disk."""

import sqlite3
from pathlib import Path

import pytest

from proxy.compare import store as stores
from proxy.compare.store import FILE_NAME, Change, Example, PairReader, PairStore
from proxy.errors import StoreError
from proxy.model.document import encode
from proxy.parallel.tally import EndpointTally, RunTally

NOW_S = 1_000_000.0


def change(
    run: str = "r1",
    *,
    pairs: int = 3,
    examples: tuple[Example, ...] = (),
    ttl_s: float = 60.0,
) -> Change:
    """Return a change of one run."""
    endpoint = encode(EndpointTally("GET /", pairs=pairs))
    return Change(
        "shop", run, encode(RunTally(pairs=pairs)), {"GET /": endpoint}, examples, ttl_s
    )


def example(place: int, at_s: float = NOW_S) -> Example:
    """Return an example of one field."""
    return Example("GET /", "$.a", "value", place, at_s, {"id": f"m-{place}"})


def test_what_was_saved_is_read_by_control(tmp_path: Path) -> None:
    """Control sees it through a connection that cannot write."""
    reader = PairReader(tmp_path)
    assert reader.run("shop", "r1") is None
    store = PairStore.open(tmp_path)
    store.save([change(examples=(example(0), example(1)))], NOW_S)

    tally = reader.run("shop", "r1")
    endpoints, examples = reader.details("shop", "r1")

    assert tally is not None
    assert tally.pairs == 3
    assert [one.pairs for one in endpoints] == [3]
    assert examples == {("GET /", "$.a", "value"): [{"id": "m-0"}, {"id": "m-1"}]}
    assert reader.run("shop", "r2") is None
    reader.close()
    store.close()


def test_a_run_is_loaded_with_its_examples_counted(tmp_path: Path) -> None:
    """A restarted process does not keep more examples than were asked for."""
    store = PairStore.open(tmp_path)
    store.save([change(examples=(example(0), example(1)))], NOW_S)
    store.close()
    again = PairStore.open(tmp_path)

    stored = again.load("shop", "r1")

    assert stored is not None
    assert stored.examples == {("GET /", "$.a", "value"): 2}
    assert again.load("shop", "r9") is None
    again.close()


def test_examples_end_with_their_time(tmp_path: Path) -> None:
    """`ttl`: older ones go with the next save, newer ones stay."""
    store = PairStore.open(tmp_path)
    store.save([change(examples=(example(0, NOW_S - 61), example(1)))], NOW_S)
    reader = PairReader(tmp_path)

    (kept,) = reader.details("shop", "r1")[1].values()

    assert kept == [{"id": "m-1"}]
    reader.close()
    store.close()


def test_rows_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest runs of a service, and so many examples altogether, are kept."""
    monkeypatch.setattr(stores, "EXAMPLES_MAX", 3)
    store = PairStore.open(tmp_path)
    many = tuple(example(place, NOW_S + place) for place in range(6))
    store.save([change(examples=many)], NOW_S)
    reader = PairReader(tmp_path)
    (kept,) = reader.details("shop", "r1")[1].values()
    for n in range(stores.RUNS_MAX + 2):
        store.save([change(f"run-{n}")], NOW_S + n)

    assert [one["id"] for one in kept] == ["m-3", "m-4", "m-5"]
    assert reader.run("shop", "r1") is None
    assert reader.details("shop", "r1") == ([], {})
    assert reader.run("shop", f"run-{stores.RUNS_MAX + 1}") is not None
    reader.close()
    store.close()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_file_that_is_none_of_ours_is_moved_aside(
    tmp_path: Path, content: bytes
) -> None:
    """It is evidence, not state: a run begins anew, and the file is still there."""
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    store = PairStore.open(tmp_path)
    store.save([change()], NOW_S)

    assert store.load("shop", "r1") is not None
    if content:
        assert path.with_name(FILE_NAME + ".broken").read_bytes() == content
    store.close()


def test_a_strangers_database_is_moved_aside(tmp_path: Path) -> None:
    """A SQLite file of somebody else is not written to."""
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    PairStore.open(tmp_path).close()

    assert (tmp_path / (FILE_NAME + ".broken")).exists()


def test_what_cannot_be_written_is_said_and_kept(tmp_path: Path) -> None:
    """A save that fails leaves what was saved before."""
    store = PairStore.open(tmp_path)
    store.save([change(pairs=1)], NOW_S)
    broken = Change("shop", "r1", object(), {}, (), 1.0)

    with pytest.raises(TypeError):
        store.save([broken], NOW_S)
    store.close()
    with pytest.raises(StoreError, match=FILE_NAME):
        store.save([change()], NOW_S)

    reader = PairReader(tmp_path)
    tally = reader.run("shop", "r1")
    assert tally is not None
    assert tally.pairs == 1
    reader.close()
