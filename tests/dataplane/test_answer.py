"""Answers on their way: framing, early and late ends, and what is never whole."""

import asyncio

import pytest

from proxy.model.vocabulary import Flag
from tests.support.scripted_origin import Call, Script, ScriptedOrigin
from tests.support.stage import Stage, flagged
from tests.support.wire import chunks, dial, fetch, get, post

PARTS = (b"hello", b"x" * 70_000, b"world")
WHOLE = b"".join(PARTS)


async def chunked(call: Call) -> None:
    """Answer with chunks, extensions and trailers."""
    await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await call.send(b"1;ext=1\r\n!\r\n")
    await call.send(chunks(*PARTS, trailers=b"X-Digest: 1\r\nContent-Length: 3\r\n"))


async def until_close(call: Call) -> None:
    """Answer with a body that ends with the connection."""
    await call.send(b"HTTP/1.1 200 OK\r\n\r\n" + WHOLE)
    await call.close()


async def by_length(call: Call) -> None:
    """Answer with a length."""
    await call.reply(WHOLE)


async def test_chunks_pass_without_extensions(stage: Stage) -> None:
    """RFC 9112 section 7.1.1: extensions are dropped, allowed trailers kept."""
    async with ScriptedOrigin(chunked) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            first = await wire.ask(get())
            second = await wire.ask(get())

    assert first.body == second.body == b"!" + WHOLE
    assert first.trailers == b"X-Digest: 1\r\n"
    assert origin.connections == 1


@pytest.mark.parametrize("script", [chunked, until_close, by_length])
async def test_an_http_1_0_client_gets_plain_bytes(
    stage: Stage, script: Script
) -> None:
    """RFC 9112 section 7.1.2: no chunks for a client that cannot read them."""
    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answer = await wire.ask(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            rest = await wire.rest()

    assert answer.get("transfer-encoding") is None
    assert answer.get("connection") == "close"
    assert answer.body.lstrip(b"!") == WHOLE
    assert rest == b""


async def test_a_body_until_close_becomes_chunks(stage: Stage) -> None:
    """RFC 9112 section 6.3: its clean end is told, and the client stays."""
    async with ScriptedOrigin(until_close) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            first = await wire.ask(get())
            second = await wire.ask(get())

    assert first.get("transfer-encoding") == "chunked"
    assert first.body == second.body == WHOLE
    assert origin.connections == 2


@pytest.mark.parametrize(
    ("method", "status", "fields", "length"),
    [
        ("HEAD", 200, "Content-Length: 1234", "1234"),
        ("HEAD", 200, "Transfer-Encoding: chunked", None),
        ("GET", 304, "Content-Length: 1234", "1234"),
        ("GET", 204, "X: y", None),
        ("GET", 204, "Content-Length: 0", None),
        ("GET", 200, "Content-Length: 0", "0"),
        ("GET", 205, "Content-Length: 0", "0"),
    ],
)
async def test_answers_without_a_body(
    stage: Stage, method: str, status: int, fields: str, length: str | None
) -> None:
    """RFC 9112 section 6.3, RFC 9110 section 8.6; both connections live on."""

    async def script(call: Call) -> None:
        await call.send(f"HTTP/1.1 {status} S\r\n{fields}\r\n\r\n".encode())

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            first = await wire.ask(get(method=method), method=method)
            second = await wire.ask(get(method=method), method=method)

    assert first.status == second.status == status
    assert first.get("content-length") == length
    assert first.get("transfer-encoding") is None
    assert origin.connections == 1


async def test_informational_answers_pass(stage: Stage) -> None:
    """RFC 9110 section 15.2: 103 is relayed, but never to HTTP/1.0."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        await asyncio.sleep(0.02)
        await call.send(
            b"HTTP/1.1 103 More\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        )

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answers = [await wire.ask(get()), await wire.answer(), await wire.answer()]
        old = await fetch(stage.port, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")

    assert [answer.status for answer in answers] == [103, 103, 200]
    assert answers[0].get("link") == "</a.css>"
    assert old.status == 200


async def test_endless_informational_answers_are_refused(stage: Stage) -> None:
    """Sixteen are plenty; the seventeenth is an attack or a bug."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 102 Wait\r\n\r\n" * 17)
        await call.hang()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]}, retries={"attempts": 0})
        async with dial(stage.port) as wire:
            await wire.send(get())
            statuses = [(await wire.answer()).status for _ in range(17)]

    assert statuses == [102] * 16 + [502]
    await service.counts("stable", {flagged(Flag.UPE): 1})


async def test_expect_100_continue_goes_end_to_end(stage: Stage) -> None:
    """RFC 9110 section 10.1.1: the origin decides, the client then sends."""

    async def script(call: Call) -> None:
        assert call.request.get("expect") == "100-continue"
        await call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await call.read_body()
        await call.reply(call.request.body)

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            go_on = await wire.ask(
                post(b"", "Expect: 100-continue").replace(b"th: 0", b"th: 5")
            )
            answer = await wire.ask(b"hello")

    assert go_on.status == 100
    assert answer.body == b"hello"


async def test_nothing_is_expected_of_a_request_without_content(stage: Stage) -> None:
    """RFC 9110 section 10.1.1: no client may send that, so nor do we."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        answer = await fetch(stage.port, post(b"", "Expect: 100-continue"))

    assert answer.status == 200
    assert origin.requests[0].get("expect") is None


async def test_a_final_answer_instead_of_100_ends_the_connection(stage: Stage) -> None:
    """RFC 9110 section 10.1.1: the client may or may not send the body then."""

    async def script(call: Call) -> None:
        await call.reply(b"no", status=417)
        await call.hang()

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answer = await wire.ask(
                get("/", "Expect: 100-continue", "Content-Length: 5", method="PUT")
            )
            rest = await wire.rest()

    assert (answer.status, answer.get("connection")) == (417, "close")
    assert rest == b""


async def test_an_early_answer_is_relayed_at_once(stage: Stage) -> None:
    """RFC 9112 section 9.3: the client reads it while it still uploads."""

    async def script(call: Call) -> None:
        await call.reply(b"too much", status=413)
        await call.hang()

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get("/", "Content-Length: 50000", method="POST") + b"x")
            answer = await wire.answer()
            await wire.send(b"x" * 20_000)
            rest = await wire.rest()

    assert (answer.status, answer.body) == (413, b"too much")
    assert answer.get("connection") == "close"
    assert rest == b""


TRUNCATED = {
    "length, fin": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", False),
    "length, rst": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", True),
    "chunks, fin": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        False,
    ),
    "until close, rst": (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
    "bad chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n",
        False,
    ),
}


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("minor", [0, 1])
async def test_a_cut_answer_is_a_reset(stage: Stage, name: str, minor: int) -> None:
    """RFC 9112 section 8: never a clean end, also for HTTP/1.0."""
    data, reset = TRUNCATED[name]

    async def script(call: Call) -> None:
        await call.send(data)
        await asyncio.sleep(0.05)
        if reset:
            call.reset()
        else:
            await call.close()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(f"GET / HTTP/1.{minor}\r\nHost: a\r\n\r\n".encode())
            await wire.is_reset()

    flag = Flag.UPE if name == "bad chunk" else (Flag.UR if reset else Flag.UC)
    await service.counts("stable", {flagged(flag): 1})
    assert service.requests("stable") == {200: 1}
    assert service.timed("stable") == 0


GARBAGE = {
    "no http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "status 099": b"HTTP/1.1 099 Low\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_502(stage: Stage, name: str) -> None:
    """RFC 9112 section 6.3: not understood, so discarded, and said so."""

    async def script(call: Call) -> None:
        await call.send(GARBAGE[name])
        await call.hang()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve(
            {"stable": [origin]}, retries={"attempts": 0, "shield": False}
        )
        answer = await fetch(stage.port, get())

    assert answer.status == 502
    assert answer.get("x-headgate-reason") == "upstream_protocol_error"
    await service.counts("stable", {flagged(Flag.UPE): 1})
    assert service.requests("stable") == {502: 1}


async def test_bytes_behind_an_answer_spoil_the_connection(stage: Stage) -> None:
    """Response-queue poisoning: they never become the next one's answer."""

    async def script(call: Call) -> None:
        evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + evil)

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            bodies = [(await wire.ask(get())).body for _ in range(3)]

    assert bodies == [b"good"] * 3
    assert origin.connections == 3


async def test_bytes_on_an_idle_connection_spoil_it(stage: Stage) -> None:
    """The same, when they come a moment later."""

    async def script(call: Call) -> None:
        await call.reply(b"good")
        await asyncio.sleep(0.05)
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            first = await wire.ask(get())
            await asyncio.sleep(0.15)
            second = await wire.ask(get())

    assert first.body == second.body == b"good"
    assert origin.connections == 2


async def test_an_origins_close_is_kept(stage: Stage) -> None:
    """RFC 9112 section 9.6: its connection is not used again, the client's is."""

    async def script(call: Call) -> None:
        await call.reply(b"ok", "Connection: close")

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answers = [await wire.ask(get()) for _ in range(3)]

    assert {answer.get("connection") for answer in answers} == {None}
    assert origin.connections == 3


async def test_an_event_stream_arrives_as_it_is_sent(stage: Stage) -> None:
    """The first byte is forwarded at once, and streams have no latency."""
    more = asyncio.Event()

    async def script(call: Call) -> None:
        await call.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n"
        )
        await more.wait()
        await call.send(b"data: 2\n\n")
        await call.close()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire, asyncio.timeout(10):
            await wire.send(get())
            await wire.head()
            first = await wire.reader.readuntil(b"data: 1\n\n")
            more.set()
            rest = await wire.reader.readuntil(b"0\r\n\r\n")

    assert first.endswith(b"data: 1\n\n")
    assert b"data: 2" in rest
    await service.counts("stable", {200: 1})
    assert service.timed("stable") == 0


async def test_a_date_is_added_only_where_it_lacks(stage: Stage) -> None:
    """RFC 9110 section 6.6.1."""

    async def script(call: Call) -> None:
        fields = ("Date: then",) if call.request.target == "/with" else ()
        await call.reply(b"", *fields)

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            with_date = await wire.ask(get("/with"))
            without = await wire.ask(get("/without"))

    assert with_date.get("date") == "then"
    assert (without.get("date") or "").endswith("GMT")


async def test_a_client_that_pipelines_and_does_not_read_is_held(
    stage: Stage,
) -> None:
    """Answers nobody reads are not asked for: memory stays bounded."""
    size = 1_000_000

    async def script(call: Call) -> None:
        await call.reply(bytes(size))

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port, receive_bytes=4096) as wire:
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await wire.send(get() * 100)
            await asyncio.sleep(0.5)
            asked = len(origin.requests)
            wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
            bodies = [len((await wire.answer()).body) for _ in range(20)]

    assert asked <= 10
    assert bodies == [size] * 20
