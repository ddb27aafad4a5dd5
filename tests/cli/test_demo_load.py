"""The demo's users, against a shop without Headgate between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.cli.demo.behaviour import Behaviour
from proxy.cli.demo.load import UNKNOWN_VERSION, Load
from proxy.cli.demo.service import Request, Shop, port, serve
from tests.support.eventually import eventually


@asynccontextmanager
async def running(load: Load) -> AsyncIterator[None]:
    """Send traffic meanwhile."""
    users = asyncio.get_running_loop().create_task(load.run())
    try:
        yield
    finally:
        users.cancel()
        await asyncio.wait([users])


async def until_answered(load: Load, requests: int) -> None:
    """Wait for the end of some requests, however they ended."""
    await eventually(lambda: load.answered.total() + load.failed.total() >= requests)


async def test_every_user_keeps_a_name_and_comes_in_turn() -> None:
    """With 5 users, 10 requests come from each of them twice."""
    heads: list[bytes] = []

    async def converse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while not reader.at_eof():
            try:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                break
            if heads[-1].startswith(b"POST"):
                await reader.readuntil(b"}")
            writer.write(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
        load = Load("127.0.0.1", port(server), rate_per_s=200, users=5)
        async with running(load):
            await until_answered(load, 10)

    users = [head.split(b"x-user-id: ")[1].split(b"\r\n")[0] for head in heads[:10]]
    assert sorted(set(users)) == [b"user-%d" % user for user in range(5)]


async def test_counts_what_users_see_by_version() -> None:
    """Answers are counted for the version they name, errors apart."""
    shop = Shop("blue", "2.0.0")
    async with await serve(shop.to_user) as server:
        load = Load("127.0.0.1", port(server), rate_per_s=300, users=100)
        async with running(load):
            await until_answered(load, 30)
        recent = load.recent(UNKNOWN_VERSION)

    assert load.failed.total() == 0
    assert load.answered[UNKNOWN_VERSION] >= 30
    assert recent.requests >= 30
    assert 0.01 < recent.p50_s <= recent.p99_s


async def test_a_server_that_closes_is_an_error_and_no_end() -> None:
    """A closed connection fails that user's request; the others go on."""

    async def nothing(_request: Request) -> None:
        return None

    async with await serve(nothing) as server:
        load = Load("127.0.0.1", port(server), rate_per_s=300, users=100)
        async with running(load):
            await until_answered(load, 10)

    assert load.failed[UNKNOWN_VERSION] >= 10
    assert load.answered.total() == 0


async def test_a_slow_shop_does_not_get_fewer_requests() -> None:
    """Arrivals wait for nobody: while nothing is answered, requests pile up."""
    shop = Shop("blue", "2.0.0")
    shop._behaviour = Behaviour(hangs=True)
    async with await serve(shop.to_user) as server:
        load = Load("127.0.0.1", port(server), rate_per_s=300, users=100)
        async with running(load):
            await eventually(lambda: load.in_flight >= 50)

    assert load.answered.total() == 0
    assert load.in_flight == 0
