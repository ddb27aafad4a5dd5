"""What a worker holds: bounded whatever passes, and nothing once it is gone."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.support.data_plane import ROOT, DataPlane
from tests.support.memory import private_kib
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import dial, get

MIB = 2**20
BLOCK = bytes(256 * 1024)
GROWTH_KIB_MAX = 16 * 1024


def held_kib(plane: DataPlane) -> int:
    """Return the worker's private memory."""
    assert plane.process is not None
    return private_kib(plane.process.pid)


async def flood(call: Call) -> None:
    """Send as many MiB as the target says."""
    mib = int(call.request.target[1:])
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (mib * MIB))
    for _ in range(mib * 4):
        await call.send(BLOCK)


async def drain(call: Call) -> None:
    """Read a body without keeping it."""
    left = int(call.request.get("content-length") or 0)
    while left:
        left -= len(await call.reader.read(min(left, MIB)))
    await call.reply()


async def test_a_download_streams_through(stage: Stage) -> None:
    """128 MiB down: the worker grows by less than 16 MiB."""
    async with ScriptedOrigin(flood) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            before = held_kib(stage.plane)
            await wire.send(get("/128"))
            await wire.head()
            peak = 0
            for block in range(512):
                await wire.reader.readexactly(len(BLOCK))
                peak = max(peak, held_kib(stage.plane)) if block % 16 == 0 else peak

    assert peak - before < GROWTH_KIB_MAX


async def test_an_upload_streams_through(stage: Stage) -> None:
    """128 MiB up: the same."""
    async with ScriptedOrigin(drain, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            before = held_kib(stage.plane)
            peak = 0
            await wire.send(get("/", f"Content-Length: {128 * MIB}", method="PUT"))
            for block in range(512):
                await wire.send(BLOCK)
                peak = max(peak, held_kib(stage.plane)) if block % 16 == 0 else peak
            answer = await wire.answer()

    assert answer.status == 200
    assert peak - before < GROWTH_KIB_MAX


async def test_stalled_transfers_hold_little(stage: Stage) -> None:
    """16 transfers each way whose reader stops: back-pressure reaches the sender."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        if call.request.method == "PUT":
            await call.reader.readexactly(MIB)
            await go_on.wait()
            call.reset()
        else:
            await flood(call)

    async def download() -> None:
        async with dial(stage.port, receive_bytes=65_536) as wire:
            await wire.send(get("/64"))
            await wire.reader.readexactly(MIB)
            await go_on.wait()
            wire.reset()

    async def upload() -> None:
        async with dial(stage.port) as wire:
            await wire.send(get("/", f"Content-Length: {64 * MIB}", method="PUT"))
            for _ in range(64):
                wire.writer.write(BLOCK)
            await go_on.wait()
            wire.reset()

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        before = held_kib(stage.plane)
        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(download())
                group.create_task(upload())
            await asyncio.sleep(2)
            after = held_kib(stage.plane)
            go_on.set()

    assert after - before < GROWTH_KIB_MAX // 4


def test_closed_connections_leave_nothing_to_collect() -> None:
    """With gc switched off, 10 000 connections come and go; gc finds nothing."""
    script = Path(ROOT, "tests", "support", "leaks.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=ROOT,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "10000 connections, 0 to collect\n"
