"""Heads for the next hop: exactly one head, made of the lines that came."""

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


def test_a_response_head() -> None:
    """The same for the client."""
    response = ResponseParser().parse(b"HTTP/1.0 200 Fine\r\nX-A: 1")
    assert response is not None

    head = forward.response_head(response, [b"Content-Length: 0"])

    assert head == b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n"
