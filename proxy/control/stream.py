"""
What happens, told to whoever listens, without ever waiting for a listener.

Every subscriber has a bounded queue. One that does not read loses the oldest
events and is told how many; the publisher never notices.
"""

import asyncio
from collections import deque
from typing import Any, Self

JsonObject = dict[str, Any]

QUEUE_MAX = 256
"""Some minutes of a quiet tree; more only delays the news that it is stale."""


class Subscription:
    """An async iterator over events from now on; ``aclose`` ends it."""

    def __init__(self, stream: "Stream") -> None:
        self._stream = stream
        self._events: deque[JsonObject] = deque()
        self._lost = 0
        self._ready = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JsonObject:
        while not self._closed:
            if self._lost:
                lost, self._lost = self._lost, 0
                return {"type": "lost", "count": lost}
            if self._events:
                return self._events.popleft()
            self._ready.clear()
            await self._ready.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the subscription; a reader that waits gets the end."""
        self._closed = True
        self._ready.set()
        self._stream.forget(self)

    def put(self, event: JsonObject) -> None:
        """Queue an event; over ``QUEUE_MAX`` the oldest is lost."""
        if len(self._events) >= QUEUE_MAX:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        self._ready.set()


class Stream:
    """All subscriptions of one process."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self) -> Subscription:
        """Begin to listen."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Stop feeding a subscription."""
        self._subscriptions.discard(subscription)

    def publish(self, event: JsonObject) -> None:
        """Tell every subscriber."""
        for subscription in self._subscriptions:
            subscription.put(event)
