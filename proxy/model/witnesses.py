"""
Who is heard as a witness: which requests of one unit are evidence.

One busy client is one witness and not a thousand, so a unit's bucket is heard
at most once in ``WITNESS_AGAIN_S`` seconds per version, and after an answer that
was an error, or slower than 99 of a hundred of stable's, not for ``FAILED_AGAIN_S``:
a client whose every request fails or is slow, whichever version answers, sits on
one arm and would speak against it each time.
Both arms are treated alike, so what is left is as comparable as before. The
data plane keeps the same rule in shared memory; this is the rule itself.
"""

from collections.abc import Hashable

WITNESS_AGAIN_S = 10
FAILED_AGAIN_S = 60
FAILED_STATUS_MIN = 400
"""4xx too: the guard on client errors must not hear one broken client all day."""


class Witnesses:
    """One version's witnesses; a unit is anything that can be a key."""

    __slots__ = ("_silent_until_s",)

    def __init__(self) -> None:
        self._silent_until_s: dict[Hashable, float] = {}

    def hear(self, unit: Hashable, now_s: float) -> bool:
        """Whether a request that ``unit`` sends now is evidence; it is noted then."""
        if now_s < self._silent_until_s.get(unit, now_s):
            return False
        self._silent_until_s[unit] = now_s + WITNESS_AGAIN_S
        return True

    def ended(
        self, unit: Hashable, code: int, now_s: float, *, slow: bool = False
    ) -> None:
        """Note how a request that was evidence ended; ``slow``: beyond stable's p99."""
        if code >= FAILED_STATUS_MIN or slow:
            self._silent_until_s[unit] = now_s + FAILED_AGAIN_S
