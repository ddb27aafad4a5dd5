"""Request heads: forwarded as understood, or refused with the right status."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1 import fields, forward
from proxy.http1.refusals import Refusal
from proxy.http1.request import HEADS_MAX, Request, RequestParser

TARGET_BYTES_MAX = 64
FIELDS_MAX = 8


def parser(*watched: bytes) -> RequestParser:
    """Return a new parser that remembers nothing yet."""
    return RequestParser(
        watched, target_bytes_max=TARGET_BYTES_MAX, fields_max=FIELDS_MAX
    )


def parsed(head: bytes, *watched: bytes) -> Request:
    """Return the request of a head that must be taken."""
    request = parser(*watched).parse(head)
    assert isinstance(request, Request), request
    return request


def status(head: bytes) -> int:
    """Return the status of a refusal; 0 if the head is taken."""
    result = parser().parse(head)
    return result.status if isinstance(result, Refusal) else 0


def head(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    """Return a head with Host and further lines."""
    return b"\r\n".join((first, b"Host: shop.test", *lines))


# --- strategies ---

token = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
text = st.text("abc 019,;=\t\x80\xff", max_size=12)
framing = st.sampled_from(
    [
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"content-length: 007",
        b"content-length: 5",
        b"Content-Length:5",
        b"Transfer-Encoding: chunked",
        b"TRANSFER-ENCODING: Chunked",
    ]
)
steering = st.sampled_from(
    [
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: x-gone, close",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAAQ",
        b"HTTP2-Settings: 5",
        b"TE: trailers, gzip",
        b"Expect: 100-continue",
        b"X-Gone: 1",
        b"X-Forwarded-For: 1.2.3.4",
        b"Forwarded: for=1.2.3.4",
        b"Keep-Alive: timeout=5",
        b"Cookie: a=b",
        b"X-User-Id: ann",
    ]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Return heads that are mostly well-formed."""
    method = draw(st.sampled_from([b"GET", b"POST", b"OPTIONS", b"BREW", b"TRACE"]))
    target = draw(
        st.sampled_from([b"/", b"/a?b=c", b"*", b"http://shop.test/x", b"//a", b"?x"])
    )
    version = draw(st.sampled_from([b"1.1", b"1.0", b"1.7", b"2.0"]))
    lines = draw(st.lists(st.one_of(framing, steering), max_size=6))
    if draw(st.integers(0, 9)):
        lines.insert(draw(st.integers(0, len(lines))), b"Host: shop.test")
    if draw(st.booleans()):
        name, value = draw(token), draw(text)
        lines.append(name.encode() + b":" + value.encode("latin-1"))
    return b"\r\n".join((method + b" " + target + b" HTTP/" + version, *lines))


def forwarded(request: Request, *added: bytes) -> bytes:
    """Return the head that goes on, with its framing, without the CRLFCRLF."""
    extra = b"".join(b"\r\n" + line for line in added)
    if request.chunked:
        extra += b"\r\nTransfer-Encoding: chunked"
    elif not request.framed:
        extra += b"\r\nContent-Length: %d" % request.length
    out = forward.request_head(request, extra)
    assert out.endswith(b"\r\n\r\n")
    return out[:-4]


def same_request(one: Request, other: Request) -> bool:
    """Whether an origin takes both for the same request."""
    return (
        (one.method, one.target, one.path) == (other.method, other.target, other.path)
        and (one.host, one.hostname) == (other.host, other.hostname)
        and (one.length, one.chunked) == (other.length, other.chunked)
        and others(one) == others(other)
    )


def others(request: Request) -> list[bytes]:
    """Return the lines besides a Content-Length that stayed."""
    return [line for line in request.lines if line[:15].lower() != b"content-length:"]


@given(heads())
def test_what_is_forwarded_parses_to_the_same_request(data: bytes) -> None:
    """An origin as strict as we are reads one request, and the one we read."""
    request = parser(b"x-user-id").parse(data)
    if isinstance(request, Refusal):
        return
    if not request.host:
        request.lines.insert(0, b"Host: origin")
        request.host = request.hostname = b"origin"

    out = forwarded(request)
    again = parser(b"x-user-id").parse(out)

    assert isinstance(again, Request)
    assert same_request(request, again)
    assert out.lower().count(b"\ncontent-length:") == (request.length >= 0)
    names = {line.partition(b":")[0].lower() for line in others(request)}
    assert not names & (fields.HOP_BY_HOP | {b"content-length"})


@given(
    heads(),
    st.integers(0, 500),
    st.one_of(
        st.binary(max_size=3),
        st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b":", b"\0", b"\t", b","]),
    ),
    st.integers(0, 4),
)
def test_every_mutation_yields_a_request_or_a_refusal(
    data: bytes, place: int, inserted: bytes, removed: int
) -> None:
    """No input raises, and none goes on that would be read differently."""
    at = place % (len(data) + 1)
    mutated = data[:at] + inserted + data[at + removed :]

    result = parser().parse(mutated)

    if isinstance(result, Refusal):
        assert result.status in {400, 405, 414, 417, 431, 501, 505}
        assert result.reason
        return
    assert b"\n" not in b"".join(result.lines)
    assert b"\r" not in b"".join(result.lines)
    if result.host:
        again = parser().parse(forwarded(result))
        assert isinstance(again, Request)
        assert same_request(result, again)


@given(st.binary(max_size=200))
def test_any_bytes_yield_a_request_or_a_refusal(data: bytes) -> None:
    """Nothing raises, whatever it is."""
    assert isinstance(parser().parse(data), Request | Refusal)


@given(st.lists(heads(), max_size=8))
def test_a_parser_that_remembers_lines_decides_as_a_new_one(data: list[bytes]) -> None:
    """The memory of lines is a matter of speed alone."""
    old = parser(b"cookie")

    for one in data:
        first, second = old.parse(one), parser(b"cookie").parse(one)
        if isinstance(first, Refusal):
            assert first == second
        else:
            assert isinstance(second, Request)
            assert same_request(first, second)
            assert first.watched == second.watched
            assert first.forwarded == second.forwarded
            assert (first.close, first.upgrade) == (second.close, second.upgrade)


@given(heads(), st.integers(0, 500))
def test_nothing_good_is_hopeless_before_it_is_whole(data: bytes, at: int) -> None:
    """RFC 9112 section 2.2: where a segment ends means nothing."""
    reader = parser(b"x-user-id")
    whole = data + b"\r\n\r\n"
    if isinstance(reader.parse(data), Request):
        start = whole[: 1 + at % (len(whole) - 1)]

        assert reader.unfinished(start) is None


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"G", 0),
        (b"GET ", 0),
        (b"GET /a HTTP", 0),
        (b"GET /a HTTP/1.1\r", 0),
        (b"GET /a HTTP/1.1\r\nHost:", 0),
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\r", 0),
        (b"GET /a\r\n", 400),
        (b"GET /a\n", 400),
        (b"GET /a HTTP/1.1\r\nHost: a\n", 400),
        (b"\x16\x03\x01", 400),
        (b" GET", 400),
        (b"Invalid\r\n", 400),
        (b"PRI * HTTP/2.0\r\n", 505),
        (b"TRACE / HTTP/1.1\r\n", 405),
        (b"M" * 33, 0),
        (b"M" * 33 + b" ", 501),
        (b"M" * 200, 400),
        (b"M" * 200 + b" / HTTP/1.1", 400),
        (b"GET /" + b"x" * 200, 414),
    ],
)
def test_what_is_hopeless_is_not_waited_for(start: bytes, expected: int) -> None:
    """RFC 9112 sections 2.2 and 3: HTTP/0.9, garbage, too long, another version."""
    refusal = parser().unfinished(start)

    assert (refusal.status if refusal else 0) == expected


def test_the_memory_of_lines_is_bounded() -> None:
    """A client that sends new lines for ever cannot fill a worker."""
    one = parser()

    for number in range(fields.LINES_MAX + 10):
        assert isinstance(one.parse(head(b"X-N: %d" % number)), Request)

    assert len(one._passing) + len(one._special) <= fields.LINES_MAX


def test_lines_that_are_never_the_same_twice_are_not_remembered() -> None:
    """Cookies and long lines would only push the useful ones out."""
    one = parser(b"x-user-id")
    one.parse(head(b"Cookie: a=b", b"X-User-Id: 1", b"X-Long: " + b"x" * 300))

    assert one._passing | set(one._special) == {b"Host: shop.test"}


# --- the request line ---


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET / HTTP/1.1", 0),
        (b"get / HTTP/1.1", 0),
        (b"M-SEARCH / HTTP/1.1", 0),
        (b"GET / HTTP/1.0", 0),
        (b"GET / HTTP/1.2", 0),
        (b"OPTIONS * HTTP/1.1", 0),
        (b"GET http://shop.test HTTP/1.1", 0),
        (b"GET HTTP://shop.test/a HTTP/1.1", 0),
        (b"", 400),
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"G@T / HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / HTTP/1", 400),
        (b"GET / ICE/1.0", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET * HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET shop.test:80 HTTP/1.1", 400),
        (b"GET ftp://shop.test/ HTTP/1.1", 400),
        (b"GET http:/// HTTP/1.1", 400),
        (b"GET http://other.test/ HTTP/1.1", 400),
        (b"GET http://u@shop.test/ HTTP/1.1", 400),
        (b"GET /#a HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\xe4 HTTP/1.1", 400),
        (b"TRACE / HTTP/1.1", 405),
        (b"CONNECT / HTTP/1.1", 405),
        (b"M" * 32 + b" / HTTP/1.1", 0),
        (b"M" * 33 + b" / HTTP/1.1", 501),
        (b"GET /" + b"x" * (TARGET_BYTES_MAX - 1) + b" HTTP/1.1", 0),
        (b"GET /" + b"x" * TARGET_BYTES_MAX + b" HTTP/1.1", 414),
    ],
)
def test_request_lines(line: bytes, expected: int) -> None:
    """RFC 9112 section 3: exactly three parts, each by its grammar."""
    assert status(head(first=line)) == expected


@pytest.mark.parametrize(
    ("target", "origin_form"),
    [
        (b"http://shop.test", b"/"),
        (b"http://shop.test/a/b?c", b"/a/b?c"),
        (b"http://shop.test?c", b"/?c"),
    ],
)
def test_absolute_targets_go_on_in_origin_form(
    target: bytes, origin_form: bytes
) -> None:
    """RFC 9112 section 3.2.2: the authority is the host, the rest the target."""
    request = parsed(head(first=b"GET " + target + b" HTTP/1.1"))

    assert request.target == origin_form
    assert request.path == origin_form.partition(b"?")[0]
    assert request.hostname == b"shop.test"


def test_an_absolute_target_gives_a_1_0_request_its_host() -> None:
    """RFC 9112 section 3.2.2: there may be no Host field to take it from."""
    request = parsed(b"GET http://shop.test:81/ HTTP/1.0")

    assert (request.host, request.hostname) == (b"shop.test:81", b"shop.test")
    assert request.lines == [b"Host: shop.test:81"]


# --- Host ---


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nHost:", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b", 400),
        (b"GET / HTTP/1.1\r\nHost: a, b", 400),
        (b"GET http://a/ HTTP/1.1", 400),
        (b"OPTIONS * HTTP/1.1", 400),
        (b"GET / HTTP/1.0", 0),
        (b"GET / HTTP/1.0\r\nHost: a b", 400),
    ],
)
def test_exactly_one_valid_host(data: bytes, expected: int) -> None:
    """RFC 9112 section 3.2: missing, double or invalid is 400."""
    assert status(data) == expected


# --- framing ---


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ((b"Content-Length: 5", b"A: b"), (b"Content-Length: 5", b"A: b")),
        ((b"A: b", b"content-length: 5"), (b"A: b", b"content-length: 5")),
        ((b"Content-Length: 005",), ()),
        ((b"Content-Length:5",), ()),
        ((b"Content-Length: 5 ",), ()),
        ((b"HTTP2-Settings: 5", b"Content-Length: 5"), (b"Content-Length: 5",)),
        ((b"Content-Length: 5", b"Expect: 100-continue"), ()),
        ((b"Content-Length: 5", b"Connection: content-length, x"), ()),
    ],
)
def test_a_length_stays_only_where_it_is_written_as_ours(
    lines: tuple[bytes, ...], kept: tuple[bytes, ...]
) -> None:
    """One Content-Length goes on: the client's own line, or one of ours."""
    request = parser().parse(head(*lines))

    assert isinstance(request, Request)
    assert request.length == 5
    assert request.framed == bool(kept)
    assert tuple(request.lines[1:]) == kept


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"Content-Length: 5",), 0),
        ((b"Content-Length: 5", b"Content-Length: 5"), 400),
        ((b"Content-Length: 5, 5",), 400),
        ((b"Content-Length: +5",), 400),
        ((b"Content-Length:",), 400),
        ((b"Content_Length: 5",), 400),
        ((b"Transfer_Encoding: chunked",), 400),
        ((b"Transfer-Encoding: chunked",), 0),
        ((b"Transfer-Encoding:\tchunked\t",), 0),
        ((b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
        ((b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
        ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
        ((b"Transfer-Encoding: chunked, gzip",), 400),
        ((b"Transfer-Encoding: gzip",), 400),
        ((b"Transfer-Encoding: xchunked",), 400),
        ((b"Transfer-Encoding: chunked;a=b",), 400),
        ((b"Transfer-Encoding: \x0bchunked",), 400),
        ((b"Transfer-Encoding: identity, chunked",), 400),
        ((b"Transfer-Encoding:",), 400),
        ((b"Transfer-Encoding: gzip, chunked",), 501),
        ((b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), 501),
        ((b"Expect: 100-Continue",), 0),
        ((b"Expect: 200-ok",), 417),
        ((b"A: b",) * (FIELDS_MAX - 1), 0),
        ((b"A: b",) * FIELDS_MAX, 431),
    ],
)
def test_framing_is_never_guessed(lines: tuple[bytes, ...], expected: int) -> None:
    """RFC 9112 sections 6.1 to 6.3: one way to read a length, or none."""
    assert status(head(*lines)) == expected


def test_chunked_in_1_0_is_refused() -> None:
    """RFC 9112 section 6.1: such framing is faulty."""
    data = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked"

    assert status(data) == 400


def test_bodies() -> None:
    """A length of zero is kept, and is no body."""
    empty = parsed(head(b"Content-Length: 0"))
    some = parsed(head(b"Content-Length: 1"))
    chunked = parsed(head(b"Transfer-Encoding: chunked"))

    assert (empty.length, empty.has_body) == (0, False)
    assert (some.length, some.has_body) == (1, True)
    assert (chunked.length, chunked.has_body) == (-1, True)
    assert parsed(head()).has_body is False


# --- what steers ---


def test_connection_removes_what_it_names() -> None:
    """RFC 9110 section 7.6.1: and itself."""
    request = parsed(head(b"X-Gone: 1", b"Connection: close, X-Gone", b"X-Stay: 1"))

    assert request.lines == [b"Host: shop.test", b"X-Stay: 1"]
    assert request.close


@pytest.mark.parametrize(
    "line",
    [
        b"Host: shop.test",
        b"Authorization: secret",
        b"Cookie: a=b",
        b"X-User-Id: ann",
        b"x-request-id: 1",
        b"traceparent: 00-1-2-01",
        b"Content-Length: 5",
    ],
)
def test_connection_never_removes_what_must_stay(line: bytes) -> None:
    """A client cannot switch off routing, framing or authentication."""
    name = line.partition(b":")[0]
    data = b"\r\n".join(
        (b"GET / HTTP/1.1", b"Host: shop.test", line, b"Connection: " + name)
        if not line.startswith(b"Host")
        else (b"GET / HTTP/1.1", line, b"Connection: " + name)
    )

    request = parsed(data, b"x-user-id")

    if line.startswith(b"Content-Length"):
        assert request.length == 5
    else:
        assert line in request.lines


def test_upgrade_is_kept_for_those_who_mean_it() -> None:
    """RFC 9110 section 7.8: with Connection, in 1.1, without a body, never h2c."""
    upgrade = (b"Upgrade: websocket", b"Connection: Upgrade")

    assert parsed(head(*upgrade)).upgrade == b"websocket"
    assert parsed(head(b"Upgrade: websocket")).upgrade == b""
    old = parsed(head(*upgrade, first=b"GET / HTTP/1.0"))
    assert old.upgrade == b""
    h2c = parsed(head(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings"))
    assert h2c.upgrade == b""
    both = parsed(head(b"Upgrade: h2c, websocket", b"Connection: upgrade"))
    assert both.upgrade == b"websocket"
    assert status(head(*upgrade, b"Content-Length: 1")) == 400


def test_expectations_of_1_0_clients_are_ignored() -> None:
    """RFC 9110 section 10.1.1."""
    request = parsed(head(b"Expect: 100-continue", first=b"POST / HTTP/1.0"))

    assert not request.expect_continue
    assert parsed(head(b"Expect: 100-continue")).expect_continue


def test_te_trailers_is_noticed() -> None:
    """RFC 9110 section 10.1.4: forwarded anew by the next hop's own TE."""
    assert parsed(head(b"TE: gzip, Trailers", b"Connection: TE")).te_trailers
    assert not parsed(head(b"TE: gzip")).te_trailers


def test_forwarding_fields_are_taken_out() -> None:
    """Who may say them is decided by the data plane."""
    request = parsed(head(b"X-Forwarded-For: 1.1.1.1", b"Forwarded: for=1.1.1.1"))

    assert request.lines == [b"Host: shop.test"]
    assert request.forwarded == (
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"forwarded", b"for=1.1.1.1"),
    )


def test_the_first_of_equal_watched_fields_counts() -> None:
    """One unit a request, and it goes on as it came."""
    request = parsed(head(b"X-User-Id: ann", b"X-User-Id: bob"), b"x-user-id")

    assert request.watched == {b"x-user-id": b"ann"}
    assert request.lines.count(b"X-User-Id: bob") == 1


def test_a_head_that_comes_again_and_again_means_the_same() -> None:
    """What is remembered whole is what a fresh parser would say."""
    head = b"GET /poll?x=1 HTTP/1.1\r\nHost: shop\r\nCookie: a=b\r\nX-User-Id: ann"
    reader = RequestParser((b"x-user-id",), target_bytes_max=100, fields_max=10)

    seen = [reader.parse(head) for _ in range(4)]

    assert seen[2] is seen[3]
    for request in seen:
        assert isinstance(request, Request)
        assert request.target == b"/poll?x=1"
        assert request.watched[b"x-user-id"] == b"ann"
        assert request.lines == head.split(b"\r\n")[1:]


def test_remembered_heads_are_bounded() -> None:
    """Over the limit all are forgotten; refusals and long heads never stay."""
    reader = RequestParser((), target_bytes_max=5000, fields_max=10)
    long_head = b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: shop"

    for number in range(3 * HEADS_MAX):
        for _ in range(2):
            reader.parse(b"GET /%d HTTP/1.1\r\nHost: shop" % number)
    first, second = (reader.parse(long_head) for _ in range(2))
    reader.parse(long_head)

    assert len(reader._heads) <= HEADS_MAX
    assert first is not second
    assert reader.parse(long_head) is not second
    assert isinstance(reader.parse(b"GET / HTTP/1.1"), Refusal)
    assert isinstance(reader.parse(b"GET / HTTP/1.1"), Refusal)


def test_another_host_is_a_copy() -> None:
    """Naming the origin's host changes nothing for who shares the head."""
    request = RequestParser((), target_bytes_max=100, fields_max=10).parse(
        b"GET / HTTP/1.1\r\nHost: shop\r\nAccept: */*"
    )
    assert isinstance(request, Request)

    other = request.with_host(b"origin:81")

    assert other.lines == [b"Host: origin:81", b"Accept: */*"]
    assert request.lines == [b"Host: shop", b"Accept: */*"]
    assert (other.target, other.host) == (b"/", b"shop")
