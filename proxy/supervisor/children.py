"""
Starting a child: its launch document, its environment, its descriptors.

A child gets one argument, a JSON object, and exactly the descriptors that the
object names (and the standard ones). ``posix_spawn`` never copies our memory
and holds SIGINT and SIGHUP back until the child has said what they mean.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.supervisor.listeners import Listeners
from proxy.supervisor.plan import Plan
from proxy.telemetry import process

NO_FD = -1
"""A descriptor that does not exist yet."""
_PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
_INSTALLED_IN = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class Shared:
    """The descriptors that every child may be given; ``NO_FD`` where none is."""

    slab: int
    alive: int
    table: int
    settings: int
    pairs: int


def worker_launch(
    plan: Plan,
    listeners: Listeners,
    shared: Shared,
    channel: int,
    *,
    index: int,
    restarted: bool,
) -> dict[str, Any]:
    """Return the launch document of a worker."""
    return {
        "role": "worker",
        "index": index,
        "workers": plan.workers,
        "slab_fd": shared.slab,
        "channel_fd": channel,
        "alive_fd": shared.alive,
        "table_fd": shared.table,
        "pairs_fd": shared.pairs,
        "listeners": [_filenos(mine) for mine in listeners.traffic],
        "shared_listeners": _filenos(listeners.shared),
        "health_fds": _filenos(listeners.health),
        "metrics_address": listeners.metrics_address,
        "supervisor_pid": os.getpid(),
        "limits": dict(plan.limits),
        "drain": {"delay": plan.drain.delay_s, "timeout": plan.drain.timeout_s},
        "log_format": plan.log_format,
        "log_level": plan.log_level,
        "restarted": restarted,
    }


def control_launch(
    plan: Plan, listeners: Listeners, shared: Shared, channel: int
) -> dict[str, Any]:
    """Return the launch document of control; ``cold`` while there is no table."""
    return {
        "role": "control",
        "config": plan.config,
        "workers": plan.workers,
        "slab_fd": shared.slab,
        "channel_fd": channel,
        "alive_fd": shared.alive,
        "table_fd": shared.table,
        "settings_fd": shared.settings,
        "pairs_fd": shared.pairs,
        "admin_fds": _filenos(listeners.admin),
        "metrics_fd": listeners.metrics.fileno(),
        "supervisor_pid": os.getpid(),
        "state_dir": plan.state_dir,
        "log_format": plan.log_format,
        "log_level": plan.log_level,
        "cold": shared.table == NO_FD,
    }


def compare_launch(plan: Plan, shared: Shared, channel: int) -> dict[str, Any]:
    """Return the launch document of the compare process."""
    return {
        "role": "compare",
        "workers": plan.workers,
        "channel_fd": channel,
        "alive_fd": shared.alive,
        "table_fd": shared.table,
        "pairs_fd": shared.pairs,
        "supervisor_pid": os.getpid(),
        "state_dir": plan.state_dir,
        "log_format": plan.log_format,
        "log_level": plan.log_level,
    }


def descriptors(launch: Mapping[str, Any]) -> list[int]:
    """Return every descriptor that a launch document names."""
    found = [value for key, value in launch.items() if key.endswith("_fd")]
    for key in ("health_fds", "admin_fds", "shared_listeners"):
        found += launch.get(key, [])
    for mine in launch.get("listeners", []):
        found += mine
    return [fd for fd in found if fd != NO_FD]


def spawn(module: str, launch: Mapping[str, Any]) -> int:
    """
    Start ``python -m MODULE LAUNCH`` and return its process id.

    Raises:
        OSError: the system cannot start another process now.
    """
    safe_path = ["-P"] if sys.flags.safe_path else []
    argument = json.dumps(launch, separators=(",", ":"))
    # To duplicate a descriptor onto itself is how posix_spawn passes it on
    # (it loses close-on-exec in the child only).
    passed = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in descriptors(launch)]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *safe_path, "-m", module, argument],
        child_environment(os.environ, _PACKAGE_ROOT),
        file_actions=passed,
        setsigmask=process.HELD_BACK,
    )


def child_environment(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """
    Return the environment of a child, in which ``proxy`` can be imported.

    A package that is installed needs nothing; one that is run from a checkout
    is put on PYTHONPATH, wherever the child's working directory is.
    """
    child = dict(environ)
    present = [part for part in child.get("PYTHONPATH", "").split(os.pathsep) if part]
    if root.name not in _INSTALLED_IN and str(root) not in present:
        child["PYTHONPATH"] = os.pathsep.join([str(root), *present])
    return child


def _filenos(listeners: "Sequence[Any]") -> list[int]:
    return [listener.fileno() for listener in listeners]
