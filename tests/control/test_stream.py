"""The event stream: everybody hears, nobody is waited for."""

import asyncio
from typing import Any

import pytest

from proxy.control.stream import QUEUE_MAX, Stream, Subscription


async def test_every_subscriber_hears_in_order() -> None:
    """Events arrive as published, from the subscription on."""
    stream = Stream()
    stream.publish({"type": "early"})
    one, two = stream.subscribe(), stream.subscribe()

    stream.publish({"type": "a"})
    stream.publish({"type": "b"})

    for reader in (one, two):
        assert [await anext(reader), await anext(reader)] == [
            {"type": "a"},
            {"type": "b"},
        ]


async def test_reader_that_falls_behind_is_told_how_much_it_lost() -> None:
    """At the bound nothing is lost; one past it the oldest is, and it is said."""
    stream = Stream()
    slow = stream.subscribe()
    for number in range(QUEUE_MAX):
        stream.publish({"type": "n", "number": number})
    stream.publish({"type": "n", "number": QUEUE_MAX})

    assert await anext(slow) == {"type": "lost", "count": 1}
    assert await anext(slow) == {"type": "n", "number": 1}


async def test_waiting_reader_is_woken_by_an_event_and_by_the_end() -> None:
    """A reader waits without polling and ends when it is closed."""
    stream = Stream()
    reader = stream.subscribe()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        first = group.create_task(_next(reader))
        await asyncio.sleep(0)
        stream.publish({"type": "a"})
        assert await first == {"type": "a"}

    await reader.aclose()

    with pytest.raises(StopAsyncIteration):
        await anext(reader)
    assert len(stream) == 0


async def test_cancelled_wait_loses_no_event() -> None:
    """A reader whose wait was given up gets the event the next time."""
    stream = Stream()
    reader = stream.subscribe()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(reader)
    stream.publish({"type": "a"})

    assert await anext(reader) == {"type": "a"}


async def _next(reader: Subscription) -> dict[str, Any]:
    return await anext(reader)
