"""
What a worker holds, at full size: the memory promises as figures.

1. a download and an upload of 1 GiB: growth of private memory, at most 16 MiB;
2. 64 transfers each way whose reader stops for 10 s after 1 MiB: the same;
3. 10 000 idle connections, each after one request: at most 6 KiB each (PSS);
4. 10 000 connections that all ask at once, half of them replaced: no garbage
   collection takes more than 5 ms (of CPU time: other processes don't count).

Run: ``python benchmarks/memory.py``; about a minute, 20 000 descriptors. Ends
with 1 if a figure is over its limit. The same with smaller sizes is part of the
tests (``tests/dataplane/test_memory.py``).
"""

import asyncio
import resource
import sys
import tempfile
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measure
import origin
from peers.base import PLAIN, Site, free_port
from peers.headgate import Headgate

from tests.support import table
from tests.support.data_plane import DataPlane
from tests.support.eventually import eventually
from tests.support.memory import private_kib, proportional_kib
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.wire import dial, get

MIB = 2**20
BLOCK = bytes(256 * 1024)
LARGE_MIB = 1024
TRANSFERS = 64
STALL_S = 10
CALM_S = 3
IDLE_CONNECTIONS = 10_000
DESCRIPTORS = 30_000
GROWTH_MIB_MAX = 16
IDLE_KIB_MAX = 6
PAUSE_MS_MAX = 5
WATCHED = Path(__file__).with_name("watched_worker.py")


async def flood(call: Call) -> None:
    """Send as many MiB as the target says."""
    mib = int(call.request.target[1:] or 0)
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (mib * MIB))
    for _ in range(mib * 4):
        await call.send(BLOCK)


async def swallow(call: Call) -> None:
    """Read a body without keeping it."""
    left = int(call.request.get("content-length") or 0)
    while left:
        left -= len(await call.reader.read(min(left, MIB)))
    await call.reply()


class Peak:
    """Watches a worker's private memory while a block runs."""

    def __init__(self, plane: DataPlane) -> None:
        assert plane.process is not None
        self.pid = plane.process.pid
        self.before_kib = private_kib(self.pid)
        self.most_kib = self.before_kib

    async def watch(self) -> None:
        """Look ten times a second."""
        while True:
            self.most_kib = max(self.most_kib, private_kib(self.pid))
            await asyncio.sleep(0.1)

    @property
    def growth_mib(self) -> float:
        """How much more it held at most."""
        return (self.most_kib - self.before_kib) / 1024


def worker(origin: ScriptedOrigin) -> DataPlane:
    """Return a worker in front of an origin."""
    versions = [table.version("stable", [origin.port], cell=0)]
    return DataPlane(table.table([table.service(versions)]))


async def download() -> float:
    """Return the growth in MiB over 1 GiB down."""
    async with ScriptedOrigin(flood) as origin, worker(origin) as plane:
        peak = Peak(plane)
        watching = asyncio.ensure_future(peak.watch())
        async with dial(plane.port) as wire:
            await wire.send(get(f"/{LARGE_MIB}"))
            await wire.head()
            for _ in range(LARGE_MIB * 4):
                await wire.reader.readexactly(len(BLOCK))
        watching.cancel()
        return peak.growth_mib


async def upload() -> float:
    """Return the growth in MiB over 1 GiB up."""
    async with ScriptedOrigin(swallow, eager=True) as origin, worker(origin) as plane:
        peak = Peak(plane)
        watching = asyncio.ensure_future(peak.watch())
        async with dial(plane.port) as wire:
            size = f"Content-Length: {LARGE_MIB * MIB}"
            await wire.send(get("/", size, method="PUT"))
            for _ in range(LARGE_MIB * 4):
                await wire.send(BLOCK)
            assert (await wire.answer()).status == 200
        watching.cancel()
        return peak.growth_mib


async def stalled() -> float:
    """Return the growth in MiB while 64 readers each way stop for 10 s."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        if call.request.method != "PUT":
            await flood(call)
            return
        await call.reader.readexactly(MIB)
        await go_on.wait()
        call.reset()

    async def down(port: int) -> None:
        async with dial(port, receive_bytes=65_536) as wire:
            await wire.send(get("/64"))
            await wire.reader.readexactly(MIB)
            await go_on.wait()
            wire.reset()

    async def up(port: int) -> None:
        async with dial(port) as wire:
            await wire.send(get("/", f"Content-Length: {64 * MIB}", method="PUT"))
            for _ in range(64):
                wire.writer.write(BLOCK)
            await go_on.wait()
            wire.reset()

    async with ScriptedOrigin(script, eager=True) as origin, worker(origin) as plane:
        peak = Peak(plane)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(peak.watch())
            for _ in range(TRANSFERS):
                group.create_task(down(plane.port))
                group.create_task(up(plane.port))
            await asyncio.sleep(STALL_S)
            go_on.set()
            watching.cancel()
        return peak.growth_mib


class Idle(asyncio.Protocol):
    """Asks once and then keeps its connection."""

    answered = 0

    @classmethod
    def have(cls, number: int) -> bool:
        """Whether so many were answered."""
        return cls.answered >= number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(get("/0"))

    def data_received(self, data: bytes) -> None:
        """Count the answer, which is one short segment."""
        assert data.startswith(b"HTTP/1.1 200"), data
        Idle.answered += 1


async def idle() -> float:
    """Return KiB (proportional) for each idle connection."""
    loop = asyncio.get_running_loop()
    async with ScriptedOrigin(flood) as origin, worker(origin) as plane:
        assert plane.process is not None
        async with dial(plane.port) as wire:
            for _ in range(200):
                await wire.ask(get("/0"))
        before = proportional_kib(plane.process.pid)
        transports = []
        for number in range(IDLE_CONNECTIONS):
            transport, _ = await loop.create_connection(Idle, "127.0.0.1", plane.port)
            transports.append(transport)
            if number % 50 == 49:
                await eventually(partial(Idle.have, number + 1))
        await eventually(partial(Idle.have, IDLE_CONNECTIONS))
        after = proportional_kib(plane.process.pid)
        for transport in transports:
            transport.abort()
        return (after - before) / IDLE_CONNECTIONS


def pauses() -> float:
    """Return the longest garbage collection in ms, with 10 000 connections."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-", dir="/dev/shm") as name:
        directory = Path(name)
        directory.chmod(0o755)  # the origin's worker is another user
        longest = directory / "longest"
        longest.write_text("0")
        peer = Headgate(under=[sys.executable, str(WATCHED), str(longest)])
        with origin.serving(directory) as (stable, canary):
            site = Site(stable, canary, free_port(), directory)
            with peer.serving(site, PLAIN):
                measure.wait_until_answered(site.port)
                asyncio.run(crowd(site.port))
        return float(longest.read_text())


async def crowd(port: int) -> None:
    """Let 10 000 connections ask at once, replace half of them, ask again."""
    loop = asyncio.get_running_loop()
    transports: list[asyncio.Transport] = []
    for _ in range(2):
        while len(transports) < IDLE_CONNECTIONS:
            transport, _protocol = await loop.create_connection(
                asyncio.Protocol, "127.0.0.1", port
            )
            transports.append(transport)
        for transport in transports:
            transport.write(get("/"))
        await asyncio.sleep(CALM_S)
        for transport in transports[: IDLE_CONNECTIONS // 2]:
            transport.abort()
        del transports[: IDLE_CONNECTIONS // 2]
    for transport in transports:
        transport.abort()


def main() -> int:
    """Print each figure beside its limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    figures = (
        ("1 GiB download, growth in MiB", asyncio.run(download()), GROWTH_MIB_MAX),
        ("1 GiB upload, growth in MiB", asyncio.run(upload()), GROWTH_MIB_MAX),
        (
            "64 + 64 stalled transfers, growth in MiB",
            asyncio.run(stalled()),
            GROWTH_MIB_MAX,
        ),
        ("10 000 idle connections, KiB each", asyncio.run(idle()), IDLE_KIB_MAX),
        ("10 000 connections, longest gc in ms", pauses(), PAUSE_MS_MAX),
    )
    for name, value, most in figures:
        print(f"{name:<42} {value:>7.2f}  at most {most}")
    return 0 if all(value <= most for _, value, most in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
