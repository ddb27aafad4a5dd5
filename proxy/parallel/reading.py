"""
The bytes of an answer, as they came from the connection, read into an ``Answer``.

The same parsers that forward answers read them here; what they refuse was no
whole answer. Informational heads are skipped.
"""

from typing import Final

from proxy.http1.framing import ChunkedReader
from proxy.http1.response import (
    BY_CHUNKS,
    BY_LENGTH,
    NO_BODY,
    Response,
    ResponseParser,
)
from proxy.parallel.values import Answer, Outcome

FINAL_STATUS_MIN: Final = 200
HEAD_END: Final = b"\r\n\r\n"
_PARSER: Final = ResponseParser()


def read_answer(
    outcome: Outcome, raw: bytes, method: bytes, *, ended: bool, latency_us: int
) -> Answer:
    """
    Return what a leg came back with.

    ``outcome`` is what the worker saw; ``raw`` all bytes of the answer, of one
    that was ``TOO_LARGE`` the first of them. ``ended`` says that the origin
    closed the connection in order, which ends a body without a length.
    """
    if outcome not in (Outcome.ANSWERED, Outcome.TOO_LARGE):
        return Answer(outcome, latency_us=latency_us)
    response, body = _split(raw)
    if response is None:
        return Answer(Outcome.ABORTED, latency_us=latency_us)
    kind = response.body(method)
    declared = response.length
    if outcome is Outcome.TOO_LARGE:
        return _answer(outcome, response, b"", declared, latency_us)
    whole: bytes | None = body
    if kind == NO_BODY:
        whole = b""
    elif kind == BY_LENGTH:
        whole = body if len(body) == declared else None
    elif kind == BY_CHUNKS:
        whole = _unchunked(body)
    elif not ended:
        whole = None
    if whole is None:
        return Answer(Outcome.ABORTED, latency_us=latency_us)
    return _answer(outcome, response, whole, len(whole), latency_us)


def _split(raw: bytes) -> tuple[Response | None, bytes]:
    """Return the final head and what follows it."""
    while True:
        head, found, raw = raw.partition(HEAD_END)
        response = _PARSER.parse(head) if found else None
        if response is None or response.status >= FINAL_STATUS_MIN:
            return response, raw


def _unchunked(body: bytes) -> bytes | None:
    reader = ChunkedReader(framed=False)
    data = reader.feed(body)
    return data if reader.done and not reader.rest else None


def _answer(
    outcome: Outcome, response: Response, body: bytes, length: int, latency_us: int
) -> Answer:
    headers = []
    for line in response.lines:
        name, _, value = line.partition(b":")
        headers.append(
            (name.lower().decode("latin-1"), value.strip().decode("latin-1"))
        )
    return Answer(outcome, response.status, tuple(headers), body, length, latency_us)
