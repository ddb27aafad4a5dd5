"""``health``: the exit code of one probe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.cli.entry import run
from tests.support.free_port import free_port


@asynccontextmanager
async def answering(status: str, body: str) -> AsyncIterator[str]:
    """Answer every request alike; yield the URL."""

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n"
        writer.write(f"{head}{body}".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/readyz"


async def probe(url: str) -> int:
    """Run the command in this process."""
    return await asyncio.to_thread(run, ["health", "--url", url])


async def test_ready_exits_0() -> None:
    """A 200 is healthy."""
    async with answering("200 OK", "ok\n") as url:
        assert await probe(url) == 0


async def test_not_ready_exits_1_and_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A 503 is not, nor is a redirect to somewhere else."""
    async with answering("503 Service Unavailable", "draining\n") as url:
        assert await probe(url) == 1
        assert capsys.readouterr().err == f"headgate: {url} answers 503: draining\n"
    async with answering("302 Found\r\nLocation: http://x/", "") as url:
        assert await probe(url) == 1


async def test_nobody_there_exits_1() -> None:
    """A refused connection is unhealthy; so is what is no URL."""
    assert await probe(f"http://127.0.0.1:{free_port()}/readyz") == 1
    assert await probe("file:///etc/passwd") == 1
