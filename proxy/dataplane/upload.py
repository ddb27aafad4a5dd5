"""
A request's body on its way to the origin: counted, cut at its end, kept.

Kept is what another attempt would need, up to a bound; what breaks the body's
grammar or its cap ends the exchange as the client's fault (RFC 9112 section 7.1:
never as a gateway error).
"""

from time import monotonic
from typing import TYPE_CHECKING

from proxy.dataplane import bulk, recorder, retry
from proxy.dataplane.replies import refusal_body
from proxy.http1.refusals import BAD_CHUNK, LARGE_BODY, Refusal
from proxy.model.vocabulary import Flag

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange


def take_whole(exchange: "Exchange", data: bytes) -> bool:
    """
    Take a body that came with its head, and nothing behind it; False if it did not.

    Nothing was sent yet, and its length was compared with the cap.
    """
    size = len(data)
    if size != exchange.body_left or size > retry.REPLAY_BYTES_MAX:
        return False
    exchange.replay = exchange.early = data
    exchange.body_bytes = size
    exchange.body_left = 0
    exchange.body_done = True
    return True


def take(exchange: "Exchange", data: bytes) -> bytes:
    """Send body bytes on; return what lies behind the body's end."""
    rest = b""
    reader = exchange.body_reader
    if reader is not None:
        out = reader.feed(data)
        if out is None:
            refuse(exchange, BAD_CHUNK)
            return b""
        exchange.body_bytes = reader.data_bytes
        if reader.done:
            exchange.body_done = True
            rest = reader.rest
    else:
        out = data
        left = exchange.body_left
        if len(data) >= left:
            out, rest = data[:left], data[left:]
            exchange.body_done = True
        exchange.body_left -= len(out)
        exchange.body_bytes += len(out)
    body_bytes_max = exchange.table.table.limits.body
    if body_bytes_max is not None and exchange.body_bytes > body_bytes_max:
        refuse(exchange, LARGE_BODY)
        return b""
    _forward(exchange, out)
    return rest


def _forward(exchange: "Exchange", out: bytes) -> None:
    if exchange.replay is not None:
        if len(exchange.replay) + len(out) <= retry.REPLAY_BYTES_MAX:
            exchange.replay += out
        else:
            exchange.replay = None
    upstream = exchange.upstream
    if upstream is None:
        exchange.early += out
    elif upstream.transport is not None:
        upstream.transport.write(out)
        if exchange.body_done:
            exchange.sent()
        else:
            exchange.touch()
            if exchange.replay is None and exchange.body_left > bulk.LEFT_BYTES_MIN:
                bulk.begin_body(exchange)
    if exchange.body_done and exchange.mirrored is not None:
        exchange.mirrored.body_complete(exchange.replay, exchange.body_bytes)


def refuse(exchange: "Exchange", refusal: Refusal) -> None:
    """End the exchange because of what the client sent."""
    down = exchange.down
    request = exchange.request
    if exchange.attempts:
        recorder.client_gone(exchange, Flag.DPE, monotonic(), refusal.reason)
        exchange.let_go()
        if not exchange.head_sent:
            exchange.status = refusal.status
            exchange.answer_bytes = len(refusal_body(refusal))
    exchange.finish()
    if down is not None:
        if exchange.head_sent:
            down.reset()
        else:
            noted = exchange.attempts > 0
            head_only = request.method == b"HEAD"
            down.refuse(refusal, request=request, head_only=head_only, noted=noted)
