"""
Which unit comes back most: one busy client is one witness, and is to be noticed.

Routing notes the bucket of a unit that was heard a moment ago and asks again;
ten times a second the last one noted is looked at. How often it is the same
bucket tells, together with how many requests were not heard, how much of a
version's traffic one unit is. Costs the path of such a request one store.
"""

from typing import TYPE_CHECKING, Final

from proxy.telemetry.layout import C_TOP_BUCKET, C_TOP_HITS, C_TOP_LOOKS

if TYPE_CHECKING:
    from proxy.dataplane.bound import BoundVersion

NOBODY: Final = -1
LOOKS_MAX: Final = 256
"""At so many looks all are halved: what is said is true of the last half minute."""


class Repeats:
    """The looks at one version's units."""

    __slots__ = ("_hits", "_looks", "last")

    def __init__(self) -> None:
        self.last = NOBODY
        """The bucket noted last; written by routing."""
        self._hits: dict[int, int] = {}
        self._looks = 0

    def look(self, version: "BoundVersion", words: memoryview) -> None:
        """Look at the bucket noted since the last look, and publish the busiest."""
        bucket = self.last
        if bucket == NOBODY:
            return
        self.last = NOBODY
        self._hits[bucket] = self._hits.get(bucket, 0) + 1
        self._looks += 1
        if self._looks >= LOOKS_MAX:
            self._hits = {at: n >> 1 for at, n in self._hits.items() if n > 1}
            self._looks >>= 1
        top = max(self._hits, key=self._hits.__getitem__)
        words[version.cell + C_TOP_BUCKET] = top
        words[version.cell + C_TOP_HITS] = self._hits[top]
        words[version.cell + C_TOP_LOOKS] = self._looks
