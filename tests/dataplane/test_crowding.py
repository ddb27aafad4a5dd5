"""When client connections run out: who gives way, and what goes on as before."""

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)

from proxy.model.vocabulary import Rejection
from proxy.telemetry import layout
from tests.support import table
from tests.support.data_plane import DataPlane
from tests.support.eventually import eventually
from tests.support.memory import private_kib
from tests.support.scripted_origin import ScriptedOrigin
from tests.support.wire import Wire, dial, fetch, get


@asynccontextmanager
async def crowded(
    origin: ScriptedOrigin, connections: int, **timeouts: float
) -> AsyncIterator[DataPlane]:
    """Run a worker with a limit on its connections."""
    service = table.service([table.version("stable", [origin.port], cell=0)])
    service["timeouts"].update(timeouts)
    document = table.table([service])
    document["limits"]["connections"] = connections
    async with DataPlane(document) as plane:
        yield plane


async def served(stack: AsyncExitStack, plane: DataPlane) -> Wire:
    """Return a connection that was answered once and idles since."""
    wire = await stack.enter_async_context(dial(plane.port))
    assert (await wire.ask(get())).status == 200
    return wire


def is_open(wire: Wire) -> bool:
    """Whether the worker did not hang up yet."""
    return not wire.reader.at_eof()


async def test_idle_connections_go_oldest_first() -> None:
    """At 90 % of the connections: 17 of 20 stay, the 18th costs the oldest."""
    async with (
        ScriptedOrigin() as origin,
        crowded(origin, 20) as plane,
        AsyncExitStack() as stack,
    ):
        wires = [await served(stack, plane) for _ in range(2)]
        await asyncio.sleep(0.3)  # the worker's clock is a tenth of a second coarse
        wires += [await served(stack, plane) for _ in range(15)]
        await asyncio.sleep(0.3)
        assert all(map(is_open, wires))
        wires += [await served(stack, plane) for _ in range(2)]
        await eventually(lambda: not is_open(wires[0]) and not is_open(wires[1]))
        await asyncio.sleep(0.3)
        assert all(map(is_open, wires[2:]))
        answers = [await wire.ask(get()) for wire in wires[2:]]

    assert {answer.status for answer in answers} == {200}


async def test_heads_get_half_their_time() -> None:
    """At 90 % of the connections; below it all of it."""

    async def slow_head(plane: DataPlane) -> float:
        began_s = time.monotonic()
        async with dial(plane.port) as wire:
            answer = await wire.ask(b"GET / HTTP/1.1\r\nHo")
        assert answer.status == 408
        return time.monotonic() - began_s

    async with (
        ScriptedOrigin() as origin,
        crowded(origin, 20, head=4.0) as plane,
        AsyncExitStack() as stack,
    ):
        quiet = asyncio.get_running_loop().create_task(slow_head(plane))
        await asyncio.sleep(0.2)
        for _ in range(19):  # who says nothing is not idle: a request may come
            await stack.enter_async_context(dial(plane.port))
        await asyncio.sleep(0.3)  # the sweep sees it
        await stack.aclose()
        waiting = [await stack.enter_async_context(dial(plane.port)) for _ in range(18)]
        await asyncio.sleep(0.3)
        took_s = await slow_head(plane)
        quiet_s = await quiet
        del waiting

    assert 2 <= took_s < 4 <= quiet_s


async def test_at_the_limit_and_one_past() -> None:
    """`connections`: the last one is served; one more is told 503 at once."""
    async with (
        ScriptedOrigin() as origin,
        crowded(origin, 5) as plane,
        AsyncExitStack() as stack,
    ):
        # They ask for nothing yet, so that nobody idles and has to go.
        waiting = [await stack.enter_async_context(dial(plane.port)) for _ in range(4)]
        last = await fetch(plane.port, get())
        await eventually(lambda: plane.control.region_word(0, layout.R_DOWNSTREAM) == 4)
        waiting.append(await stack.enter_async_context(dial(plane.port)))
        over = await fetch(plane.port, get())
        answers = [await wire.ask(get()) for wire in waiting]

    assert last.status == 200
    assert (over.status, over.get("retry-after")) == (503, "1")
    assert over.get("x-headgate-reason") == "too_many_connections"
    assert {answer.status for answer in answers} == {200}


async def test_a_flood_over_the_limit_is_reset_unheard() -> None:
    """256 are told; each holds a descriptor until it has read that, so no more."""
    async with ScriptedOrigin() as origin, crowded(origin, 1) as plane:
        with many(plane.port, 300) as flood:
            rejected = layout.R_REJECTED + Rejection.OVERLOAD
            await eventually(lambda: plane.control.region_word(0, rejected) >= 299)
            ends = [await asyncio.to_thread(end_of, one) for one in flood[1:]]

    lost = 300 - len(flood)  # reset before their connect returned
    assert ends.count("reset") + lost >= 1
    assert ends.count("told") >= 200


# --- slow loris ---


@contextmanager
def many(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Open so many connections; those that are reset meanwhile are left out."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            with suppress(ConnectionResetError):
                sock = socket.create_connection(("127.0.0.1", port), 10)
                opened.append(stack.enter_context(sock))
        yield opened


def end_of(one: socket.socket) -> str:
    """Read a connection to its end; say how it ended."""
    data = b""
    try:
        while more := one.recv(65536):
            data += more
    except ConnectionResetError:
        return "told" if b" 503 " in data else "reset"
    if b" 503 " in data:
        return "told"
    return "408" if b" 408 " in data else "closed"


async def p99_s(plane: DataPlane, seconds: float) -> float:
    """Return the p99 of eight clients that ask one request after another."""
    took_s: list[float] = []

    async def client() -> None:
        async with dial(plane.port) as wire:
            until_s = time.monotonic() + seconds
            while (asked_s := time.monotonic()) < until_s:
                assert (await wire.ask(get())).status == 200
                took_s.append(time.monotonic() - asked_s)
                await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(client())
    return sorted(took_s)[int(len(took_s) * 0.99)]


async def test_slow_loris_does_not_slow_others() -> None:
    """
    Half of a worker's connections send their heads a byte at a time.

    The promise is for 10 000 of 20 000. A process here may open what
    RLIMIT_NOFILE says, which bounds the limit and so the half of it that is
    opened: 4 872 where that is 20 000.
    """
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    async with ScriptedOrigin() as origin, crowded(origin, 20_000, head=3.0) as plane:
        assert plane.process is not None
        count = min(10_000, (descriptors - 512) // 4)
        quiet_s = min([await p99_s(plane, 0.3) for _ in range(3)])
        before_bytes = private_kib(plane.process.pid) * 1024
        with many(plane.port, count) as loris:
            for one in loris:
                one.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            open_now = plane.control.region_word(0, layout.R_DOWNSTREAM)
            for one in loris:
                one.send(b"z")
            busy_s = min([await p99_s(plane, 0.3) for _ in range(5)])
            grown_bytes = private_kib(plane.process.pid) * 1024 - before_bytes
            timeouts = layout.R_REJECTED + Rejection.TIMEOUT
            await eventually(lambda: plane.control.region_word(0, timeouts) == count)
            ends = {end_of(one) for one in loris[:50]}

    print(  # noqa: T201
        f"{count} slow heads, p99 {quiet_s * 1000:.2f} ms without, "
        f"{busy_s * 1000:.2f} ms with, {grown_bytes / count:.0f} bytes each"
    )
    assert open_now > 0
    assert ends == {"408"}
    assert busy_s <= 2 * quiet_s + 0.005
    assert grown_bytes / count < 10_000
