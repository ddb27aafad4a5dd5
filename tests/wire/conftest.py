"""One worker process on uvloop for all of these tests, as in tests/dataplane."""

from collections.abc import Iterator

import pytest

from proxy.telemetry import layout
from tests.support.stage import Stage, start


@pytest.fixture(scope="session")
def wire_stage() -> Iterator[Stage]:
    """Start the worker once."""
    plane = start()
    yield Stage(plane)
    plane.close()


@pytest.fixture
def stage(wire_stage: Stage) -> Iterator[Stage]:
    """Return the stage; no callback of the worker may have failed meanwhile."""
    before = wire_stage.worker(layout.R_CALLBACK_ERRORS)
    yield wire_stage
    assert wire_stage.worker(layout.R_CALLBACK_ERRORS) == before
