"""One request: bodies upwards, time-outs with their status, failures with theirs."""

import asyncio
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.model.vocabulary import Flag
from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage, flagged
from tests.support.wire import chunks, dial, fetch, get, post

ONCE: dict[str, Any] = {"attempts": 0, "shield": False}


async def echo(call: Call) -> None:
    """Answer with the request's body."""
    await call.reply(call.request.body)


async def never(call: Call) -> None:
    """Take the request and say nothing."""
    await call.hang()


# --- bodies ---


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
async def test_bodies_of_known_length_arrive_whole(stage: Stage, size: int) -> None:
    """RFC 9112 section 6.2: a length stays a length."""
    body = bytes(index % 251 for index in range(size))
    async with ScriptedOrigin(echo) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            first = await wire.ask(post(body))
            second = await wire.ask(post(body))

    assert first.body == second.body == body
    assert origin.requests[0].get("content-length") == str(size)
    await service.counts("stable", {200: 2})
    assert service.word("stable", layout.C_BYTES_IN) == 2 * size
    assert service.word("stable", layout.C_BYTES_OUT) == 2 * size


async def test_chunked_bodies_arrive_whole(stage: Stage) -> None:
    """RFC 9112 section 7.1: chunks stay chunks, trailers go along."""
    parts = (b"hello", b"x" * 100_000, b"world")
    request = get("/", "Transfer-Encoding: chunked", method="POST")
    async with ScriptedOrigin(echo) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            sent = request + chunks(*parts, trailers=b"X-Sum: 1\r\nHost: evil\r\n")
            first = await wire.ask(sent + get("/next"))
            second = await wire.answer()

    assert first.body == b"".join(parts)
    assert second.status == 200
    assert origin.requests[0].trailers == b"X-Sum: 1\r\n"
    assert [one.target for one in origin.requests] == ["/", "/next"]
    await service.counts("stable", {200: 2})
    assert service.word("stable", layout.C_BYTES_IN) == 100_010


async def test_a_bad_chunk_is_400_and_aborts_the_origin(stage: Stage) -> None:
    """RFC 9112 section 7.1: the client's fault is never a 502."""
    aborted = asyncio.Event()

    async def script(call: Call) -> None:
        try:
            await call.read_body()
        finally:
            aborted.set()

    async with ScriptedOrigin(script, eager=True) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get("/", "Transfer-Encoding: chunked", method="POST"))
            await wire.send(b"5\r\nhello\r\n")
            await eventually(lambda: bool(origin.requests))
            answer = await wire.ask(b"zz\r\n")
            rest = await wire.rest()
        async with asyncio.timeout(5):
            await aborted.wait()

    assert (answer.status, rest) == (400, b"")
    assert service.flag("stable", Flag.DPE) == 1
    assert service.attempts("stable") == {}


async def test_a_client_that_hangs_up_is_no_error(stage: Stage) -> None:
    """What the client caused is counted apart, and frees everything."""
    async with ScriptedOrigin(never) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get())
            await eventually(lambda: bool(origin.requests))
            wire.reset()
        await eventually(lambda: service.flag("stable", Flag.DC) == 1)
        await eventually(lambda: service.word("stable", layout.C_INFLIGHT) == 0)

    assert service.attempts("stable") == {}
    assert service.requests("stable") == {0: 1}


# --- what goes up ---


async def test_forwarding_fields_are_ours(stage: Stage) -> None:
    """RFC 9110 section 7.6: one Via; X-Forwarded-* of strangers are overwritten."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        await fetch(
            stage.port,
            get(
                "/",
                "X-Forwarded-For: 6.6.6.6",
                "X-Forwarded-Proto: https",
                "Forwarded: for=6.6.6.6",
                "Connection: keep-alive, X-Mine",
                "X-Mine: 1",
                "TE: trailers",
                "Keep-Alive: timeout=5",
            ),
        )
        request = origin.requests[0]

    assert request.get("x-forwarded-for") == "127.0.0.1"
    assert request.get("x-forwarded-proto") == "http"
    assert request.get("x-forwarded-host") == "shop.test"
    assert request.get("host") == "shop.test"
    assert re.fullmatch(r"1\.1 headgate-[0-9a-f]{8}", request.get("via") or "")
    assert request.get("te") == "trailers"
    assert request.get("connection") == "TE"
    for gone in ("forwarded", "x-mine", "keep-alive"):
        assert request.get(gone) is None


async def test_trusted_proxies_are_believed(stage: Stage) -> None:
    """`trusted_proxies`: their X-Forwarded-* are continued."""
    async with ScriptedOrigin() as origin:
        await stage.serve(
            {"stable": [origin]}, tables={"trusted_proxies": ["127.0.0.0/8"]}
        )
        await fetch(
            stage.port,
            get(
                "/",
                "X-Forwarded-For: 1.1.1.1",
                "X-Forwarded-For: 2.2.2.2",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Host: outside.test",
            ),
        )
        await fetch(stage.port, get())
        first, second = origin.requests

    assert first.get("x-forwarded-for") == "1.1.1.1, 2.2.2.2, 127.0.0.1"
    assert first.get("x-forwarded-proto") == "https"
    assert first.get("x-forwarded-host") == "outside.test"
    assert second.get("x-forwarded-for") == "127.0.0.1"


async def test_traces_are_passed_on_or_started(stage: Stage) -> None:
    """W3C Trace Context; x-request-id as Envoy does."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        await fetch(stage.port, get("/", f"traceparent: {parent}", "X-Request-Id: 7"))
        await fetch(stage.port, get())
        kept, started = origin.requests

    assert (kept.get("traceparent"), kept.get("x-request-id")) == (parent, "7")
    version, trace, span, flags = (started.get("traceparent") or "").split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert started.get("x-request-id")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("preserve", "shop.test"), ("endpoint", None), ("literal.test", "literal.test")],
)
async def test_the_host_sent_upstream(
    stage: Stage, host: str, expected: str | None
) -> None:
    """`host: preserve | endpoint | a literal`."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]}, host=host)
        await fetch(stage.port, get())
        request = origin.requests[0]

    assert request.get("host") == (expected or f"127.0.0.1:{origin.port}")
    assert request.get("x-forwarded-host") == "shop.test"


# --- failures ---


async def test_a_refused_connection_is_503(stage: Stage) -> None:
    """Connect failure: 503 with a reason, counted as UF."""
    service = await stage.serve({"stable": [free_port()]}, retries=ONCE)
    async with dial(stage.port) as wire:
        answer = await wire.ask(get())
        again = await wire.ask(get())

    assert answer.status == again.status == 503
    assert answer.get("x-headgate-reason") == "upstream_connect_failure"
    assert answer.get("x-headgate-version") == "stable"
    await service.counts("stable", {flagged(Flag.UF): 2})
    assert service.flag("stable", Flag.UF) == 2
    assert service.requests("stable") == {503: 2}
    assert service.timed("stable") == 0


async def test_a_failure_ends_the_connection_that_asked_for_it(stage: Stage) -> None:
    """RFC 9112 section 9.6: `close` and HTTP/1.0 hold for our own answers too."""
    await stage.serve({"stable": [free_port()]}, retries=ONCE)
    for request in (
        get("/", "Connection: close"),
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    ):
        async with dial(stage.port) as wire:
            answer = await wire.ask(request)
            assert (answer.status, answer.get("connection")) == (503, "close")
            assert await wire.rest() == b""


async def test_a_failure_answers_head_without_a_body(stage: Stage) -> None:
    """RFC 9110 section 9.3.2."""
    await stage.serve({"stable": [free_port()]}, retries=ONCE)
    async with dial(stage.port) as wire:
        answers = [await wire.ask(get(method="HEAD"), method="HEAD") for _ in range(2)]

    assert [answer.status for answer in answers] == [503, 503]


async def test_response_headers_off_names_no_version(stage: Stage) -> None:
    """`response_headers: off`: neither in answers nor in failures."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]}, response_headers=False)
        good = await fetch(stage.port, get())
        await stage.serve({"stable": [free_port()]}, response_headers=False)
        bad = await fetch(stage.port, get())

    assert (good.status, bad.status) == (200, 503)
    assert good.get("x-headgate-version") is None
    assert bad.get("x-headgate-version") is None


@pytest.mark.parametrize(
    ("reset", "flag", "reason"),
    [(False, Flag.UC, "upstream_closed"), (True, Flag.UR, "upstream_reset")],
)
async def test_an_origin_that_ends_without_an_answer_is_502(
    stage: Stage, flag: Flag, reason: str, *, reset: bool
) -> None:
    """A FIN is UC, a reset is UR."""

    async def script(call: Call) -> None:
        if reset:
            call.reset()
        else:
            await call.close()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]}, retries=ONCE)
        answer = await fetch(stage.port, get())

    assert (answer.status, answer.get("x-headgate-reason")) == (502, reason)
    await service.counts("stable", {flagged(flag): 1})


async def test_over_the_in_flight_limit_is_503_at_once(stage: Stage) -> None:
    """`limits.inflight_per_version`: never a queue."""
    limits = {
        "head": 32768,
        "fields": 100,
        "target": 8192,
        "body": None,
        "connections": 20000,
        "inflight_per_version": 2,
    }
    async with ScriptedOrigin(never) as origin:
        service = await stage.serve(
            {"stable": [origin]}, tables={"limits": limits}, retries=ONCE
        )
        async with dial(stage.port) as one, dial(stage.port) as two:
            await one.send(get())
            await two.send(get())
            await eventually(lambda: len(origin.requests) == 2)
            answer = await fetch(stage.port, get())
            await service.counts("stable", {flagged(Flag.UO): 1})

    assert (answer.status, answer.get("retry-after")) == (503, "1")
    assert answer.get("x-headgate-reason") == "upstream_overflow"


async def test_two_random_choices_prefer_the_idle_endpoint(stage: Stage) -> None:
    """Least outstanding requests: a stuck endpoint gets almost nothing."""
    async with ScriptedOrigin(never) as stuck, ScriptedOrigin() as good:
        await stage.serve({"stable": [stuck, good]}, timeouts={"attempt": 30.0})
        async with dial(stage.port) as one, dial(stage.port) as two:
            while not stuck.requests:
                await one.send(get())
                await asyncio.sleep(0.02)
            before = len(good.requests)
            for _ in range(50):
                await two.ask(get())
            taken = len(good.requests) - before

    assert taken == 50


async def test_a_unix_socket_can_be_an_endpoint(stage: Stage, tmp_path: Path) -> None:
    """`unix:` endpoints: the same in all respects."""
    path = str(tmp_path / "origin.sock")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    service = stage.service({"stable": [1]})
    service.entry["versions"][0]["endpoints"] = [{"unix": path, "authority": "local"}]
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        await stage.show([service.entry])
        answer = await fetch(stage.port, get())
        await stage.show([])
        async with asyncio.timeout(5):
            await ended.wait()

    assert answer.body == b"unix"


# --- time-outs ---


@pytest.mark.parametrize("limit", ["attempt", "first_byte"])
async def test_no_first_byte_in_time_is_504(stage: Stage, limit: str) -> None:
    """`timeouts.attempt` and `timeouts.first_byte`: UT, the version's fault."""
    async with ScriptedOrigin(never) as origin:
        service = await stage.serve(
            {"stable": [origin]}, timeouts={limit: 0.3}, retries=ONCE
        )
        async with dial(stage.port) as wire:
            began = time.monotonic()
            answer = await wire.ask(get())
            took = time.monotonic() - began

    assert answer.status == 504
    assert answer.get("x-headgate-reason") == "upstream_timeout"
    assert 0.25 < took < 2
    await service.counts("stable", {flagged(Flag.UT): 1})


async def test_what_cannot_be_tried_again_has_all_the_time(stage: Stage) -> None:
    """`attempt` is for attempts that may be followed by another; a POST may not."""

    async def slow(call: Call) -> None:
        await asyncio.sleep(0.6)
        await call.reply()

    async with ScriptedOrigin(slow) as origin:
        await stage.serve(
            {"stable": [origin]},
            timeouts={"attempt": 0.2, "first_byte": 10.0},
            retries=ONCE,
        )
        posted = await fetch(stage.port, post(b"order"))
        got = await fetch(stage.port, get())

    assert (posted.status, got.status) == (200, 504)


async def test_a_connection_that_is_never_accepted_is_503(stage: Stage) -> None:
    """`timeouts.connect`: UCT, with a listener whose queue is full."""
    listener, waiting = _full_listener()
    try:
        service = await stage.serve(
            {"stable": [listener.getsockname()[1]]},
            timeouts={"connect": 0.3},
            retries=ONCE,
        )
        answer = await fetch(stage.port, get())
        await service.counts("stable", {flagged(Flag.UCT): 1})
    finally:
        for one in (listener, *waiting):
            one.close()

    assert answer.status == 503
    assert answer.get("x-headgate-reason") == "upstream_connect_timeout"


def _full_listener() -> tuple[socket.socket, list[socket.socket]]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)  # noqa: FBT003 - the method's name says it
        one.connect_ex(listener.getsockname())
        waiting.append(one)
    return listener, waiting


async def test_a_body_that_stalls_is_408(stage: Stage) -> None:
    """`timeouts.stream_idle` while the client sends: its own fault, 408."""
    async with ScriptedOrigin(never, eager=True) as origin:
        service = await stage.serve({"stable": [origin]}, timeouts={"stream_idle": 0.4})
        async with dial(stage.port) as wire:
            answer = await wire.ask(
                get("/", "Content-Length: 10", method="POST") + b"half"
            )
            rest = await wire.rest()

    assert (answer.status, rest) == (408, b"")
    assert service.attempts("stable") == {}
    assert service.flag("stable", Flag.DPE) == 1


async def test_an_upload_lives_as_long_as_bytes_move(stage: Stage) -> None:
    """A slow body is no stalled one."""
    async with ScriptedOrigin(echo) as origin:
        await stage.serve(
            {"stable": [origin]}, timeouts={"stream_idle": 1.0, "first_byte": 1.0}
        )
        async with dial(stage.port) as wire:
            await wire.send(get("/", "Content-Length: 10", method="POST"))
            for _ in range(10):
                await asyncio.sleep(0.15)
                await wire.send(b"x")
            answer = await wire.answer()

    assert (answer.status, answer.body) == (200, b"x" * 10)


async def test_a_download_that_stalls_is_reset(stage: Stage) -> None:
    """`timeouts.stream_idle` behind the head: SI, never a clean end, no one's fault."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await call.hang()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]}, timeouts={"stream_idle": 0.3})
        async with dial(stage.port) as wire:
            await wire.send(get())
            out = await wire.is_reset()

    assert out.endswith(b"half")
    await eventually(lambda: service.flag("stable", Flag.SI) == 1)
    assert service.attempts("stable") == {}
    assert service.requests("stable") == {200: 1}


async def test_a_download_lives_as_long_as_bytes_move(stage: Stage) -> None:
    """A slow answer is no stalled one, however long it takes."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.15)
            await call.send(b"x")

    async with ScriptedOrigin(script) as origin:
        await stage.serve(
            {"stable": [origin]},
            timeouts={"stream_idle": 0.6, "first_byte": 0.5, "attempt": 0.5},
        )
        answer = await fetch(stage.port, get())

    assert answer.body == b"x" * 10


async def test_a_client_that_stops_reading_is_reset(stage: Stage) -> None:
    """`timeouts.send`: reset, and charged to no one."""

    async def script(call: Call) -> None:
        await call.reply(bytes(30_000_000))

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]}, timeouts={"send": 0.5})
        async with dial(stage.port, receive_bytes=4096) as wire:
            await wire.send(get())
            await wire.head()
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await eventually(lambda: service.flag("stable", Flag.DT) == 1)
            wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await wire.is_reset()

    assert service.attempts("stable") == {}


async def test_time_held_up_by_a_slow_client_is_not_the_versions(
    stage: Stage,
) -> None:
    """`latency` leaves out what the client cost."""
    size = 20_000_000

    async def script(call: Call) -> None:
        await call.reply(bytes(size))

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]})
        async with dial(stage.port, receive_bytes=65536) as wire:
            await wire.send(get())
            await wire.head()
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(1.5)
            wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
            body = await wire.reader.readexactly(size)
        await service.counts("stable", {200: 1})

    assert len(body) == size
    assert service.word("stable", layout.C_LATENCY_SUM_US) < 1_500_000


async def test_the_whole_request_may_have_a_limit(stage: Stage) -> None:
    """`timeouts.request`: 504 before the head, a reset behind it, nobody's fault."""

    async def script(call: Call) -> None:
        if call.request.target == "/body":
            await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(40):
                await call.send(b"x")
                await asyncio.sleep(0.1)
        await call.hang()

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve(
            {"stable": [origin]}, timeouts={"request": 0.5}, retries=ONCE
        )
        answer = await fetch(stage.port, get("/head"))
        async with dial(stage.port) as wire:
            await wire.send(get("/body"))
            await wire.is_reset()

    assert answer.status == 504
    assert service.attempts("stable") == {}
    assert service.flag("stable", Flag.UT) == 2
    assert service.requests("stable") == {200: 1, 504: 1}
