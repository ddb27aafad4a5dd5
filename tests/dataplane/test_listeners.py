"""
Listening sockets: one's own, a dead sibling's for a while, and the end.

On uvloop, the product's event loop: closing while accepting differs.
"""

import asyncio
import socket
from collections.abc import Iterator
from typing import cast

import pytest
import uvloop

from proxy.dataplane.listeners import Listeners
from tests.support.wire import dial


class Greeting(asyncio.Protocol):
    """Says hello and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it."""
        stream = cast("asyncio.Transport", transport)
        stream.write(b"hello")
        stream.close()


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    """Return two workers' listeners; the descriptors are the test's to close."""
    both = [socket.create_server(("127.0.0.1", 0), backlog=16) for _ in range(2)]
    yield both
    for one in both:
        one.close()


def inherit(sockets: list[socket.socket]) -> list[list[int]]:
    """Return descriptors of a worker's own, as it inherits them."""
    return [[one.dup().detach()] for one in sockets]


async def greeted(sock: socket.socket, *, within_s: float = 5.0) -> bool:
    """Whether somebody accepts there."""
    async with dial(sock.getsockname()[1]) as wire:
        try:
            async with asyncio.timeout(within_s):
                return await wire.reader.read() == b"hello"
        except TimeoutError:
            return False


def test_a_siblings_listener_is_adopted_and_released(
    sockets: list[socket.socket],
) -> None:
    """No new connection waits for a replacement; then it has its own again."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        mine, sibling = sockets
        listeners = Listeners(loop, inherit(sockets), [], 0, Greeting)
        await listeners.open()

        assert await greeted(mine)
        assert not await greeted(sibling, within_s=0.1)
        await listeners.adopt(1)
        await listeners.adopt(1)
        assert await greeted(sibling)
        listeners.release(1)
        listeners.release(1)
        assert not await greeted(sibling, within_s=0.1)
        listeners.release(0)
        assert await greeted(mine)
        await listeners.stop()

    uvloop.run(scenario())


def test_many_connections_are_taken_in_one_turn(
    sockets: list[socket.socket],
) -> None:
    """Clients that open a connection each do not wait a turn of the loop each."""
    turns: list[int] = []

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            turns.append(turn)
            cast("asyncio.Transport", transport).abort()

    turn = 0

    async def scenario() -> None:
        nonlocal turn
        loop = asyncio.get_running_loop()
        listeners = Listeners(loop, inherit(sockets[:1]), [], 0, Noting)
        address = sockets[0].getsockname()
        clients = [socket.create_connection(address) for _ in range(16)]
        await listeners.open()
        async with asyncio.timeout(5):
            while len(turns) < len(clients):
                turn += 1
                await asyncio.sleep(0)
        await listeners.stop()
        for client in clients:
            client.close()

    uvloop.run(scenario())

    assert len(set(turns)) <= len(turns) / 2, turns


def test_shared_listeners_are_ones_own(sockets: list[socket.socket]) -> None:
    """`unix:` addresses have one listener on which all accept."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        mine, shared = sockets
        fds = inherit(sockets)
        listeners = Listeners(loop, [fds[0]], fds[1], 0, Greeting)
        await listeners.open()

        assert await greeted(mine)
        assert await greeted(shared)
        await listeners.stop()

    uvloop.run(scenario())


def test_stopping_serves_who_already_queues(
    sockets: list[socket.socket],
) -> None:
    """A connection the kernel took is answered; afterwards nobody listens."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        mine, sibling = sockets
        port = mine.getsockname()[1]
        listeners = Listeners(loop, inherit(sockets), [], 0, Greeting)
        await listeners.open()
        await listeners.adopt(1)
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        mine.close()
        sibling.close()
        await listeners.stop()
        await listeners.adopt(1)

        said: list[bytes] = []
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003 - the method's name says it
            async with asyncio.timeout(5):
                said.append(await loop.sock_recv(one, 100))
            one.close()
        assert said == [b"hello"] * 10
        with pytest.raises(ConnectionRefusedError):
            async with dial(port):
                pass

    uvloop.run(scenario())
