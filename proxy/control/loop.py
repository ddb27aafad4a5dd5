"""
When things happen: ten times a second the fast look, once a second the judging.

The loop decides only about time. A tick that raises is logged and counted and
the next one comes; a machine that stood still is not made up for: missed ticks
are left out, and how long it was is told to the judge, who decides what of it
counts. Time comes from a ``Clock``, so a test may let it run as it likes.
"""

import asyncio
from collections.abc import Callable, Iterable

from proxy.control.configuration import Configuration
from proxy.control.figures import Figures
from proxy.control.governor import Governor
from proxy.control.tasks import describe
from proxy.telemetry.log import log

WATCH_S = 0.1
"""Between two looks at trips and fail-fast, as the contract says."""
TICK_S = 1.0
"""Between two judgements."""
SLACK_S = WATCH_S / 2
"""A look that comes this early still counts as the second's."""


class Loop:
    """Calls governor, figures and configuration when it is their time."""

    def __init__(
        self,
        governor: Governor,
        figures: Figures,
        configuration: Configuration,
        afterwards: Iterable[Callable[[], None]],
    ) -> None:
        self._governor = governor
        self._figures = figures
        self._configuration = configuration
        self._afterwards = tuple(afterwards)
        self._ticked_s: float | None = None
        self.errors = 0
        """Steps that raised, since the start."""

    def step(self) -> None:
        """Do what is due now."""
        now_s = self._governor.clock.monotonic_s()
        self._guard("watch", self._governor.watch)
        if self._ticked_s is None:
            # The time before the first tick was downtime, not judged time.
            self._ticked_s = now_s
            self._guard("sample", self._figures.sample)
            return
        dt_s = now_s - self._ticked_s
        if dt_s >= TICK_S - SLACK_S:
            self._ticked_s = now_s
            self._guard("tick", lambda: self._governor.tick(dt_s))
            self._guard("sample", self._figures.sample)
            self._guard("file", self._configuration.look)
            for work in self._afterwards:
                self._guard("publish", work)

    async def run(self) -> None:
        """Step until cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            self.step()
            due_s = max(due_s + WATCH_S, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def _guard(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 -- logged and counted
            self.errors += 1
            log("error", "control_step_failed", step=name, error=describe(error))
