"""
The listening sockets of one worker: its own, and those of dead siblings.

Every worker inherits every listener. It accepts on its own; when a sibling dies
the supervisor says ``adopt``, and the others accept there until the replacement
is ready (``release``), so that no new connection waits for it.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

BACKLOG: Final = 4096
"""Passed everywhere: uvloop would cut the queue of an inherited socket to 100."""

ACCEPTS_A_TURN: Final = 8
"""
Copies of a TCP listener that one worker accepts on. libuv takes one connection
from a listener in a turn of the loop, and so one request a turn when every
client opens its own: 112 µs of CPU a request, 63 with eight copies, 58 with 16.
A copy that finds nothing costs a system call.
"""

ACCEPTS_MAX: Final = 10_000
"""Connections taken from a queue while draining; more is an attack."""

Factory = Callable[[], asyncio.BaseProtocol]
Starter = Callable[[Coroutine[Any, Any, None], str], None]


class Listeners:
    """``fds`` holds each worker's listeners, ``shared`` those all accept on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fds: list[list[int]],
        shared: list[int],
        index: int,
        factory: Factory,
    ) -> None:
        self._loop = loop
        self._fds = {number: list(group) for number, group in enumerate(fds)}
        self._shared = shared
        self._index = index
        self._factory = factory
        self._servers: dict[int, list[asyncio.AbstractServer]] = {}
        self._wanted: set[int] = set()
        self._stopped = False

    async def open(self) -> None:
        """Accept on the worker's own listeners and the shared ones."""
        self._wanted.add(self._index)
        own = self._fds.get(self._index, []) * ACCEPTS_A_TURN
        fds = own + self._shared
        self._servers[self._index] = await serve(self._loop, fds, self._factory)

    async def adopt(self, sibling: int) -> None:
        """Accept on a dead sibling's listeners too."""
        if self._stopped or sibling in self._wanted:
            return
        self._wanted.add(sibling)
        fds = self._fds.get(sibling, [])
        servers = await serve(self._loop, fds, self._factory)
        if sibling in self._wanted:
            self._servers[sibling] = servers
        else:
            close_all(servers)

    def release(self, sibling: int) -> None:
        """Leave a sibling's listeners to its replacement."""
        if sibling != self._index:
            self._wanted.discard(sibling)
            close_all(self._servers.pop(sibling, []))

    async def stop(self) -> None:
        """
        Stop accepting for good, without losing who already queues.

        The copies of other workers' listeners go first; then the own queue is
        emptied, then closed.
        """
        self._stopped = True
        self._wanted.clear()
        for sibling, fds in self._fds.items():
            if sibling != self._index:
                close_all(self._servers.pop(sibling, []))
                for fd in fds:
                    socket.close(fd)
        own = self._fds.get(self._index, []) + self._shared
        self._fds.clear()
        for fd in own:
            with socket.socket(fileno=fd) as listener:
                await self._empty(listener)
        close_all(self._servers.pop(self._index, []))

    async def _empty(self, listener: socket.socket) -> None:
        listener.setblocking(False)  # noqa: FBT003 - the method's name says it
        for _ in range(ACCEPTS_MAX):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            await self._loop.connect_accepted_socket(self._factory, connection)


async def serve(
    loop: asyncio.AbstractEventLoop, fds: Iterable[int], factory: Factory
) -> list[asyncio.AbstractServer]:
    """Accept on copies of inherited listeners, of whatever family they are."""
    servers: list[asyncio.AbstractServer] = []
    for fd in fds:
        original = socket.socket(fileno=fd)
        try:
            copy = original.dup()
        finally:
            original.detach()
        copy.setblocking(False)  # noqa: FBT003 - the method's name says it
        if copy.family == socket.AF_UNIX:
            server = await loop.create_unix_server(factory, sock=copy, backlog=BACKLOG)
        else:
            server = await loop.create_server(factory, sock=copy, backlog=BACKLOG)
        servers.append(server)
    return servers


def close_all(servers: Iterable[asyncio.AbstractServer]) -> None:
    """Close servers; their connections live on."""
    for server in servers:
        server.close()
