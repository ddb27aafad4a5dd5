"""Origins and a running product for tests of the whole."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.product import Origin

StartOrigin = Callable[[str], Awaitable[Origin]]


@pytest.fixture
async def start_origin() -> AsyncIterator[StartOrigin]:
    """Start echo origins by name; they end with the test."""
    started: list[Origin] = []

    async def start(name: str) -> Origin:
        origin = await Origin(name).start()
        started.append(origin)
        return origin

    yield start
    for origin in started:
        origin.kill()
