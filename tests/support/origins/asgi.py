"""An ASGI origin (uvicorn): one JSON line a request that it read, then an answer."""

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Message = dict[str, Any]


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Read the body, note the request, answer."""
    if scope["type"] != "http":
        return
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return  # hung up within its body
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    headers = dict(scope["headers"])
    entry = {
        "client": headers.get(b"x-forwarded-for", b"").decode("latin-1"),
        "target": scope["raw_path"].decode("latin-1"),
        "bytes": size,
    }
    with Path(os.environ["ORIGIN_LOG"]).open("a", encoding="utf-8") as log:  # noqa: ASYNC230 - short
        log.write(json.dumps(entry) + "\n")
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"2")],
        }
    )
    await send({"type": "http.response.body", "body": b"ok"})
