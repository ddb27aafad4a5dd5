"""
Request heads: strict parsing into what a proxy needs, or a refusal.

It decides nothing about routing. Every refusal names its status (RFC 9110
section 15) and is a value, not an exception.
"""

import re
from collections.abc import Iterable
from itertools import filterfalse
from typing import Final

from proxy.http1 import fields, steering
from proxy.http1.fields import CLEAN_TARGET, CLEAN_VALUE, TOKEN, WHITESPACE
from proxy.http1.refusals import (
    BAD_FIELD,
    BAD_HOST,
    BAD_LENGTH,
    BAD_LINE,
    BAD_TARGET,
    BAD_VERSION,
    LONG_METHOD,
    LONG_TARGET,
    LOOP,
    MANY_FIELDS,
    METHOD_NOT_ALLOWED,
    Refusal,
)
from proxy.http1.steering import (
    CLOSE,
    CONNECTION,
    DROP,
    HOST,
    LENGTH,
    PASS,
    VIA,
    WATCH,
    Line,
)

CRLF: Final = b"\r\n"
VERSION: Final = b" HTTP/1.1"
"""Our own: what we say whatever a client's minor version is (RFC 9112 2.3)."""
HEADS_MAX: Final = 256
HEAD_BYTES_MAX: Final = 2048
"""Whole heads remembered, and how long each may be (1 MiB with their values)."""

METHOD_BYTES_MAX: Final = 32
"""A longer method is refused with 501 (RFC 9112 section 3)."""
LINE_OVERHEAD_BYTES: Final = METHOD_BYTES_MAX + len(b"  HTTP/1.1")
"""What a request line holds besides its target."""


WATCHED_ALWAYS: Final = frozenset(
    {b"x-request-id", b"traceparent", b"x-headgate-mirror", b"range"}
)
"""Fields the data plane itself reads, beside those a table names."""

REPEATED: Final = frozenset({b"accept"})
"""Watched fields whose lines repeat themselves; units are different for everybody."""

COMMON_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"}
)
"""Methods known to be tokens; any other token is checked, then forwarded."""

USUAL_OPTIONS: Final = {b"keep-alive": DROP, b"close": CLOSE}
"""What most Connection lines say, and what is left to do then."""

REFUSED_METHODS: Final = frozenset({b"TRACE", b"CONNECT"})

_VERSION: Final = re.compile(rb"HTTP/([0-9])\.([0-9])")
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp]://([^/?#]+)")

Name = tuple[int, bytes, bool]
"""Kind, lower-case name, and whether lines of that name are remembered."""

PASSING: Final[Line] = (PASS, b"", b"")
"""What a line means that is forwarded and of no further interest."""

_SLASH: Final = 0x2F

NONE_NAMED: Final[frozenset[bytes]] = frozenset()


class Request:
    """
    A request head that may be forwarded.

    ``lines`` are the field lines to forward, in order, without hop-by-hop,
    framing and forwarding fields; ``watched`` maps the lower-case names of
    watched fields to values (the first line wins); ``forwarded`` holds the
    X-Forwarded-* and Forwarded fields as received; ``length`` is -1 without
    Content-Length; ``minor`` is the client's HTTP/1 minor version; ``plain``
    that the answer's framing depends on the answer alone: HTTP/1.1, not HEAD,
    no upgrade, and the connection stays. ``named`` are the fields that Connection
    takes away, from trailers too. ``framed`` that there is no body or that a
    Content-Length stayed in ``lines``. ``start`` is the request line and the
    lines as they go to the origin, once made. A request may be shared by all
    that have the same head: nothing changes it after it was returned.
    """

    __slots__ = (
        "chunked",
        "close",
        "expect_continue",
        "forwarded",
        "framed",
        "host",
        "hostname",
        "length",
        "lines",
        "method",
        "minor",
        "named",
        "plain",
        "start",
        "target",
        "te_trailers",
        "upgrade",
        "watched",
    )

    def __init__(self, method: bytes, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.lines: list[bytes] = []
        self.watched: dict[bytes, bytes] = {}
        self.host = b""
        self.hostname = b""
        self.length = -1
        self.chunked = False
        self.framed = True
        self.close = minor == 0
        self.plain = minor > 0 and method != b"HEAD"
        self.start = b""
        self.upgrade = b""
        self.expect_continue = False
        self.te_trailers = False
        self.named = NONE_NAMED
        self.forwarded: tuple[tuple[bytes, bytes], ...] = ()

    def with_host(self, host: bytes) -> "Request":
        """Return a copy that names another host to the origin."""
        other = Request(self.method, self.target, self.minor)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        others = [line for line in self.lines if line[:5].lower() != b"host:"]
        other.lines = [b"Host: " + host, *others]
        other.start = b""
        return other

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.chunked or self.length > 0


class RequestParser:
    """
    Parses request heads for one route table.

    ``watched`` are the lower-case names of the fields that the table reads;
    ``target_bytes_max`` and ``fields_max`` are limits (414, 431); ``pseudonym``
    is our own name in Via: who comes with it has been here before.
    """

    __slots__ = (
        "_fields_max",
        "_heads",
        "_kinds",
        "_last",
        "_names",
        "_passing",
        "_pseudonym",
        "_special",
        "_target_bytes_max",
    )

    def __init__(
        self,
        watched: Iterable[bytes],
        *,
        target_bytes_max: int,
        fields_max: int,
        pseudonym: bytes = b"",
    ) -> None:
        self._kinds = dict.fromkeys(WATCHED_ALWAYS | frozenset(watched), WATCH)
        self._kinds.update(steering.KINDS)
        self._target_bytes_max = target_bytes_max
        self._fields_max = fields_max
        self._pseudonym = pseudonym
        self._passing: set[bytes] = set()
        self._special: dict[bytes, Line] = {}
        self._names: dict[bytes, Name] = {}
        self._heads: dict[bytes, Request] = {}
        self._last = b""

    def parse(self, head: bytes) -> Request | Refusal:
        """
        Parse a head without its final CRLFCRLF.

        A head that came twice in a row (a poll, a probe, a load test) is
        remembered whole; the others cost nothing by that.
        """
        heads = self._heads
        if heads and head in heads:
            return heads[head]
        request = self._parse(head)
        if head != self._last:
            self._last = head
        elif isinstance(request, Request) and len(head) <= HEAD_BYTES_MAX:
            if len(heads) >= HEADS_MAX:
                heads.clear()
            heads[head] = request
        return request

    def unfinished(self, data: bytes) -> Refusal | None:
        """
        Judge what there is of a head; None while it can still become one.

        So garbage, HTTP/0.9 and line feeds alone are not waited for (RFC 9112
        section 2.2), and a target too long is 414 however little is behind it.
        """
        line, whole, _ = data.partition(CRLF)
        method, space, _ = line[: METHOD_BYTES_MAX + 1].partition(b" ")
        if not method or method.translate(None, TOKEN).strip(b"\r"):
            return BAD_LINE
        if not space and not whole and len(method) > METHOD_BYTES_MAX:
            return self._wordy(line)
        if len(line) > self._target_bytes_max + LINE_OVERHEAD_BYTES:
            return LONG_TARGET
        if whole:
            request = self._request_line(line)
            if isinstance(request, Refusal):
                return request
        return None if data.count(b"\n") == data.count(CRLF) else BAD_FIELD

    def _wordy(self, line: bytes) -> Refusal | None:
        """
        Judge a line that begins with a word longer than any method.

        RFC 9112 section 3 has 501 for a long method; what is longer than a
        target may be is no method but garbage.
        """
        word, space, _ = line.partition(b" ")
        if len(word) > self._target_bytes_max:
            return BAD_LINE
        return LONG_METHOD if space else None

    def _parse(self, head: bytes) -> Request | Refusal:
        lines = head.split(CRLF)
        if len(lines) - 1 > self._fields_max:
            return MANY_FIELDS
        first = lines.pop(0)
        request = self._request_line(first)
        if isinstance(request, Refusal):
            return request
        request.lines = lines
        special: list[Line] = []
        removed: list[bytes] = []
        # One look-up a line, by compiled code; most pass and need no step more.
        for line in filterfalse(self._passing.__contains__, lines):
            known = self._special.get(line) or self._learn(line)
            if known is None:
                return BAD_FIELD
            kind = known[0]
            if kind == PASS:
                continue
            if kind == WATCH:
                request.watched.setdefault(known[1], known[2])
            elif kind == HOST:
                if request.hostname or not known[1]:
                    return BAD_HOST
                request.hostname = known[1]
                request.host = known[2]
            elif kind == VIA:
                if self._pseudonym and self._pseudonym in known[2]:
                    return LOOP
            else:
                removed.append(line)
                if kind != DROP:
                    special.append(known)
        if removed:
            refusal = self._without(request, removed, special)
            if refusal is not None:
                return refusal
        if request.hostname and request.target[0] == _SLASH:
            # A head of which nothing went goes on as it came.
            request.start = b"" if removed or not first.endswith(VERSION) else head
            return request
        return request if target_agrees(request) else BAD_HOST

    def _without(
        self, request: Request, removed: list[bytes], special: list[Line]
    ) -> Refusal | None:
        """Take the lines out that do not go on, and apply what they mean."""
        if len(special) == 1 and special[0][0] == LENGTH:
            length = fields.content_length(special[0][2])
            if length is None:
                return BAD_LENGTH
            request.length = length
            request.framed = _stays(removed, length)
            special.clear()
        for line in removed:
            request.lines.remove(line)
        return steering.apply(request, special, self._kinds) if special else None

    def _request_line(self, line: bytes) -> Request | Refusal:
        """Parse ``method SP target SP HTTP-version`` (RFC 9112 section 3)."""
        parts = line.split(b" ")
        if len(parts) != 3:  # noqa: PLR2004 - the three parts of the grammar
            return BAD_LINE
        method, target, version = parts
        minor = 1
        if version != b"HTTP/1.1":
            match = _VERSION.fullmatch(version)
            if match is None:
                return BAD_LINE
            if match[1] != b"1":
                return BAD_VERSION
            minor = 0 if match[2] == b"0" else 1
        if method not in COMMON_METHODS:
            if not method or method.translate(None, TOKEN):
                return BAD_LINE
            if len(method) > METHOD_BYTES_MAX:
                return self._wordy(line) or BAD_LINE
            if method in REFUSED_METHODS:
                return METHOD_NOT_ALLOWED
        if len(target) > self._target_bytes_max:
            return LONG_TARGET
        if target[:1] != b"/" and not _other_form(method, target):
            return BAD_TARGET
        if target.translate(CLEAN_TARGET) != target and not _clean_path(target):
            return BAD_TARGET
        return Request(method, target, minor)

    def _learn(self, line: bytes) -> Line | None:
        """Take a new line apart, and remember it where that is worth it."""
        name, colon, value = line.partition(b":")
        facts = self._names.get(name) or self._learn_name(name)
        if facts is None or not colon or value.translate(CLEAN_VALUE) != value:
            return None
        kind, name, lasting = facts
        known = PASSING
        if kind != PASS:
            known = self._known(kind, name, value.strip(WHITESPACE))
        if lasting and len(line) <= fields.LINE_BYTES_MAX:
            self._remember(line, known)
        return known

    def _remember(self, line: bytes, known: Line) -> None:
        if len(self._passing) + len(self._special) >= fields.LINES_MAX:
            self._passing.clear()
            self._special.clear()
        if known is PASSING:
            self._passing.add(line)
        else:
            self._special[line] = known

    def _known(self, kind: int, name: bytes, value: bytes) -> Line:
        """Return what a line of interest means."""
        if kind == HOST:
            return kind, fields.valid_host(value) or b"", value
        if kind == CONNECTION:
            return USUAL_OPTIONS.get(value.lower(), CONNECTION), name, value
        return kind, name, value

    def _learn_name(self, name: bytes) -> Name | None:
        """Check a field name; None if it is illegal or made to be mistaken."""
        lower = name.lower()
        if not name or name.translate(None, TOKEN):
            return None
        kind: int | None = self._kinds.get(lower, PASS)
        if b"_" in lower and kind == PASS:
            kind = steering.look_alike(lower, self._kinds)
        if kind is None:
            return None
        lasting = lower not in fields.CHANGING and (kind != WATCH or lower in REPEATED)
        facts = (kind, lower, lasting)
        if len(name) <= fields.NAME_BYTES_MAX:
            if len(self._names) >= fields.NAMES_MAX:
                self._names.clear()
            self._names[name] = facts
        return facts


def _stays(removed: list[bytes], length: int) -> bool:
    """
    Leave a Content-Length where it is, if it is written as we would write it.

    Then a whole head may go on as it came.
    """
    as_ours = b"content-length: %d" % length
    for line in removed:
        if line.lower() == as_ours:
            removed.remove(line)
            return True
    return False


def _clean_path(target: bytes) -> bool:
    r"""
    Whether only the query keeps a target from being clean, by backslashes.

    RFC 3986 has none at all. Browsers send them in queries as they are; in a
    path some origins read them as slashes, and would serve another path than
    the one that was routed.
    """
    path, _, query = target.partition(b"?")
    rest = path + query.replace(b"\\", b"/")
    return rest.translate(CLEAN_TARGET) == rest


def _other_form(method: bytes, target: bytes) -> bool:
    """Whether a target that is not in origin-form is allowed (RFC 9112 3.2)."""
    if target == b"*":
        return method == b"OPTIONS"
    return _ABSOLUTE.match(target) is not None


def _without_port_80(authority: bytes) -> bytes:
    """Return an authority in the form in which equal ones are equal bytes."""
    return authority.lower().removesuffix(b":80").removesuffix(b":")


def target_agrees(request: Request) -> bool:
    """
    Bring an absolute-form target into origin-form; False if Host is wrong.

    RFC 9112 section 3.2.2 lets the target's authority win over Host. A client
    that names two different hosts is refused instead, as HAProxy does.
    """
    if request.target[:1] == b"/" or request.target == b"*":
        return request.hostname != b"" or request.minor == 0
    match = _ABSOLUTE.match(request.target)
    assert match is not None
    authority = match[1]
    hostname = fields.valid_host(authority)
    if hostname is None:
        return False
    if request.host and _without_port_80(request.host) != _without_port_80(authority):
        return False
    if not request.host:
        if request.minor:
            return False
        request.lines.append(b"Host: " + authority)
    request.host, request.hostname = authority, hostname
    rest = request.target[match.end() :]
    if not rest and request.method == b"OPTIONS":
        request.target = b"*"  # RFC 9112 section 3.2.4: asked of the whole server
    else:
        request.target = rest if rest[:1] == b"/" else b"/" + rest
    return True
