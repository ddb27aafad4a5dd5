"""
Which versions have a healthy endpoint, asked from outside the data plane.

Without a ``health_check`` an endpoint is healthy when it accepts a connection.
The first result counts at once; after it, ``rise`` good or ``fall`` bad ones in
a row turn it. A version is healthy while one of its endpoints is, and how many
are says how much traffic it can be given. This decides when a rollout may start,
and that none is rolled back onto a stable that is down. What a ``health_check``
says of each endpoint is also told to the workers, beside their own, passive view.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.control import client
from proxy.control.tasks import Tasks
from proxy.settings.schema import HealthCheckSettings, ServiceSettings

CONNECT_INTERVAL_S = 2.0
"""Between two connects where no ``health_check`` says otherwise."""
CONNECT_RISE = 1
CONNECT_FALL = 3
TIMEOUT_S_MAX = 5.0
"""One check; never more than the interval."""
GOOD_STATUS = range(200, 400)

Report = Callable[[str, str, float], None]
"""Takes service, version and the part of its endpoints that is healthy, 0 to 1."""
ReportEndpoints = Callable[[str, str, Sequence[bool | None]], None]
"""Takes service, version and the state of each endpoint; None is not known yet."""


@dataclass(frozen=True, slots=True)
class Check:
    """How one endpoint is asked; ``path`` ``None`` is a TCP connect."""

    path: str | None
    interval_s: float
    rise: int
    fall: int


class Tally:
    """Turns single results into a state."""

    __slots__ = ("_check", "_in_a_row", "healthy")

    def __init__(self, check: Check) -> None:
        self._check = check
        self._in_a_row = 0
        self.healthy: bool | None = None

    def add(self, good: bool) -> bool:  # noqa: FBT001 -- the one thing it takes
        """Count a result; return whether the state changed."""
        if self.healthy is None:
            self.healthy = good
            return True
        if good == self.healthy:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        if self._in_a_row < (self._check.rise if good else self._check.fall):
            return False
        self.healthy = good
        self._in_a_row = 0
        return True


def check_of(settings: HealthCheckSettings | None) -> Check:
    """Return how the endpoints of a service are asked."""
    if settings is None:
        return Check(None, CONNECT_INTERVAL_S, CONNECT_RISE, CONNECT_FALL)
    return Check(settings.path, settings.interval, settings.rise, settings.fall)


class Prober:
    """Probes one service's endpoints until it is stopped."""

    def __init__(
        self,
        name: str,
        service: ServiceSettings,
        report: Report,
        report_endpoints: ReportEndpoints | None = None,
    ) -> None:
        self._name = name
        self._report_endpoints = report_endpoints
        self._check = check_of(service.health_check)
        self._report = report
        self._tasks = Tasks()
        self._tallies = {
            version: [(text, Tally(self._check)) for text in one.endpoints]
            for version, one in service.versions.items()
        }

    def start(self) -> None:
        """Begin to probe every endpoint."""
        for version, endpoints in self._tallies.items():
            for text, tally in endpoints:
                self._tasks.start(
                    self._probe(version, text, tally),
                    name=f"health of {self._name}/{version} {text}",
                )

    def stop(self) -> None:
        """Stop probing."""
        self._tasks.cancel()

    async def _probe(self, version: str, endpoint: str, tally: Tally) -> None:
        while True:
            if tally.add(await self._ask(endpoint)):
                self._tell(version)
            await asyncio.sleep(self._check.interval_s)

    async def _ask(self, endpoint: str) -> bool:
        timeout_s = min(self._check.interval_s, TIMEOUT_S_MAX)
        try:
            if self._check.path is None:
                await client.connect(endpoint, timeout_s=timeout_s)
                return True
            reply = await client.fetch(endpoint, self._check.path, timeout_s=timeout_s)
        except OSError:
            return False
        return reply.status in GOOD_STATUS

    def _tell(self, version: str) -> None:
        states = [tally.healthy for _, tally in self._tallies[version]]
        if self._report_endpoints is not None:
            self._report_endpoints(self._name, version, states)
        known = [state for state in states if state is not None]
        # Endpoints that nobody has asked yet are no reason to call it unhealthy.
        if any(known) or len(known) == len(states):
            self._report(self._name, version, sum(known) / len(known))
