"""An HTTP server that gates and notifications are sent to; it behaves as told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.eventually import eventually

JsonObject = dict[str, Any]


class GateServer:
    """Answers every POST with ``status``, or hangs, lies or dies."""

    def __init__(self) -> None:
        self.status = 200
        self.mood = "fair"
        """``fair``; ``hang``: no answer; ``lie``: half an answer; ``die``: a reset."""
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        """Path, fields by lower-case name, and body of each request."""
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def documents(self) -> list[JsonObject]:
        """The bodies, as JSON."""
        return [json.loads(body) for _, _, body in self.seen]

    async def heard(self, count: int) -> None:
        """Wait until so many requests have come."""
        await eventually(lambda: len(self.seen) >= count)

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines)
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            self.seen.append((first.split()[1], fields, body))
            await self._say(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter) -> None:
        if self.mood == "hang":
            await asyncio.Event().wait()
        if self.mood == "die":
            writer.transport.abort()
            return
        if self.mood == "lie":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
        else:
            text = b"no" if self.status >= 300 else b"yes"
            head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(text)}\r\n\r\n"
            writer.write(head.encode() + text)
        await writer.drain()


@asynccontextmanager
async def gate_server() -> AsyncIterator[GateServer]:
    """Run a server on a free port of loopback."""
    gate = GateServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await gate.answer(reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    try:
        yield gate
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
