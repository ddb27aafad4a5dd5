"""A client's connection: heads in, answers in order, and designed ends."""

import asyncio

import pytest

from proxy.model.vocabulary import Rejection
from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import dial, fetch, get, post


async def echo_target(call: Call) -> None:
    """Answer with the target, so that an answer shows which request it is of."""
    await call.reply(call.request.target.encode())


async def test_many_requests_share_one_connection(stage: Stage) -> None:
    """RFC 9112 section 9.3: connections persist, on both sides."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            bodies = [(await wire.ask(get(f"/{n}"))).body for n in range(50)]

    assert bodies == [f"/{n}".encode() for n in range(50)]
    assert origin.connections == 1


async def test_2000_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    """RFC 9112 section 9.3.2: one segment, 2 000 requests, no recursion."""
    count = 2000
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(b"".join(get(f"/{n}") for n in range(count)))
            bodies = [(await wire.answer()).body for _ in range(count)]

    assert bodies == [f"/{n}".encode() for n in range(count)]


async def test_pipelined_requests_are_answered_after_a_fin(stage: Stage) -> None:
    """RFC 9112 section 9.6: a client may end its side once it asked."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get("/1") + get("/2") + get("/3"))
            wire.writer.write_eof()
            bodies = [(await wire.answer()).body for _ in range(3)]
            rest = await wire.rest()

    assert bodies == [b"/1", b"/2", b"/3"]
    assert rest == b""


async def test_a_partial_request_after_a_fin_ends_the_connection(stage: Stage) -> None:
    """What can never become a request is not waited for."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get("/1") + b"GET /2 HT")
            wire.writer.write_eof()
            first = await wire.answer()
            rest = await wire.rest()

    assert first.body == b"/1"
    assert rest == b""
    assert len(origin.requests) == 1


async def test_a_head_may_come_byte_by_byte(stage: Stage) -> None:
    """Where TCP splits a head means nothing."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            for byte in get("/slow"):
                await wire.send(bytes([byte]))
                await asyncio.sleep(0)
            answer = await wire.answer()

    assert answer.body == b"/slow"


async def test_two_leading_empty_lines_are_skipped(stage: Stage) -> None:
    """RFC 9112 section 2.2: at least one CRLF before a request line is ignored."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        two = await fetch(stage.port, b"\r\n\r\n" + get("/two"))
        three = await fetch(stage.port, b"\r\n\r\n\r\n" + get("/three"))
        async with dial(stage.port) as wire:
            for part in (b"\r", b"\n", b"\r", b"\n" + get("/split")):
                await wire.send(part)
                await asyncio.sleep(0.01)
            split = await wire.answer()

    assert two.body == b"/two"
    assert three.status == 400
    assert split.body == b"/split"


async def test_http_1_0_clients_get_their_answer_and_the_end(stage: Stage) -> None:
    """RFC 9112 section 9.3: a 1.0 connection is not persistent."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answer = await wire.ask(b"GET /old HTTP/1.0\r\n\r\n")
            rest = await wire.rest()

    assert answer.head.startswith(b"HTTP/1.1 200 ")
    assert (answer.body, rest) == (b"/old", b"")
    assert answer.get("connection") == "close"
    assert origin.requests[0].get("host") == f"127.0.0.1:{origin.port}"


async def test_connection_close_ends_after_the_answer(stage: Stage) -> None:
    """RFC 9112 section 9.6: later requests on it are not processed."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answer = await wire.ask(get("/1", "Connection: close") + get("/2"))
            rest = await wire.rest()

    assert answer.get("connection") == "close"
    assert rest == b""
    assert [request.target for request in origin.requests] == ["/1"]


MALFORMED = {
    "two spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "http/0.9": b"GET /\r\n\r\n",
    "bare lf": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare cr": b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "length and chunked": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"
    ),
    "not chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_answered_400_and_closed(
    stage: Stage, name: str
) -> None:
    """RFC 9112 section 2.2: the answer is readable, then the connection ends."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answer = await wire.ask(MALFORMED[name])
            rest = await wire.rest()

    assert answer.status == 400
    assert answer.get("content-type") == "application/problem+json"
    assert answer.get("x-headgate-reason")
    assert answer.get("connection") == "close"
    assert rest == b""
    assert origin.requests == []


async def test_a_refusal_survives_unread_input(stage: Stage) -> None:
    """RFC 9112 section 9.6: a lingering close keeps RST from destroying it."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(b"BAD\r\n\r\n" + bytes(40_000))
            answer = await wire.answer()
            await wire.send(bytes(10_000))
            rest = await wire.rest()

    assert answer.status == 400
    assert rest == b""


async def test_requests_behind_a_refused_one_are_not_processed(stage: Stage) -> None:
    """RFC 9112 section 9.3.2: after an error nothing is guessed."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(get("/1") + b"BAD\r\n\r\n" + get("/2"))
            first = await wire.answer()
            second = await wire.answer()
            rest = await wire.rest()

    assert (first.status, second.status, rest) == (200, 400, b"")
    assert [request.target for request in origin.requests] == ["/1"]


LIMITS = {
    "head": 1024,
    "fields": 5,
    "target": 64,
    "body": 100,
    "connections": 20_000,
    "inflight_per_version": 1024,
}


def padded(size: int) -> bytes:
    """Return a head of exactly ``size`` bytes, CRLFCRLF not counted."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    return head + b"x" * (size - len(head)) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (padded(1024), 200),
        (padded(1025), 431),
        (get("/", "A: 1", "B: 2", "C: 3", "D: 4"), 200),
        (get("/", "A: 1", "B: 2", "C: 3", "D: 4", "E: 5"), 431),
        (get("/" + "x" * 63), 200),
        (get("/" + "x" * 64), 414),
        (b"GET /" + b"x" * 5000, 414),
        (get("/", "X: " + "x" * 5000)[:-4], 431),
        (post(bytes(100)), 200),
        (post(bytes(101)), 413),
        (get("/", "Transfer-Encoding: chunked") + b"64\r\n" + bytes(100), 200),
        (get("/", "Transfer-Encoding: chunked") + b"65\r\n" + bytes(101), 413),
        (get(method="TRACE"), 405),
        (get(method="BREW"), 200),
        (get("/", "Transfer-Encoding: gzip, chunked"), 501),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (get("/", "Expect: 200-ok"), 417),
    ],
)
async def test_limits_at_and_one_past(
    stage: Stage, request_bytes: bytes, status: int
) -> None:
    """Each limit of the contract has its status, and takes what is just inside."""

    async def early(call: Call) -> None:
        await call.reply()

    async with ScriptedOrigin(early, eager=True) as origin:
        await stage.serve({"stable": [origin]}, tables={"limits": LIMITS})
        answer = await fetch(stage.port, request_bytes)

    assert answer.status == status


async def test_a_declared_body_over_the_cap_never_reaches_the_origin(
    stage: Stage,
) -> None:
    """A 413 that is known from the head costs the origin nothing."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]}, tables={"limits": LIMITS})
        answer = await fetch(
            stage.port, get("/", "Content-Length: 101", "Expect: 100-continue")
        )

    assert answer.status == 413
    assert origin.connections == 0


async def test_connections_over_the_limit_are_refused_at_once(stage: Stage) -> None:
    """Over the limit: 503 with Retry-After, never a queue."""
    limits = {**LIMITS, "connections": 2}
    async with ScriptedOrigin() as origin:
        await eventually(lambda: stage.worker(layout.R_DOWNSTREAM) == 0)
        await stage.serve({"stable": [origin]}, tables={"limits": limits})
        async with dial(stage.port) as one, dial(stage.port) as two:
            assert (await one.ask(get())).status == 200
            assert (await two.ask(get())).status == 200
            async with dial(stage.port) as three:
                refused = await three.answer()
                assert await three.rest() == b""
        await stage.serve({"stable": [origin]})

    assert refused.status == 503
    assert refused.get("retry-after") == "1"


async def test_no_service_is_404(stage: Stage) -> None:
    """Routing, in order: service match, and 404 without one."""
    async with ScriptedOrigin() as origin:
        before = stage.worker(layout.R_REJECTED + Rejection.NO_ROUTE)
        await stage.serve(
            {"stable": [origin]}, match=[{"host": "other.test", "path_prefix": None}]
        )
        async with dial(stage.port) as wire:
            answer = await wire.ask(get())
            again = await wire.ask(get())

    assert (answer.status, again.status) == (404, 404)
    assert answer.get("x-headgate-reason") == "no_route"
    assert stage.worker(layout.R_REJECTED + Rejection.NO_ROUTE) == before + 2


async def test_answers_of_our_own_to_head_have_no_body(stage: Stage) -> None:
    """RFC 9110 section 9.3.2: or the next answer would begin inside it."""
    async with ScriptedOrigin(echo_target) as origin:
        await stage.serve(
            {"stable": [origin]}, match=[{"host": None, "path_prefix": "/here"}]
        )
        async with dial(stage.port) as wire:
            missing = await wire.ask(get(method="HEAD"), method="HEAD")
            found = await wire.ask(get("/here"))

    assert missing.status == 404
    assert int(missing.get("content-length") or 0) > 0
    assert found.body == b"/here"


async def test_a_head_that_trickles_is_timed_out(stage: Stage) -> None:
    """`timeouts.head`: each byte does not buy another ten seconds."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]}, timeouts={"head": 1.0})
        async with dial(stage.port) as wire:

            async def trickle() -> None:
                for byte in b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1000:
                    await wire.send(bytes([byte]))
                    await asyncio.sleep(0.05)

            async with asyncio.timeout(6):
                trickling = asyncio.ensure_future(trickle())
                answer = await wire.answer()
                trickling.cancel()

    assert answer.status == 408
    assert answer.get("x-headgate-reason") == "request_timeout"


async def test_an_idle_connection_is_closed_after_keepalive(stage: Stage) -> None:
    """`timeouts.keepalive`: a clean end, nothing in it."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]}, timeouts={"keepalive": 1.0})
        async with dial(stage.port) as wire:
            await wire.ask(get())
            async with asyncio.timeout(5):
                rest = await wire.rest()

    assert rest == b""


async def test_a_connection_that_says_nothing_is_closed_after_head(
    stage: Stage,
) -> None:
    """`timeouts.head` also bounds the wait for the first byte."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]}, timeouts={"head": 1.0})
        async with dial(stage.port) as wire, asyncio.timeout(5):
            rest = await wire.rest()

    assert rest == b""
