"""Upgraded connections: bytes both ways, as they come, until one side ends."""

import asyncio
import gc
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from contextvars import Context

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from proxy.dataplane.worker import Worker
from proxy.telemetry import layout
from tests.support import table
from tests.support.data_plane import DataPlane
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import dial, get

UPGRADE = ("Connection: Upgrade", "Upgrade: raw")


async def echo(call: Call) -> None:
    """Switch protocols, then send everything back."""
    if call.request.get("upgrade") is None:
        await call.reply(b"plain")
        return
    await call.send(b"HTTP/1.1 101 Switching\r\nUpgrade: raw\r\nX-Own: 1\r\n\r\nhi")
    while data := await call.reader.read(65536):
        await call.send(data)
    await call.send(b"bye")
    await call.close()


async def test_bytes_pass_both_ways(stage: Stage) -> None:
    """RFC 9110 section 7.8: 101 is relayed with what makes it valid."""
    async with ScriptedOrigin(echo) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answer = await wire.ask(get("/", *UPGRADE) + b"early")
            first = await wire.reader.readexactly(7)
            await wire.send(b"x" * 300_000)
            echoed = await wire.reader.readexactly(300_000)
            wire.writer.write_eof()
            rest = await wire.rest()

    assert answer.status == 101
    assert answer.get("connection") == "Upgrade"
    assert answer.get("upgrade") == "raw"
    assert answer.get("x-own") == "1"
    assert answer.get("x-headgate-version") == "stable"
    assert first == b"hiearly"
    assert (len(echoed), rest) == (300_000, b"bye")
    await service.counts("stable", {101: 1})
    assert service.timed("stable") == 0


async def test_bytes_wait_for_the_101(stage: Stage) -> None:
    """A body smuggled before the switch is not sent to an origin that refuses."""

    async def refuse(call: Call) -> None:
        await asyncio.sleep(0.1)
        await call.reply(b"no", status=400)

    async with ScriptedOrigin(refuse) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answer = await wire.ask(get("/", *UPGRADE) + get("/next"))
            second = await wire.answer()

    assert (answer.status, second.status) == (400, 400)
    assert [request.target for request in origin.requests] == ["/", "/next"]
    assert origin.connections == 2


async def test_an_ended_origin_ends_the_client(stage: Stage) -> None:
    """A FIN is a FIN, a reset is a reset."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 101 S\r\nUpgrade: raw\r\n\r\n")
        await call.reader.readexactly(1)
        if call.request.target == "/reset":
            call.reset()
        else:
            await call.send(b"last")
            await call.close()

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.ask(get("/end", *UPGRADE))
            await wire.send(b"x")
            assert await wire.rest() == b"last"
        async with dial(stage.port) as wire:
            await wire.ask(get("/reset", *UPGRADE))
            await wire.send(b"x")
            await wire.is_reset()


async def test_an_idle_tunnel_is_closed_after_its_timeout(stage: Stage) -> None:
    """`timeouts.tunnel`; it is longer than anything else by default."""
    async with ScriptedOrigin(echo) as origin:
        await stage.serve({"stable": [origin]}, timeouts={"tunnel": 0.5})
        async with dial(stage.port) as wire, asyncio.timeout(5):
            await wire.ask(get("/", *UPGRADE))
            rest = await wire.rest()

    assert rest == b"hi"


async def test_a_hung_up_client_frees_the_tunnel(stage: Stage) -> None:
    """Nothing is left in flight."""
    async with ScriptedOrigin(echo) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.ask(get("/", *UPGRADE))
            await eventually(lambda: service.word("stable", layout.C_INFLIGHT) == 1)
            wire.reset()
        await eventually(lambda: service.word("stable", layout.C_INFLIGHT) == 0)


async def test_a_slow_tunnel_holds_the_other_side(stage: Stage) -> None:
    """Back-pressure in a tunnel: an origin that floods is held."""
    sent = 0

    async def flood(call: Call) -> None:
        nonlocal sent
        await call.send(b"HTTP/1.1 101 S\r\nUpgrade: raw\r\n\r\n")
        for _ in range(1000):
            await call.send(bytes(65536))
            sent += 65536

    async with ScriptedOrigin(flood) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port, receive_bytes=4096) as wire:
            await wire.ask(get("/", *UPGRADE))
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.5)
            held = sent
            wire.reset()

    assert held < 30_000_000


async def test_websockets_end_to_end(stage: Stage) -> None:
    """A real client and a real server, over text, bytes and a clean close."""

    async def handler(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await stage.serve({"stable": [port]})
        uri = f"ws://127.0.0.1:{stage.port}/chat"
        async with connect(uri, proxy=None) as client:
            await client.send("hello")
            text = await client.recv()
            await client.send(b"x" * 100_000)
            data = await client.recv()
            await stage.serve({"stable": [port]})  # a reload moves nobody
            await client.send("still here")
            after = await client.recv()

    assert (text, len(data), after) == ("hello", 100_000, "still here")
    assert client.close_code == websockets.CloseCode.NORMAL_CLOSURE


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts the timers it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer."""
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)


async def timers_of(tunnels: int, loop: CountingLoop) -> int:
    """Return how many timers a second a worker with so many idle tunnels sets."""
    async with ScriptedOrigin(echo) as origin:
        service = table.service([table.version("stable", [origin.port], cell=0)])
        plane = DataPlane(table.table([service]))
        plan = plane.plan(
            listeners=[[os.dup(plane._listener.fileno())]],
            channel_fd=os.dup(plane._channels[1].fileno()),
        )
        worker = Worker(plan, loop)
        running = loop.create_task(worker.run())
        await eventually(lambda: bool(plane.control.region_word(0, layout.R_READY)))
        os.close(plan["table_fd"])
        async with AsyncExitStack() as stack:
            for _ in range(tunnels):
                wire = await stack.enter_async_context(dial(plane.port))
                assert (await wire.ask(get("/", *UPGRADE))).status == 101
            before = loop.timers
            await asyncio.sleep(1.0)
            counted = loop.timers - before
            assert len(worker.active) == tunnels
        plane.channel.send({"type": "stop_accepting"})
        await running
        loop.remove_reader(plan["alive_fd"])
        loop.remove_reader(plan["channel_fd"])
        worker._channel.close()
        plane.close()
    return counted


def test_idle_tunnels_cost_no_timer_each() -> None:
    """An hour of `timeouts.tunnel` for each of them, and one sweep for all."""
    thresholds = gc.get_threshold()
    counted = []
    for tunnels in (0, 60):
        with closing(CountingLoop()) as loop:
            counted.append(loop.run_until_complete(timers_of(tunnels, loop)))
    gc.unfreeze()
    gc.set_threshold(*thresholds)

    assert counted[1] <= counted[0] + 5
    assert counted[1] < 30
