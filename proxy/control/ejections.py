"""
What the workers tell of endpoints that fail: seen, logged and kept for all to see.

Workers leave out an endpoint that failed again and again, each by what it sees;
the last one of a version they go on asking, but count it all the same. A version
all of whose endpoints fail at some worker is no version to start a rollout with.
"""

from proxy.control.allocation import Allocation
from proxy.control.steward import Steward
from proxy.telemetry import layout
from proxy.telemetry.log import log
from proxy.telemetry.slab import ControlSlab


def note(steward: Steward, allocation: Allocation, slab: ControlSlab) -> None:
    """Keep how many endpoints of each version fail where most do; log changes."""
    for version in steward.wish.versions:
        cell = allocation.cell(steward.wish, version)
        failing = max(
            slab.cell_words(worker, cell, layout.C_EJECTED, 1)[0]
            for worker in range(slab.workers)
        )
        if failing == steward.ejected.get(version, 0):
            continue
        steward.ejected[version] = failing
        log(
            "warning" if failing else "info",
            "endpoints_failing",
            service=steward.name,
            version=version,
            failing=failing,
            endpoints=endpoints_of(steward, version),
        )


def endpoints_of(steward: Steward, version: str) -> int:
    """Return how many endpoints a version has; 0 if it is not in the file now."""
    settings = steward.settings.versions.get(version)
    return 0 if settings is None else len(settings.endpoints)


def is_ejected(steward: Steward, version: str) -> bool:
    """Whether all endpoints of a version fail at some worker."""
    count = endpoints_of(steward, version)
    return 0 < count <= steward.ejected.get(version, 0)
