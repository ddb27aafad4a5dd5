"""
Who is asked about external metrics: the runs whose canary has live weight.

One task a metric of a run, beside the loop, which it never holds up. What a
provider says is left in ``Readings`` for the next tick. A provider that cannot
be asked is an alert, once, and one that answers again is told too.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.control import prometheus
from proxy.control.clock import Clock
from proxy.control.steward import Steward
from proxy.control.tasks import Tasks
from proxy.model.external import ExternalMetric, Reading, Readings
from proxy.model.vocabulary import Reason
from proxy.telemetry.log import log

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One run that is followed: what is asked for it, and the tasks that ask."""

    run: str
    tasks: Tasks


class Providers:
    """Asks providers for the runs that have external metrics."""

    def __init__(
        self,
        readings: Readings,
        clock: Clock,
        publish: Callable[[JsonObject], None],
    ) -> None:
        self._readings = readings
        self._clock = clock
        self._publish = publish
        self._asked: dict[str, _Asked] = {}

    def follow(self, stewards: Mapping[str, Steward]) -> None:
        """Ask for these services' present runs and for no others."""
        for name, asked in list(self._asked.items()):
            steward = stewards.get(name)
            if steward is None or _run_id(steward) != asked.run:
                self._stop(name)
        for name, steward in stewards.items():
            if name not in self._asked and _run_id(steward):
                self._start(name, steward)

    def stop(self) -> None:
        """Ask nobody any more."""
        for name in list(self._asked):
            self._stop(name)

    def _start(self, name: str, steward: Steward) -> None:
        run = steward.state.run
        assert run is not None
        tasks = Tasks()
        self._asked[name] = _Asked(run.id, tasks)
        words = {
            "service": name,
            "stable": run.stable,
            "canary": run.canary,
            "revision": run.revision or "",
        }
        for metric in run.plan.external:
            query = prometheus.filled_in(metric.query, words)
            tasks.start(
                self._ask(name, metric, query), name=f"metric {metric.id} of {name}"
            )

    def _stop(self, name: str) -> None:
        self._asked.pop(name).tasks.cancel()
        self._readings.pop(name, None)

    async def _ask(self, service: str, metric: ExternalMetric, query: str) -> None:
        failing = False
        while True:
            reading = await prometheus.ask(
                metric.url, query, self._clock, timeout_s=metric.every_s
            )
            self._readings.setdefault(service, {})[metric.id] = reading
            if bool(reading.error) is not failing:
                failing = not failing
                self._tell(service, metric, reading)
            await asyncio.sleep(metric.every_s)

    def _tell(self, service: str, metric: ExternalMetric, reading: Reading) -> None:
        """Alert to a provider that cannot be asked, or say that it can again."""
        about = {"service": service, "slo": metric.id, "url": metric.url}
        if not reading.error:
            log("info", "metric provider answers again", **about)
            return
        log("warning", "metric provider cannot be read", **about, error=reading.error)
        self._publish(
            {
                "type": "alert",
                "service": service,
                "slo": metric.id,
                "reason": Reason.PROVIDER_ERROR.value,
                "message": f"{metric.id} cannot be read: {reading.error}",
            }
        )


def _run_id(steward: Steward) -> str:
    """Return the run whose metrics are asked for; empty: none."""
    run = steward.state.run
    if run is None or not run.plan.external or not steward.state.active:
        return ""
    live = steward.state.split.get(run.canary, 0.0) > 0
    return run.id if live else ""
