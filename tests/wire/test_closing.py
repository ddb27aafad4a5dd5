"""How connections end: nothing whole is destroyed, nothing cut looks whole."""

import asyncio
import socket
from collections.abc import Sized

from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import dial, get

REFUSED = b"GET / HTTP/1.1\r\n\r\n"


async def test_a_fin_with_a_request_outstanding_is_still_answered(stage: Stage) -> None:
    """RFC 9112 section 9.6: half-closed is not gone; the origin is slow here."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await go_on.wait()
        await call.reply(b"whole")

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get() + get("/second"))
            wire.writer.write_eof()
            await eventually(lambda: bool(origin.requests))
            go_on.set()
            answers = [await wire.answer(), await wire.answer()]
            rest = await wire.rest()

    assert [answer.body for answer in answers] == [b"whole", b"whole"]
    assert rest == b""


async def test_a_reset_while_waiting_cancels_the_attempt(stage: Stage) -> None:
    """RFC 9112 section 9.6: who resets is gone; the origin's work is not awaited."""
    cut = asyncio.Event()

    async def script(call: Call) -> None:
        await call.hang()
        cut.set()

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get())
            await eventually(lambda: bool(origin.requests))
            wire.reset()
            async with asyncio.timeout(5):
                await cut.wait()


async def grows(things: Sized, before: int) -> None:
    """Wait until there are more things than before."""
    await eventually(lambda: len(things) > before)


async def test_a_request_cut_within_its_body_is_never_completed(stage: Stage) -> None:
    """RFC 9112 section 8: the origin sees an end that is none, and no answer goes."""
    ends: list[str] = []

    async def script(call: Call) -> None:
        try:
            await call.read_body()
            ends.append("whole")
        except (asyncio.IncompleteReadError, OSError):
            ends.append("cut")
            raise

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        for head, body in (
            ("Content-Length: 10", b"hello"),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n"),
            ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n"),
        ):
            async with dial(stage.port) as wire:
                await wire.send(get("/", head, method="POST") + body)
                before = len(ends)
                await grows(origin.requests, before)
                wire.writer.write_eof()
                assert await wire.rest() == b""
            await grows(ends, before)

    assert ends == ["cut"] * 3


async def test_a_request_that_can_never_be_whole_is_not_begun(stage: Stage) -> None:
    """RFC 9112 section 8: the FIN came while the request before was answered."""
    go_on = asyncio.Event()

    async def script(call: Call) -> None:
        await go_on.wait()
        await call.reply(b"whole")

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        for body in (b"", b"x"):
            go_on.clear()
            async with dial(stage.port) as wire:
                cut = get("/cut", "Content-Length: 2", method="POST") + body
                await wire.send(get("/first") + cut)
                wire.writer.write_eof()
                await asyncio.sleep(0.05)
                go_on.set()
                answer = await wire.answer()
                async with asyncio.timeout(5):
                    rest = await wire.rest()
                assert (answer.body, rest) == (b"whole", b"")

    assert [request.target for request in origin.requests] == ["/first"] * 2


async def test_a_bad_chunk_behind_an_early_answer_is_a_reset(stage: Stage) -> None:
    """RFC 9112 sections 7.1 and 8: too late for a 400, so the answer is cut."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await call.hang()

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get("/", "Transfer-Encoding: chunked", method="POST"))
            await wire.send(b"5\r\nhello\r\n")
            head = await wire.head()
            await wire.send(b"zz\r\n")
            await wire.is_reset()

    assert head.status == 200


async def test_a_lingering_close_is_bounded_in_time_and_size(stage: Stage) -> None:
    """RFC 9112 section 9.6: our end at once; 2 s or 64 KiB later all of it."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 0)
        async with dial(stage.port) as silent, dial(stage.port) as loud:
            await silent.send(REFUSED)
            await loud.send(REFUSED)
            assert (await silent.answer()).status == 400
            assert (await loud.answer()).status == 400
            assert await silent.rest() == b""
            await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 2)
            await loud.send(bytes(100_000))
            await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 1)
            await eventually(
                lambda: stage.worker(layout.R_DOWNSTREAM) == 0, within_s=6.0
            )


async def test_a_refusal_is_readable_behind_an_upload(stage: Stage) -> None:
    """RFC 9112 section 9.6: what was sent meanwhile does not destroy it."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        for extra in (1, 1_000, 60_000):
            async with dial(stage.port) as wire:
                await wire.send(REFUSED + bytes(extra))
                await asyncio.sleep(0.05)
                answer = await wire.answer()
                assert (answer.status, await wire.rest()) == (400, b"")


async def test_a_client_that_reads_nothing_is_cut_in_the_end(stage: Stage) -> None:
    """Every close has a deadline: nobody holds a connection by not reading."""

    async def script(call: Call) -> None:
        await call.reply(bytes(1_000_000))

    async with ScriptedOrigin(script) as origin:
        await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 0)
        await stage.serve(
            {"stable": [origin]}, timeouts={"keepalive": 1.0, "send": 1.0}
        )
        async with dial(stage.port, receive_bytes=4096) as wire:
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await wire.send(get() * 100)
            await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 1)
            await eventually(
                lambda: stage.worker(layout.R_DOWNSTREAM) == 0, within_s=15.0
            )
            assert len(origin.requests) < 100


async def test_a_cut_answer_resets_an_http_1_0_client(stage: Stage) -> None:
    """RFC 9112 section 8: without a length only ECONNRESET can tell it."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await call.send(b"5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        await call.close()

    loop = asyncio.get_running_loop()
    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        with socket.create_connection(("127.0.0.1", stage.port)) as sock:
            sock.setblocking(False)  # noqa: FBT003 - the method's name says it
            await loop.sock_sendall(sock, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            seen: list[bytes] = []
            error: OSError | None = None
            async with asyncio.timeout(5):
                while error is None:
                    try:
                        seen.append(await loop.sock_recv(sock, 65536))
                    except ConnectionResetError as reset:
                        error = reset
                    assert seen[-1] or error, "a clean end: the answer looks whole"

    assert isinstance(error, ConnectionResetError)


async def test_all_of_this_runs_on_uvloop(stage: Stage) -> None:
    """What is asserted here of ends and resets is true of the loop in production."""
    process = stage.plane.process
    assert process is not None
    with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps:  # noqa: ASYNC230, PTH123 - of /proc
        assert "uvloop" in maps.read()
