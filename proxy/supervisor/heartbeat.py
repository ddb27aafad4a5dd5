"""
Whether a child hangs: its heartbeat word does not change any more; pure.

Time is what the supervisor itself lived through: a look counts for at most
``LOOK_MAX_S``, so that a machine that slept, or a container that was paused,
does not make every child look dead when it wakes.
"""

from dataclasses import dataclass

LOOK_EVERY_S = 0.25
"""How often the supervisor looks."""
LOOK_MAX_S = 0.5
"""What the time between two looks counts for at most."""
WORKER_QUIET_MAX_S = 2.0
"""A ready worker beats once a second; then it is killed and replaced."""
CONTROL_QUIET_MAX_S = 10.0
"""Control beats once a second; only it can roll back, so it may not hang for ever."""
START_QUIET_MAX_S = 30.0
"""From start to ready; that takes below a second on an idle machine."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What was last seen of one child's heartbeat."""

    beat_ms: int = 0
    """The heartbeat word; 0 before the first beat."""
    quiet_s: float = 0.0
    """How long it did not change."""

    def seen(self, beat_ms: int, passed_s: float) -> "Pulse":
        """Return what holds after a look, ``passed_s`` after the one before."""
        if beat_ms != self.beat_ms:
            return Pulse(beat_ms, 0.0)
        return Pulse(beat_ms, self.quiet_s + min(passed_s, LOOK_MAX_S))
