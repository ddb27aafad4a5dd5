"""Background tasks: named, kept, and never silent when they fail."""

import asyncio

import pytest

from proxy.control.tasks import Tasks, describe


async def test_failure_is_logged_with_the_tasks_name(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nobody awaits the task, and its failure is told all the same."""
    tasks = Tasks()

    task = tasks.start(_fail(), name="poll shop")
    await asyncio.wait({task})

    assert tasks.failures == 1
    assert "poll shop" in capfd.readouterr().err


async def test_close_cancels_and_waits() -> None:
    """After ``close`` nothing of the owner runs any more."""
    tasks = Tasks()
    task = tasks.start(asyncio.sleep(3600), name="long")

    await tasks.close()

    assert task.cancelled()
    assert len(tasks) == 0
    assert tasks.failures == 0


def test_description_names_error_and_place() -> None:
    """An unexpected error is one line that says where it was raised."""
    try:
        raise ValueError("odd")  # noqa: TRY301 -- raised to be described
    except ValueError as error:
        line = describe(error)

    assert line.startswith("ValueError: odd at ")
    assert "test_tasks.py:" in line


async def _fail() -> None:
    raise RuntimeError("broken")
