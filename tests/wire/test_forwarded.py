"""
Requests that are forwarded, and as what.

The head for the next hop is compared byte by byte where it matters (RFC 9110
section 7.6, RFC 9112 sections 2 to 7).
"""

import re
from collections.abc import Sequence

import pytest

from tests.support.probes import talk
from tests.support.scripted_origin import Call, Received, ScriptedOrigin
from tests.support.stage import Stage
from tests.support.wire import dial, fetch, get


async def echo(call: Call) -> None:
    """Answer with the body."""
    await call.reply(call.request.body)


async def sent_on(stage: Stage, data: bytes, *, trusted: bool = False) -> Received:
    """Send a request that must be answered 200; return it as the origin got it."""
    networks = ["127.0.0.0/8"] if trusted else []
    async with ScriptedOrigin(echo) as origin:
        await stage.serve({"stable": [origin]}, tables={"trusted_proxies": networks})
        seen = await talk(stage.port, data, eof=True)

    assert seen.statuses == [200], seen.raw
    assert len(origin.requests) == 1
    return origin.requests[0]


def names(request: Received) -> list[str]:
    """Return the names of a request's fields."""
    return [name for name, _ in request.fields]


# --- the request line ---


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("GET / HTTP/1.1", "GET / HTTP/1.1"),
        ("GET / HTTP/1.0", "GET / HTTP/1.1"),
        ("GET / HTTP/1.2", "GET / HTTP/1.1"),
        ("GET / HTTP/1.9", "GET / HTTP/1.1"),
        ("get / HTTP/1.1", "get / HTTP/1.1"),
        ("BREW /pot HTTP/1.1", "BREW /pot HTTP/1.1"),
        ("M-SEARCH / HTTP/1.1", "M-SEARCH / HTTP/1.1"),
        ("!#$%&'*+-.^_`|~1 / HTTP/1.1", "!#$%&'*+-.^_`|~1 / HTTP/1.1"),
        ("PROPFIND /a?b=c&d HTTP/1.1", "PROPFIND /a?b=c&d HTTP/1.1"),
        ("GET /%00%0d%0aX:%20y HTTP/1.1", "GET /%00%0d%0aX:%20y HTTP/1.1"),
        ("GET /a/../b//c HTTP/1.1", "GET /a/../b//c HTTP/1.1"),
        ("GET //other.test/a HTTP/1.1", "GET //other.test/a HTTP/1.1"),
        ("GET /?http://other.test/ HTTP/1.1", "GET /?http://other.test/ HTTP/1.1"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("GET http://shop.test HTTP/1.1", "GET / HTTP/1.1"),
        ("GET http://shop.test?a HTTP/1.1", "GET /?a HTTP/1.1"),
        ("GET http://shop.test/a?b HTTP/1.1", "GET /a?b HTTP/1.1"),
        ("GET HTTP://SHOP.test/a HTTP/1.1", "GET /a HTTP/1.1"),
        ("OPTIONS http://shop.test HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("OPTIONS http://shop.test/ HTTP/1.1", "OPTIONS / HTTP/1.1"),
        ("OPTIONS http://shop.test?a HTTP/1.1", "OPTIONS /?a HTTP/1.1"),
    ],
)
async def test_request_lines(stage: Stage, first: str, expected: str) -> None:
    """RFC 9112 sections 2.3, 3, 3.2.2 and 3.2.4; RFC 9110 section 9.1."""
    request = await sent_on(stage, f"{first}\r\nHost: shop.test\r\n\r\n".encode())

    assert request.head.split(b"\r\n")[0].decode() == expected
    assert (request.get("host") or "").lower() == "shop.test"


async def test_a_request_line_of_8000_bytes_is_taken(stage: Stage) -> None:
    """RFC 9112 section 3: at least so much should be."""
    target = "/" + "x" * (8000 - len("GET / HTTP/1.1"))

    request = await sent_on(stage, get(target))

    assert len(request.head.split(b"\r\n")[0]) == 8000


@pytest.mark.parametrize("host", ["SHOP.test", "shop.test:80", "[::1]", "[::1]:8080"])
async def test_valid_hosts_go_on_as_they_came(stage: Stage, host: str) -> None:
    """RFC 9110 section 7.2: a name or address, perhaps with a port."""
    request = await sent_on(stage, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    assert request.get("host") == host


async def test_white_space_around_values_is_no_part_of_them(stage: Stage) -> None:
    """RFC 9112 section 5.1: SP and HTAB, around lengths and codings too."""
    one = await sent_on(
        stage,
        b"POST / HTTP/1.1\r\nhoSt:\tshop.test \r\nEmpty:\r\n"
        b"Content-Length: \t 5 \t\r\n\r\nhello",
    )
    other = await sent_on(
        stage,
        b"POST / HTTP/1.1\r\nHost:shop.test\r\n"
        b"TRANSFER-encoding:\tChunKED \r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )

    assert (one.body, one.get("content-length")) == (b"hello", "5")
    assert one.get("host") == "shop.test"
    assert one.get("empty") == ""
    assert (other.body, other.get("transfer-encoding")) == (b"hello", "chunked")


async def test_lengths_are_written_anew(stage: Stage) -> None:
    """RFC 9110 section 8.6: what some origins take for octal is decimal."""
    request = await sent_on(
        stage,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0010\r\n\r\n0123456789",
    )

    assert (request.get("content-length"), request.body) == ("10", b"0123456789")


@pytest.mark.parametrize(
    ("body", "data", "trailers"),
    [
        (b"0\r\n\r\n", b"", b""),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", b""),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", b""),
        (b"005\r\nhello\r\n000\r\n\r\n", b"hello", b""),
        (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello", b""),
        (b'5;a;b=c;d="e \\" f"\r\nhello\r\n0;last\r\n\r\n', b"hello", b""),
        (b"5 ; a = b\r\nhello\r\n0\r\n\r\n", b"hello", b""),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", b""),
        (b"0\r\nX-Sum: abc\r\n\r\n", b"", b"X-Sum: abc\r\n"),
    ],
)
async def test_chunks_are_framed_anew(
    stage: Stage, body: bytes, data: bytes, trailers: bytes
) -> None:
    """RFC 9112 section 7.1: extensions are dropped, trailers kept."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    request = await sent_on(stage, head + body)

    assert (request.body, request.trailers) == (data, trailers)


FORBIDDEN_TRAILERS = (
    "Transfer-Encoding: chunked",
    "Content-Length: 50",
    "Host: other.test",
    "Authorization: Bearer x",
    "Cookie: a=b",
    "Content-Type: text/evil",
    "Content-Encoding: gzip",
    "Content-Range: bytes 0-1/2",
    "Set-Cookie: a=b",
    "Connection: close",
    "Trailer: x",
    "TE: trailers",
    "Expect: 100-continue",
    "Max-Forwards: 1",
    "Cache-Control: no-store",
    "If-Match: x",
    "Range: bytes=0-1",
    "Via: 1.1 x",
    "X-Forwarded-For: 6.6.6.6",
    "Content_Length: 50",
    "x_request_id: 7",
    "x-headgate-mirror: 1",
    "X-Named: 1",
)


async def test_trailers_that_steer_are_dropped(stage: Stage) -> None:
    """RFC 9110 sections 6.5.1 and 7.6.1: they never meet the header section."""
    request = await sent_on(
        stage,
        get(
            "/",
            "Transfer-Encoding: chunked",
            "Connection: x-named",
            method="POST",
        )
        + b"5\r\nhello\r\n0\r\nX-Kept: 1\r\n"
        + "".join(f"{line}\r\n" for line in FORBIDDEN_TRAILERS).encode()
        + b"\r\n",
    )

    assert request.trailers == b"X-Kept: 1\r\n"


# --- hop by hop ---


async def test_hop_by_hop_fields_end_here(stage: Stage) -> None:
    """RFC 9110 section 7.6.1: and whatever Connection names."""
    request = await sent_on(
        stage,
        get(
            "/",
            "Connection: keep-alive, X-One",
            "connection: x-TWO",
            "X-One: 1",
            "X-Two: 2",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "TE: gzip",
            "Upgrade: websocket",
            "HTTP2-Settings: AAMAAABkAAQ",
            "X-Stays: 3",
        ),
    )

    assert request.get("x-stays") == "3"
    assert not set(names(request)) & {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "http2-settings",
        "x-one",
        "x-two",
    }


PROTECTED = (
    "Host",
    "Content-Length",
    "Authorization",
    "Cookie",
    "Content-Type",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "x-request-id",
    "traceparent",
)


async def test_connection_takes_away_nothing_that_matters(stage: Stage) -> None:
    """RFC 9110 section 7.6.1: an option never names what is meant for all."""
    request = await sent_on(
        stage,
        get(
            "/",
            f"Connection: close, {', '.join(PROTECTED)}",
            "Authorization: Bearer x",
            "Cookie: a=b",
            "Content-Type: text/plain",
            "Content-Length: 5",
            "x-request-id: 7",
            method="POST",
        )
        + b"hello",
    )

    assert {name.lower() for name in PROTECTED} <= set(names(request))
    assert request.body == b"hello"
    assert request.get("authorization") == "Bearer x"


async def test_twins_with_an_underscore_never_pass(stage: Stage) -> None:
    """RFC 3875 section 4.1.18: CGI and WSGI origins cannot tell them apart."""
    request = await sent_on(
        stage,
        get(
            "/",
            "X_Forwarded_For: 6.6.6.6",
            "x_forwarded_proto: https",
            "X_Request_Id: 7",
            "X_Headgate_Mirror: 1",
            "Max_Forwards: 0",
            "Content_Type: text/evil",
            "X_Own: stays",
        ),
    )

    assert [name for name in names(request) if "_" in name] == ["x_own"]


async def test_via_and_forwarding_fields_are_ours(stage: Stage) -> None:
    """RFC 9110 section 7.6.3; X-Forwarded-* of strangers are overwritten."""
    request = await sent_on(
        stage,
        get(
            "/",
            "Via: 1.0 before, 1.1 other",
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: evil.test",
            "X-Forwarded-Port: 666",
            "Forwarded: for=6.6.6.6",
        ),
    )

    first, ours = request.all("via")
    assert first == "1.0 before, 1.1 other"
    assert re.fullmatch(r"1\.1 headgate-[0-9a-f]{8}", ours)
    assert request.get("x-forwarded-for") == "127.0.0.1"
    assert request.get("x-forwarded-proto") == "http"
    assert request.get("x-forwarded-host") == "shop.test"
    assert request.get("x-forwarded-port") is None
    assert request.get("forwarded") is None


async def test_a_trusted_proxys_fields_are_continued(stage: Stage) -> None:
    """RFC 7239 section 4, `trusted_proxies`: each hop adds itself."""
    request = await sent_on(
        stage,
        get(
            "/",
            "X-Forwarded-For: 1.1.1.1, 2.2.2.2",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: outside.test",
            "X-Forwarded-Port: 443",
            "Forwarded: for=1.1.1.1;proto=https",
        ),
        trusted=True,
    )

    assert request.get("x-forwarded-for") == "1.1.1.1, 2.2.2.2, 127.0.0.1"
    assert request.get("x-forwarded-proto") == "https"
    assert request.get("x-forwarded-host") == "outside.test"
    assert request.get("x-forwarded-port") == "443"
    assert request.get("forwarded") == (
        "for=1.1.1.1;proto=https, for=127.0.0.1;proto=http"
    )


async def test_te_trailers_is_said_anew(stage: Stage) -> None:
    """RFC 9110 section 10.1.4: TE is of one hop; ours understands trailers."""
    asked = await sent_on(stage, get("/", "TE: gzip, trailers", "Connection: TE"))
    other = await sent_on(stage, get("/", "TE: deflate", "Connection: TE"))

    assert (asked.get("te"), asked.get("connection")) == ("trailers", "TE")
    assert (other.get("te"), other.get("connection")) == (None, None)


UPGRADES: Sequence[tuple[str, Sequence[str], str | None]] = (
    ("GET", ("Upgrade: websocket", "Connection: Upgrade"), "websocket"),
    ("GET", ("Upgrade: websocket",), None),
    ("GET", ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"), None),
    ("GET", ("Upgrade: HTTP/2.0", "Connection: Upgrade"), None),
    ("GET", ("Upgrade: h2c, websocket", "Connection: upgrade"), "websocket"),
    ("POST", ("Upgrade: websocket", "Connection: Upgrade"), None),
    ("POST", ("Upgrade: spdy/3.1", "Connection: Upgrade"), "spdy/3.1"),
)


@pytest.mark.parametrize(("method", "lines", "expected"), UPGRADES)
async def test_upgrades(
    stage: Stage, method: str, lines: Sequence[str], expected: str | None
) -> None:
    """RFC 9110 section 7.8, RFC 6455 section 4.1; h2c is stripped."""
    request = await sent_on(stage, get("/", *lines, method=method))

    assert request.get("upgrade") == expected
    assert request.get("http2-settings") is None


async def test_an_upgrade_in_http_1_0_is_ignored(stage: Stage) -> None:
    """RFC 9110 section 7.8: a MUST."""
    request = await sent_on(
        stage,
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n",
    )

    assert request.get("upgrade") is None


# --- Max-Forwards and loops ---


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("OPTIONS", "7", "6"),
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "007", "6"),
        ("GET", "7", "7"),
        ("GET", "0", "0"),
        ("GET", "x", "x"),
    ],
)
async def test_max_forwards_counts_options_down(
    stage: Stage, method: str, given: str, expected: str
) -> None:
    """RFC 9110 section 7.6.2: for other methods the field means nothing."""
    data = get("/", f"Max-Forwards: {given}", method=method)

    assert (await sent_on(stage, data)).get("max-forwards") == expected


async def test_max_forwards_of_zero_is_answered_here(stage: Stage) -> None:
    """RFC 9110 section 7.6.2: by the final recipient that we are then."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        answer = await fetch(stage.port, get("*", "Max-Forwards: 0", method="OPTIONS"))

    assert (answer.status, answer.body) == (200, b"")
    assert "GET" in (answer.get("allow") or "")
    assert origin.requests == []


@pytest.mark.parametrize("value", ["", "x", "-1", "+1", "1_0", "1, 2", "9" * 10])
async def test_an_invalid_max_forwards_is_refused(stage: Stage, value: str) -> None:
    """RFC 9110 section 7.6.2: it is digits."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        answer = await fetch(
            stage.port, get("/", f"Max-Forwards: {value}", method="OPTIONS")
        )

    assert answer.status == 400
    assert origin.requests == []


async def test_a_loop_ends(stage: Stage) -> None:
    """RFC 9110 sections 7.6 and 7.6.3, RFC 5842 section 7.2: Via shows our name."""
    async with ScriptedOrigin() as origin:
        await stage.serve({"stable": [origin]})
        await fetch(stage.port, get())
        name = (origin.requests[0].get("via") or "").removeprefix("1.1 ")
        back = await fetch(stage.port, get("/", f"Via: 1.1 a, 1.1 {name}"))
        second = await fetch(stage.port, get("/", "Via: 1.1 a", f"Via: 1.1 {name} (x)"))
        passed = len(origin.requests)
        await stage.serve({"stable": [stage.port]})  # its own origin
        looped = await fetch(stage.port, get())

    assert (back.status, second.status, passed) == (508, 508, 1)
    assert back.get("x-headgate-reason") == "loop_detected"
    assert looped.status == 508


async def test_another_headgate_is_no_loop(stage: Stage) -> None:
    """RFC 9110 section 7.6.3: each tree of processes has a name of its own."""
    request = await sent_on(stage, get("/", "Via: 1.1 headgate-00000000"))

    assert len(request.all("via")) == 2


# --- expectations ---


async def test_a_1_0_clients_expectation_is_ignored(stage: Stage) -> None:
    """RFC 9110 section 10.1.1: and no 1xx answer ever reaches it (15.2)."""

    async def eager(call: Call) -> None:
        await call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await call.read_body()
        await call.reply()

    async with ScriptedOrigin(eager, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        seen = await talk(
            stage.port,
            b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n"
            b"Content-Length: 5\r\n\r\nhello",
        )

    assert seen.statuses == [200]
    assert origin.requests[0].get("expect") is None


async def test_an_expectation_without_a_body_is_none(stage: Stage) -> None:
    """RFC 9110 section 10.1.1: a client must not send it then; nobody waits."""
    request = await sent_on(stage, get("/", "Expect: 100-continue"))

    assert request.get("expect") is None


async def test_a_body_may_come_with_its_expectation(stage: Stage) -> None:
    """RFC 9110 section 10.1.1: a client need not wait for the 100."""

    async def eager(call: Call) -> None:
        await call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await call.read_body()
        await call.reply(call.request.body)

    async with ScriptedOrigin(eager, eager=True) as origin:
        await stage.serve({"stable": [origin]})
        async with dial(stage.port) as wire:
            await wire.send(
                get("/", "Expect: 100-Continue", "Content-Length: 5", method="POST")
                + b"hello"
                + get("/next")
            )
            answers = [await wire.answer() for _ in range(4)]

    assert [answer.status for answer in answers] == [100, 200, 100, 200]
    assert answers[1].body == b"hello"
    assert [one.target for one in origin.requests] == ["/", "/next"]
