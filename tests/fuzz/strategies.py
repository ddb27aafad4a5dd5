"""
Hypothesis strategies: heads, chunk streams, whole conversations, split points.

They build what is almost right, out of the pieces on which parsers are known to
disagree, and then damage it; pure noise is refused by the first byte.
"""

from itertools import pairwise

from hypothesis import strategies as st

EVIL = b"GET /evil HTTP/1.1\r\nHost: evil.test\r\n\r\n"
"""A request that must never be one: it only stands in bodies and values."""

METHODS = (
    b"GET",
    b"GET",
    b"POST",
    b"PUT",
    b"HEAD",
    b"DELETE",
    b"OPTIONS",
    b"BREW",
    b"get",
    b"TRACE",
    b"G=T",
)
TARGETS = (
    b"/",
    b"/a?b=c",
    b"/%00%0d%0a",
    b"//evil.test/",
    b"*",
    b"http://shop.test",
    b"http://shop.test/x?y",
    b"http://evil.test/",
    b"/a#b",
    b"",
    b"/\xff",
)
VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2")
FRAMING = (
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: %d" % len(EVIL),
    b"Content-Length: 005",
    b"Content-Length: +5",
    b"Content-Length: 0x5",
    b"Content-Length: 5, 5",
    b"Content-Length:",
    b"Content-Length : 5",
    b"Content_Length: 5",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: Chunked",
    b"transfer-encoding:\tchunked\t",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: , chunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: chunked;a=b",
    b"Transfer-Encoding:\r\n chunked",
    b"Transfer_Encoding: chunked",
)
STEERING = (
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Content-Length, Transfer-Encoding, Host",
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAAQ",
    b"TE: trailers",
    b"Trailer: X-Sum",
    b"Expect: 100-continue",
    b"Expect: 200-ok",
    b"Keep-Alive: timeout=5",
    b"Max-Forwards: 3",
    b"Max-Forwards: 0",
    b"Via: 1.1 other",
    b"X-Forwarded-For: 6.6.6.6",
    b"X_Forwarded_For: 6.6.6.6",
    b"Host: evil.test",
    b"X-Evil: a\rb",
    b"X-Evil: a\nTransfer-Encoding: chunked",
    b"X-Evil: \x00",
    b"X-Fold: a\r\n b",
    b"X-Empty:",
    b": nameless",
    b"X-Text: \xe4\xf6\xfc",
)
SIZES = (b"%x", b"%X", b"0%x", b"000%x", b"+%x", b"0x%x", b"%x ", b" %x", b"-%x")
EXTENSIONS = (b"", b"", b"", b";a", b' ; a = "b"', b";", b";a[", b";a\rb", b";\x00")
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"")
TRAILERS = (
    b"X-Sum: 1\r\n",
    b"X:GET /evil HTTP/1.1\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: evil.test\r\n",
    b"X : y\r\n",
    b" folded\r\n",
)

DAMAGE = (b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b";", b"\0", b"\x0b", b"0")


def _weighted(
    good: st.SearchStrategy[bytes], any_: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    """Return a strategy that is mostly ``good``."""
    return st.one_of(good, good, good, any_)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Return a head without its final CRLFCRLF, mostly well-formed."""
    method = draw(_weighted(st.sampled_from(METHODS[:5]), st.sampled_from(METHODS)))
    target = draw(_weighted(st.sampled_from(TARGETS[:2]), st.sampled_from(TARGETS)))
    first = b" ".join((method, target, draw(st.sampled_from(VERSIONS))))
    lines = draw(st.lists(st.sampled_from(STEERING), max_size=3))
    lines += draw(st.lists(st.sampled_from(FRAMING), max_size=2))
    lines = draw(st.permutations(lines))
    if draw(st.integers(0, 9)):
        lines = [b"Host: shop.test", *lines]
    return b"\r\n".join((first, *lines))


@st.composite
def chunk_streams(draw: st.DrawFn) -> bytes:
    """Return a chunked body, whole or not, right or wrong."""
    out = b""
    for _ in range(draw(st.integers(0, 3))):
        data = draw(st.sampled_from((b"x", b"hello", b"0\r\n\r\n", EVIL)))
        form = draw(_weighted(st.just(SIZES[0]), st.sampled_from(SIZES)))
        extension = draw(st.sampled_from(EXTENSIONS))
        end = draw(_weighted(st.just(b"\r\n"), st.sampled_from(ENDS)))
        out += form % len(data) + extension + end + data
        out += draw(_weighted(st.just(b"\r\n"), st.sampled_from(ENDS)))
    if draw(st.integers(0, 5)):
        out += b"0" + draw(st.sampled_from(EXTENSIONS)) + b"\r\n"
        out += b"".join(draw(st.lists(st.sampled_from(TRAILERS), max_size=2)))
        out += draw(_weighted(st.just(b"\r\n"), st.sampled_from(ENDS)))
    return out


@st.composite
def damaged(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """Return what ``source`` gives with something put in or taken out."""
    data = draw(source)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        put = draw(st.one_of(st.sampled_from(DAMAGE), st.binary(max_size=3)))
        data = data[:at] + put + data[at + draw(st.integers(0, 2)) :]
    return data


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Return one request with whatever body its head promises, or another."""
    head = draw(heads())
    lower = head.lower()
    if b"chunked" in lower:
        body = draw(_weighted(chunk_streams(), st.sampled_from((b"", EVIL, b"hello"))))
    elif b"content-length: %d" % len(EVIL) in lower:
        body = EVIL
    elif b"content-length: 5" in lower or b"content-length: 005" in lower:
        body = draw(_weighted(st.just(b"hello"), st.just(b"X")))
    else:
        body = draw(_weighted(st.just(b""), st.sampled_from((b"X", b"\r\n", b"\n"))))
    return head + b"\r\n\r\n" + body


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Return the segments of a connection: some requests, damaged and cut."""
    requests = draw(st.lists(damaged(messages()), min_size=1, max_size=3))
    return split(b"".join(requests), draw(split_points()))


def split_points() -> st.SearchStrategy[list[int]]:
    """Return places to cut at, as ``split`` takes them."""
    return st.lists(st.integers(0, 4_000), max_size=3)


def split(data: bytes, points: list[int]) -> list[bytes]:
    """Cut ``data`` at points taken modulo its size; no piece is empty."""
    edges = sorted({0, len(data), *(point % (len(data) + 1) for point in points)})
    return [data[start:end] for start, end in pairwise(edges)]


def obfuscations() -> list[bytes]:
    """
    Return requests with every octet at every place around two framing fields.

    Each has a body that is a request to whom reads the other field; which of the
    two counts, or that none does, is all that peers disagree about.
    """
    length = b"Content-Length: %d" % len(OBFUSCATED_BODY)
    out = []
    for octet in (bytes([value]) for value in range(256)):
        for name, value in (
            (b"Transfer-Encoding", b"chunked"),
            (b"Content-Length", b"5"),
        ):
            lines = (
                octet + name + b": " + value,
                name[:8] + octet + name[8:] + b": " + value,
                name + octet + b": " + value,
                name + b":" + octet + value,
                name + b": " + value[:1] + octet + value[1:],
                name + b": " + value + octet,
                name + b": " + value + b", " + octet,
                b"X-A: b" + octet + name + b": " + value,
                b"X-A: b\r" + octet + name + b": " + value,
                b"X-A: b" + octet + b"\n" + name + b": " + value,
                name + b": " + value + octet + b"X-A: b",
            )
            other = length if name[:1] == b"T" else b"Transfer-Encoding: chunked"
            for line in lines:
                head = b"\r\n".join((b"POST /a HTTP/1.1", b"Host: a", other, line))
                out.append(head + b"\r\n\r\n" + OBFUSCATED_BODY)
    return out


OBFUSCATED_BODY = b"0\r\n\r\n" + EVIL
