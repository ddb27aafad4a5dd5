"""
A worker in this very process that 10 000 connections pass through, without gc.

Prints how many objects the collector then finds: only cycles that a connection
left behind would be there. Each connection is one of: kept alive and closed by
the client, closed by the proxy, refused, reset in the middle (also
of a large body, up or down), a tunnel.
"""

import asyncio
import gc
import os
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import uvloop

from proxy.dataplane.worker import Worker
from proxy.telemetry import channel, layout, pairs, slab
from tests.support import table
from tests.support.eventually import eventually

CONNECTIONS = 10_000
AT_ONCE = 50
CALM_S = 1.5

GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
KINDS = (
    GOOD * 2,
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"BAD\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n" + bytes(200_000),
    b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n",
)

LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + bytes(400_000)


class Origin(asyncio.Protocol):
    """Answers each read that ends a head."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer, or switch."""
        if b"GET /up" in data:
            self.transport.write(b"HTTP/1.1 101 S\r\nUpgrade: raw\r\n\r\n")
        elif b"GET /large" in data:
            self.transport.write(LARGE)
        elif b"\r\n\r\n" in data and b"POST" not in data:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Break the cycle."""
        del self.transport


class Client(asyncio.Protocol):
    """Sends one kind, and hangs up after the first bytes that come back."""

    def __init__(self, data: bytes, gone: asyncio.Future[None]) -> None:
        self.data = data
        self.gone = gone

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's
        """Ask; the unfinished POST is dropped at once."""
        self.transport = transport
        transport.write(self.data)
        if self.data.startswith(b"POST"):
            asyncio.get_running_loop().call_later(0.01, transport.abort)

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 - asyncio's
        """Enough."""
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Break the cycle."""
        del self.transport
        if not self.gone.done():
            self.gone.set_result(None)
        del self.gone


async def one(port: int, number: int) -> None:
    """Open one connection and wait for its end."""
    loop = asyncio.get_running_loop()
    gone = loop.create_future()
    data = KINDS[number % len(KINDS)]
    await loop.create_connection(lambda: Client(data, gone), "127.0.0.1", port)
    await gone


async def some(port: int, first: int) -> None:
    """Open a slice of all, one after the other."""
    for number in range(first, CONNECTIONS, AT_ONCE):
        await one(port, number)


def listener() -> socket.socket:
    """Return a listening socket."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


async def main() -> int:
    """Run worker, origin and clients; return what the collector finds."""
    loop = asyncio.get_running_loop()
    origin = await loop.create_server(Origin, "127.0.0.1", 0)
    port = origin.sockets[0].getsockname()[1]
    document = table.table([table.service([table.version("stable", [port], cell=0)])])
    ours, theirs = channel.pair()
    alive = os.pipe()
    front, health = listener(), listener()
    worker = Worker(
        {
            "index": 0,
            "slab_fd": slab.create(1),
            "pairs_fd": pairs.create(1),
            "channel_fd": theirs.fileno(),
            "alive_fd": alive[0],
            "table_fd": channel.sealed_document("table", document),
            "listeners": [[front.fileno()]],
            "shared_listeners": [],
            "health_fds": [health.fileno()],
            "metrics_address": "\0nobody",
        },
        loop,
    )
    running = loop.create_task(worker.run())
    await eventually(lambda: bool(worker.words[layout.R_READY]))
    address = front.getsockname()[1]
    for number in range(2 * len(KINDS)):
        await one(address, number)
    await asyncio.sleep(0.1)
    gc.collect()
    gc.disable()
    async with asyncio.TaskGroup() as group:
        for first in range(AT_ONCE):
            group.create_task(some(address, first))
    del group
    await eventually(lambda: not worker.connections and not worker.active)
    await asyncio.sleep(CALM_S)
    found = gc.collect()
    errors = worker.words[layout.R_CALLBACK_ERRORS]
    print(f"{CONNECTIONS} connections, {found} to collect")  # noqa: T201 - the result
    running.cancel()
    ours.close()
    return 1 if errors else 0


if __name__ == "__main__":
    status = uvloop.run(main())
    sys.stdout.flush()
    os._exit(status)
