"""Bytes of an answer, read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.parallel.endpoints import endpoint_of
from proxy.parallel.reading import read_answer
from proxy.parallel.values import Answer, Outcome

OK = Outcome.ANSWERED
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


def read(
    raw: bytes, outcome: Outcome = OK, *, method: bytes = b"GET", ended: bool = False
) -> Answer:
    """Read an answer that took a millisecond."""
    return read_answer(outcome, raw, method, ended=ended, latency_us=1000)


@pytest.mark.parametrize(
    ("raw", "ended", "outcome", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", False, OK, b"abc"),
        (
            CHUNKED,
            False,
            OK,
            b"abc",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", True, OK, b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", False, Outcome.ABORTED, b""),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            True,
            Outcome.ABORTED,
            b"",
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            False,
            OK,
            b"",
        ),
        (b"HTTP/1.1 200 OK\r\nbroken", True, Outcome.ABORTED, b""),
        (b"SSH-2.0-x\r\n\r\n", True, Outcome.ABORTED, b""),
    ],
)
def test_answers_are_read_as_they_were_framed(
    raw: bytes, outcome: Outcome, body: bytes, *, ended: bool
) -> None:
    """Length, chunks and end of connection; what is cut is no answer."""
    answer = read(raw, ended=ended)

    assert (answer.outcome, answer.body) == (outcome, body)


def test_head_and_headers() -> None:
    """Names are lower case; a HEAD answer has no body, whatever it declares."""
    answer = read(
        b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nETag: "1"\r\n\r\n', method=b"HEAD"
    )

    assert answer.outcome is OK
    assert answer.header("etag") == '"1"'
    assert (answer.body, answer.latency_us) == (b"", 1000)


def test_what_was_too_large_keeps_status_and_declared_length() -> None:
    """Of an answer that was cut on purpose the head still says something."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + bytes(1000)
    answer = read(raw, Outcome.TOO_LARGE)

    assert (answer.outcome, answer.status) == (Outcome.TOO_LARGE, 200)
    assert (answer.length, answer.body) == (50_000_000, b"")


@given(st.binary(), st.sampled_from(list(Outcome)), st.booleans())
def test_any_bytes_are_read(raw: bytes, outcome: Outcome, ended: bool) -> None:  # noqa: FBT001
    """Garbage is an answer that was aborted, never an error."""
    assert read(raw, outcome, ended=ended).latency_us == 1000


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/orders/4711", "GET /orders/{id}"),
        ("/orders/4711/items", "GET /orders/{id}/items"),
        ("/u/c0ffee00-0000-4000-8000-000000000000", "GET /u/{id}"),
        ("/blob/5f4dcc3b5aa765d61d8327deb882cf99", "GET /blob/{id}"),
        ("/cafe/facade", "GET /cafe/facade"),
        ("/v2/orders", "GET /v2/orders"),
        ("/", "GET /"),
    ],
)
def test_endpoints(path: str, endpoint: str) -> None:
    """Segments that are numbers, UUIDs or hexadecimal ids become one endpoint."""
    assert endpoint_of("GET", path) == endpoint
