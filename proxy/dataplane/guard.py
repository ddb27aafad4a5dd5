"""
When copies stop by themselves: their target does not answer, or floods us.

A canary that cannot take copies may serve live requests too, so it is let alone:
once more than half of the last ``WINDOW`` copies had no answer, or one that had to
be cut after a megabyte, none is sent for ``STOP_S``; then a fresh window begins.
So a target that stays dead gets at most ``WINDOW`` copies in each of these times,
and one that comes back is found.
"""

from typing import Final

WINDOW: Final = 50
FAILED_MAX: Final = WINDOW // 2
STOP_S: Final = 30.0
_MASK: Final = (1 << WINDOW) - 1


class Guard:
    """
    The last outcomes of the copies for one version, in one worker.

    ``failed`` has a bit for each (while it is 0, a good one changes nothing);
    before ``until_s`` no copies are to be sent.
    """

    __slots__ = ("failed", "until_s")

    def __init__(self) -> None:
        self.failed = 0
        self.until_s = 0.0

    def note(self, now_s: float, *, failed: bool) -> None:
        """Note how a copy ended; 5xx is an answer."""
        self.failed = (self.failed << 1 | failed) & _MASK
        if failed and self.failed.bit_count() > FAILED_MAX:
            self.failed = 0
            self.until_s = now_s + STOP_S
