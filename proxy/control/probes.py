"""
Who is probed and polled: the services of the settings in force.

Follows the settings: a service that did not change keeps its probers and what
they know; one that changed starts afresh.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.control.governor import Governor
from proxy.control.health import Prober
from proxy.control.revisions import Poller
from proxy.control.tables import check_tag
from proxy.settings.schema import ServiceSettings
from proxy.telemetry import layout
from proxy.telemetry.log import log
from proxy.telemetry.slab import Checks


@dataclass(frozen=True, slots=True)
class Probed:
    """One service with what runs for it."""

    settings: ServiceSettings
    prober: Prober
    poller: Poller


class Probes:
    """All probers and pollers of the process."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._probed: dict[str, Probed] = {}

    def follow(self, services: Mapping[str, ServiceSettings]) -> None:
        """Probe these services and no others."""
        for name, probed in list(self._probed.items()):
            if services.get(name) != probed.settings:
                self._stop(name)
        for name, service in services.items():
            wanted = service.rollout is not None or service.health_check is not None
            if wanted and name not in self._probed:
                self._start(name, service)

    def stop(self) -> None:
        """Stop everything."""
        for name in list(self._probed):
            self._stop(name)

    def _start(self, name: str, service: ServiceSettings) -> None:
        checked = None if service.health_check is None else self._checked
        prober = Prober(name, service, self._healthy, checked)
        poller = Poller(name, service, self._governor.see_revision)
        self._probed[name] = Probed(service, prober, poller)
        prober.start()
        poller.start()

    def _stop(self, name: str) -> None:
        probed = self._probed.pop(name)
        probed.prober.stop()
        probed.poller.stop()
        steward = self._governor.stewards.get(name)
        if steward is not None:
            steward.health = {}
            steward.capacity = {}

    def _checked(
        self, service: str, version: str, states: Sequence[bool | None]
    ) -> None:
        """Tell the workers which endpoints a version's checks found down."""
        steward = self._governor.stewards.get(service)
        if steward is None or version not in steward.wish.versions:
            return
        tag = check_tag(steward.settings, version)
        slab = self._governor.slab
        slot = self._governor.allocation.slot(steward.wish)
        index = steward.wish.versions.index(version)
        before = slab.checks(slot, index)
        bits = before.bits if before.tag == tag else 0
        for number, healthy in enumerate(states[: layout.CHECKED_MAX]):
            if healthy is not None:  # else what the last control process found
                bits = bits & ~(1 << number) | (not healthy) << number
        slab.write_checks(slot, index, Checks(tag, bits))

    def _healthy(self, service: str, version: str, capacity: float) -> None:
        steward = self._governor.stewards.get(service)
        if steward is None:
            return
        healthy = capacity > 0.0
        changed = steward.health.get(version) is not healthy
        steward.health[version] = healthy
        steward.capacity[version] = capacity
        if changed:
            level = "info" if healthy else "warning"
            log(level, "health", service=service, version=version, healthy=healthy)
