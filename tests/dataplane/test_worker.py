"""The worker's life: tables and weights change under load, and it drains."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from proxy.telemetry import layout
from tests.support import table
from tests.support.data_plane import DataPlane
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import dial, fetch, get, post


async def echo(call: Call) -> None:
    """Answer with the request's body and target."""
    await call.reply(call.request.target.encode() + call.request.body)


class Load:
    """Clients that ask without a pause, each over one connection."""

    def __init__(self) -> None:
        self.asked = 0
        self.wrong: list[object] = []
        self.stopped = asyncio.Event()

    async def client(self, port: int, number: int) -> None:
        """Ask until the load ends; every answer must be that of its request."""
        async with dial(port) as wire:
            while not self.stopped.is_set():
                self.asked += 1
                unique = f"/{number}-{self.asked}"
                body = unique.encode() * 10
                answer = await wire.ask(post(body, target=unique))
                if answer.status != 200 or answer.body != unique.encode() + body:
                    self.wrong.append(answer)
                if answer.get("connection") is not None:
                    self.wrong.append(answer.head)


@asynccontextmanager
async def load(port: int, clients: int = 8) -> AsyncIterator[Load]:
    """Run clients while the block runs."""
    running = Load()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(running.client(port, number))
        yield running
        running.stopped.set()


async def test_weights_change_100_times_under_load(stage: Stage) -> None:
    """Promise 6: a weight change loses no request and no connection."""
    async with ScriptedOrigin(echo) as stable, ScriptedOrigin(echo) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]})
        async with load(stage.port) as running:
            for number in range(100):
                service.flip((number * 7919) % 100_001)
                await asyncio.sleep(0.02)

    assert running.wrong == []
    assert running.asked > 500
    assert len(canary.requests) > 100
    assert len(stable.requests) + len(canary.requests) == running.asked


async def test_tables_change_under_load(stage: Stage) -> None:
    """A reload keeps every connection, on both sides."""
    async with ScriptedOrigin(echo) as stable:
        service = await stage.serve({"stable": [stable]})
        async with load(stage.port) as running:
            for _ in range(20):
                await stage.show([service.entry])
                await asyncio.sleep(0.02)

    assert running.wrong == []
    assert running.asked > 100
    assert stable.connections <= 8


async def test_a_request_keeps_the_table_it_started_with(stage: Stage) -> None:
    """Its slots are not given away before it ends."""
    go = asyncio.Event()

    async def slow(call: Call) -> None:
        await go.wait()
        await call.reply(b"old")

    async with ScriptedOrigin(slow) as old, ScriptedOrigin() as new:
        await stage.serve({"stable": [old]})
        first = stage.worker(layout.R_TABLE_GENERATION)
        async with dial(stage.port) as wire:
            await wire.send(get())
            await eventually(lambda: bool(old.requests))
            await stage.serve({"stable": [new]})
            second = stage.worker(layout.R_TABLE_GENERATION)
            assert (await fetch(stage.port, get())).body == b"ok"
            await asyncio.sleep(1.2)
            held = stage.worker(layout.R_GENERATION)
            go.set()
            answer = await wire.answer()
        await eventually(lambda: stage.worker(layout.R_GENERATION) == second)

    assert answer.body == b"old"
    assert held == first


async def test_a_table_that_cannot_be_read_changes_nothing(stage: Stage) -> None:
    """The worker keeps the one that it has."""
    async with ScriptedOrigin() as stable:
        await stage.serve({"stable": [stable]})
        before = stage.worker(layout.R_TABLE_GENERATION)
        stage.plane.send_table({"generation": before + 1000})
        async with dial(stage.port) as wire:
            for _ in range(20):
                assert (await wire.ask(get())).status == 200
                await asyncio.sleep(0.01)

    assert stage.worker(layout.R_TABLE_GENERATION) == before


async def test_gauges_follow_connections(stage: Stage) -> None:
    """What is open and in flight, once a second."""
    async with ScriptedOrigin() as stable:
        service = await stage.serve({"stable": [stable]})
        async with dial(stage.port) as wire:
            await wire.ask(get())
            await eventually(lambda: service.word("stable", layout.C_POOL_IDLE) == 1)
            assert stage.worker(layout.R_DOWNSTREAM) >= 1
            assert stage.worker(layout.R_UPSTREAM_IDLE) == 1
        await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 0)


async def test_idle_origin_connections_are_closed_early(stage: Stage) -> None:
    """`upstream_keepalive`, capped by what the origin says less one second."""

    async def script(call: Call) -> None:
        await call.reply(b"", "Keep-Alive: timeout=2")

    async with ScriptedOrigin(script) as stable, ScriptedOrigin() as other:
        service = await stage.serve({"stable": [stable, other]})
        async with dial(stage.port) as wire:
            while not (stable.requests and other.requests):
                await wire.ask(get())
        await eventually(lambda: service.word("stable", layout.C_POOL_IDLE) == 2)
        await eventually(lambda: service.word("stable", layout.C_POOL_IDLE) == 1)


async def test_an_origin_that_keeps_for_a_second_is_not_kept(stage: Stage) -> None:
    """`Keep-Alive: timeout=1`: less one second nothing is left."""

    async def script(call: Call) -> None:
        await call.reply(b"", "Keep-Alive: timeout=1")

    async with ScriptedOrigin(script) as stable:
        await stage.serve({"stable": [stable]})
        async with dial(stage.port) as wire:
            for _ in range(3):
                await wire.ask(get())

    assert stable.connections == 3


# --- the end ---


@asynccontextmanager
async def own_worker(*origins: ScriptedOrigin, **changes: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - JSON
    """Run a worker of the test's own."""
    versions = [table.version("stable", [one.port for one in origins], cell=0)]
    plane = DataPlane(table.table([table.service(versions, **changes)]))
    async with plane:
        yield plane


async def ended(plane: DataPlane) -> int:
    """Wait for the worker's end; return its exit status."""
    process = plane.process
    assert process is not None
    await eventually(lambda: process.poll() is not None, within_s=15)
    status = process.poll()
    assert status is not None
    return status


async def test_draining_says_close_and_still_accepts() -> None:
    """After SIGTERM, during `drain.delay`: served, with `Connection: close`."""
    async with (
        ScriptedOrigin(echo) as origin,
        own_worker(origin) as plane,
        dial(plane.port) as wire,
    ):
        assert (await wire.ask(get("/1"))).get("connection") is None
        plane.channel.send({"type": "drain"})

        async def told() -> bool:
            answer = await fetch(plane.port, get("/2"))
            assert answer.status == 200
            return answer.get("connection") == "close"

        await eventually(told)
        last = await wire.ask(get("/3"))
        assert last.get("connection") == "close"
        assert await wire.rest() == b""


async def test_a_drained_worker_finishes_and_ends_with_0() -> None:
    """In flight requests finish, idle connections are closed, nobody new."""
    go = asyncio.Event()

    async def slow(call: Call) -> None:
        await go.wait()
        await call.reply(bytes(200_000))

    async with (
        ScriptedOrigin(slow) as origin,
        own_worker(origin) as plane,
        dial(plane.port) as busy,
        dial(plane.port) as idle,
    ):
        await busy.send(get())
        await eventually(lambda: bool(origin.requests))
        plane.channel.send({"type": "stop_accepting"})
        assert await idle.rest() == b""
        assert plane.process.poll() is None
        go.set()
        answer = await busy.answer()
        assert await busy.rest() == b""
        status = await ended(plane)

    assert (answer.status, len(answer.body)) == (200, 200_000)
    assert answer.get("connection") == "close"
    assert status == 0


async def test_a_drain_loses_no_request() -> None:
    """Clients that connect for every request while it stops: none fails."""
    async with ScriptedOrigin(echo) as origin, own_worker(origin) as plane:
        failed: list[object] = []
        answered = 0
        stopped = asyncio.Event()

        async def client(stack: AsyncExitStack) -> None:
            nonlocal answered
            while not stopped.is_set():
                try:
                    wire = await stack.enter_async_context(dial(plane.port))
                except OSError:  # nobody listens any more: nothing was asked
                    return
                try:
                    await wire.send(get("/"))
                    answer = await wire.answer()
                except (OSError, asyncio.IncompleteReadError) as error:
                    if not stopped.is_set():
                        failed.append(error)
                    return
                answered += answer.status == 200

        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(client(stack))
            await eventually(lambda: answered > 50)
            plane.channel.send({"type": "drain"})
            plane._listener.close()
            plane.channel.send({"type": "stop_accepting"})
            status = await ended(plane)
            stopped.set()

    assert failed == []
    assert status == 0
