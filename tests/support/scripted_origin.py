"""A real origin on a port of its own whose every answer is scripted by the test."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

from tests.support.wire import read_chunks


@dataclass(slots=True)
class Received:
    """A request as it came over the wire; names of fields are lower-case."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    head: bytes
    body: bytes = field(default=b"", repr=False)
    trailers: bytes = b""

    def get(self, name: str) -> str | None:
        """Return the value of the one field of that name; None without."""
        values = self.all(name)
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name]


class Call:
    """One request at the origin, and the means to answer it in any way."""

    def __init__(
        self,
        request: Received,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
    ) -> None:
        self.request = request
        self.reader = reader
        self.writer = writer
        self.number = number

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, body: bytes = b"ok", *fields: str, status: int = 200) -> None:
        """Send a whole answer with a length."""
        lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *fields]
        head = "\r\n".join([*lines, "", ""]).encode()
        await self.send(head if self.request.method == "HEAD" else head + body)

    async def read_body(self) -> None:
        """Read the request's body, however it is framed."""
        request = self.request
        if request.get("transfer-encoding") is not None:
            assert request.get("content-length") is None
            request.body, request.trailers = await read_chunks(self.reader)
        elif (length := request.get("content-length")) is not None:
            request.body = await self.reader.readexactly(int(length))

    def reset(self) -> None:
        """End the connection with RST."""
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # gone already
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def close(self) -> None:
        """End the connection with FIN, whatever was promised."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def hang(self) -> None:
        """Say nothing until the other side gives up."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Call], Awaitable[None]]


async def ok(call: Call) -> None:
    """Answer 200 with a short body."""
    await call.reply()


class ScriptedOrigin:
    """
    Serves ``script`` once a request; use as an async context manager.

    With ``eager`` the script is called when the head is there and reads the
    body itself; else the body was read before.
    """

    def __init__(self, script: Script = ok, *, eager: bool = False) -> None:
        self.script = script
        self.eager = eager
        self.requests: list[Received] = []
        self.connections = 0
        self.broken: list[BaseException] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=2**20
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self.broken:
            raise self.broken[0]

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before its first step closes nothing itself.
        task.add_done_callback(lambda _: writer.close())

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while not writer.is_closing():
                call = await self._read(reader, writer)
                if call is None:
                    break
                await self.script(call)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the proxy hung up; the test sees that on its own side
        except Exception as error:  # noqa: BLE001 - shown by __aexit__
            self.broken.append(error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Call | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, version = first.split(" ")
        assert version == "HTTP/1.1", head
        fields = [line.partition(":") for line in lines]
        request = Received(
            method,
            target,
            [(name.lower(), value.strip(" \t")) for name, _, value in fields],
            head,
        )
        call = Call(request, reader, writer, len(self.requests))
        self.requests.append(request)
        if not self.eager:
            await call.read_body()
        return call
