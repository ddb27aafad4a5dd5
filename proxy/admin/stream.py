"""
The event stream: what the controller publishes, as server-sent events.

Decides how many may listen, how long a reader may stall and when a quiet line
gets a heartbeat. Which events there are is the controller's
(https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

import asyncio
import json
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from aiohttp import web

from proxy.control.controller import Controller
from proxy.control.stream import Subscription
from proxy.errors import RequestError

STREAMS_MAX = 32
"""Listeners at once: dashboards and watchers of a team, not its users."""
HEARTBEAT_S = 15.0
"""A comment after so much silence keeps middleboxes (60 s is usual) from closing."""
SEND_S = 10.0
"""A reader that takes nothing for so long is cut off; it reconnects by itself."""
RECONNECT_MS = 2000
"""What a browser waits before it reconnects."""


class Streams:
    """All event streams of one app."""

    def __init__(
        self, controller: Controller, *, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._controller = controller
        self._heartbeat_s = heartbeat_s
        self._open: set[Subscription] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send events until the client leaves, stalls, or the server ends."""
        if len(self._open) >= STREAMS_MAX:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "TooManyStreams",
                f"{STREAMS_MAX} event streams are open, which is the limit",
            )
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8"}
        )
        async with aclosing(self._controller.subscribe()) as events:
            self._open.add(events)
            try:
                await response.prepare(request)
                await self._send(response, events)
            except (TimeoutError, ConnectionError):
                if request.transport is not None:
                    request.transport.abort()
            finally:
                self._open.discard(events)
        return response

    async def close(self, _app: web.Application) -> None:
        """End every stream."""
        for events in list(self._open):
            await events.aclose()

    async def _send(self, response: web.StreamResponse, events: Subscription) -> None:
        """Write events as they come, and a comment when none comes."""
        await _write(response, f"retry: {RECONNECT_MS}\n\n")
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    event = await anext(events)
            except TimeoutError:
                await _write(response, ": still here\n\n")
            except StopAsyncIteration:
                return
            else:
                await _write(response, _event_text(event))


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(SEND_S):
        await response.write(text.encode())


def _event_text(event: dict[str, Any]) -> str:
    """Return one event; JSON has no raw line breaks, so ``data`` is one line."""
    data = json.dumps(event, ensure_ascii=False, allow_nan=False)
    return f"event: {event['type']}\ndata: {data}\n\n"
