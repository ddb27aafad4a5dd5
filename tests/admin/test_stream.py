"""The event stream: server-sent events, bounded and kept alive."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from proxy.admin import stream
from proxy.admin.listen import listening
from proxy.admin.stream import Streams
from tests.support.admin_api import admin_api
from tests.support.eventually import eventually
from tests.support.standin_controller import StandInController

HEAD = b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
BEGIN = b"retry: 2000\n\n"


@asynccontextmanager
async def following(port: int) -> AsyncIterator[asyncio.StreamReader]:
    """Open the stream on a plain connection and read up to its beginning."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD)
    try:
        await reader.readuntil(BEGIN)
        yield reader
    finally:
        writer.close()


@asynccontextmanager
async def streaming(streams: Streams) -> AsyncIterator[int]:
    """Serve only a stream; yield the port."""
    app = web.Application()
    app.add_routes([web.get("/api/v1/stream", streams.answer)])
    app.on_shutdown.append(streams.close)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with listening(app, [listener]):
        yield port


async def test_events_arrive_as_they_happen() -> None:
    """An event is one ``event`` and one ``data`` line of JSON."""
    controller = StandInController()
    async with admin_api(controller) as api, following(api.port) as reader:
        controller.stream.publish({"type": "config", "text": "two\nlines"})
        text = await reader.readuntil(b"}\n\n")

    assert b'event: config\ndata: {"type": "config", "text": "two\\nlines"}' in text


async def test_the_answer_is_an_event_stream_that_nobody_keeps() -> None:
    """Browsers read it as a stream, and no cache holds it back."""
    async with admin_api(StandInController()) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(HEAD)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert b"200 OK" in head
    assert b"text/event-stream" in head
    assert b"no-store" in head


async def test_a_client_that_leaves_is_forgotten() -> None:
    """The subscription ends with the connection, at the next event."""
    controller = StandInController()
    async with admin_api(controller) as api:
        async with following(api.port):
            assert len(controller.stream) == 1

        def forgotten() -> bool:
            controller.stream.publish({"type": "config"})
            return len(controller.stream) == 0

        await eventually(forgotten)


async def test_a_reader_that_stalls_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who takes nothing holds no place: the connection is reset."""
    monkeypatch.setattr(stream, "SEND_S", 0.05)
    controller = StandInController()
    async with admin_api(controller) as api, following(api.port):

        def cut() -> bool:
            controller.stream.publish({"type": "config", "text": "x" * 500_000})
            return len(controller.stream) == 0

        await eventually(cut)


async def test_the_server_ends_its_streams_when_it_stops() -> None:
    """A stop does not wait for clients that never leave."""
    controller = StandInController()
    async with AsyncExitStack() as clients:
        async with admin_api(controller) as api:
            reader = await clients.enter_async_context(following(api.port))
        rest = await reader.read()

    assert rest.strip(b"\r\n0") == b""
    assert len(controller.stream) == 0


async def test_a_quiet_stream_has_a_heartbeat() -> None:
    """Comments keep a line open on which nothing happens, and events follow."""
    controller = StandInController()
    streams = Streams(controller, heartbeat_s=0.05)
    async with streaming(streams) as port, following(port) as reader:
        await reader.readuntil(b": still here\n\n")
        await reader.readuntil(b": still here\n\n")
        controller.stream.publish({"type": "config"})
        text = await reader.readuntil(b"}\n\n")

    assert b"event: config" in text


async def test_streams_are_bounded() -> None:
    """One more than the limit is told so."""
    controller = StandInController()
    async with admin_api(controller) as api, AsyncExitStack() as clients:
        for _ in range(stream.STREAMS_MAX):
            await clients.enter_async_context(following(api.port))
        refused = await api.ask("GET", "/api/v1/stream")

    assert (refused.status, refused.json["reason"]) == (503, "TooManyStreams")
