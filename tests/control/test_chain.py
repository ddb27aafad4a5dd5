"""The chain of decisions, and what an audit of the store finds."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.control import chain
from proxy.control.store import FILE_NAME, Change, SqliteStore, audit
from proxy.errors import StoreError

Documents = list[tuple[int, dict[str, object]]]


def chained(count: int, first: int = 1) -> tuple[Documents, dict[str, object]]:
    """Return a chain of decisions and its head."""
    links: Documents = []
    before = "" if first == 1 else "0" * 64
    for number in range(first, first + count):
        link = chain.linked({"message": f"m{number}"}, "shop", number, before)
        links.append((number, link))
        before = link["hash"]
    return links, {"number": first + count - 1, "hash": before}


@given(st.integers(1, 9), st.sampled_from([1, 5]))
def test_a_chain_that_nobody_touched_is_whole(count: int, first: int) -> None:
    """Also when its oldest decisions were dropped."""
    links, head = chained(count, first)
    assert list(chain.problems("shop", links, head)) == []


@given(st.integers(3, 9), st.data())
def test_every_change_is_found(count: int, data: st.DataObject) -> None:
    """A word, a number, an order, a gap, a forged hash: one problem at least."""
    links, head = chained(count)
    at = data.draw(st.integers(0, count - 2))
    number, link = links[at]
    changed = {**link, "message": "forged"}
    rehashed = {**changed, "hash": chain.hash_of(changed, "shop", number)}
    forged: list[Documents] = [
        [*links[:at], (number, changed), *links[at + 1 :]],
        [*links[:at], (number, rehashed), *links[at + 1 :]],
        [*links[:at], *links[at + 1 :]] if at else links[:-1],
        [*links[:at], links[at + 1], links[at], *links[at + 2 :]],
        links[:-1],
        [],
    ]
    for decisions in forged:
        assert list(chain.problems("shop", decisions, head))


def store(state_dir: Path, count: int = 3) -> None:
    """Make a store with decisions of one service."""
    made = SqliteStore.open(state_dir)
    for number in range(count):
        document = {"message": f"m{number}", "rollout": "shop-1"}
        made.save([Change("shop", number, {}, (document,))])
    made.close()


def test_the_store_chains_what_it_appends(tmp_path: Path) -> None:
    """Each decision of the API carries its hash and the one before it."""
    store(tmp_path)
    opened = SqliteStore.open(tmp_path)
    decisions = opened.decisions("shop")
    opened.close()

    assert [one["previous"] for one in decisions[1:]] == [
        one["hash"] for one in decisions[:-1]
    ]
    assert audit(tmp_path) == (3, [])


def test_an_audit_reads_beside_a_running_headgate(tmp_path: Path) -> None:
    """It neither waits for the writer nor disturbs it."""
    made = SqliteStore.open(tmp_path)
    made.save([Change("shop", 0, {}, ({"message": "m"},))])
    assert audit(tmp_path) == (1, [])
    made.save([Change("shop", 1, {}, ({"message": "n"},))])
    made.close()


Forgery = Callable[[sqlite3.Connection], object]


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (
            lambda c: c.execute(
                "UPDATE decisions SET document = replace(document, 'm1', 'm9')"
            ),
            "was changed",
        ),
        (lambda c: c.execute("DELETE FROM decisions WHERE number = 2"), "missing"),
        (lambda c: c.execute("DELETE FROM decisions WHERE number = 3"), "remembered"),
        (lambda c: c.execute("DELETE FROM decisions"), "gone"),
    ],
)
def test_tampering_is_told(tmp_path: Path, forge: Forgery, words: str) -> None:
    """Whoever edits the file with SQLite is found out."""
    store(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        forge(connection)
    connection.close()

    count, problems = audit(tmp_path)
    assert count <= 3
    assert any(words in problem for problem in problems), json.dumps(problems)


def test_no_store_is_no_whole_store(tmp_path: Path) -> None:
    """There is nothing to be checked, which is not "whole"."""
    with pytest.raises(StoreError, match="there is no store"):
        audit(tmp_path)
