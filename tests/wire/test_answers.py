"""
Answers of origins that break the rules, and what is left of those that keep them.

What is malformed is 502 and its connection is given up; what may be repaired is;
what belongs to one hop ends here (RFC 9110 section 7.6, RFC 9112 sections 4 to 7).
"""

import asyncio

import pytest

from tests.support.probes import talk
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import Answer, dial, fetch, get

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n\r\nhello"

MALFORMED = {
    "no answer at all": b"hello\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "icy": b"ICY 200 OK\r\n" + FIVE,
    "http/2.0": b"HTTP/2.0 200 OK\r\n" + FIVE,
    "http/0.9": b"HTTP/0.9 200 OK\r\n" + FIVE,
    "a version of two digits": b"HTTP/1.10 200 OK\r\n" + FIVE,
    "a lower-case version": b"http/1.1 200 OK\r\n" + FIVE,
    "no space": b"HTTP/1.1200 OK\r\n" + FIVE,
    "two spaces": b"HTTP/1.1  200 OK\r\n" + FIVE,
    "a tab": b"HTTP/1.1\t200 OK\r\n" + FIVE,
    "a leading space": b" HTTP/1.1 200 OK\r\n" + FIVE,
    "a leading empty line": b"\r\nHTTP/1.1 200 OK\r\n" + FIVE,
    "no status": b"HTTP/1.1 OK\r\n" + FIVE,
    "status 099": b"HTTP/1.1 099 Low\r\n" + FIVE,
    "status 20": b"HTTP/1.1 20 Short\r\n" + FIVE,
    "status 2000": b"HTTP/1.1 2000 Long\r\n" + FIVE,
    "status 600": b"HTTP/1.1 600 High\r\n" + FIVE,
    "status with a sign": b"HTTP/1.1 +20 Plus\r\n" + FIVE,
    "status with a letter": b"HTTP/1.1 2x0 Letter\r\n" + FIVE,
    "a control in the reason": b"HTTP/1.1 200 O\x01K\r\n" + FIVE,
    "line feeds": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "one line feed": OK + b"A: b\nC: d\r\n" + FIVE,
    "a bare cr": OK + b"A: b\rc\r\n" + FIVE,
    "a nul": OK + b"A: b\x00c\r\n" + FIVE,
    "a control": OK + b"A: b\x01c\r\n" + FIVE,
    "a field without a name": OK + b": b\r\n" + FIVE,
    "a field without a colon": OK + b"A\r\n" + FIVE,
    "a name that is no token": OK + b"A[b]: c\r\n" + FIVE,
    "a folded status line": OK + b" A: b\r\n" + FIVE,
    "a negative length": OK + b"Content-Length: -5\r\n\r\nhello",
    "a length with a sign": OK + b"Content-Length: +5\r\n\r\nhello",
    "a hexadecimal length": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "an underscore in a length": OK + b"Content-Length: 1_0\r\n\r\nhellohello",
    "a list of lengths": OK + b"Content-Length: 5, 6\r\n\r\nhello",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "an empty length": OK + b"Content-Length:\r\n\r\nhello",
    "a folded length": OK + b"Content-Length: 1\r\n 0\r\n\r\nhellohello",
    "a length too large": OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "a coding under chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OK
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\nhello",
    "a vertical tab": OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in http/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    "switching unasked": b"HTTP/1.1 101 S\r\nUpgrade: raw\r\n\r\nhello",
    "a head without an end": OK + b"A: " + b"b" * 70_000,
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_answer_is_502(stage: Stage, name: str) -> None:
    """RFC 9112 sections 2.2, 4, 5 and 6.3: never passed on, never reused."""

    async def script(call: Call) -> None:
        if call.request.target == "/next":
            await call.reply(b"good")
        else:
            await call.send(MALFORMED[name])
            await call.hang()

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]}, retries={"attempts": 0})
        seen = await talk(stage.port, get(), get("/next"), eof=True)

    assert seen.statuses == [502, 200]
    assert b"upstream_protocol_error" in seen.raw
    assert origin.connections == 2


REPAIRED = {
    "a folded field": (OK + b"A: b\r\n c\r\n\td\r\n" + FIVE, ("a", "b c d")),
    "a space before the colon": (OK + b"A \t: b\r\n" + FIVE, ("a", "b")),
    "no reason": (b"HTTP/1.1 200 \r\nA: b\r\n" + FIVE, ("a", "b")),
    "no space behind the status": (b"HTTP/1.1 200\r\nA: b\r\n" + FIVE, ("a", "b")),
    "a reason beyond ascii": (b"HTTP/1.1 200 \xfc\r\nA: b\r\n" + FIVE, ("a", "b")),
    "http/1.0": (b"HTTP/1.0 200 OK\r\nA: b\r\n" + FIVE, ("a", "b")),
    "http/1.7": (b"HTTP/1.7 200 OK\r\nA: b\r\n" + FIVE, ("a", "b")),
    "an empty value": (OK + b"A:\r\n" + FIVE, ("a", "")),
    "white space around a length": (
        OK + b"A: b\r\nContent-Length:\t 5 \r\n\r\nhello",
        ("a", "b"),
    ),
}


@pytest.mark.parametrize("name", REPAIRED)
async def test_what_may_be_repaired_is(stage: Stage, name: str) -> None:
    """RFC 9112 sections 2.3, 4, 5.1 and 5.2."""
    data, field = REPAIRED[name]

    async def script(call: Call) -> None:
        await call.send(data)

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        answer = await fetch(stage.port, get())

    assert answer.head.startswith(b"HTTP/1.1 200 ")
    assert field in answer.fields
    assert answer.body == b"hello"


BODILESS = {
    "head": ("HEAD", OK + FIVE, "5"),
    "head with chunks": (
        "HEAD",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        None,
    ),
    "204": ("GET", b"HTTP/1.1 204 No\r\n" + FIVE, None),
    "204 with chunks": (
        "GET",
        b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        None,
    ),
    "304": ("GET", b"HTTP/1.1 304 Same\r\n" + FIVE, "5"),
}


@pytest.mark.parametrize("name", BODILESS)
async def test_a_body_where_none_may_be_is_dropped(stage: Stage, name: str) -> None:
    """RFC 9110 sections 8.6 and 9.3.2, RFC 9112 section 6.3; no connection is kept."""
    method, data, length = BODILESS[name]

    async def script(call: Call) -> None:
        await call.send(data)

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answers = [
                await wire.ask(get(method=method), method=method) for _ in range(3)
            ]

    assert {answer.get("content-length") for answer in answers} == {length}
    assert {answer.get("transfer-encoding") for answer in answers} == {None}
    assert origin.connections == 3


async def test_chunked_wins_over_a_length_once(stage: Stage) -> None:
    """RFC 9112 section 6.3: read as chunks, said as chunks, then given up."""

    async def script(call: Call) -> None:
        await call.send(
            OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n"
        )

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            answers = [await wire.ask(get()) for _ in range(2)]

    assert [answer.body for answer in answers] == [b"hello"] * 2
    assert {answer.get("content-length") for answer in answers} == {None}
    assert origin.connections == 2


async def answered(stage: Stage, *fields: str, status: int = 200) -> Answer:
    """Return what a client gets of an answer with these fields."""

    async def script(call: Call) -> None:
        await call.reply(b"hello", *fields, status=status)

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        return await fetch(stage.port, get())


async def test_hop_by_hop_fields_of_answers_end_here(stage: Stage) -> None:
    """RFC 9110 section 7.6.1."""
    answer = await answered(
        stage,
        "Connection: X-One, keep-alive",
        "X-One: 1",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "TE: trailers",
        "X-Stays: 2",
    )

    names = {name for name, _ in answer.fields}
    assert "x-stays" in names
    assert not names & {"connection", "keep-alive", "proxy-connection", "te"}
    assert not names & {"upgrade", "x-one"}


async def test_connection_of_an_answer_takes_away_nothing_that_matters(
    stage: Stage,
) -> None:
    """RFC 9110 section 7.6.1: framing, cookies, and what we say ourselves."""
    protected = ("Content-Length", "Set-Cookie", "Content-Type", "Date", "ETag")
    answer = await answered(
        stage,
        f"Connection: {', '.join(protected)}, x-headgate-version",
        "Set-Cookie: a=b",
        "Content-Type: text/plain",
        "Date: Sun, 22 Nov 2026 12:00:00 GMT",
        'ETag: "x"',
    )

    names = [name for name, _ in answer.fields]
    assert {name.lower() for name in protected} <= set(names)
    assert answer.get("x-headgate-version") == "stable"


async def test_a_426_says_what_to_upgrade_to(stage: Stage) -> None:
    """RFC 9110 section 15.5.22: but never to another version of HTTP."""
    asked = await answered(stage, "Upgrade: websocket, h2c", status=426)
    plain = await answered(stage, "Upgrade: h2c", status=426)

    assert (asked.get("upgrade"), asked.get("connection")) == ("websocket", "Upgrade")
    assert (plain.get("upgrade"), plain.get("connection")) == (None, None)


async def test_trailers_of_answers_that_steer_are_dropped(stage: Stage) -> None:
    """RFC 9110 sections 6.5.1 and 7.6.1."""

    async def script(call: Call) -> None:
        await call.send(
            OK + b"Connection: x-named\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5;ext\r\nhello\r\n0;ext\r\nX-Sum:1\r\nSet-Cookie: a=b\r\n"
            b"Content-Length: 3\r\nX-Named: 1\r\nX_Forwarded_For: 1\r\n\r\n"
        )

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        answer = await fetch(stage.port, get())

    assert (answer.body, answer.trailers) == (b"hello", b"X-Sum: 1\r\n")


async def test_a_101_must_be_of_a_protocol_that_was_asked_for(stage: Stage) -> None:
    """RFC 9110 section 7.8: a MUST NOT of the origin, 502 of ours."""

    async def script(call: Call) -> None:
        named = call.request.target.strip("/")
        await call.send(b"HTTP/1.1 101 S\r\n" + named.encode() + b"\r\n\r\n")
        await call.hang()

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]}, retries={"attempts": 0})
        statuses = []
        for named in ("Upgrade:websocket", "Upgrade:WebSocket", "Upgrade:raw", "A:b"):
            answer = await fetch(
                stage.port,
                get(f"/{named}", "Upgrade: websocket", "Connection: Upgrade"),
            )
            statuses.append(answer.status)

    assert statuses == [101, 101, 502, 502]


async def test_informational_answers_carry_no_framing(stage: Stage) -> None:
    """RFC 9110 sections 8.6 and 15.2, RFC 9112 section 6.1."""

    async def script(call: Call) -> None:
        await call.send(
            b"HTTP/1.1 103 Early\r\nLink: <a>\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        await asyncio.sleep(0.02)
        await call.reply(b"hello")

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            early = await wire.ask(get())
            final = await wire.answer()
            again = await wire.ask(get())

    assert early.fields == [("link", "<a>")]
    assert (final.status, final.body, again.status) == (200, b"hello", 103)


async def test_late_bytes_never_become_the_next_answer(stage: Stage) -> None:
    """RFC 9112 section 9.2: an answer nobody asked for is no answer."""
    evil = OK + b"Content-Length: 4\r\n\r\nevil"

    async def script(call: Call) -> None:
        await call.reply(b"good")
        if call.number % 2:
            await asyncio.sleep(0.02)
        await call.send(evil)

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            bodies = []
            for _ in range(6):
                bodies.append((await wire.ask(get())).body)
                await asyncio.sleep(0.04)

    assert bodies == [b"good"] * 6
