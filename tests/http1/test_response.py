"""Response heads: understood, repaired where the RFC asks for it, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1 import fields, forward, response
from proxy.http1.response import Response, ResponseParser


def parsed(head: bytes, *watched: bytes) -> Response:
    """Return the response of a head that must be taken."""
    result = ResponseParser(watched).parse(head)
    assert result is not None
    return result


def head(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return a head."""
    return b"\r\n".join((first, *lines))


lines = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 5",
            b"Content-Length: 5, 5",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip",
            b"Connection: close, X-Gone",
            b"Connection: keep-alive",
            b"Keep-Alive: timeout=5, max=10",
            b"X-Gone: 1",
            b"Date: Sun, 22 Nov 2026 14:41:34 GMT",
            b"Set-Cookie: a=b",
            b"X-Folded: a\r\n b",
            b"X-Space : a",
            b"X-App-Version: 2",
            b"Content-Type: text/event-stream",
            b"x-headgate-version: fake",
            b"Upgrade: websocket",
        ]
    ),
    max_size=6,
)
first = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 404 Not Found", b"HTTP/1.1 204", b"HTTP/1.1 101 "]
)


@given(first, lines, st.integers(0, 300), st.binary(max_size=3), st.integers(0, 4))
def test_every_mutation_is_understood_or_none(
    first: bytes, lines: list[bytes], place: int, inserted: bytes, removed: int
) -> None:
    """What an origin says never raises, and what goes on parses the same again."""
    data = head(*lines, first=first)
    at = place % (len(data) + 1)
    mutated = data[:at] + inserted + data[at + removed :]

    result = ResponseParser((b"x-app-version",)).parse(mutated)

    if result is None:
        return
    out = forward.response_head(result, ())
    assert out.count(b"\r\n\r\n") == 1
    again = ResponseParser((b"x-app-version",)).parse(out[:-4])
    assert again is not None
    assert (again.status, again.lines) == (result.status, result.lines)
    assert (again.watched, again.stream) == (result.watched, result.stream)
    names = {line.partition(b":")[0].lower() for line in result.lines}
    assert not names & (fields.HOP_BY_HOP | {b"content-length"})


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_none(data: bytes) -> None:
    """Nothing raises, whatever it is."""
    result = ResponseParser().parse(data)

    assert result is None or 100 <= result.status <= 599


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 Low",
        b"HTTP/1.1 600 High",
        b"HTTP/1.1  200 OK",
        b"HTTP/2 200 OK",
        b"HTTP/2.0 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 200 O\0K",
        b"HTTP/1.1 200 O\nK",
        b"HTTP/1.1 +20 OK",
    ],
)
def test_status_lines_that_are_none(line: bytes) -> None:
    """RFC 9112 section 4: three digits after one space, in a known range."""
    assert ResponseParser().parse(head(b"Content-Length: 0", first=line)) is None


def test_the_status_line_becomes_ours() -> None:
    """RFC 9112 section 2.3: a proxy sends its own version."""
    old = parsed(head(first=b"HTTP/1.0 404 Not Found"))
    bare = parsed(head(first=b"HTTP/1.1 204"))

    assert old.status_line == b"HTTP/1.1 404 Not Found"
    assert old.close
    assert bare.status_line == b"HTTP/1.1 204 "  # RFC 9112 section 4
    assert not bare.close


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: +5",),
        (b"Content-Length: -1",),
        (b"Transfer-Encoding: gzip",),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"no colon",),
        (b": empty",),
        (b"X: a\0b",),
        (b"X: a\rb",),
        (b"X: a\nb",),
    ],
)
def test_invalid_framing_and_fields_are_refused(lines: tuple[bytes, ...]) -> None:
    """RFC 9112 section 6.3: the data plane answers 502 and drops the connection."""
    assert ResponseParser().parse(head(*lines)) is None


def test_two_repairs_are_made() -> None:
    """RFC 9112 sections 5.1 and 5.2: obs-fold and a space before the colon."""
    result = parsed(head(b"X-A: b\r\n\t c", b"X-B  : d", b"Content-Length : 5"))

    assert result.lines == [b"X-A: b c", b"X-B: d"]
    assert result.length == 5


def test_chunked_wins_over_a_length_and_ends_the_connection() -> None:
    """RFC 9112 section 6.3: the length is dropped, the connection not reused."""
    result = parsed(head(b"Content-Length: 5", b"Transfer-Encoding: chunked"))

    assert (result.chunked, result.length, result.close) == (True, -1, True)


@pytest.mark.parametrize(
    ("method", "data", "kind"),
    [
        (b"GET", head(b"Content-Length: 5"), response.BY_LENGTH),
        (b"GET", head(b"Content-Length: 0"), response.NO_BODY),
        (b"GET", head(b"Transfer-Encoding: chunked"), response.BY_CHUNKS),
        (b"GET", head(), response.UNTIL_CLOSE),
        (b"HEAD", head(b"Content-Length: 5"), response.NO_BODY),
        (b"HEAD", head(b"Transfer-Encoding: chunked"), response.NO_BODY),
        (
            b"GET",
            head(b"Content-Length: 5", first=b"HTTP/1.1 204 "),
            response.NO_BODY,
        ),
        (
            b"GET",
            head(b"Content-Length: 5", first=b"HTTP/1.1 304 "),
            response.NO_BODY,
        ),
        (b"GET", head(first=b"HTTP/1.1 103 Early Hints"), response.NO_BODY),
    ],
)
def test_how_a_body_ends(method: bytes, data: bytes, kind: int) -> None:
    """RFC 9112 section 6.3, in its order."""
    assert parsed(data).body(method) == kind


def test_connection_options_of_an_origin() -> None:
    """RFC 9110 section 7.6.1: named fields go, but not those that must stay."""
    result = parsed(
        head(
            b"Connection: X-Gone, close, Set-Cookie, Content-Type",
            b"X-Gone: 1",
            b"Set-Cookie: a=b",
            b"Content-Type: text/html",
        )
    )

    assert result.close
    assert result.lines == [b"Set-Cookie: a=b", b"Content-Type: text/html"]


def test_what_the_proxy_reads_of_an_answer() -> None:
    """Keep-Alive, Date, streams, upgrades, revisions; names of ours never pass."""
    result = parsed(
        head(
            b"Keep-Alive: max=5, timeout = 30",
            b"Date: now",
            b"Content-Type: Text/Event-Stream; charset=utf-8",
            b"Upgrade: websocket",
            b"X-App-Version: 2.4.0",
            b"x-headgate-version: fake",
            b"x-headgate-reason: fake",
            b"Cache-Control: no-store",
        ),
        b"x-app-version",
    )

    assert result.keepalive_s == 30
    assert result.has_date
    assert result.stream
    assert result.upgrade == b"websocket"
    assert result.watched == b"2.4.0"
    assert result.lines == [
        b"Date: now",
        b"Content-Type: Text/Event-Stream; charset=utf-8",
        b"X-App-Version: 2.4.0",
        b"Cache-Control: no-store",
    ]


def test_a_keep_alive_without_a_timeout_says_nothing() -> None:
    """Nothing is guessed out of it."""
    assert parsed(head(b"Keep-Alive: max=5")).keepalive_s == -1
    assert parsed(head(b"Keep-Alive: timeout=9999999")).keepalive_s == -1


def test_without_removes_all_lines_of_a_field() -> None:
    """Whatever their case."""
    result = parsed(head(b"A: 1", b"B: 2", b"a: 3"))

    assert result.without(b"a") == [b"B: 2"]


def test_memories_are_bounded() -> None:
    """An origin that says something new for ever cannot fill a worker."""
    one = ResponseParser()

    for number in range(fields.LINES_MAX + 10):
        first = b"HTTP/1.1 200 OK %d" % (number % (response.STATUS_LINES_MAX + 5))
        assert one.parse(head(b"X-N: %d" % number, first=first)) is not None
    one.parse(head(b"X-Long: " + b"x" * 300, b"ETag: a"))

    assert len(one._seen) <= fields.LINES_MAX
    assert len(one._status_lines) <= response.STATUS_LINES_MAX
    assert b"ETag: a" not in one._seen


def test_a_switch_names_what_was_wanted() -> None:
    """RFC 9110 section 7.8: all of it, and something."""
    raw = parsed(head(b"Upgrade: raw"))
    both = parsed(head(b"Upgrade: raw, tls"))
    none = parsed(head())

    assert raw.switches_to(b"websocket, RAW")
    assert not raw.switches_to(b"websocket")
    assert not both.switches_to(b"raw")
    assert not none.switches_to(b"raw")


def test_white_space_behind_the_status_line_is_malformed() -> None:
    """RFC 9112 section 2.2: it is no folded status line."""
    assert ResponseParser().parse(b"HTTP/1.1 200 OK\r\n A: b") is None
    assert parsed(b"HTTP/1.1 200 OK\r\nA: b\r\n c").lines == [b"A: b c"]


def test_chunked_in_1_0_is_malformed() -> None:
    """RFC 9112 section 6.1: such framing is faulty."""
    data = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"

    assert ResponseParser().parse(data) is None
