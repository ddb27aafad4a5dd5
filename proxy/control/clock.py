"""
The time, as something that is passed in.

Decisions take seconds as arguments; only this module asks the system for them.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that people read, one that never jumps."""

    def unix_s(self) -> float:
        """Return Unix time."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that only ever grow (CLOCK_MONOTONIC)."""
        ...


class SystemClock:
    """The machine's clocks."""

    def unix_s(self) -> float:
        """Return Unix time."""
        return time.clock_gettime(time.CLOCK_REALTIME)

    def monotonic_s(self) -> float:
        """Return CLOCK_MONOTONIC, which all processes of the machine share."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)
