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
"""A worker beats several times a second; then it is killed and replaced."""
CONTROL_QUIET_MAX_S = 10.0
"""Control beats every second; only it can roll back, so it may not hang for ever."""
FIRST_BEAT_MAX_S = 30.0
"""From start to first beat, which takes below a second on an idle machine."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What was last seen of one child's heartbeat."""

    quiet_max_s: float
    beat_ms: int = 0
    quiet_s: float = 0.0

    def seen(self, beat_ms: int, passed_s: float) -> "Pulse":
        """Return what holds after a look, ``passed_s`` after the one before."""
        if beat_ms != self.beat_ms:
            return Pulse(self.quiet_max_s, beat_ms, 0.0)
        quiet_s = self.quiet_s + min(passed_s, LOOK_MAX_S)
        return Pulse(self.quiet_max_s, beat_ms, quiet_s)

    @property
    def stalled(self) -> bool:
        """Whether the child hangs and should be killed."""
        limit_s = self.quiet_max_s if self.beat_ms else FIRST_BEAT_MAX_S
        return self.quiet_s > limit_s
