"""One worker process for all wire tests; each test has its own service on it."""

from collections.abc import Iterator

import pytest

from proxy.telemetry import layout
from tests.support.stage import Stage, start


@pytest.fixture(scope="session")
def shared_stage() -> Iterator[Stage]:
    """Start the worker once: every test then costs a table and not a process."""
    plane = start()
    yield Stage(plane)
    plane.close()


@pytest.fixture
def stage(shared_stage: Stage) -> Iterator[Stage]:
    """Return the stage; no callback of the worker may have failed meanwhile."""
    before = shared_stage.worker(layout.R_CALLBACK_ERRORS)
    yield shared_stage
    assert shared_stage.worker(layout.R_CALLBACK_ERRORS) == before
    assert shared_stage.plane.process is not None
    assert shared_stage.plane.process.poll() is None, "the worker ended"
