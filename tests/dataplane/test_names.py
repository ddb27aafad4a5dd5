"""Endpoints with names: resolved again, and the last good answer is kept."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from proxy.dataplane.names import AGAIN_S, REFRESH_S, Name, Names, resolve
from proxy.dataplane.pool import Pool
from proxy.dataplane.upstream import Upstream
from proxy.model.vocabulary import Flag
from proxy.routing.table import Endpoint
from tests.support.free_port import free_port
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import fetch, get


class Directory:
    """A resolver that says what the test wrote, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.found: list[str] = []
        self.asked = 0
        self.changed: list[Name] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.names = Names(
            self.resolve, self.start, lambda: self.now_s, self.changed.append
        )

    async def resolve(self, host: str, port: int) -> list[str]:
        """Answer, or raise as a resolver does that is not reached."""
        del port
        self.asked += 1
        await asyncio.sleep(0)
        if not self.found:
            raise OSError(f"{host}: try again")
        return list(self.found)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task beside the test."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def later(self, seconds: float) -> None:
        """Let time pass, and what follows from it happen."""
        self.now_s += seconds
        self.names.refresh()
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing runs."""
        while self.tasks:
            await asyncio.gather(*self.tasks)


class Client:
    """Waits for a connection of a pool."""

    def __init__(self) -> None:
        self.upstream: Upstream | None = None
        self.flag: Flag | None = None

    def connected(self, upstream: Upstream) -> bool:
        """Take it."""
        self.upstream = upstream
        return True

    def connect_failed(self, flag: Flag) -> None:
        """Note why there is none."""
        self.flag = flag


def named(directory: Directory, port: int) -> Pool:
    """Return the pool of an endpoint with a name."""
    return Pool(
        Endpoint(host="shop.internal", port=port, unix="", authority=b"shop"),
        buffer=memoryview(bytearray(1024)),
        start=directory.start,
        clock=lambda: directory.now_s,
        names=directory.names,
    )


async def connected(directory: Directory, pool: Pool) -> Client:
    """Ask a pool for a new connection."""
    client = Client()
    pool.connect(client)
    await directory.settled()
    return client


@contextmanager
def listening(*hosts: str) -> Iterator[int]:
    """Take connections at one port of these addresses."""
    port = free_port()
    with ExitStack() as stack:
        for host in hosts:
            listener = stack.enter_context(socket.socket())
            listener.bind((host, port))
            listener.listen()
        yield port


async def test_an_answer_is_used_until_it_is_old() -> None:
    """One question for all connections of `REFRESH_S`, then another beside them."""
    directory = Directory()
    directory.found = ["127.0.0.2"]
    with listening("127.0.0.2") as port:
        pool = named(directory, port)
        clients = [await connected(directory, pool) for _ in range(3)]
        await directory.later(REFRESH_S - 0.1)
        before = directory.asked
        await directory.later(0.2)
        for client in clients:
            assert client.upstream is not None
            client.upstream.close()

    assert (before, directory.asked) == (1, 2)


async def test_the_last_good_answer_is_kept() -> None:
    """A resolver that is away takes no version away."""
    directory = Directory()
    directory.found = ["127.0.0.2"]
    with listening("127.0.0.2") as port:
        pool = named(directory, port)
        first = await connected(directory, pool)
        directory.found = []
        for _ in range(20):
            await directory.later(REFRESH_S)
        second = await connected(directory, pool)
        for client in (first, second):
            assert client.upstream is not None
            client.upstream.close()

    assert directory.asked == 21
    assert directory.changed == []


async def test_connections_follow_a_name_that_moves() -> None:
    """Idle ones to the old address end, busy ones end after their answer."""
    directory = Directory()
    directory.found = ["127.0.0.2"]
    with listening("127.0.0.2", "127.0.0.3") as port:
        pool = named(directory, port)
        busy = (await connected(directory, pool)).upstream
        idle = (await connected(directory, pool)).upstream
        assert busy is not None
        assert idle is not None
        pool.give_back(idle, directory.now_s)
        directory.found = ["127.0.0.3"]
        await directory.later(REFRESH_S)
        pool.leave([busy])
        new = (await connected(directory, pool)).upstream
        assert new is not None

        assert directory.changed == [pool.name]
        assert pool.idle == []
        assert idle.transport is None
        assert (busy.usable, busy.transport is None) == (False, False)
        assert new.address == "127.0.0.3"
        busy.close()
        new.close()


async def test_a_dead_address_is_not_the_end() -> None:
    """Of several addresses each is tried, each time beginning with another."""
    directory = Directory()
    directory.found = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    with listening("127.0.0.2", "127.0.0.4") as port:
        pool = named(directory, port)
        seen = []
        for _ in range(6):
            upstream = (await connected(directory, pool)).upstream
            assert upstream is not None
            seen.append(upstream.address)
            upstream.close()

    assert set(seen) == {"127.0.0.2", "127.0.0.4"}


async def test_a_name_without_any_address_fails_quickly() -> None:
    """UF; asked again once a second and not for every request."""
    directory = Directory()
    pool = named(directory, free_port())
    flags = [(await connected(directory, pool)).flag for _ in range(5)]
    before = directory.asked
    directory.now_s += AGAIN_S
    again = (await connected(directory, pool)).flag

    assert [*flags, again] == [Flag.UF] * 6
    assert (before, directory.asked) == (1, 2)


async def test_addresses_are_no_names() -> None:
    """Nobody is asked for what is an address already."""
    names = Directory().names

    assert [names.name(host, 80) for host in ("127.0.0.1", "::1")] == [None, None]
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]


async def test_a_worker_resolves_names(stage: Stage) -> None:
    """`http://localhost:PORT`, whatever of its addresses is served."""
    async with ScriptedOrigin() as origin:
        service = stage.service({"stable": [origin]})
        service.entry["versions"][0]["endpoints"][0]["host"] = "localhost"
        await stage.show([service.entry])
        answers = [await fetch(stage.port, get()) for _ in range(5)]

    assert {answer.status for answer in answers} == {200}
