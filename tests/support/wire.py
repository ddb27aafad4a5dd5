"""A raw HTTP/1.1 client: it sends bytes as they are and reads answers by the book."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PATIENCE_S = 20.0
"""Nothing in these tests takes longer; a hang becomes a clear failure."""
STREAM_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """One response as it was on the wire; names of fields are lower-case."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes = field(repr=False)
    head: bytes
    trailers: bytes = b""

    def get(self, name: str) -> str | None:
        """Return the value of the one field of that name; None without."""
        values = [value for key, value in self.fields if key == name]
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


class Wire:
    """One client connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, data: bytes, *, method: str = "GET") -> Answer:
        """Send bytes and read one answer."""
        await self.send(data)
        return await self.answer(method=method)

    async def head(self) -> Answer:
        """Read a response head only."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
        status, *lines = head[:-4].decode("latin-1").split("\r\n")
        fields = [line.partition(":") for line in lines]
        return Answer(
            int(status.split(" ")[1]),
            [(name.lower(), value.strip(" \t")) for name, _, value in fields],
            b"",
            head,
        )

    async def answer(self, *, method: str = "GET") -> Answer:
        """Read one whole response, 1xx ones included."""
        answer = await self.head()
        status = answer.status
        body = trailers = b""
        async with asyncio.timeout(PATIENCE_S):
            if method == "HEAD" or status < 200 or status in {204, 304}:
                pass
            elif answer.get("transfer-encoding") is not None:
                assert answer.get("transfer-encoding") == "chunked"
                assert answer.get("content-length") is None
                body, trailers = await read_chunks(self.reader)
            elif (length := answer.get("content-length")) is not None:
                body = await self.reader.readexactly(int(length))
            else:
                body = await self.reader.read()
        return Answer(status, answer.fields, body, answer.head, trailers)

    async def rest(self) -> bytes:
        """Read until the other side ends cleanly; a reset is an error."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def is_reset(self) -> bytes:
        """Read until the connection is reset; return what came before."""
        out = b""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    data = await self.reader.read(65536)
                except ConnectionResetError:
                    return out
                assert data, f"ended cleanly after {out[-80:]!r}"
                out += data

    def reset(self) -> None:
        """Hang up with RST."""
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # gone already
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def dial(port: int, *, receive_bytes: int = 0) -> AsyncIterator[Wire]:
    """Connect; ``receive_bytes`` is a small SO_RCVBUF for clients that stall."""
    sock = socket.socket()
    sock.setblocking(False)  # noqa: FBT003 - the method's name says it
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    limit = receive_bytes or STREAM_BYTES
    wire = Wire(*await asyncio.open_connection(sock=sock, limit=limit))
    try:
        yield wire
    finally:
        await wire.close()


async def fetch(port: int, data: bytes, *, method: str = "GET") -> Answer:
    """Send one request over a connection of its own."""
    async with dial(port) as wire:
        return await wire.ask(data, method=method)


async def read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a chunked body; return its data and the trailer lines."""
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line[:-2], 16)
        if not size:
            break
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    trailers = b""
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers += line
    return body, trailers


def get(target: str = "/", *fields: str, method: str = "GET") -> bytes:
    """Return a request without a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: shop.test", *fields, "", ""]
    return "\r\n".join(lines).encode()


def post(body: bytes, *fields: str, target: str = "/", method: str = "POST") -> bytes:
    """Return a request with a body of known length."""
    length = f"Content-Length: {len(body)}"
    return get(target, length, *fields, method=method) + body


def chunks(*parts: bytes, trailers: bytes = b"") -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + (
        b"0\r\n" + trailers + b"\r\n"
    )
