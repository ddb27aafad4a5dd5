"""Chunked bodies: where they end, whatever the segments; what is passed on."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1 import framing
from proxy.http1.framing import ChunkedReader

chunk = st.binary(min_size=1, max_size=60)
extension = st.sampled_from([b"", b"", b";a", b" ;a=b", b';n="x y"', b"\t; q"])
zeros = st.sampled_from([b"", b"0", b"000"])
trailer = st.sampled_from(
    [b"X-Digest: abc", b"Server-Timing: a;dur=1", b"Content-Length: 3", b"Host: evil"]
)
KEPT = (b"X-Digest", b"Server-Timing")


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes, list[bytes]]:
    """Return a well-formed body, its data and the trailers to keep."""
    parts = draw(st.lists(chunk, max_size=6))
    encoded = b""
    for part in parts:
        size = draw(zeros) + b"%x" % len(part)
        encoded += size + draw(extension) + b"\r\n" + part + b"\r\n"
    trailers = draw(st.lists(trailer, max_size=3))
    encoded += b"0" + draw(extension) + b"\r\n"
    encoded += b"".join(line + b"\r\n" for line in trailers) + b"\r\n"
    kept = [line for line in trailers if line.startswith(KEPT)]
    return encoded, b"".join(parts), kept


def feed_all(reader: ChunkedReader, data: bytes, cuts: list[int]) -> bytes | None:
    """Feed ``data`` cut at ``cuts``; None once the reader refuses."""
    out = b""
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    for start, end in pairwise(edges):
        if reader.done:
            reader.rest += data[start:end]
            continue
        part = reader.feed(data[start:end])
        if part is None:
            return None
        out += part
    return out


def decoded(data: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Decode by the book: data, trailers, and what stands behind the body."""
    out = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        assert b";" not in line
        size = int(line, 16)
        if not size:
            break
        assert data[size : size + 2] == b"\r\n"
        out, data = out + data[:size], data[size + 2 :]
    trailers: list[bytes] = []
    while True:
        line, _, data = data.partition(b"\r\n")
        if not line:
            return out, trailers, data
        trailers.append(line)


cut_points = st.lists(st.integers(0, 10_000), max_size=12)


@given(bodies(), cut_points, st.binary(max_size=20))
def test_split_points_change_nothing(
    body: tuple[bytes, bytes, list[bytes]], cuts: list[int], behind: bytes
) -> None:
    """RFC 9112 section 7.1: segments mean nothing; what follows is left alone."""
    encoded, data, trailers = body
    reader = ChunkedReader(framed=True)

    out = feed_all(reader, encoded + behind, cuts)

    assert out is not None
    assert reader.done
    assert decoded(out) == (data, trailers, b"")
    assert (reader.rest, reader.data_bytes) == (behind, len(data))


@given(bodies(), cut_points)
def test_unframed_output_is_the_data_alone(
    body: tuple[bytes, bytes, list[bytes]], cuts: list[int]
) -> None:
    """An HTTP/1.0 client gets no chunk, no size and no trailer."""
    encoded, data, _ = body
    reader = ChunkedReader(framed=False)

    assert feed_all(reader, encoded, cuts) == data
    assert reader.done


@given(bodies())
def test_byte_by_byte_is_the_same(body: tuple[bytes, bytes, list[bytes]]) -> None:
    """The smallest segments there are."""
    encoded, data, trailers = body
    reader = ChunkedReader(framed=True)

    out = feed_all(reader, encoded, list(range(len(encoded))))

    assert out is not None
    assert decoded(out) == (data, trailers, b"")


@given(
    bodies(),
    st.tuples(st.integers(0, 10_000), st.binary(max_size=3), st.integers(0, 3)),
    cut_points,
    cut_points,
)
def test_mutations_are_judged_alike_wherever_they_are_cut(
    body: tuple[bytes, bytes, list[bytes]],
    edit: tuple[int, bytes, int],
    one: list[int],
    other: list[int],
) -> None:
    """Garbage is refused or read the same way in any segments; never an error."""
    encoded = body[0]
    place, inserted, removed = edit
    at = place % (len(encoded) + 1)
    data = encoded[:at] + inserted + encoded[at + removed :]
    first, second = ChunkedReader(framed=True), ChunkedReader(framed=True)

    out = feed_all(first, data, one)
    again = feed_all(second, data, other)

    assert (out is None) == (again is None)
    if out is not None and again is not None:
        assert first.done == second.done
        if first.done:
            assert decoded(out) == decoded(again)
            assert first.rest == second.rest


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"\r\n0\r\n\r\n",
        b"-1\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;\x00\r\nhello\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: b\x00\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"4000000000000001\r\n",
        b"00000000000000005\r\nhello\r\n",
        b"g\r\n",
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    """RFC 9112 section 7.1: only digits, only CRLF, only fields in the trailer."""
    assert ChunkedReader(framed=True).feed(body) is None
    assert feed_all(ChunkedReader(framed=True), body, list(range(len(body)))) is None


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        (b"0" * 15 + b"1\r\nx\r\n0\r\n\r\n", True),
        (b"0" * 16 + b"1\r\nx\r\n0\r\n\r\n", False),
        (b"1;" + b"e" * (framing.CHUNK_LINE_BYTES_MAX - 2) + b"\r\nx\r\n", True),
        (b"1;" + b"e" * (framing.CHUNK_LINE_BYTES_MAX - 1) + b"\r\nx\r\n", False),
        ((b"1;" + b"e" * 4094 + b"\r\nx\r\n") * 4, True),
        ((b"1;" + b"e" * 4094 + b"\r\nx\r\n") * 4 + b"1;e\r\nx\r\n", False),
        (b"0\r\nX:" + b"t" * (framing.TRAILER_BYTES_MAX - 2) + b"\r\n\r\n", True),
        (b"0\r\nX:" + b"t" * (framing.TRAILER_BYTES_MAX - 1) + b"\r\n\r\n", False),
        (b"0\r\n" + b"Host:12\r\n" * (framing.TRAILER_BYTES_MAX // 7), True),
        (b"0\r\n" + b"Host:12\r\n" * (framing.TRAILER_BYTES_MAX // 7 + 1), False),
        (b"0\r\n" + b"X: 1\r\n" * framing.TRAILERS_MAX + b"\r\n", True),
        (b"0\r\n" + b"X: 1\r\n" * (framing.TRAILERS_MAX + 1), False),
        (b"4000000000000000\r\nx", True),
    ],
)
def test_limits_at_and_one_past(body: bytes, *, taken: bool) -> None:
    """Each limit takes what is just inside, in one piece and in many."""
    halves = [len(body) // 2, len(body) - 1, len(body) - 2, len(body) - 6]

    whole = ChunkedReader(framed=True).feed(body)
    split = feed_all(ChunkedReader(framed=True), body, halves)
    crawled = feed_all(ChunkedReader(framed=True), body, list(range(0, len(body), 97)))

    assert (whole is not None, split is not None, crawled is not None) == (taken,) * 3


def test_a_line_that_never_ends_is_refused_early() -> None:
    """Nothing is held without a bound, whatever the state."""
    for before, limit in (
        (b"", framing.CHUNK_LINE_BYTES_MAX),
        (b"0\r\n", framing.TRAILER_BYTES_MAX),
        (b"1\r\nx", 0),
    ):
        fits, too_long = ChunkedReader(framed=True), ChunkedReader(framed=True)
        assert fits.feed(before + b"1" * limit) is not None
        assert too_long.feed(before + b"1" * (limit + 1)) is None


def test_whole_segments_pass_without_a_copy() -> None:
    """The common case costs nothing: the bytes that came are the bytes that go."""
    data = b"5\r\nhello\r\n"

    assert ChunkedReader(framed=True).feed(data) is data


def test_extensions_follow_their_grammar() -> None:
    """RFC 9112 section 7.1.1: names, values, quoted strings; nothing else."""
    for good in (
        b";a",
        b";a=b",
        b' ; a = "b c"',
        b';a="\\"";b',
        b"\t;a\t=\tb",
        b";!#$",
    ):
        assert ChunkedReader(framed=True).feed(b"1" + good + b"\r\nx\r\n") == (
            b"1\r\nx\r\n"
        )
    for bad in (b";", b";a=", b";=b", b';a="b', b';a="b"c', b";a b", b";a ", b" a"):
        assert ChunkedReader(framed=True).feed(b"1" + bad + b"\r\nx\r\n") is None


def test_a_quoted_extension_is_read_in_one_pass() -> None:
    """What was taken is never tried otherwise: a long one costs no more."""
    line = b'1;a="' + b"\\x" * 2_000 + b"\r\nx\r\n"

    assert ChunkedReader(framed=True).feed(line) is None


def test_trailers_are_written_anew() -> None:
    """A colon and a space; what Connection named is gone."""
    reader = ChunkedReader(framed=True, named=frozenset({b"x-named"}))

    out = reader.feed(b"0\r\nX-Sum:1 \r\nX-Named: 2\r\nhost: b\r\n\r\n")

    assert out == b"0\r\nX-Sum: 1\r\n\r\n"
