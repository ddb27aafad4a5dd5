"""
What must hold for any bytes, as functions that raise where it does not.

Hypothesis calls them with what its strategies build, the coverage-guided target
with what it evolves, and the corpus test with what was kept. A parse yields a
value or a documented refusal; a value goes on as exactly one message, and two
other parsers read the same one: llhttp (httptools) and h11.
"""

from itertools import pairwise

import h11
import httptools

from proxy.dataplane import heads
from proxy.http1 import fields, framing
from proxy.http1.forward import request_head, response_head
from proxy.http1.framing import ChunkedReader
from proxy.http1.refusals import ANSWERED_HERE, Refusal
from proxy.http1.request import Request, RequestParser
from proxy.http1.response import SWITCHING, Response, ResponseParser

REFUSALS = frozenset({200, 400, 405, 414, 417, 431, 501, 505, 508})
"""Statuses that a head can be refused with; 200 is OPTIONS that ends here."""

TARGET_BYTES_MAX = 300
FIELDS_MAX = 12
PSEUDONYM = b"headgate-0badcafe"
PEER = heads.peer_fields(PSEUDONYM, b"192.0.2.1")
TRACING = b"\r\nx-request-id: 1\r\ntraceparent: 00-1-2-01"

LLHTTP_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND"}
)
OUR_FIELDS = frozenset({b"connection", b"te", b"transfer-encoding", b"upgrade"})
"""Fields of one hop that we may send ourselves."""


def new_parser() -> RequestParser:
    """Return a parser that has seen nothing."""
    return RequestParser(
        (b"x-user-id",),
        target_bytes_max=TARGET_BYTES_MAX,
        fields_max=FIELDS_MAX,
        pseudonym=PSEUDONYM,
    )


_REMEMBERING = new_parser()


def check_head(data: bytes) -> None:
    """Check a request's head, given without its final CRLFCRLF."""
    first, again = new_parser().parse(data), _REMEMBERING.parse(data)
    if isinstance(first, Refusal):
        assert first == again
        assert first.status in REFUSALS
        assert first.reason
        assert first.detail
        return
    assert isinstance(again, Request)
    head = _sent(first)
    assert head == _sent(again), "what was remembered changes the meaning"
    _check_bytes(head)
    _check_once_more(first, head)
    body = _body(first)
    _check_llhttp(first, head, body)
    _check_h11(first, head, body)


def _sent(request: Request) -> bytes:
    """Return the head for the origin, as an exchange puts it together."""
    if not request.host:
        request = request.with_host(b"origin.test")
        request.host = b"origin.test"
    added = PEER + request.host + TRACING + heads.body_fields(request)
    return request_head(request, added + heads.connection_fields(request))


def _body(request: Request) -> bytes:
    """Return a body as the head promises it."""
    if request.chunked:
        return b"5\r\nhello\r\n0\r\n\r\n"
    return b"x" * min(max(request.length, 0), 100_000)


def _check_bytes(head: bytes) -> None:
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
    assert not any(octet in head for octet in (b"\0", b"\x0b", b"\x0c", b"\x7f"))
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not set(names) & (fields.HOP_BY_HOP - OUR_FIELDS)
    for twin in (b"content_length", b"transfer_encoding", b"x_forwarded_for"):
        assert twin not in names


def _check_once_more(request: Request, head: bytes) -> None:
    """We would take what we send, and for the same request."""
    again = RequestParser((), target_bytes_max=10_000, fields_max=100).parse(head[:-4])
    if again is ANSWERED_HERE and head.count(b"\r\nMax-Forwards: 0\r\n"):
        return  # the next hop is its last
    assert isinstance(again, Request), again
    assert (again.method, again.target) == (request.method, request.target)
    assert (again.length, again.chunked) == (request.length, request.chunked)


class Seen:
    """What llhttp saw."""

    def __init__(self) -> None:
        self.target = b""
        self.body = b""
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.target += url

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Count a whole message."""
        self.complete += 1


def _check_llhttp(request: Request, head: bytes, body: bytes) -> None:
    if request.method not in LLHTTP_METHODS or request.upgrade:
        return
    if request.length > len(body):
        return
    seen = Seen()
    oracle = httptools.HttpRequestParser(seen)
    oracle.feed_data(head + body)
    assert seen.complete == 1
    assert seen.target == request.target
    assert oracle.get_method() == request.method
    assert seen.body == (b"hello" if request.chunked else body)


def _check_h11(request: Request, head: bytes, body: bytes) -> None:
    if request.length > len(body) or not request.target.startswith((b"/", b"*")):
        return
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    connection.receive_data(head + body)
    event = connection.next_event()
    assert isinstance(event, h11.Request), event
    assert (event.method, event.target) == (request.method, request.target)
    data = b""
    while isinstance(event := connection.next_event(), h11.Data):
        data += event.data
    assert isinstance(event, h11.EndOfMessage), event
    assert data == (b"hello" if request.chunked else body)
    assert connection.trailing_data[0] == b""


def check_chunks(data: bytes, points: list[int]) -> None:
    """Check a chunk stream in one piece and cut at ``points``."""
    whole, cut = ChunkedReader(framed=True), ChunkedReader(framed=True)
    bare = ChunkedReader(framed=False)
    out = whole.feed(data)
    pieces = _feed(cut, data, points)
    plain = bare.feed(data)
    assert (out is None) == (pieces is None) == (plain is None)
    if out is None or pieces is None or plain is None:
        return
    assert whole.done == cut.done == bare.done
    assert whole.data_bytes == cut.data_bytes == len(plain)
    if not whole.done:
        return
    assert whole.rest == cut.rest == bare.rest
    assert data.endswith(whole.rest)
    assert _decoded(out) == _decoded(pieces)
    assert _decoded(out)[0] == plain
    _check_chunks_by_llhttp(out, plain)


def _feed(reader: ChunkedReader, data: bytes, points: list[int]) -> bytes | None:
    out = b""
    edges = sorted({0, len(data), *(point % (len(data) + 1) for point in points)})
    for start, end in pairwise(edges):
        if reader.done:
            reader.rest += data[start:end]
            continue
        part = reader.feed(data[start:end])
        if part is None:
            return None
        out += part
    return out


def _decoded(data: bytes) -> tuple[bytes, list[bytes]]:
    """Decode a stream of ours, which may not leave the narrowest path."""
    out = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        assert line.strip(b"0123456789abcdefABCDEF") == b"", line
        size = int(line, 16)
        if not size:
            break
        assert data[size : size + 2] == b"\r\n"
        out, data = out + data[:size], data[size + 2 :]
    trailers = data.split(b"\r\n")
    assert trailers[-2:] == [b"", b""], trailers
    for trailer in trailers[:-2]:
        name, colon, _ = trailer.partition(b": ")
        assert colon
        assert not name.translate(None, fields.TOKEN)
        assert fields.allowed_trailer(name.lower())
    assert sum(map(len, trailers)) <= 2 * framing.TRAILER_BYTES_MAX
    return out, trailers[:-2]


def _check_chunks_by_llhttp(out: bytes, plain: bytes) -> None:
    seen = Seen()
    oracle = httptools.HttpRequestParser(seen)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    oracle.feed_data(head + out)
    assert seen.complete == 1
    assert seen.body == plain


def check_answer(data: bytes) -> None:
    """Check an answer's head, given without its final CRLFCRLF."""
    response = ResponseParser((b"x-app-version",)).parse(data)
    if response is None:
        return
    assert 100 <= response.status <= 599
    assert not (response.chunked and response.length >= 0)
    head = response_head(response, _framing(response))
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r")
    again = ResponseParser().parse(head[:-4])
    assert again is not None
    assert (again.status, again.lines) == (response.status, response.lines)
    assert (again.length, again.chunked) == (response.length, response.chunked)
    names = {line.partition(b":")[0].lower() for line in response.lines}
    assert not names & (fields.HOP_BY_HOP | {b"content-length"})
    if response.status == SWITCHING:
        return  # llhttp stops there, as it should
    oracle = httptools.HttpResponseParser(Seen())
    oracle.feed_data(head)
    assert oracle.get_status_code() == response.status


def _framing(response: Response) -> list[bytes]:
    if response.chunked:
        return [b"Transfer-Encoding: chunked"]
    return [b"Content-Length: %d" % response.length] if response.length >= 0 else []


def check_cut_chunks(data: bytes) -> None:
    """Check a chunk stream whose first two bytes say where it is cut."""
    check_chunks(data[2:], list(data[:2]))


CHECKS = {
    "heads": check_head,
    "chunks": check_cut_chunks,
    "answers": check_answer,
}
"""What a fuzzing target of that name calls with any bytes."""
