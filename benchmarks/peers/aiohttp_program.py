"""The program behind ``aiohttp_proxy``: ``PORT STABLE CANARY [COOKIE]``, ports."""

import sys

import mmh3
import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

UNIT_FIELD = "x-user-id"
VERSION_FIELD = "x-headgate-version"
CANARY_PERCENT = 20
IDLE_MAX = 128
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length"}
)
CHUNK_BYTES = 65_536


def make_app(stable_port: int, canary_port: int, cookie: str) -> web.Application:
    """Return a proxy for two versions on this host; the unit may be a cookie's."""
    origins = (f"http://127.0.0.1:{stable_port}", f"http://127.0.0.1:{canary_port}")
    sessions: list[ClientSession] = []

    async def forward(request: web.Request) -> web.StreamResponse:
        values = request.cookies if cookie else request.headers
        unit = values.get(cookie or UNIT_FIELD, "").encode()
        canary = mmh3.hash(unit, 0, signed=False) * 100 >> 32 < CANARY_PERCENT
        headers = {k: v for k, v in request.headers.items() if _passes(k)}
        headers["X-Forwarded-For"] = request.remote or ""
        async with sessions[0].request(
            request.method,
            origins[canary] + request.raw_path,
            headers=headers,
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            fields = {k: v for k, v in answer.headers.items() if _passes(k)}
            fields[VERSION_FIELD] = ("stable", "canary")[canary]
            reply = web.StreamResponse(status=answer.status, headers=fields)
            reply.content_length = answer.content_length
            await reply.prepare(request)
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                await reply.write(chunk)
            await reply.write_eof()
            return reply

    async def opened(_: web.Application) -> None:
        connector = TCPConnector(limit=0, limit_per_host=IDLE_MAX)
        jar = DummyCookieJar()
        sessions.append(
            ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False)
        )

    async def closed(_: web.Application) -> None:
        await sessions[0].close()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    app.on_startup.append(opened)
    app.on_cleanup.append(closed)
    return app


def _passes(name: str) -> bool:
    return name.lower() not in HOP_BY_HOP


if __name__ == "__main__":
    port, stable_port, canary_port = map(int, sys.argv[1:4])
    uvloop.install()
    web.run_app(
        make_app(stable_port, canary_port, "".join(sys.argv[4:])),
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
    )
