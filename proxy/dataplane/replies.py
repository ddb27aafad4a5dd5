"""
Answers that the proxy makes itself: problem details with a reason (RFC 9457).

They never echo what the client sent, nor tell about the inside.
"""

import json
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from proxy.http1.refusals import Refusal
from proxy.model.vocabulary import Flag

BODIES_MAX: Final = 64
"""Bodies remembered; there are fewer different ones."""

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode()
    for status in HTTPStatus
}

FAILURES: Final = {
    Flag.UF: (503, "upstream_connect_failure", "the upstream refused the connection"),
    Flag.UCT: (503, "upstream_connect_timeout", "the upstream could not be reached"),
    Flag.UH: (503, "no_healthy_upstream", "no upstream endpoint is available"),
    Flag.UO: (503, "upstream_overflow", "too many requests are in flight"),
    Flag.UC: (502, "upstream_closed", "the upstream ended the connection early"),
    Flag.UR: (502, "upstream_reset", "the upstream reset the connection"),
    Flag.UPE: (502, "upstream_protocol_error", "the upstream's answer is malformed"),
    Flag.UT: (504, "upstream_timeout", "the upstream did not answer in time"),
}
"""What the client is told when an attempt failed with a flag."""


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
    """
    Return a whole response; ``fields`` are further field lines.

    A success (of OPTIONS, the one request answered here) has no problem to tell.
    """
    body = problem_body(status, reason, detail)
    lines = [STATUS_LINES[status]]
    if body:
        lines.append(b"Content-Type: application/problem+json")
    lines += [
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


@lru_cache(maxsize=BODIES_MAX)
def problem_body(status: int, reason: str, detail: str) -> bytes:
    """Return the body of ``problem``; nothing for a success."""
    if status < HTTPStatus.BAD_REQUEST:
        return b""
    return json.dumps(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "reason": reason,
        }
    ).encode()


def refusal_body(refusal: Refusal) -> bytes:
    """Return the body of the answer to a request that is not forwarded."""
    return problem_body(refusal.status, refusal.reason, refusal.detail)


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
