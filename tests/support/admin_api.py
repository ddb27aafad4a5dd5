"""A real admin API on a real port, and a plain client that may misbehave."""

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.admin.app import make_app
from proxy.admin.guard import Guard
from proxy.admin.listen import listening
from proxy.control.controller import Controller


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, fields in lower case, and the body."""

    status: int
    fields: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is what it is
        """The body's document."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class AdminApi:
    """Where the API listens."""

    port: int

    @property
    def url(self) -> str:
        """The address for ``--admin``."""
        return f"http://127.0.0.1:{self.port}"

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        **fields: str,
    ) -> Answer:
        """Send one request from a thread; ``_`` in the fields' names is ``-``."""
        if body is not None:
            raw = json.dumps(body).encode()
            fields.setdefault("Content_Type", "application/json")
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return await asyncio.to_thread(self._ask, method, path, raw, headers)

    def _ask(
        self, method: str, path: str, raw: bytes | None, headers: dict[str, str]
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, raw, headers)
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, got, response.read())
        finally:
            connection.close()


@asynccontextmanager
async def admin_api(
    controller: Controller, guard: Guard | None = None, *, port: int = 0
) -> AsyncIterator[AdminApi]:
    """Serve ``controller`` on a loopback port, a free one unless it is given."""
    listener = socket.create_server(("127.0.0.1", port))
    port = listener.getsockname()[1]
    async with listening(make_app(controller, guard or Guard()), [listener]):
        yield AdminApi(port)
