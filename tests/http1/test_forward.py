"""Heads for the next hop: exactly one head, made of the lines that came."""

import pytest

from proxy.http1 import forward
from proxy.http1.request import Request, RequestParser
from proxy.http1.response import ResponseParser


def test_a_request_head() -> None:
    """The line in our version, the lines in order, what is added behind them."""
    parser = RequestParser((), target_bytes_max=100, fields_max=10)
    request = parser.parse(b"GET /a?b HTTP/1.0\r\nHost: h\r\nX-A: 1\r\nConnection: x")
    assert isinstance(request, Request)

    head = forward.request_head(request, b"\r\nVia: 1.1 us\r\nX-B: 2")

    assert head == (
        b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nVia: 1.1 us\r\nX-B: 2\r\n\r\n"
    )


@pytest.mark.parametrize("version", [b"1.0", b"1.1", b"1.2"])
@pytest.mark.parametrize("target", [b"/a", b"http://h/a"])
@pytest.mark.parametrize(
    "line", [b"X-A: 1", b"Connection: x-b", b"Connection: keep-alive", b"TE: trailers"]
)
def test_a_head_that_goes_on_as_it_came_is_none_other(
    version: bytes, target: bytes, line: bytes
) -> None:
    """Remembering the received bytes changes nothing of what is sent."""
    parser = RequestParser((), target_bytes_max=100, fields_max=10)
    head = b"GET %b HTTP/%b\r\nHost: h\r\n%b\r\nX-B: 2" % (target, version, line)
    request = parser.parse(head)
    assert isinstance(request, Request)

    kept = forward.request_head(request, b"\r\nVia: 1.1 us")
    request.start = b""
    made = forward.request_head(request, b"\r\nVia: 1.1 us")

    assert kept == made
    assert kept.startswith(b"GET /a HTTP/1.1\r\n")


def test_a_response_head() -> None:
    """The same for the client."""
    response = ResponseParser().parse(b"HTTP/1.0 200 Fine\r\nX-A: 1")
    assert response is not None

    head = forward.response_head(response, [b"Content-Length: 0"])

    assert head == b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n"
