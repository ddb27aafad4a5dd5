"""
How many workers ``workers: auto`` means.

One a core that the process may run on, but no more than its control group pays
for: a container with a quota of two cores on a machine of sixty-four would be
throttled by sixty-two idle event loops. The count is pure; the rest reads the
kernel's files and believes nothing that it cannot parse.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.settings.schema import WORKERS_MAX

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_OF_SELF = Path("/proc/self/cgroup")


def worker_count(cores: int, quota_cores: float | None) -> int:
    """
    Return the number of workers, 1 to 48.

    Args:
        cores: cores that the process may run on.
        quota_cores: CPU time a second that it may use. None: no quota.
    """
    paid = cores if quota_cores is None else math.ceil(quota_cores)
    return max(1, min(cores, paid, WORKERS_MAX))


def resolve_workers(workers: int | None) -> int:
    """Return ``workers``, or what ``auto`` (None) means on this machine."""
    if workers is not None:
        return workers
    return worker_count(len(os.sched_getaffinity(0)), read_quota_cores())


def read_quota_cores(
    root: Path = CGROUP_ROOT, own: Path = CGROUP_OF_SELF
) -> float | None:
    """
    Return the smallest CPU quota above this process, in cores; None: no quota.

    Args:
        root: where the control groups are mounted (v2, or v1 with ``cpu``).
        own: the kernel's list of the process's control groups.
    """
    quotas: list[float] = []
    for line in _text(own).splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            quotas += _quotas(root, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            quotas += _quotas(root / controllers, path, _quota_v1)
            quotas += _quotas(root / "cpu", path, _quota_v1)
    return min(quotas, default=None)


def quota_v2(text: str) -> float | None:
    """Return the cores of a ``cpu.max`` such as ``150000 100000`` (cgroups(7))."""
    quota, _, period = text.strip().partition(" ")
    return _ratio(quota, period)


def quota_v1(quota: str, period: str) -> float | None:
    """Return the cores of ``cpu.cfs_quota_us`` (-1: none) and ``…_period_us``."""
    return _ratio(quota.strip(), period.strip())


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _quota_v2(group: Path) -> float | None:
    return quota_v2(_text(group / "cpu.max"))


def _quota_v1(group: Path) -> float | None:
    quota = _text(group / "cpu.cfs_quota_us")
    return quota_v1(quota, _text(group / "cpu.cfs_period_us"))


def _quotas(
    mount: Path, path: str, read: Callable[[Path], float | None]
) -> Iterator[float]:
    """Yield the quotas of a group and of every group above it."""
    inside = Path(path.strip("/"))
    for group in (inside, *inside.parents):
        quota = None if ".." in group.parts else read(mount / group)
        if quota is not None:
            yield quota


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, ValueError):
        return ""
