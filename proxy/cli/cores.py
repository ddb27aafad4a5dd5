"""
How many workers ``workers: auto`` means on this machine.

Decides by what the process may really use: its CPU affinity, and the CPU quota
of its control group and of every group above it (versions 1 and 2), rounded up.
"""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from proxy.telemetry.layout import WORKERS_MAX

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_OF_SELF = Path("/proc/self/cgroup")


def worker_count(root: Path = CGROUP_ROOT, of_self: Path = CGROUP_OF_SELF) -> int:
    """Return one worker a usable core, from 1 to the slab's limit."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(root, of_self)
    if quota is not None:
        cores = min(cores, ceil(quota))
    return max(1, min(cores, WORKERS_MAX))


def cpu_quota(root: Path, of_self: Path) -> float | None:
    """
    Return the tightest CPU quota in cores, ``None`` without one.

    Args:
        root: where the control groups are mounted (cgroups(7)).
        of_self: a file such as ``/proc/self/cgroup``.
    """
    quotas = [
        quota
        for directory in _directories(root, of_self)
        for quota in (_quota_v2(directory), _quota_v1(directory))
        if quota is not None
    ]
    return min(quotas, default=None)


def _directories(root: Path, of_self: Path) -> Iterator[Path]:
    """
    Yield the directories of this process's groups and of those above them.

    Inside a container the path may be the host's; what is missing is passed by.
    """
    for line in _read(of_self).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        hierarchy = root / controllers if controllers else root
        group = hierarchy / path.strip("/")
        yield group
        yield from (above for above in group.parents if above.is_relative_to(root))


def _quota_v2(directory: Path) -> float | None:
    """Read ``cpu.max``: ``QUOTA PERIOD`` in microseconds, or ``max PERIOD``."""
    quota, _, period = _read(directory / "cpu.max").strip().partition(" ")
    return _ratio(quota, period)


def _quota_v1(directory: Path) -> float | None:
    """Read the two files of the version 1 controller; -1 is no quota."""
    quota = _read(directory / "cpu.cfs_quota_us").strip()
    return _ratio(quota, _read(directory / "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    """Return a small file of the kernel, nothing if it is not there."""
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
