"""Requests that come by the clock, whether earlier ones were answered or not."""

import asyncio
from collections import Counter
from itertools import count
from typing import Self

from tests.support.wire import fetch, get


class Arrivals:
    """So many requests a second, each of a user of its own; an async context."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self.answers: Counter[tuple[str | None, int]] = Counter()
        """By (x-headgate-version, status)."""
        self.lost = 0
        """Requests whose connection broke."""

    async def __aenter__(self) -> Self:
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._ticker is not None
        self._ticker.cancel()
        await asyncio.gather(self._ticker, *self._tasks, return_exceptions=True)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number in count():
            wait_s = began_s + number / self._rate - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            task = loop.create_task(self._ask(number))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, number: int) -> None:
        try:
            request = get("/", f"X-User-Id: {number}")
            answer = await fetch(self._port, request)
        except (OSError, EOFError, TimeoutError):
            self.lost += 1
            return
        self.answers[answer.get("x-headgate-version"), answer.status] += 1
