"""
Requests that are not forwarded: every refusal, as a value (RFC 9110 section 15).

A refusal names its status and a machine-readable reason; it never echoes what
the client sent. Which request deserves which is decided by the parser, and by
the connection where time and size run out.
"""

from dataclasses import dataclass
from typing import Final

from proxy.model.vocabulary import Rejection


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A request that is not forwarded: status, machine-readable reason, text.

    ``rejection`` says what it counts as; None where nothing was wrong.
    ``fields`` are further field lines of the answer.
    """

    status: int
    rejection: Rejection | None
    reason: str
    detail: str
    fields: tuple[bytes, ...] = ()


ALLOW: Final = b"Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"
"""RFC 9110 section 15.5.6: what a 405 must say. Others pass too, unlisted."""


def _bad(reason: str, detail: str) -> Refusal:
    return Refusal(400, Rejection.BAD_REQUEST, reason, detail)


BAD_LINE = _bad("bad_request_line", "the request line is malformed")
BAD_TARGET = _bad("bad_target", "the request target is malformed")
BAD_FIELD = _bad("bad_field", "a header field is malformed")
BAD_HOST = _bad("bad_host", "exactly one valid Host field is required")
BAD_LENGTH = _bad("bad_content_length", "the Content-Length field is invalid")
BAD_FRAMING = _bad("bad_framing", "the message framing is ambiguous")
BAD_CHUNK = _bad("bad_chunk", "the chunked body is malformed")
BAD_UPGRADE = _bad("bad_upgrade", "an upgrade request cannot have a body")
UNKNOWN_CODING = Refusal(
    501,
    Rejection.NOT_IMPLEMENTED,
    "unknown_transfer_coding",
    "the transfer coding is not implemented",
)
LONG_METHOD = Refusal(
    501, Rejection.NOT_IMPLEMENTED, "method_too_long", "the method is too long"
)
BAD_MAX_FORWARDS = _bad("bad_max_forwards", "the Max-Forwards field is invalid")
METHOD_NOT_ALLOWED = Refusal(
    405,
    Rejection.METHOD,
    "method_not_allowed",
    "TRACE and CONNECT are not allowed",
    (ALLOW,),
)
LOOP = Refusal(
    508, Rejection.LOOP, "loop_detected", "the request has passed here before"
)
ANSWERED_HERE = Refusal(
    200, None, "max_forwards", "Max-Forwards ends the request's way here", (ALLOW,)
)
"""OPTIONS that may not go further (RFC 9110 section 7.6.2)."""
BAD_VERSION = Refusal(
    505, Rejection.VERSION, "unsupported_version", "only HTTP/1.x is supported"
)
LONG_TARGET = Refusal(
    414, Rejection.TARGET_TOO_LONG, "target_too_long", "the request target is too long"
)
LARGE_HEAD = Refusal(
    431, Rejection.HEAD_TOO_LARGE, "head_too_large", "the header section is too large"
)
MANY_FIELDS = Refusal(
    431, Rejection.HEAD_TOO_LARGE, "too_many_fields", "there are too many header fields"
)
LARGE_BODY = Refusal(
    413, Rejection.BODY_TOO_LARGE, "body_too_large", "the request body is too large"
)
BAD_EXPECTATION = Refusal(
    417, Rejection.EXPECTATION, "bad_expectation", "only 100-continue can be expected"
)
SLOW_HEAD = Refusal(
    408, Rejection.TIMEOUT, "request_timeout", "the request took too long to arrive"
)
