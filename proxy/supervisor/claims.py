"""
What the tree claims from the system before it starts, or refuses to start.

The state directory for itself alone, enough file descriptors for the limits
that were promised, and no descriptor that somebody else left open.
"""

import contextlib
import fcntl
import os
import resource
from pathlib import Path

from proxy.errors import StartError
from proxy.model.descriptors import (
    CONNECTIONS_DEFAULT,
    descriptors_needed,
    most_connections,
)
from proxy.telemetry.log import log

LOCK_NAME = "lock"
_STDERR = 2


def lock_state(state_dir: str) -> int:
    """
    Make ``state_dir`` and lock it; return the descriptor that holds the lock.

    Raises:
        StartError: another instance holds it, or it cannot be made.
    """
    try:
        Path(state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        path = os.path.join(state_dir, LOCK_NAME)  # noqa: PTH118 - opened with flags
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"state_dir {state_dir} cannot be used: {(error.strerror or '').lower()}"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise StartError(
            f"state_dir {state_dir} is in use by another headgate"
            f" (process {holder or 'unknown'})"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd


def raise_descriptors(connections: int) -> int:
    """
    Raise RLIMIT_NOFILE as far as it goes, for us and all children; return it.

    Where nobody chose ``connections``, a system that allows fewer is no reason
    not to start: each worker then takes as many as it can, and the log says so.

    Raises:
        StartError: even that is too little for the ``connections`` chosen.
    """
    needed = descriptors_needed(connections)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _below(hard, needed):
        # Only a privileged process may; the check below says when it could not.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _below(hard, needed) and connections == CONNECTIONS_DEFAULT:
        fewer = most_connections(hard)
        log("warning", "connections_limited", connections=fewer, open_files=hard)
    elif _below(hard, needed):
        raise StartError(
            f"limits.connections {connections} needs {needed} open files a worker,"
            f" but the hard limit is {hard}: raise it (ulimit -Hn) or set"
            f" limits.connections to at most {most_connections(hard)}"
        )
    wanted = max(soft, needed) if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def close_strangers_on_exec() -> None:
    """Let no child inherit a descriptor that our starter left open."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        fd = int(name)
        if fd > _STDERR:
            with contextlib.suppress(OSError):  # the listing's own descriptor
                os.set_inheritable(fd, False)  # noqa: FBT003


def _below(limit: int, needed: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < needed
