"""
Many requests on one connection: each means what it meant alone.

The classic ways to make two peers disagree about where a request ends, as
conversations: what the client sends part by part, the answers it must get, and
the requests that the origin must have seen, no more and no fewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.support.probes import talk
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import get

GET = get("/next")
EVIL = get("/evil")


@dataclass(frozen=True, slots=True)
class Story:
    """Parts sent one after the other, statuses and targets that must come of it."""

    parts: Sequence[bytes]
    statuses: Sequence[int]
    targets: Sequence[str]
    methods: Sequence[str] = ()


def post(*lines: bytes, body: bytes = b"", method: bytes = b"POST") -> bytes:
    """Return a request whose framing is in ``lines``."""
    return b"\r\n".join((method + b" /a HTTP/1.1", b"Host: a", *lines, b"", b"")) + body


CHUNKED = b"Transfer-Encoding: chunked"
POISON = b"0\r\n\r\n" + EVIL
PREFIX = b"GET /evil HTTP/1.1\r\nHost: a\r\nX: "

REFUSED = {
    "a length that covers a request": post(
        b"Content-Length: %d" % len(POISON), CHUNKED, body=POISON
    ),
    "chunks before a length": post(
        CHUNKED, b"Content-Length: %d" % len(POISON), body=POISON
    ),
    "a length with a sign": post(b"Content-Length: +4", CHUNKED, body=POISON),
    "a length with a letter": post(b"Content-Length: 4x", CHUNKED, body=POISON),
    "a folded coding": post(
        b"Transfer-Encoding:\r\n chunked", b"Content-Length: 49", body=POISON
    ),
    "a coding and a space": post(
        b"Transfer-Encoding: chunked ", b"Content-Length: 49", body=POISON
    ),
    "a coding and a comma": post(
        b"Transfer-Encoding: , chunked", b"Content-Length: 49", body=POISON
    ),
    "a coding in capitals": post(
        b"Transfer-Encoding: CHUNKED", b"Content-Length: 49", body=POISON
    ),
    "two codings": post(CHUNKED, b"Transfer-Encoding: identity", body=POISON),
    "two lengths": post(b"Content-Length: 4", b"Content-Length: 49", body=b"PING"),
    "a chunk that is a request": post(
        CHUNKED, b"Content-Length: 4", body=b"2b\r\n" + EVIL + b"\r\n0\r\n\r\n"
    ),
    "a look-alike": post(
        b"Content-Length: 4", b"Transfer_Encoding: chunked", body=POISON
    ),
    "a name with a space": post(b"Content-Length : %d" % len(EVIL), body=EVIL),
    "a size with a sign": post(CHUNKED, body=b"+0\r\n\r\n" + EVIL),
    "a size with a prefix": post(CHUNKED, body=b"0x0\r\n\r\n" + EVIL),
    "a bad size": post(CHUNKED, body=b"Z\r\n" + EVIL),
    "a bare lf in an extension": post(
        CHUNKED, body=b"2;\nxx\r\n2b\r\n0\r\n\r\n" + EVIL + b"\r\n0\r\n\r\n"
    ),
    "an open head": b"GET /a HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n" + EVIL,
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("together", [True, False])
async def test_an_ambiguous_request_is_the_last(
    stage: Stage, name: str, *, together: bool
) -> None:
    """RFC 9112 sections 6.1, 6.3 and 9.6: 400, the end, and nothing smuggled."""
    data = REFUSED[name]
    parts = [get("/first") + data + GET] if together else [get("/first"), data, GET]

    async def script(call: Call) -> None:
        await call.read_body()
        await call.reply()

    async with ScriptedOrigin(script, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        seen = await talk(stage.port, *parts)

    assert seen.statuses == [200, 400]
    targets = [request.target for request in origin.requests]
    assert targets[0] == "/first"
    assert set(targets) <= {"/first", "/a"}


STORIES = {
    "two requests": Story([get("/1") + get("/2")], [200, 200], ["/1", "/2"]),
    "two requests, one after the other": Story(
        [get("/1"), get("/2")], [200, 200], ["/1", "/2"]
    ),
    "a get whose body looks like a request": Story(
        [
            post(b"Content-Length: %d" % len(EVIL), body=EVIL, method=b"GET"),
            GET,
        ],
        [200, 200],
        ["/a", "/next"],
    ),
    "a get whose body begins a request": Story(
        [
            post(b"Content-Length: %d" % len(PREFIX), body=PREFIX, method=b"GET"),
            b"\r\n" + GET,
        ],
        [200, 200],
        ["/a", "/next"],
    ),
    "options with a body": Story(
        [post(b"Content-Length: 5", body=b"hello", method=b"OPTIONS"), GET],
        [200, 200],
        ["/a", "/next"],
    ),
    "delete with chunks": Story(
        [post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n", method=b"DELETE"), GET],
        [200, 200],
        ["/a", "/next"],
    ),
    "head with a body": Story(
        [post(b"Content-Length: 5", body=b"hello", method=b"HEAD") + GET],
        [200, 200],
        ["/a", "/next"],
        ["HEAD", "GET"],
    ),
    "no length is no body": Story([post() + GET], [200, 200], ["/a", "/next"]),
    "a length of zero and a letter behind": Story(
        [post(b"Content-Length: 0", body=b"X"), GET], [200, 200], ["/a", "/next"]
    ),
    "chunks that look like requests": Story(
        [post(CHUNKED, body=b"2b\r\n" + EVIL.ljust(43) + b"\r\n0\r\n\r\n") + GET],
        [200, 200],
        ["/a", "/next"],
    ),
    "a trailer that looks like a request": Story(
        [post(CHUNKED, body=b"0\r\nX:POST /evil HTTP/1.1\r\n\r\n") + GET],
        [200, 200],
        ["/a", "/next"],
    ),
    "an expectation and a body at once": Story(
        [post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), GET],
        [200, 200],
        ["/a", "/next"],
    ),
    "an empty line between": Story(
        [get("/1") + b"\r\n" + get("/2")], [200, 200], ["/1", "/2"]
    ),
    "a head in pieces": Story(
        [get("/1") + b"GET /2 HT", b"TP/1.1\r\nHo", b"st: a\r\n\r", b"\n" + get("/3")],
        [200, 200, 200],
        ["/1", "/2", "/3"],
    ),
    "chunks in pieces": Story(
        [
            post(CHUNKED, body=b"5"),
            b";x",
            b"\r\nhel",
            b"lo\r",
            b"\n0\r\n\r",
            b"\n",
            GET,
        ],
        [200, 200],
        ["/a", "/next"],
    ),
    "a size without its chunk, which looks like the end and a request": Story(
        [post(CHUNKED, body=b"2e\r\n"), POISON.ljust(46) + b"\r\n0\r\n\r\n", GET],
        [200, 200],
        ["/a", "/next"],
    ),
    "the same on a connection that is warm": Story(
        [
            get("/1"),
            post(CHUNKED, body=b"2e\r\n"),
            POISON.ljust(46) + b"\r\n0\r\n\r\n" + GET,
        ],
        [200, 200, 200],
        ["/1", "/a", "/next"],
    ),
    "an end in pieces": Story(
        [post(CHUNKED, body=b"0\r\n"), b"\r\n", GET], [200, 200], ["/a", "/next"]
    ),
    "nothing but an end": Story(
        [post(CHUNKED, body=b"0\r\n\r\n"), GET], [200, 200], ["/a", "/next"]
    ),
    "a body and a request in one piece": Story(
        [post(b"Content-Length: 5"), b"hello" + GET], [200, 200], ["/a", "/next"]
    ),
    "close ends it": Story([get("/1", "Connection: close") + get("/2")], [200], ["/1"]),
    "close in a list ends it": Story(
        [get("/1", "Connection: x-a, CLOSE ,, y") + get("/2")], [200], ["/1"]
    ),
    "http/1.0 ends it": Story(
        [b"GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" + get("/2")],
        [200],
        ["/1"],
    ),
    "a loop ends it": Story(
        [get("/1", "Connection: keep-alive") + b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"],
        [200, 405],
        ["/1"],
    ),
}


@pytest.mark.parametrize("name", STORIES)
async def test_each_request_is_read_as_it_was_meant(stage: Stage, name: str) -> None:
    """RFC 9112 sections 6.3, 9.3 and 9.3.2."""
    story = STORIES[name]

    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        seen = await talk(stage.port, *story.parts, eof=True, methods=story.methods)

    assert seen.statuses == list(story.statuses)
    targets = [request.target for request in origin.requests]
    assert targets == list(story.targets)


async def test_bodies_that_look_like_requests_arrive_as_bodies(stage: Stage) -> None:
    """RFC 9112 section 6: on a connection that the origin is asked on again."""

    async def echo(call: Call) -> None:
        await call.reply(call.request.body)

    async with ScriptedOrigin(echo) as origin:
        await stage.serve({"stable": [origin]})
        data = post(b"Content-Length: %d" % len(POISON), body=POISON)
        seen = await talk(stage.port, data * 20, eof=True)

    assert seen.statuses == [200] * 20
    assert [request.body for request in origin.requests] == [POISON] * 20
    assert origin.connections == 1


async def test_answers_of_many_clients_never_meet(stage: Stage) -> None:
    """RFC 9112 section 9.2: origins' connections are shared, answers are not."""

    async def echo(call: Call) -> None:
        await call.reply(call.request.target.encode())

    async with ScriptedOrigin(echo) as origin:
        await stage.serve({"stable": [origin]})
        for client in range(30):
            requests = b"".join(get(f"/{client}/{number}") for number in range(5))
            broken = post(CHUNKED, body=b"5\r\nhelloXX")
            seen = await talk(
                stage.port, requests + (broken if client % 3 else b""), eof=True
            )
            for number in range(5):
                assert b"/%d/%d" % (client, number) in seen.raw

    assert not [one for one in origin.requests if one.target == "/evil"]
