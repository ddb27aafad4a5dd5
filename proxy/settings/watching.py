"""
Whether the configuration file changed, and whether a change can be applied.

The file's stat is polled because a ConfigMap mount swaps a symlink, which no
watch on the file sees. The decisions are pure; ``read_stat`` is the only look
at the file system.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from proxy.settings.schema import Settings

POLL_INTERVAL_S = 1.0
"""One stat a second costs nothing and a person does not notice the wait."""

RESTART_KEYS = ("listen", "workers", "admin", "health", "state_dir", "drain")
"""Settings that the process tree is built on."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """What changes when a file is replaced or written."""

    device: int
    inode: int
    mtime_ns: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Watcher:
    """
    Remembers which file was read last.

    ``applied`` is its stat, ``pending`` one that was seen since and may still be
    written to: a change counts once two polls in a row agree on it.
    """

    applied: FileStat | None
    pending: FileStat | None = None

    def observe(self, stat: FileStat | None) -> "tuple[Watcher, bool]":
        """
        Return the next watcher, and whether the file is to be read again.

        None: the file is not there (it is just being replaced); nothing changes.
        """
        if stat is None or stat == self.applied:
            return replace(self, pending=None), False
        if stat != self.pending:
            return replace(self, pending=stat), False
        return Watcher(applied=stat), True


def read_stat(path: str | Path) -> FileStat | None:
    """Return the stat of the file that ``path`` leads to; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (one call, links followed)
    except (OSError, ValueError):
        return None
    return FileStat(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def restart_keys(old: Settings, new: Settings) -> tuple[str, ...]:
    """Return the keys that differ and need a restart, in the file's order."""
    return tuple(key for key in RESTART_KEYS if getattr(old, key) != getattr(new, key))
