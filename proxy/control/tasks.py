"""
Tasks with a name, an owner and no silent end.

The event loop keeps only weak references to its tasks, and a failure that
nobody awaits is told to nobody. A ``Tasks`` keeps the reference, logs the
failure once, with the task's name, and ends what is left when it is closed.
"""

import asyncio
import traceback
from collections.abc import Coroutine
from typing import Any

from proxy.telemetry.log import log

TASKS_MAX = 4096
"""More than one prober and one poller a service at the slab's 1024 services."""


class Tasks:
    """The background tasks of one owner, who closes it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failures = 0
        """Tasks that ended with an exception since the start."""

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run ``work`` in the background; its failure is logged under ``name``."""
        assert len(self._tasks) < TASKS_MAX, "too many background tasks"
        loop = asyncio.get_running_loop()
        task = loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def cancel(self) -> None:
        """Cancel what still runs, without waiting for its end."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Cancel what still runs and wait for its end."""
        left = list(self._tasks)
        self.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failures += 1
            log("error", "task_failed", task=task.get_name(), error=describe(error))


def describe(error: BaseException) -> str:
    """Return an unexpected error on one line: what, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
