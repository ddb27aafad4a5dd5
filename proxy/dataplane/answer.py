"""
Relaying an answer: head, then body, re-framed for the client.

A decoded length stays a length, everything else becomes chunks for HTTP/1.1
clients and ends with the connection for HTTP/1.0 ones (RFC 9112 section 6).
An answer that was begun and cannot be completed ends the client's connection
by a reset, so that it never looks whole.
"""

from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.dataplane import bulk, endpoints, recorder, retry
from proxy.http1.forward import response_head
from proxy.http1.framing import ChunkedReader
from proxy.http1.response import (
    BY_CHUNKS,
    BY_LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    Response,
)
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

HEAD_BYTES_MAX: Final = 65_536
"""A response head; twice what is taken of a request's, for large cookies."""

INFORMATIONAL_MAX: Final = 16
"""1xx answers relayed before one that is final."""

KEEPALIVE_MARGIN_S: Final = 1
"""A connection is given up so long before its origin says that it will."""

SWITCHING: Final = 101
FINAL_STATUS_MIN: Final = 200
UPGRADE_REQUIRED: Final = 426
"""Says what to upgrade to (RFC 9110 section 15.5.22)."""
NO_CONTENT: Final = 204
"""Never with a Content-Length (RFC 9110 section 8.6)."""
CHUNKED: Final = b"Transfer-Encoding: chunked"
CLOSE: Final = b"Connection: close"
PRIVATE: Final = b"Cache-Control: private"
LAST_CHUNK: Final = b"0\r\n\r\n"


def head(exchange: "Exchange", data: bytes) -> None:
    """Take bytes until the final answer's head is whole, then begin it."""
    if not exchange.first_s:
        exchange.first_s = monotonic()
    if exchange.held:
        data = exchange.held + data
        exchange.held = b""
    while True:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > HEAD_BYTES_MAX or data.count(b"\n") != data.count(b"\r\n"):
                exchange.fail(Flag.UPE)
            else:
                exchange.held = data
            return
        response = exchange.table.responses.parse(data[:end])
        if response is None or end > HEAD_BYTES_MAX:
            exchange.fail(Flag.UPE)
            return
        data = data[end + 4 :]
        if (
            response.plain
            and exchange.request.plain
            and len(data) == response.length
            and exchange.body_done
            and not exchange.cookie
            and not exchange.upstream_stalled
            and not exchange.stalled_from_s
            and not exchange.worker.draining
        ):
            _whole(exchange, response, data)
            return
        if response.status >= FINAL_STATUS_MIN:
            _begin(exchange, response, data)
            return
        if not _informational(exchange, response, data) or not data:
            return


def _whole(exchange: "Exchange", response: Response, data: bytes) -> None:
    """
    Relay the usual answer, all of it there.

    ``_begin`` and ``complete`` without their cases, ``let_go`` without its own:
    a tenth of a request's instructions less.
    """
    version = exchange.version
    worker = exchange.worker
    down, upstream, pool = exchange.down, exchange.upstream, exchange.pool
    assert down is not None
    assert upstream is not None
    assert pool is not None
    block = response.rendered.get(version)
    if block is None:
        block = response.keep(version, _head_for(exchange, response, BY_LENGTH))
    exchange.response = response
    exchange.status = response.status
    exchange.answer_kind = BY_LENGTH
    exchange.answer_bytes = len(data)
    exchange.head_sent = True
    if down.transport is not None:  # as ``down.post`` does
        down.turn = worker.outbox.turn
        worker.outbox.post(down.transport, block + data)
    exchange.service.answered(exchange, exchange.first_s)
    if worker.access_log is not None:
        worker.access_log.note(exchange)
    exchange.upstream = exchange.pool = exchange.down = upstream.leg = None
    if pool.failures:
        endpoints.succeeded(exchange, pool)
    pool.active -= 1
    version.state.inflight -= 1
    if upstream.usable:
        pool.give_back(upstream, worker.now_s)
    else:
        upstream.close()  # it ended, or its address is the endpoint's no more
    worker.active.discard(exchange)
    down.next_request()


def _informational(exchange: "Exchange", response: Response, data: bytes) -> bool:
    """Relay a 1xx answer (RFC 9110 section 15.2); False if all was taken."""
    down = exchange.down
    assert down is not None
    if response.status == SWITCHING:
        if response.switches_to(exchange.request.upgrade):
            _switch(exchange, response, data)
        else:
            exchange.fail(Flag.UPE)
        return False
    exchange.informational += 1
    if exchange.informational > INFORMATIONAL_MAX:
        exchange.fail(Flag.UPE)
        return False
    exchange.first_s = monotonic() if data else 0.0  # that of the final answer
    if exchange.request.minor:
        down.write(response_head(response, ()))
    return True


def _switch(exchange: "Exchange", response: Response, data: bytes) -> None:
    """Turn the exchange into a tunnel (RFC 9110 section 7.8)."""
    down = exchange.down
    upstream = exchange.upstream
    assert down is not None
    assert upstream is not None
    assert upstream.transport is not None
    exchange.response = response
    exchange.status = response.status
    exchange.service.answered(exchange, monotonic())
    _note(exchange, response.status)
    exchange.tunnel = exchange.head_sent = True
    exchange.touch()
    fields = [b"Connection: Upgrade", b"Upgrade: " + response.upgrade]
    if exchange.service.service.response_headers:
        fields.append(exchange.version.header)
    down.write(response_head(response, fields) + data)
    early = down.take_pending()
    if early:
        upstream.transport.write(early)
    down.resume()


def _begin(exchange: "Exchange", response: Response, data: bytes) -> None:
    """Send the head on, with what is there of the body."""
    exchange.response = response
    if response.status >= recorder.ERROR_STATUS_MIN and retry.discard(
        exchange, response.status
    ):
        return
    exchange.status = response.status
    request = exchange.request
    kind = response.body(request.method)
    exchange.answer_kind = kind
    exchange.answer_left = response.length
    exchange.head_sent = True
    if not exchange.body_done or request.close:
        exchange.close_after = True
    if kind == BY_CHUNKS:
        exchange.answer_reader = ChunkedReader(
            framed=request.minor > 0, named=response.named
        )
    if exchange.worker.draining or (kind >= BY_CHUNKS and not request.minor):
        exchange.close_after = True
    if response.watched is not None and exchange.version.revision_header:
        exchange.worker.revision_seen(exchange, response.watched)
    if exchange.close_after or exchange.cookie or not response.has_date:
        block = _head_for(exchange, response, kind)
    else:
        # Equal answers get equal heads: one is made for a version and framing.
        key = (exchange.version, kind)
        block = response.rendered.get(key) or response.keep(
            key, _head_for(exchange, response, kind)
        )
    if kind == NO_BODY:
        _all(exchange, block, data)
    elif data:
        if kind == BY_LENGTH and response.length <= len(data):
            _all(exchange, block, data)
            return
        _relay(exchange, data, block)
        if exchange.down is not None and not exchange.stalled_from_s:
            exchange.touch()
    else:
        _write(exchange, block)
        exchange.touch()
    if kind == BY_LENGTH and exchange.answer_left > bulk.LEFT_BYTES_MIN:
        bulk.begin_answer(exchange, complete)


def _all(exchange: "Exchange", block: bytes, data: bytes) -> None:
    """Relay an answer that is there as a whole; it leaves with others."""
    length = exchange.answer_left if exchange.answer_kind == BY_LENGTH else 0
    exchange.answer_bytes += length
    if exchange.down is not None:
        exchange.down.post(block + data[:length])
    complete(exchange, data[length:])


def _head_for(exchange: "Exchange", response: Response, kind: int) -> bytes:
    """Return the head for this exchange's client."""
    added = []
    lines = None
    if kind == BY_LENGTH:
        added.append(b"Content-Length: %d" % response.length)
    elif kind == NO_BODY:
        if response.length >= 0 and response.status != NO_CONTENT:
            added.append(b"Content-Length: %d" % response.length)
    elif exchange.request.minor:
        added.append(CHUNKED)
    if exchange.service.service.response_headers:
        added.append(exchange.version.header)
    if exchange.cookie:
        added += (exchange.cookie, PRIVATE)
        lines = response.without(b"cache-control")
    if not response.has_date:
        added.append(b"Date: " + exchange.worker.date)
    if response.status == UPGRADE_REQUIRED and response.upgrade:
        added += (b"Connection: Upgrade", b"Upgrade: " + response.upgrade)
    if exchange.close_after:
        added.append(CLOSE)
    return response_head(response, added, lines)


def more(exchange: "Exchange", data: bytes) -> None:
    """Relay bytes after the head."""
    exchange.touch()
    if exchange.tunnel:
        _write(exchange, data)
    else:
        _relay(exchange, data, b"")


def _relay(exchange: "Exchange", data: bytes, block: bytes) -> None:
    """Relay body bytes behind ``block``, the head if it is not out yet."""
    kind = exchange.answer_kind
    if kind == BY_LENGTH:
        left = exchange.answer_left - len(data)
        exchange.answer_left = left
        if left > 0:
            exchange.answer_bytes += len(data)
            _write(exchange, block + data if block else data)
            return
        rest = b""
        if left < 0:
            data, rest = data[:left], data[left:]
        exchange.answer_bytes += len(data)
        _write(exchange, block + data if block else data)
        complete(exchange, rest)
    elif kind == BY_CHUNKS:
        reader = exchange.answer_reader
        assert reader is not None
        out = reader.feed(data)
        if out is None:
            if block:
                _write(exchange, block)
            truncated(exchange, Flag.UPE)
            return
        exchange.answer_bytes = reader.data_bytes
        _write(exchange, block + out)
        if reader.done:
            complete(exchange, reader.rest)
    else:
        exchange.answer_bytes += len(data)
        if exchange.request.minor:
            _write(exchange, b"%b%x\r\n%b\r\n" % (block, len(data), data))
        else:
            _write(exchange, block + data)


def _write(exchange: "Exchange", data: bytes) -> None:
    down = exchange.down
    if down is not None and data:
        down.write(data)


def complete(exchange: "Exchange", rest: bytes) -> None:
    """The answer ended: count it, and give both connections back."""
    response = exchange.response
    assert response is not None
    exchange.service.answered(exchange, monotonic())
    _note(exchange, response.status)
    reusable = (
        not rest
        and not response.close
        and exchange.body_done
        and not exchange.upstream_stalled
        and exchange.answer_kind != UNTIL_CLOSE
        and not exchange.request.upgrade
    )
    upstream = exchange.upstream
    if upstream is not None and response.keepalive_s >= 0:
        upstream.keepalive_s = response.keepalive_s - KEEPALIVE_MARGIN_S
        upstream.pool.capped = True
        reusable = reusable and upstream.keepalive_s > 0
    if exchange.stalled_from_s and upstream is not None and upstream.transport:
        upstream.transport.resume_reading()
    exchange.let_go(reusable=reusable)
    down = exchange.down
    close = exchange.close_after
    lingering = not exchange.body_done
    exchange.finish()
    if down is not None:
        down.exchange_done(close=close, lingering=lingering)


def _note(exchange: "Exchange", status: int) -> None:
    """Tell how the endpoint does; an error of the application is none of its."""
    pool = exchange.pool
    if pool is not None:
        if status in retry.GATEWAY_STATUSES:
            endpoints.failed(exchange, pool)
        elif pool.failures:
            endpoints.succeeded(exchange, pool)


def ended(exchange: "Exchange", *, clean: bool) -> None:
    """The origin's connection ended before the answer did, or ended it."""
    if exchange.tunnel:
        down = exchange.down
        exchange.let_go()
        exchange.finish()
        if down is not None:
            if clean:
                down.close()
            else:
                down.reset()
    elif not exchange.head_sent:
        if retry.is_stale(exchange):
            assert exchange.pool is not None
            exchange.pool.close_idle()  # they idle for even longer
            exchange.ask_another()
        else:
            exchange.fail(Flag.UC if clean else Flag.UR)
    elif clean and exchange.answer_kind == UNTIL_CLOSE:
        if exchange.request.minor:
            _write(exchange, LAST_CHUNK)
        complete(exchange, b"")
    else:
        truncated(exchange, Flag.UC if clean else Flag.UR)


def truncated(exchange: "Exchange", flag: Flag) -> None:
    """The answer was begun and cannot be completed: reset the client."""
    down = exchange.down
    exchange.lose(FLAG_CODE_BASE + flag, monotonic())
    recorder.replied(exchange, exchange.status)
    exchange.finish()
    if down is not None:
        down.reset()
