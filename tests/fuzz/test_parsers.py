"""Any bytes: a value or a documented refusal, and what goes on is one message."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http1.request import Request
from tests.fuzz import properties, strategies

CORPUS = Path(__file__).parent / "corpus"


@settings(max_examples=400)
@given(strategies.damaged(strategies.heads()))
def test_a_head_yields_one_request_or_a_refusal(head: bytes) -> None:
    """RFC 9112 section 3: and llhttp and h11 read the request that we read."""
    properties.check_head(head)


def test_no_octet_around_a_framing_field_hides_it() -> None:
    """RFC 9112 section 11.2: it is that field and refused, or none and harmless."""
    for data in strategies.obfuscations():
        head = data.partition(b"\r\n\r\n")[0]
        properties.check_head(head)
        request = properties.new_parser().parse(head)
        if isinstance(request, Request):
            assert request.chunked != (request.length >= 0)


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_noise_yields_a_refusal(data: bytes) -> None:
    """RFC 9112 section 2.2: nothing raises, whatever it is."""
    properties.check_head(data)
    properties.check_answer(data)
    properties.check_chunks(data, [])


@settings(max_examples=400)
@given(
    strategies.damaged(strategies.chunk_streams()),
    strategies.split_points(),
    st.sampled_from((b"", strategies.EVIL, b"\r\n")),
)
def test_chunks_end_where_they_end(data: bytes, points: list[int], rest: bytes) -> None:
    """RFC 9112 section 7.1: wherever they are cut, whatever stands behind them."""
    properties.check_chunks(data + rest, points)


ANSWER_LINES = (
    b"Content-Length: 5",
    b"Content-Length: 5\r\n 5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked",
    b"Connection: close, X-Gone",
    b"X-Gone: 1",
    b"Date: now",
    b"Upgrade: h2c, raw",
    b"Keep-Alive: timeout=5",
    b"X-App-Version: 2",
    b"X-Fold: a\r\n\tb",
    b"Set-Cookie: a=b",
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Return an answer's head, mostly well-formed."""
    version = draw(st.sampled_from((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.7")))
    status = draw(st.sampled_from((b"200 OK", b"204 ", b"304", b"101 S", b"99 X")))
    lines = draw(st.lists(st.sampled_from(ANSWER_LINES), max_size=5))
    return b"\r\n".join((version + b" " + status, *lines))


@settings(max_examples=300)
@given(strategies.damaged(answers()))
def test_an_answer_yields_one_response_or_none(head: bytes) -> None:
    """RFC 9112 section 4: and llhttp reads the one that we send on."""
    properties.check_answer(head)


@pytest.mark.parametrize("kind", ["heads", "chunks", "answers"])
def test_the_corpus_holds(kind: str) -> None:
    """What fuzzing found to be of interest once is looked at for ever."""
    files = sorted((CORPUS / kind).iterdir())

    assert files
    for file in files:
        properties.CHECKS[kind](file.read_bytes())
