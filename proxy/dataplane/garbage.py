"""
Garbage collection that never stops a worker for long.

Connections and requests leave no cycles behind (a test proves it), so the
collector finds nothing where it looks; but it looks at everything that is
alive, and a full collection at 9 000 connections takes 28 to 55 ms. Here only
what is new is looked at, ``NEW_MAX`` objects at a time, and what survives is set
aside for good. A cycle that came to be later is found when hardly anybody is
connected, and then the pause is that of an idle worker.
"""

import gc
from typing import Final

NEW_MAX: Final = 3_000
"""Objects looked at in one go: 1 to 2 ms of CPU time, or 500 new connections."""

NEVER: Final = 1_000_000
"""Young generations before an older one is looked at: set aside before that."""

QUIET_CONNECTIONS: Final = 100
"""So many at most are connected when everything is looked at."""

LOOK_S: Final = 60.0
"""How often that is asked; counting takes half a millisecond."""

UNEXPLAINED_MAX: Final = 50_000
"""Objects beyond those of the start that make it worth while: some 10 MiB."""


class Garbage:
    """Looks after one worker's garbage; ``begin`` once everything is built."""

    __slots__ = ("_kept", "_next_s")

    def __init__(self) -> None:
        self._kept = 0
        self._next_s = 0.0

    def begin(self) -> None:
        """Collect, and from now on look at new objects only."""
        gc.collect()
        gc.freeze()
        self._kept = gc.get_freeze_count()
        gc.set_threshold(NEW_MAX, NEVER, NEVER)
        if _set_aside not in gc.callbacks:
            gc.callbacks.append(_set_aside)

    def look(self, now_s: float, connections: int) -> None:
        """Look at everything if there is much, and few would wait for it."""
        if now_s < self._next_s or connections > QUIET_CONNECTIONS:
            return
        self._next_s = now_s + LOOK_S
        if gc.get_freeze_count() - self._kept > UNEXPLAINED_MAX:
            gc.unfreeze()
            gc.collect()
            self._kept = gc.get_freeze_count()


def _set_aside(phase: str, _: dict[str, int]) -> None:
    """Keep what survived a collection out of every later one."""
    if phase == "stop":
        gc.freeze()
