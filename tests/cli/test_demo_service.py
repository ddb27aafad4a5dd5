"""One version of the demo shop behaves as it is told, over real sockets."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.cli.demo.behaviour import Behaviour, Tally
from proxy.cli.demo.service import Shop, port, serve
from tests.support.eventually import eventually

GET_ITEM = b"GET /items/1 HTTP/1.1\r\nhost: shop\r\n\r\n"


@asynccontextmanager
async def opened(shop: Shop) -> AsyncIterator[tuple[int, int]]:
    """Serve a shop's two ports."""
    async with (
        await serve(shop.to_user) as public,
        await serve(shop.to_demo) as private,
    ):
        yield port(public), port(private)


async def ask(number: int, request: bytes) -> tuple[int, bytes]:
    """Return the status and the body of one answer, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return int(head[9:12]), body


def put(document: object) -> bytes:
    """Return the request that changes the behaviour."""
    body = json.dumps(document).encode()
    return b"PUT /behaviour HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


async def test_answers_users_and_says_who_it_is() -> None:
    """An answer names the shop and its revision; /version and /healthz answer too."""
    async with opened(Shop("blue", "2.0.0")) as (public, _private):
        status, body = await ask(public, GET_ITEM)
        version = await ask(public, b"GET /version HTTP/1.1\r\n\r\n")
        health = await ask(public, b"GET /healthz HTTP/1.1\r\n\r\n")

    assert status == 200
    assert json.loads(body)["revision"] == "2.0.0"
    assert version == (200, b"2.0.0")
    assert health == (200, b"ok")


async def test_a_catalogue_never_reads_the_same_twice() -> None:
    """A random id, the time and the order differ; a price only where it is wrong."""
    changes = put({"catalogue": True, "wrong_prices": 0.5, "median_s": 0.0})
    async with opened(Shop("blue", "2.0.0")) as (public, private):
        await ask(private, changes)
        answers = [json.loads((await ask(public, GET_ITEM))[1]) for _ in range(30)]
        order = b"POST /orders HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
        posted = json.loads((await ask(public, order))[1])

    prices = [
        sorted((item["sku"], item["price"]) for item in one["items"]) for one in answers
    ]
    assert len({one["id"] for one in answers}) == 30
    assert len({one["at"] for one in answers}) == 30
    assert len({json.dumps(one["items"]) for one in answers}) > 10
    assert {one[0] for one in prices} == {("item-0", 10.0), ("item-0", 10.1)}
    assert len({tuple(one[1:]) for one in prices}) == 1
    assert posted["shop"] == "blue"


async def test_keeps_connections_open() -> None:
    """Two requests on one connection are both answered, bodies included."""
    async with opened(Shop("blue", "2.0.0")) as (public, _private):
        reader, writer = await asyncio.open_connection("127.0.0.1", public)
        order = b"POST /orders HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
        writer.write(order + order)
        statuses = []
        for _order in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.split(b"content-length: ")[1]))
            statuses.append(head.split(b" ")[1])
        writer.close()

    assert statuses == [b"200", b"200"]


async def test_fails_when_told_and_stays_healthy() -> None:
    """With error_rate 1 every user gets a 500, while health and revision answer."""
    async with opened(Shop("green", "2.0.0")) as (public, private):
        changed = await ask(private, put({"error_rate": 1, "revision": "2.1.0"}))
        answers = [await ask(public, GET_ITEM) for _user in range(3)]
        version = await ask(public, b"GET /version HTTP/1.1\r\n\r\n")

    assert changed[0] == 200
    assert [status for status, _body in answers] == [500, 500, 500]
    assert version == (200, b"2.1.0")


async def test_hangs_until_the_caller_gives_up() -> None:
    """A hanging shop takes the request, answers nothing, and notices the hang-up."""
    shop = Shop("green", "2.0.0")
    async with opened(shop) as (public, private):
        await ask(private, put({"hangs": True}))
        reader, writer = await asyncio.open_connection("127.0.0.1", public)
        writer.write(GET_ITEM)

        async def arrived() -> bool:
            return (await tally(private)).requests > 0

        await eventually(arrived)
        writer.write_eof()

        assert await reader.read() == b""
        writer.close()


async def test_tally_counts_users_only_and_begins_anew_with_each_change() -> None:
    """Probes are not counted; a change of the behaviour sets the tally to nothing."""
    async with opened(Shop("blue", "2.0.0")) as (public, private):
        await ask(public, b"GET /healthz HTTP/1.1\r\n\r\n")
        await asyncio.gather(*(ask(public, GET_ITEM) for _user in range(5)))
        before = await tally(private)
        await ask(private, put({}))
        after = await tally(private)

    assert before.requests == 5
    assert 1 <= before.in_flight_peak <= 5
    assert before.first_s is not None
    assert before.last_s is not None
    assert before.first_s <= before.last_s
    assert after == Tally()


@pytest.mark.parametrize(
    "document", [[], {"colour": "red"}, {"hangs": "yes"}, {"error_rate": None}]
)
async def test_refuses_a_behaviour_it_does_not_know(document: object) -> None:
    """A wrong change is a 400 with a sentence, and changes nothing."""
    async with opened(Shop("blue", "2.0.0")) as (_public, private):
        status, _body = await ask(private, put(document))
        _status, behaviour = await ask(private, b"GET /behaviour HTTP/1.1\r\n\r\n")

    assert status == 400
    assert json.loads(behaviour) == Behaviour().document()


@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
async def test_ends_with_its_parent(end: str) -> None:
    """The process ends by itself when its standard input does, and by SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.cli.demo.service",
        "blue",
        "2.0.0",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    ports = json.loads(await process.stdout.readline())
    reader, writer = await asyncio.open_connection("127.0.0.1", ports["port"])
    writer.write(GET_ITEM)
    await reader.readuntil(b"\r\n\r\n")
    if end == "stdin":
        process.stdin.close()
    else:
        process.send_signal(signal.SIGTERM)

    _output, errors = await process.communicate()
    writer.close()

    assert (process.returncode, errors) == (0, b"")


async def tally(number: int) -> Tally:
    """Return what a shop counted."""
    _status, body = await ask(number, b"GET /tally HTTP/1.1\r\n\r\n")
    return Tally(**json.loads(body))
