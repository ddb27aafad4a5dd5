"""
Where a chunked body ends (RFC 9112 section 7.1), counted here and not stored.

The reader passes well-formed bytes through as they came. Chunk extensions are
checked, capped and dropped; trailer fields are kept only where RFC 9110 section
6.5.1 allows them. Anything else is an error, for which the caller has a 400 or
an aborted answer.
"""

import re
from typing import Final

from proxy.http1 import fields

CHUNK_LINE_BYTES_MAX: Final = 4096
"""A chunk-size line with its extensions; Go's limit (10 MB pass llhttp)."""

EXTENSION_BYTES_MAX: Final = 16_384
"""Extensions of a whole body: nobody uses them, so this is generous."""

TRAILER_BYTES_MAX: Final = 8_192
"""The trailer section, as received."""
TRAILERS_MAX: Final = 100
"""Trailer fields that go on, as many as the fields of a head by default."""

SIZE_DIGITS_MAX: Final = 16
"""Hexadecimal digits of a chunk size, leading zeros included."""

CHUNK_BYTES_MAX: Final = 2**62
"""A larger chunk would overflow what origins count with."""

_SIZE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})"
    rb"((?:[ \t]*+;[ \t]*+[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # ; name
    rb"(?:[ \t]*+=[ \t]*+(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++"  # = token
    rb'|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"))?)*+)'
)
"""A chunk size and its extensions; what was taken is never tried otherwise."""

_AT_SIZE: Final = 0
_IN_DATA: Final = 1
_AT_DATA_END: Final = 2
_IN_TRAILER: Final = 3
_DONE: Final = 4


class ChunkedReader:
    """
    Follows one chunked body.

    ``named`` are trailer fields that a Connection option took away.

    ``feed`` takes bytes as they arrive and returns what to send on: chunks
    without extensions if ``framed``, else their data alone. After the body's
    end ``done`` is true and ``rest`` holds the bytes behind it.
    """

    __slots__ = (
        "_extension_bytes",
        "_framed",
        "_held",
        "_named",
        "_remaining",
        "_state",
        "_trailer_bytes",
        "_trailers",
        "data_bytes",
        "rest",
    )

    def __init__(self, *, framed: bool, named: frozenset[bytes] = frozenset()) -> None:
        self._framed = framed
        self._named = named
        self._state = _AT_SIZE
        self._held = b""
        self._remaining = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._trailers: list[bytes] = []
        self.rest = b""
        self.data_bytes = 0

    @property
    def done(self) -> bool:
        """Whether the body ended."""
        return self._state == _DONE

    def feed(self, data: bytes) -> bytes | None:
        """Return the bytes to send on for ``data``; None if it is malformed."""
        if self._held:
            data = self._held + data
            self._held = b""
        out: list[bytes] = []
        position = 0
        clean_from = 0 if self._framed else -1
        size = len(data)
        while position < size:
            state = self._state
            if state == _IN_DATA:
                taken = min(self._remaining, size - position)
                if clean_from < 0:
                    out.append(data[position : position + taken])
                position += taken
                self._remaining -= taken
                self.data_bytes += taken
                if not self._remaining:
                    self._state = _AT_DATA_END
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                if self._hopeless(data[position:]):
                    return None
                break
            if state == _AT_DATA_END:
                if end != position:
                    return None
                position += 2
                self._state = _AT_SIZE
                continue
            line_start, position = position, end + 2
            if state == _AT_SIZE:
                clean = self._size_line(data[line_start:end])
                if clean is None:
                    return None
                if clean or clean_from < 0:
                    continue
                out.append(data[clean_from:line_start])
                if self._state == _IN_DATA:
                    out.append(b"%x\r\n" % self._remaining)
                clean_from = position
            else:
                clean_from = self._trailer_line(data, line_start, end, out, clean_from)
                if clean_from == _MALFORMED:
                    return None
                if self._state == _DONE:
                    break
        return self._result(data, position, out, clean_from)

    def _hopeless(self, tail: bytes) -> bool:
        """Whether bytes without a CRLF cannot become what must come next."""
        if b"\n" in tail:
            return True
        line_bytes = len(tail) - tail.endswith(b"\r")
        if self._state == _AT_DATA_END:
            return line_bytes > 0
        if self._state == _AT_SIZE:
            return line_bytes > CHUNK_LINE_BYTES_MAX
        return self._trailer_bytes + line_bytes > TRAILER_BYTES_MAX

    def _result(
        self, data: bytes, position: int, out: list[bytes], clean_from: int
    ) -> bytes:
        if self._state == _DONE:
            self.rest = data[position:]
        elif position < len(data):
            self._held = data[position:]
        if clean_from < 0:
            return b"".join(out)
        if not out and clean_from == 0 and position == len(data):
            return data
        out.append(data[clean_from:position])
        return b"".join(out)

    def _size_line(self, line: bytes) -> bool | None:
        """Take a chunk-size line; True if it can pass as it is, None if not."""
        match = _SIZE.fullmatch(line)
        if match is None or len(line) > CHUNK_LINE_BYTES_MAX:
            return None
        self._remaining = int(match[1], 16)
        if self._remaining > CHUNK_BYTES_MAX:
            return None
        self._state = _IN_DATA if self._remaining else _IN_TRAILER
        if match[2]:
            self._extension_bytes += len(line)
            if self._extension_bytes > EXTENSION_BYTES_MAX:
                return None
            return False
        return self._remaining > 0

    def _trailer_line(
        self, data: bytes, start: int, end: int, out: list[bytes], clean_from: int
    ) -> int:
        """Take a trailer line; the empty one ends the body."""
        if start == end:
            self._state = _DONE
            if clean_from < 0:
                return clean_from
            lines = [b"0", *self._trailers, b"", b""]
            out.append(b"\r\n".join(lines))
            return end + 2
        self._trailer_bytes += end - start
        field = fields.split_line(data[start:end])
        if field is None or self._trailer_bytes > TRAILER_BYTES_MAX:
            return _MALFORMED
        if fields.allowed_trailer(field[0]) and field[0] not in self._named:
            if len(self._trailers) == TRAILERS_MAX:
                return _MALFORMED
            name = data[start : start + len(field[0])]
            self._trailers.append(name + b": " + field[1])
        return clean_from if clean_from < 0 else end + 2


_MALFORMED: Final = -2
