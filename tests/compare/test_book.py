"""Records in, counts, examples and words in the ledger out."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.compare.book import Book, owner_of
from proxy.compare.store import Stored
from proxy.model.document import decode
from proxy.parallel.tally import EndpointTally, RunTally
from proxy.parallel.values import Outcome
from proxy.telemetry import pairs
from proxy.telemetry.pairs import Ledger, Leg, Record
from tests.support import table

COMPARE: dict[str, Any] = {
    "run": "canary-2.4.0-1",
    "noise_sample": 0.5,
    "ignore": [],
    "skip": [],
    "match": {},
    "tolerance": {},
    "order": {},
    "headers": [],
    "status": "exact",
    "extra_fields": "forbid",
    "null_equals_missing": False,
    "values": "hashed",
    "redact": [],
    "examples": 2,
    "ttl": 60.0,
    "alpha": 0.01,
}
SLOT = 5


def document(generation: int = 1, **compare: object) -> dict[str, Any]:
    """Return a route table whose one service compares."""
    versions = [
        table.version("stable", [9001], cell=1),
        table.version("canary", [9002], cell=2),
    ]
    routes = [{"method": "GET", "path": "/orders/{id}"}]
    mirror = {"to": 1, "compare": {**COMPARE, **compare}}
    entry = table.service(versions, slot=SLOT, routes=routes, mirror=mirror)
    return table.table([entry], generation=generation)


class Desk:
    """A book with its ledger, and nothing that was saved before."""

    def __init__(self) -> None:
        self.fd = pairs.create(1)
        self.stored: Stored | None = None
        self.book = Book(
            Ledger(self.fd), lambda *_: self.stored, b"key", lambda s: s + 1_000_000.0
        )
        self.book.follow(document())

    @property
    def counts(self) -> tuple[int, ...]:
        """Taken, equal, different, unusable."""
        words = pairs.service_counts(self.fd, SLOT)
        return words[pairs.S_TAKEN : pairs.S_LOST]

    def endpoint(self, name: str) -> EndpointTally:
        """Return an endpoint as it would be saved."""
        (change,) = self.book.changes()
        return decode(EndpointTally, change.endpoints[name])


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Return a desk."""
    made = Desk()
    yield made
    os.close(made.fd)


def leg(body: object, outcome: Outcome = Outcome.ANSWERED) -> Leg:
    """Return an answer with a JSON body."""
    text = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(text)
    return Leg(outcome, ended=False, latency_us=1500, raw=head + text)


ABSENT = Leg(Outcome.ABSENT, ended=False, latency_us=0, raw=b"")


def record(
    stable: Leg,
    candidate: Leg,
    second: Leg = ABSENT,
    *,
    target: bytes = b"/orders/7?token=s3cret",
    generation: int = 1,
    at_s: float = 10.0,
) -> Record:
    """Return a record of one request."""
    request = b"GET " + target + b" HTTP/1.1\r\nHost: shop\r\nCookie: s3cret\r\n"
    request += b"x-request-id: r-1\r\nx-headgate-mirror: 1\r\n\r\n"
    legs = (stable, candidate, second)
    return Record(SLOT, generation, at_s, True, request, b"", legs)  # noqa: FBT003


def test_a_pair_is_counted_where_its_route_says(desk: Desk) -> None:
    """Declared routes name endpoints; others are named by their shape."""
    desk.book.take(record(leg({"a": 1}), leg({"a": 1})))
    desk.book.take(record(leg({"a": 1}), leg({"a": 2}), leg({"a": 1})))
    desk.book.take(record(leg(1), leg(1), target=b"/users/4711/cart"))

    (change,) = desk.book.changes()
    assert (change.service, change.run) == ("shop", "canary-2.4.0-1")
    assert set(change.endpoints) == {"GET /orders/{id}", "GET /users/{id}/cart"}
    orders = desk.endpoint("GET /orders/{id}")
    assert (orders.pairs, orders.triples) == (2, 1)
    assert orders.fields["$.a value"].candidate_only == 1
    assert desk.counts == (3, 2, 1, 0)


def test_examples_show_what_differs_and_keep_no_secret(desk: Desk) -> None:
    """The first and the latest of a field, with digests, ids and a command."""
    for n in range(6):
        pair = leg({"email": "ann@a"}), leg({"email": "bob@b"})
        desk.book.take(record(*pair, at_s=10.0 + 2 * n))

    (change,) = desk.book.changes()
    places = sorted(one.place for one in change.examples)
    assert places == [0, 1, 2, 3]
    shown = change.examples[0].document
    text = json.dumps([one.document for one in change.examples])
    assert "s3cret" not in text
    assert "ann@a" not in text
    assert shown["request_id"] == "r-1"
    assert shown["status"] == [200, 200, None]
    assert shown["ms"] == [1.5, 1.5, None]
    assert shown["differences"][0]["path"] == "$.email"
    assert shown["curl"].endswith("'http://127.0.0.1:9002/orders/7?token=hidden'") or (
        shown["curl"].endswith("token=hidden")
    )
    assert "x-headgate-mirror" not in shown["curl"]
    newest = max(one.at_s for one in change.examples)
    assert newest == 1_000_020.0


def test_a_live_answer_that_is_none_is_no_pair(desk: Desk) -> None:
    """Cut on its way: counted as unusable, and as nothing else."""
    cut = Leg(Outcome.ANSWERED, ended=True, latency_us=1, raw=b"HTTP/1.1 200 OK\r\n")
    desk.book.take(record(cut, leg(1)))

    assert desk.counts == (1, 0, 0, 1)
    assert desk.book.changes() == []


def test_a_leg_that_failed_is_a_difference(desk: Desk) -> None:
    """The candidate had no answer where stable had one."""
    gone = Leg(Outcome.TIMEOUT, ended=False, latency_us=0, raw=b"")
    desk.book.take(record(leg(1), gone, leg(1)))

    fields = desk.endpoint("GET /orders/{id}").fields
    assert fields["leg leg_failed"].candidate_only == 1


def test_what_was_on_its_way_belongs_to_the_run_before(desk: Desk) -> None:
    """A record is counted for the run of the table that it was routed by."""
    desk.book.follow(document(generation=4, run="canary-2.5.0-2"))
    desk.book.take(record(leg(1), leg(1), generation=3))
    desk.book.take(record(leg(1), leg(1), generation=4))

    runs = {change.run: change.document for change in desk.book.changes()}
    assert set(runs) == {"canary-2.4.0-1", "canary-2.5.0-2"}


def test_a_run_goes_on_where_it_was_saved(desk: Desk) -> None:
    """After a restart the counts of before are still there."""
    before = EndpointTally("GET /orders/{id}", pairs=40)
    desk.stored = Stored(RunTally(pairs=40), (before,), {})
    desk.book.take(record(leg(1), leg(1)))

    assert desk.endpoint("GET /orders/{id}").pairs == 41


def test_a_service_that_compares_no_more_is_left(desk: Desk) -> None:
    """Records of a slot that no table names are dropped."""
    desk.book.follow(table.table([], generation=2))
    desk.book.take(record(leg(1), leg(1)))

    assert desk.book.changes() == []


def test_what_was_saved_is_not_saved_again(desk: Desk) -> None:
    """Only what changed since is given to the store."""
    desk.book.take(record(leg(1), leg(2)))
    assert len(desk.book.changes()) == 1
    assert len(desk.book.changes()) == 1
    desk.book.saved()

    assert desk.book.changes() == []


def test_owners_are_told_apart() -> None:
    """A slot's owner fits a word and is never zero."""
    assert 0 < owner_of("shop") < 2**64
    assert owner_of("shop") != owner_of("checkout")
