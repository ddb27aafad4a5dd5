"""
Response heads: strict parsing of what an origin answered.

An answer that is not understood is None, which the data plane turns into 502;
only two repairs are made, both asked for by RFC 9112: obs-fold becomes a space
(section 5.2) and white space before a colon is removed (section 5.1).
"""

import re
from collections.abc import Iterable
from typing import Final

from proxy.http1 import fields

CRLF: Final = b"\r\n"

PASS: Final = 0
_LENGTH: Final = 1
_CODING: Final = 2
_CONNECTION: Final = 3
_DROP: Final = 4
_KEEP_ALIVE: Final = 5
_CONTENT_TYPE: Final = 6
_DATE: Final = 7
_WATCH: Final = 8
_UPGRADE: Final = 9
_CACHE: Final = 10

_KINDS: Final = {
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
    b"keep-alive": _KEEP_ALIVE,
    b"proxy-connection": _DROP,
    b"te": _DROP,
    b"upgrade": _UPGRADE,
    b"content-type": _CONTENT_TYPE,
    b"date": _DATE,
    b"cache-control": _CACHE,
    b"x-headgate-version": _DROP,
    b"x-headgate-reason": _DROP,
}

PROTECTED: Final = frozenset({b"set-cookie", b"content-type", b"date", b"etag"})
"""A Connection option of an origin never removes these."""

STATUS_LINES_MAX: Final = 1024
"""Status lines remembered; at the limit all are forgotten."""

HEADS_MAX: Final = 1024
HEAD_BYTES_MAX: Final = 1024
"""Whole heads remembered, and how long each may be (1 MiB in all)."""

RENDERED_MAX: Final = 16
"""Finished heads kept with a remembered one, for each version and framing."""

WITHOUT_BODY: Final = frozenset({*range(100, 200), 204, 304})
"""Statuses whose answers never have a body (RFC 9112 section 6.3)."""

ERROR_STATUS_MIN: Final = 500
SWITCHING: Final = 101
"""After it the connection is a tunnel: a stream like no answer's body."""

NO_BODY: Final = 0
BY_LENGTH: Final = 1
BY_CHUNKS: Final = 2
UNTIL_CLOSE: Final = 3

_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?"
)
_BARE_BYTES: Final = len(b"HTTP/1.1 200")
"""A status line without even the space that must end it (RFC 9112 section 4)."""
_TIMEOUT: Final = re.compile(rb"timeout *= *([0-9]{1,6})(?![0-9])")
_FOLD: Final = re.compile(rb"\r\n[ \t]+")
_FOLDED_FIRST: Final = re.compile(rb"[^\r\n]*\r\n[ \t]")
"""White space behind the status line: never a field's (RFC 9112 section 2.2)."""
_SPACE_BEFORE_COLON: Final = re.compile(rb"(\r\n[^ \t\r\n:]+)[ \t]+:")

Line = tuple[int, bytes, bytes]

PASSING: Final[Line] = (PASS, b"", b"")
"""What is remembered of every line that is forwarded and of no interest."""


class Response:
    """
    A response head.

    ``status_line`` starts with ``HTTP/1.1``; ``lines`` are the field lines to
    forward, without hop-by-hop and framing fields; ``length`` is -1 without
    Content-Length; ``keepalive_s`` is the origin's ``Keep-Alive: timeout``
    or -1; ``watched`` is the value of a watched field or None; ``named`` are the
    fields that Connection takes away, from trailers too. A response is
    shared by all answers with the same head, so nothing changes it after it was
    returned; ``rendered`` keeps finished heads made from it. ``plain`` marks the
    usual one: no error, a dated body of known length, on a connection that stays.
    """

    __slots__ = (
        "chunked",
        "close",
        "has_date",
        "keepalive_s",
        "length",
        "lines",
        "named",
        "plain",
        "rendered",
        "status",
        "status_line",
        "stream",
        "upgrade",
        "watched",
    )

    def __init__(self, status_line: bytes, status: int, *, close: bool) -> None:
        self.status_line = status_line
        self.status = status
        self.close = close
        self.lines: list[bytes] = []
        self.length = -1
        self.chunked = False
        self.has_date = False
        self.stream = status == SWITCHING
        self.upgrade = b""
        self.named: frozenset[bytes] = frozenset()
        self.keepalive_s = -1
        self.watched: bytes | None = None
        self.rendered: dict[object, bytes] = {}
        self.plain = False

    def body(self, method: bytes) -> int:
        """Say how the body ends (RFC 9112 section 6.3)."""
        if method == b"HEAD" or self.status in WITHOUT_BODY:
            return NO_BODY
        if self.chunked:
            return BY_CHUNKS
        if self.length >= 0:
            return BY_LENGTH if self.length else NO_BODY
        return UNTIL_CLOSE

    def switches_to(self, wanted: bytes) -> bool:
        """Whether a 101 names what was ``wanted`` (RFC 9110 section 7.8)."""
        named = fields.tokens(self.upgrade)
        return bool(named) and set(named) <= set(fields.tokens(wanted))

    def without(self, name: bytes) -> list[bytes]:
        """Return the lines but for the field with the lower-case ``name``."""
        return [line for line in self.lines if line.partition(b":")[0].lower() != name]

    def keep(self, key: object, head: bytes) -> bytes:
        """Remember a finished head under ``key``; return it."""
        if len(self.rendered) < RENDERED_MAX:
            self.rendered[key] = head
        return head


class ResponseParser:
    """Parses response heads; ``watched`` are lower-case revision field names."""

    __slots__ = ("_heads", "_kinds", "_seen", "_status_lines")

    def __init__(self, watched: Iterable[bytes] = ()) -> None:
        self._kinds = dict.fromkeys(watched, _WATCH)
        self._kinds.update(_KINDS)
        self._heads: dict[bytes, Response] = {}
        self._seen: dict[bytes, Line] = {}
        self._status_lines: dict[bytes, tuple[bytes, int, bool]] = {}

    def parse(self, head: bytes) -> Response | None:
        """Parse a head without its final CRLFCRLF; None if it is malformed."""
        return self._heads.get(head) or self._parse(head)

    def _parse(self, head: bytes) -> Response | None:
        lines = head.split(CRLF)
        known_status = self._status_lines.get(lines[0])
        if known_status is None:
            known_status = self._learn_status(lines[0])
            if known_status is None:
                return None
        status_line, status, close = known_status
        response = Response(status_line, status, close=close)
        del lines[0]
        response.lines = lines
        special: list[Line] = []
        removed: list[bytes] = []
        unique = len(head) > HEAD_BYTES_MAX
        for line, seen in zip(lines, map(self._seen.get, lines), strict=True):
            if seen is PASSING:
                continue
            known = self._learn(line) if seen is None else seen
            if known is None:
                repaired = _repair(head)
                return None if repaired == head else self._parse(repaired)
            kind = known[0]
            if kind == _LENGTH:
                length = fields.content_length(known[2])
                if length is None or response.length >= 0:
                    return None
                response.length = length
                removed.append(line)
            elif kind == _DATE:
                response.has_date = True
            elif kind == PASS:
                unique |= known is not PASSING
            else:
                if kind not in _FORWARDED:
                    removed.append(line)
                if kind != _DROP:
                    special.append(known)
        for line in removed:
            lines.remove(line)
        if special and not _apply(response, special, old=close):
            return None
        if not unique:
            self._remember(head, response)
        return response

    def _remember(self, head: bytes, response: Response) -> None:
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._heads[head] = response
        response.plain = (
            response.status < ERROR_STATUS_MIN
            and response.body(b"GET") == BY_LENGTH
            and response.has_date
            and response.watched is None
            and response.keepalive_s < 0
            and not (response.close or response.stream or response.upgrade)
        )

    def _learn_status(self, line: bytes) -> tuple[bytes, int, bool] | None:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            return None
        ending = line[8:] if len(line) > _BARE_BYTES else line[8:] + b" "
        known = (b"HTTP/1.1" + ending, int(match[2]), match[1] == b"0")
        if len(self._status_lines) >= STATUS_LINES_MAX:
            self._status_lines.clear()
        self._status_lines[line] = known
        return known

    def _learn(self, line: bytes) -> Line | None:
        field = fields.split_line(line)
        if field is None:
            return None
        name, value = field
        known = (self._kinds.get(name, PASS), name, value)
        if name in fields.CHANGING or len(line) > fields.LINE_BYTES_MAX:
            return known
        if known[0] == PASS:
            known = PASSING
        elif name == b"connection" and value.lower() == b"keep-alive":
            known = (_DROP, name, value)
        if len(self._seen) >= fields.LINES_MAX:
            self._seen.clear()
        self._seen[line] = known
        return known


_FORWARDED: Final = frozenset({_CONTENT_TYPE, _WATCH, _CACHE})
"""Kinds that are looked at and forwarded all the same."""


def _repair(head: bytes) -> bytes:
    if _FOLDED_FIRST.match(head):
        return head
    return _SPACE_BEFORE_COLON.sub(rb"\1:", _FOLD.sub(b" ", head))


def _apply(response: Response, special: list[Line], *, old: bool) -> bool:
    """Apply the lines that frame or steer; False if the framing is invalid."""
    for kind, _, value in special:
        if kind == _CODING:
            if response.chunked or value.lower() != b"chunked":
                return False
            response.chunked = True
        elif kind == _CONNECTION:
            _connection(response, fields.tokens(value))
        elif kind == _KEEP_ALIVE:
            match = _TIMEOUT.search(value.lower())
            if match is not None:
                response.keepalive_s = int(match[1])
        elif kind == _CONTENT_TYPE:
            response.stream = value[:17].lower() == b"text/event-stream"
        elif kind == _UPGRADE:
            response.upgrade = b", ".join(fields.upgrades(value))
        elif kind == _WATCH:
            response.watched = value
    if response.chunked and response.length >= 0:
        response.length = -1
        response.close = True  # RFC 9112 section 6.3: not to be reused
    return not (response.chunked and old)  # RFC 9112 section 6.1: faulty in 1.0


def _connection(response: Response, options: tuple[bytes, ...]) -> None:
    if b"close" in options:
        response.close = True
    named = frozenset(
        option for option in options if option not in _KINDS and option not in PROTECTED
    )
    response.named |= named
    for option in named:
        response.lines = response.without(option)
