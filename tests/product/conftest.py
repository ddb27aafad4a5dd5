"""Origins and a running product for tests of the whole."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from tests.support.product import Origin


class StartOrigin(Protocol):
    """Starts an echo origin by its name."""

    async def __call__(self, name: str, fault: str = "") -> Origin:
        """Start one, that fails as ``fault`` says."""
        ...


@pytest.fixture
async def start_origin() -> AsyncIterator[StartOrigin]:
    """Start echo origins by name; they end with the test."""
    started: list[Origin] = []

    async def start(name: str, fault: str = "") -> Origin:
        origin = await Origin(name, fault=fault).start()
        started.append(origin)
        return origin

    yield start
    for origin in started:
        origin.kill()
