"""Heads for the next hop, put together from lines that were parsed before."""

from collections.abc import Iterable

from proxy.http1.request import Request
from proxy.http1.response import Response


def request_head(request: Request, added: bytes) -> bytes:
    """
    Return the head for the origin.

    ``added`` holds further field lines, each with a CRLF before it; the
    request's own lines are never empty, because Host is among them.
    """
    start = request.start or request_start(request)
    return start + added + b"\r\n\r\n"


def request_start(request: Request) -> bytes:
    """Return the request line and the request's own lines, and remember them."""
    request.start = b"%b %b HTTP/1.1\r\n%b" % (
        request.method,
        request.target,
        b"\r\n".join(request.lines),
    )
    return request.start


def response_head(
    response: Response, added: Iterable[bytes], lines: Iterable[bytes] | None = None
) -> bytes:
    """
    Return the head for the client; ``added`` are further field lines.

    ``lines`` stand in for the response's own where some had to go.
    """
    kept = response.lines if lines is None else lines
    return b"\r\n".join((response.status_line, *kept, *added, b"", b""))
