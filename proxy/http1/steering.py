"""
What the field lines that frame or steer a request mean for it and its next hop.

Lengths and codings (RFC 9112 section 6), Connection and Upgrade (RFC 9110
sections 7.6.1 and 7.8), Max-Forwards (7.6.2), Expect (10.1.1). Each is applied
to a request or yields the refusal that it deserves; whether a line is a field
at all was decided before.
"""

import re
from typing import TYPE_CHECKING, Final

from proxy.http1 import fields
from proxy.http1.refusals import (
    ANSWERED_HERE,
    BAD_EXPECTATION,
    BAD_FRAMING,
    BAD_LENGTH,
    BAD_MAX_FORWARDS,
    BAD_UPGRADE,
    UNKNOWN_CODING,
    Refusal,
)

if TYPE_CHECKING:
    from proxy.http1.request import Request

# Kinds of lines; PASS is forwarded and of no further interest.
PASS: Final = 0
HOST: Final = 1
LENGTH: Final = 2
CODING: Final = 3
CONNECTION: Final = 4
DROP: Final = 5
TE: Final = 6
UPGRADE: Final = 7
EXPECT: Final = 8
FORWARDED: Final = 9
WATCH: Final = 10
VIA: Final = 11
MAX_FORWARDS: Final = 12
CLOSE: Final = 13
"""A Connection line that says close and no more: one of the usual ones."""

KINDS: Final = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"http2-settings": DROP,
    b"te": TE,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"forwarded": FORWARDED,
    b"via": VIA,
    b"max-forwards": MAX_FORWARDS,
}

PROTECTED: Final = frozenset(
    {
        b"accept",
        b"authorization",
        b"content-encoding",
        b"content-type",
        b"cookie",
        b"date",
        b"origin",
        b"proxy-authorization",
    }
)
"""A Connection option never removes these, nor watched or framing fields."""

FRAMING_LOOK_ALIKES: Final = frozenset({b"content-length", b"transfer-encoding"})
"""Written with an underscore some origins take them for the field: refused."""

HOPS_DIGITS_MAX: Final = 9
"""Digits of a Max-Forwards that are read; no request makes a billion hops."""

_OPTIONS: Final = frozenset({b"close", b"keep-alive", b"upgrade"})
_CODING: Final = re.compile(
    rb"[!#$%&'*+.^_`|~0-9a-z-]+(?:[ \t]*;[ \t]*[^\x00-\x08\x0a-\x1f\x7f]*)?"
)
"""A transfer coding of any name, in lower case, perhaps with parameters."""

Line = tuple[int, bytes, bytes]
"""Kind, lower-case name (of Host: the host name, empty if invalid), value."""


def look_alike(name: bytes, kinds: dict[bytes, int]) -> int | None:
    """
    Return the kind of a lower-case name with an underscore; None to refuse it.

    CGI and WSGI origins cannot tell ``_`` from ``-`` (RFC 3875 section 4.1.18),
    so a twin of a field that we read, overwrite or protect never goes on: it
    would be a way around that. nginx drops every name with an underscore.
    """
    twin = name.replace(b"_", b"-")
    if twin in FRAMING_LOOK_ALIKES:
        return None
    return DROP if twin in kinds or twin in PROTECTED else PASS


def apply(
    request: "Request", special: list[Line], kinds: dict[bytes, int]
) -> Refusal | None:
    """Apply the lines that frame or steer the message; None if all is well."""
    gathered: dict[int, list[bytes]] = {}
    for kind, name, value in special:
        if kind == LENGTH:
            length = fields.content_length(value)
            if length is None or request.length >= 0:
                return BAD_LENGTH
            request.length = length
            request.framed = False
        elif kind == CLOSE:
            request.close = True
            request.plain = False
        elif kind == FORWARDED:
            request.forwarded += ((name, value),)
        else:
            gathered.setdefault(kind, []).append(value)
    return _apply(request, gathered, kinds) if gathered else None


def _apply(
    request: "Request", gathered: dict[int, list[bytes]], kinds: dict[bytes, int]
) -> Refusal | None:
    """Apply what may stand on several lines of one field, and depends on others."""
    refusal: Refusal | None = None
    options: tuple[bytes, ...] = ()
    if CODING in gathered:
        refusal = _transfer_coding(request, b",".join(gathered[CODING]))
    if CONNECTION in gathered:
        options = fields.tokens(b",".join(gathered[CONNECTION]))
        _connection(request, options, kinds)
    if TE in gathered:
        wanted = fields.tokens(b",".join(gathered[TE]))
        request.te_trailers = b"trailers" in wanted
    if EXPECT in gathered:
        refusal = refusal or _expect(request, gathered[EXPECT])
    if MAX_FORWARDS in gathered:
        refusal = refusal or _max_forwards(request, gathered[MAX_FORWARDS])
    if UPGRADE in gathered and b"upgrade" in options and request.minor:
        refusal = refusal or _upgrade(request, b",".join(gathered[UPGRADE]))
    return refusal


def _transfer_coding(request: "Request", value: bytes) -> Refusal | None:
    """
    RFC 9112 sections 6.1 and 6.3: exactly ``chunked``, never with a length.

    Another coding under ``chunked`` is 501, whatever its name; what does not
    end in ``chunked``, or has it twice or with parameters, is 400.
    """
    if request.minor == 0 or request.length >= 0:
        return BAD_FRAMING
    codings = [part.strip(fields.WHITESPACE).lower() for part in value.split(b",")]
    if codings[-1] != b"chunked" or not all(map(_CODING.fullmatch, codings)):
        return BAD_FRAMING
    for coding in codings[:-1]:
        name = coding.partition(b";")[0].strip(fields.WHITESPACE)
        if name in {b"chunked", b"identity"}:
            return BAD_FRAMING
    if len(codings) > 1:
        return UNKNOWN_CODING
    request.chunked = True
    request.framed = False
    return None


def _expect(request: "Request", values: list[bytes]) -> Refusal | None:
    """RFC 9110 section 10.1.1: one expectation is known; 1.0 has none."""
    if any(value.lower() != b"100-continue" for value in values):
        return BAD_EXPECTATION
    request.expect_continue = request.minor > 0
    return None


def _connection(
    request: "Request", options: tuple[bytes, ...], kinds: dict[bytes, int]
) -> None:
    """Apply Connection: close, and remove the fields it names (RFC 9110 7.6.1)."""
    if b"close" in options:
        request.close = True
        request.plain = False
    request.named = named = frozenset(
        option
        for option in options
        if option not in kinds and option not in PROTECTED and option not in _OPTIONS
    )
    if named:
        request.lines = [
            line
            for line in request.lines
            if line.partition(b":")[0].lower() not in named
        ]


def _max_forwards(request: "Request", hops: list[bytes]) -> Refusal | None:
    """
    Count a hop of an OPTIONS request (RFC 9110 section 7.6.2).

    At zero it is not forwarded, but answered as its final recipient would.
    TRACE was refused before; for other methods the field means nothing.
    """
    if request.method != b"OPTIONS":
        request.lines += [b"Max-Forwards: " + value for value in hops]
        return None
    if len(hops) > 1 or not hops[0].isdigit() or len(hops[0]) > HOPS_DIGITS_MAX:
        return BAD_MAX_FORWARDS
    left = int(hops[0])
    if not left:
        return ANSWERED_HERE
    request.lines.append(b"Max-Forwards: %d" % (left - 1))
    return None


def _upgrade(request: "Request", value: bytes) -> Refusal | None:
    """
    Keep the protocols that may be upgraded to (RFC 9110 section 7.8).

    Never another version of HTTP, and websocket only by GET (RFC 6455 section
    4.1).
    """
    wanted = [
        name
        for name in fields.upgrades(value)
        if name != b"websocket" or request.method == b"GET"
    ]
    if not wanted:
        return None
    if request.has_body:
        return BAD_UPGRADE
    request.upgrade = b", ".join(wanted)
    request.plain = False
    return None
