"""
The health address: /livez, /readyz and the way to /metrics.

Liveness and readiness are answered from the slab alone, so that they do not
depend on control; metrics are fetched from control over a local socket. One
short request a connection is all that is served here.
"""

import asyncio
import socket
from typing import TYPE_CHECKING, Final, cast

from proxy.dataplane import replies
from proxy.http1.fields import tokens
from proxy.http1.refusals import Refusal
from proxy.http1.request import Request, RequestParser
from proxy.telemetry import layout

if TYPE_CHECKING:
    from proxy.dataplane.worker import Worker

HEAD_BYTES_MAX: Final = 8_192
DEADLINE_S: Final = 10.0
"""A probe that takes longer is closed; probes time out much earlier."""
METRICS_S: Final = 3.0
"""How long control may take; Prometheus itself gives up after ten by default."""
METRICS_BYTES_MAX: Final = 64 * 1024 * 1024
METRICS_CHUNK_BYTES: Final = 65_536

PARSER: Final = RequestParser((b"accept",), target_bytes_max=1024, fields_max=100)


class Health(asyncio.Protocol):
    """One connection to the health address."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection for a bounded time."""
        self._transport = transport = cast("asyncio.Transport", transport)
        self._timer = self._worker.loop.call_later(DEADLINE_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """Break every cycle."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer when a head is whole."""
        if self._busy or self._transport is None:
            return
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            if len(self._held) > HEAD_BYTES_MAX:
                self._end(replies.plain(431, b"too large\n", close=True))
            return
        request = PARSER.parse(self._held[:end])
        self._held = b""
        if isinstance(request, Refusal):
            self._end(replies.plain(400, b"bad request\n", close=True))
        elif request.method not in (b"GET", b"HEAD"):
            self._end(replies.plain(405, b"method not allowed\n", close=True))
        else:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        path, _, query = request.target.partition(b"?")
        head_only = request.method == b"HEAD"
        if path == b"/livez":
            self._end(replies.plain(200, b"ok\n", head_only=head_only, close=True))
        elif path == b"/readyz":
            status, body = readiness(self._worker, verbose=b"verbose" in query)
            self._end(replies.plain(status, body, head_only=head_only, close=True))
        elif path == b"/metrics":
            self._busy = True
            self._worker.start_task(self._metrics(request), "fetch metrics")
        else:
            self._end(replies.plain(404, b"not found\n", close=True))

    def _end(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
            self._transport.close()

    async def _metrics(self, request: Request) -> None:
        """Fetch /metrics from control and pass it on until it ends."""
        accept = b",".join(tokens(request.watched.get(b"accept", b"*/*")))
        sent = False
        try:
            async with asyncio.timeout(METRICS_S):
                reader, writer = await asyncio.open_unix_connection(
                    sock=_connected(self._worker.metrics_address)
                )
                try:
                    writer.write(
                        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: "
                        + accept
                        + b"\r\nConnection: close\r\n\r\n"
                    )
                    total = 0
                    while total < METRICS_BYTES_MAX:
                        data = await reader.read(METRICS_CHUNK_BYTES)
                        if not data or self._transport is None:
                            break
                        total += len(data)
                        sent = True
                        self._transport.write(data)
                finally:
                    writer.close()
        except OSError:
            if not sent:
                self._end(replies.plain(503, b"control is away\n", close=True))
                return
        if self._transport is not None:
            self._transport.close()


def _connected(address: str) -> socket.socket:
    """Connect by hand: libuv takes a name with a leading NUL for an empty one."""
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)  # noqa: FBT003 - the method's name says it
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def readiness(worker: "Worker", *, verbose: bool) -> tuple[int, bytes]:
    """Return status and text of /readyz, in the form that Kubernetes has."""
    shared = worker.shared
    checks = (
        ("table", bool(worker.words[layout.R_READY]), "no route table yet"),
        (
            "control-replayed",
            bool(shared[layout.H_CONTROL_READY]),
            "saved rollouts were not read yet",
        ),
        ("serving", not shared[layout.H_DRAINING], "draining"),
    )
    ready = all(good for _, good, _ in checks)
    if not verbose:
        return (200, b"ok\n") if ready else (503, b"not ready\n")
    lines = [
        f"[+]{name} ok" if good else f"[-]{name} failed: {why}"
        for name, good, why in checks
    ]
    lines.append("readyz check passed" if ready else "readyz check failed")
    return (200 if ready else 503), ("\n".join(lines) + "\n").encode()
