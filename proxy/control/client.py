"""
Short HTTP requests and TCP connects to endpoints, bounded in time and size.

The only place of the control process that speaks to versions, for health and
revisions, and to metric providers. No connection is kept, no proxy asked; of a
version no redirect is followed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proxy.settings.addresses import parse_endpoint

if TYPE_CHECKING:
    import aiohttp

BODY_BYTES_MAX = 1024
"""A revision is a word; a health page's text is not read further."""
PLAIN = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""What is asked of metric providers: no encoding that would have to be undone."""
JSON_BYTES_MAX = 64 * 1024
"""A metric's one value has some hundred bytes; an error page a little more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer's status, the first ``BODY_BYTES_MAX`` of its body, its fields."""

    status: int
    body: bytes
    fields: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case; of a repeated one the last."""


async def fetch(endpoint: str, path: str, *, timeout_s: float) -> Reply:
    """
    GET ``path`` from an endpoint (``http://host:port`` or ``unix:/path``).

    Raises:
        OSError: no connection, no answer in time, or no HTTP.
    """
    import aiohttp  # noqa: PLC0415 - half of what starting takes, if at the top

    target = parse_endpoint(endpoint)
    try:
        async with asyncio.timeout(timeout_s), _session(target.unix) as session:
            url = f"http://{target.authority}{path}"
            async with session.get(url, allow_redirects=False) as response:
                body = await read_body(response)
                named = {key.lower(): text for key, text in response.headers.items()}
                return Reply(response.status, body, named)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


async def fetch_json(
    url: str, query: Mapping[str, str], *, timeout_s: float
) -> tuple[int, Any]:
    """
    GET a URL of a metric provider; return the status and the JSON of its answer.

    Raises:
        OSError: no connection, no answer in time, no HTTP, or a longer one than
            ``JSON_BYTES_MAX``.
        ValueError: the answer is not JSON.
    """
    import aiohttp  # noqa: PLC0415 - as above

    try:
        async with (
            asyncio.timeout(timeout_s),
            _session(None) as session,
            session.get(url, params=query, headers=PLAIN) as response,
        ):
            body = await read_body(response, JSON_BYTES_MAX)
            status = response.status
    except TimeoutError as error:
        raise OSError(f"no answer within {timeout_s:g} s") from error
    except aiohttp.ClientError as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    if len(body) >= JSON_BYTES_MAX:
        raise OSError(f"the answer is longer than {JSON_BYTES_MAX} bytes")
    try:
        return status, json.loads(body)
    except ValueError as error:
        raise ValueError(f"status {status}, and the answer is not JSON") from error


async def connect(endpoint: str, *, timeout_s: float) -> None:
    """
    Open a connection to an endpoint and close it.

    Raises:
        OSError: nobody accepted in time.
    """
    target = parse_endpoint(endpoint)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        if target.unix is not None:
            made = loop.create_unix_connection(asyncio.Protocol, target.unix)
            transport, _ = await made
        else:
            transport, _ = await loop.create_connection(
                asyncio.Protocol, target.host, target.port
            )
    transport.close()


async def read_body(
    response: "aiohttp.ClientResponse", bytes_max: int = BODY_BYTES_MAX
) -> bytes:
    """Read until the end or the bound, whichever comes first."""
    body = b""
    async for piece in response.content.iter_chunked(bytes_max):
        body += piece
        if len(body) >= bytes_max:
            break
    return body[:bytes_max]


@asynccontextmanager
async def _session(unix: str | None) -> AsyncIterator["aiohttp.ClientSession"]:
    import aiohttp  # noqa: PLC0415 - as above

    connector: aiohttp.BaseConnector = (
        aiohttp.TCPConnector(force_close=True)
        if unix is None
        else aiohttp.UnixConnector(unix, force_close=True)
    )
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        headers={"User-Agent": "headgate"},
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield session
