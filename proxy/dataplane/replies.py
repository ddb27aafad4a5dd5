"""
Answers that the proxy makes itself: problem details with a reason (RFC 9457).

They never echo what the client sent, nor tell about the inside.
"""

import json
from http import HTTPStatus
from typing import Final

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode()
    for status in HTTPStatus
}


def problem(
    status: int,
    reason: str,
    detail: str,
    *,
    close: bool,
    head_only: bool = False,
    fields: tuple[bytes, ...] = (),
    date: bytes = b"",
) -> bytes:
    """Return a whole response; ``fields`` are further field lines."""
    body = json.dumps(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "reason": reason,
        }
    ).encode()
    lines = [
        STATUS_LINES[status],
        b"Content-Type: application/problem+json",
        b"Content-Length: %d" % len(body),
        b"Date: " + date,
        b"x-headgate-reason: " + reason.encode(),
        *fields,
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append(b"Retry-After: 1")
    if close:
        lines.append(b"Connection: close")
    head = b"\r\n".join((*lines, b"", b""))
    return head if head_only else head + body


def plain(
    status: int, body: bytes, *, head_only: bool = False, close: bool = False
) -> bytes:
    """Return a short plain-text response (health end points)."""
    lines = [
        STATUS_LINES[status],
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
    ]
    if close:
        lines.append(b"Connection: close")
    head = b"\r\n".join((*lines, b"", b""))
    return head if head_only else head + body
