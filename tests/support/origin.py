"""An HTTP origin that says what it is told to, on a port of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Origin:
    """What it answers can be changed while it runs."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"ok"
        self.fields: dict[str, str] = {}
        self.paths: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Return the endpoint as the file writes it."""
        return f"http://127.0.0.1:{self.port}"

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request and close."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.paths.append(head.split(b" ")[1].decode())
            length = len(self.body)
            own = "".join(f"{name}: {text}\r\n" for name, text in self.fields.items())
            fields = f"{own}Content-Length: {length}\r\nConnection: close\r\n\r\n"
            writer.write(f"HTTP/1.1 {self.status} X\r\n{fields}".encode() + self.body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # a bare connect, or a client that had enough
        finally:
            writer.close()


@asynccontextmanager
async def running_origin() -> AsyncIterator[Origin]:
    """Give an origin that listens until the end of the block."""
    origin = Origin()
    server = await asyncio.start_server(origin.answer, "127.0.0.1", 0)
    origin.port = server.sockets[0].getsockname()[1]
    async with server:
        yield origin
