"""
The HTTP server under the admin API: its bounds, and errors below the resources.

Decides how many connections there may be, how long one may be idle or slow with
its head, and what a message gets that is not HTTP. Uses listeners that somebody
else bound.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from aiohttp import web

from proxy.admin.app import FIELDS_OF_EVERY_ANSWER
from proxy.admin.problems import of_unexpected, problem
from proxy.telemetry.log import log

CONNECTIONS_MAX = 256
"""Open at once on one app; more are closed before they are read."""
IDLE_S = 15.0
"""A connection that has not sent a whole head for so long is closed."""
BACKLOG = 128
"""Connections that wait to be accepted; people and scripts, not traffic."""
LINGER_S = 1.0
"""Time to read on after an early refusal, so that the client gets to read it."""
STOP_S = 2.0
"""Time for requests in flight to end when the process stops."""
LINE_BYTES_MAX = 8190
FIELDS_MAX = 64
"""Request line, each field, and their number: a browser sends about 20."""


@asynccontextmanager
async def listening(
    app: web.Application, listeners: Sequence[socket.socket]
) -> AsyncIterator[None]:
    """Serve ``app`` on bound listeners, which are closed at the end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)
    await runner.setup()
    web_server = runner.server
    assert web_server is not None, "the runner is set up"
    loop = asyncio.get_running_loop()

    def connect() -> asyncio.Protocol:
        """Make the protocol of one accepted connection."""
        if len(web_server.connections) >= CONNECTIONS_MAX:
            return _Refused()
        return _Connection(
            web_server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # as the runner passes it
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=FIELDS_MAX,
            auto_decompress=False,
        )

    servers: list[asyncio.Server] = []
    try:
        for listener in listeners:
            server = await loop.create_server(connect, sock=listener, backlog=BACKLOG)
            servers.append(server)
        yield
    finally:
        for server in servers:
            server.close()
        await runner.cleanup()


class _Refused(asyncio.Protocol):
    """A connection over the limit: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        log("warning", "too_many_admin_connections", limit=CONNECTIONS_MAX)
        transport.close()


class _Connection(web.RequestHandler):
    """aiohttp's connection, but for how it words what it cannot read."""

    __slots__ = ()

    def log_exception(self, *args: object, **_kwargs: object) -> None:
        """Tell of what ended a connection outside of any request."""
        log("error", "admin_connection_failed", what=" ".join(map(str, args)))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - echoes what the client sent
    ) -> web.StreamResponse:
        """Answer a broken message, or an error that escaped, as a problem."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if isinstance(exc, UnicodeEncodeError) and "Expect" in request.headers:
            # aiohttp repeats an expectation it does not know, and this is no text.
            response = problem(
                HTTPStatus.EXPECTATION_FAILED,
                "UnknownExpectation",
                "only Expect: 100-continue is understood",
            )
        elif exc is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            response = of_unexpected(request.method, request.path, exc)
        else:
            response = problem(status, "MalformedRequest", "the request is not HTTP/1")
        response.headers.update(FIELDS_OF_EVERY_ANSWER)
        response.force_close()
        return response
