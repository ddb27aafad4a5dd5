"""Large bodies: every byte in order, whatever the other side does meanwhile."""

import asyncio
import random

from proxy.dataplane import bulk
from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import Wire, dial, get

MIB = 2**20
BODY = random.Random(4).randbytes(3 * MIB + 17)  # noqa: S311 - not a secret
DATE = "Date: Sun, 22 Nov 2026 12:00:00 GMT"


async def give(call: Call) -> None:
    """Answer with the body."""
    await call.reply(BODY, DATE)


async def at_once(wire: Wire, size: int) -> bytes:
    """Read as fast as it comes."""
    return await wire.reader.readexactly(size)


async def slowly(wire: Wire, size: int) -> bytes:
    """Read so that the sender is held up again and again."""
    got = b""
    while len(got) < size:
        await asyncio.sleep(0.002)
        data = await wire.reader.read(min(100_000, size - len(got)))
        assert data, f"ended after {len(got)} bytes"
        got += data
    return got


async def test_large_answers_arrive_as_they_were_sent(stage: Stage) -> None:
    """Fast readers and slow ones at once, over connections that are reused."""
    async with ScriptedOrigin(give) as origin:
        service = await stage.serve({"stable": [origin]})

        async def read(*, slow: bool) -> None:
            async with dial(stage.port, receive_bytes=65_536 if slow else 0) as wire:
                for _ in range(2):
                    await wire.send(get())
                    head = await wire.head()
                    assert head.get("content-length") == str(len(BODY))
                    read = slowly if slow else at_once
                    assert await read(wire, len(BODY)) == BODY

        await asyncio.gather(*(read(slow=slow) for slow in (True, False) * 3))

        assert service.word("stable", layout.C_BYTES_OUT) == 12 * len(BODY)
        assert origin.connections <= 6


async def test_large_uploads_arrive_as_they_were_sent(stage: Stage) -> None:
    """Also to an origin that reads slowly; what lies behind is the next request."""
    bodies: list[bytes] = []

    async def take(call: Call) -> None:
        size = int(call.request.get("content-length") or 0)
        got = b""
        while len(got) < size:
            await asyncio.sleep(0.002)
            got += await call.reader.read(min(200_000, size - len(got)))
        bodies.append(got)
        await call.reply(b"%d" % len(got), DATE)

    async with ScriptedOrigin(take, eager=True) as origin:
        service = await stage.serve({"stable": [origin]})
        request = get("/", f"Content-Length: {len(BODY)}", method="POST")
        async with dial(stage.port) as wire:
            sending = asyncio.ensure_future(wire.send(request + BODY + get()))
            answers = [await wire.answer(), await wire.answer()]
            await sending

        assert [answer.body for answer in answers] == [b"%d" % len(BODY), b"0"]
        assert bodies == [BODY, b""]
        assert service.word("stable", layout.C_BYTES_IN) == len(BODY)


async def test_bytes_behind_a_large_answer_are_nobodys(stage: Stage) -> None:
    """They could be taken for the next answer: the connection is not used again."""

    async def script(call: Call) -> None:
        await call.reply(BODY, DATE)
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            for _ in range(3):
                assert (await wire.ask(get())).body == BODY

        assert origin.connections == 3


async def test_a_large_answer_that_is_cut_resets_the_client(stage: Stage) -> None:
    """It never looks whole."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + BODY)
        await call.close()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get())
            await wire.head()
            body = await wire.is_reset()

        assert BODY.startswith(body)
        assert service.requests("stable") == {200: 1}


async def test_an_answer_in_the_middle_of_an_upload_is_relayed(stage: Stage) -> None:
    """The rest of the body is discarded, and the connection ends."""

    async def script(call: Call) -> None:
        await call.reader.readexactly(MIB)
        await call.reply(b"enough", DATE, status=403)
        await call.hang()

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        request = get("/", f"Content-Length: {64 * MIB}", method="POST")
        async with dial(stage.port) as wire:
            wire.writer.write(request + BODY)
            answer = await wire.answer()

        assert (answer.status, answer.body) == (403, b"enough")
        assert answer.get("connection") == "close"


async def test_a_client_that_leaves_takes_the_origins_connection_along(
    stage: Stage,
) -> None:
    """Nothing is read on for nobody, and what was held for it is let go."""
    ended = asyncio.Event()

    async def script(call: Call) -> None:
        try:
            await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")
            while True:
                await call.send(BODY)
        finally:
            ended.set()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]})
        for _ in range(2 * bulk.HELD_BYTES_MAX // bulk.BUFFER_BYTES):
            ended.clear()
            async with dial(stage.port, receive_bytes=65_536) as wire:
                await wire.send(get())
                await wire.reader.readexactly(MIB)
                wire.reset()
            async with asyncio.timeout(10):
                await ended.wait()

        await eventually(lambda: service.word("stable", layout.C_REQUESTS) > 0)
        assert stage.worker(layout.R_CALLBACK_ERRORS) == 0
