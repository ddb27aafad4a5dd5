"""
The canary's last attempts over all workers, and stable's in the same seconds.

Workers trip by themselves on what they see; a canary whose failures are spread
over many workers is seen here, ten times a second. The rule itself is
``analysis.fail_fast``; this only keeps the last readings of the counters.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.analysis.fail_fast import Recent, decide, is_shared
from proxy.model.judging import FailFast
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag
from proxy.telemetry.cut import (
    ERROR_CODE_MIN,
    Readable,
    read_again,
    read_attempts,
    read_errors,
)

SAMPLES_MAX = 600
"""A minute of tenths of seconds; a canary slower than that is for the judge."""

BASELINE_S = 1.0
"""While no attempt fails a reading is taken this often, for later ones to be
compared with; an old one would mix successes of long ago into "the last"."""

TRIP_LOOKS = 3
"""A worker's trip is believed after so many looks at most: stable needs a moment to
show whether it fails too, and the worker that tripped waits at zero meanwhile."""

STABLE_ATTEMPTS_MIN = 10
"""So many attempts of stable since the reading before show it at once."""

CONNECT_CODES = frozenset({FLAG_CODE_BASE + Flag.UF, FLAG_CODE_BASE + Flag.UCT})


@dataclass(frozen=True, slots=True)
class Attempts:
    """A version's attempts up to a moment."""

    total: int
    errors: int
    connect_failures: int

    def since(self, earlier: "Attempts") -> "Attempts":
        """Return what was added after ``earlier``."""
        return Attempts(
            self.total - earlier.total,
            self.errors - earlier.errors,
            self.connect_failures - earlier.connect_failures,
        )


class Lately:
    """One service's last readings, within one weight epoch."""

    __slots__ = ("_epoch", "_errors", "_read_s", "_samples", "_trip_looks")

    def __init__(self) -> None:
        self._epoch = -1
        self._errors = b""
        self._read_s = 0.0
        self._trip_looks = 0
        self._samples: deque[tuple[Attempts, Attempts]] = deque(maxlen=SAMPLES_MAX)

    def add(
        self,
        slab: Readable,
        epoch: int,
        *,
        canary_cell: int,
        stable_cell: int,
        now_s: float,
        tripped: bool = False,
    ) -> bool:
        """
        Take a reading if there is anything new to judge; return whether there is.

        Another epoch forgets the readings before. While the canary's errors do
        not move and no worker ``tripped``, one reading in ``BASELINE_S`` is enough.
        """
        if epoch != self._epoch:
            self._epoch = epoch
            self._errors = b""
            self._trip_looks = 0
            self._samples.clear()
        self._trip_looks += tripped
        errors = read_errors(slab, canary_cell)
        moved = errors != self._errors
        if not (moved or tripped) and now_s - self._read_s < BASELINE_S:
            return False
        self._errors, self._read_s = errors, now_s
        canary = _attempts(slab, canary_cell)
        stable = _attempts(slab, stable_cell)
        self._samples.append((canary, stable))
        return moved

    def verdict(self, limits: FailFast) -> str:
        """Return why the canary must go at once, as a sentence; else ``""``."""
        return decide(limits, *self._refused()) or decide(
            limits, *self.recent(limits.requests)
        )

    def recent(self, requests: int) -> tuple[Recent, Recent]:
        """Return canary and stable over the canary's last ``requests`` attempts."""
        canary = stable = Attempts(0, 0, 0)
        for span in self._spans():
            canary, stable = span
            if canary.total >= requests:
                break
        return Recent(canary.total, canary.errors), Recent(stable.total, stable.errors)

    def _refused(self) -> tuple[Recent, Recent]:
        """Return both over the readings in which no connect to the canary worked."""
        canary = stable = Attempts(0, 0, 0)
        for seen, beside in self._spans():
            if seen.connect_failures < seen.total:
                break
            canary, stable = seen, beside
        return (
            Recent(canary.total, canary.errors, canary.connect_failures),
            Recent(stable.total, stable.errors),
        )

    def _spans(self) -> Iterator[tuple[Attempts, Attempts]]:
        """Yield what was added since each reading, the newest first."""
        for canary, stable in reversed(self._samples):
            newest_canary, newest_stable = self._samples[-1]
            yield newest_canary.since(canary), newest_stable.since(stable)

    def ripe(self, requests: int) -> bool:
        """Tell whether stable was seen enough to believe a worker's trip, or not."""
        _, stable = self.recent(requests)
        enough = stable.requests >= STABLE_ATTEMPTS_MIN
        return enough or self._trip_looks >= TRIP_LOOKS

    def shared(self, requests: int) -> bool:
        """Tell whether stable fails like the canary over the same readings."""
        return is_shared(*self.recent(requests))

    def sentence(self, requests: int) -> str:
        """Return what the last attempts were, whether or not that is too bad."""
        canary, stable = self.recent(requests)
        return (
            f"{canary.errors} of the last {canary.requests} canary attempts failed, "
            f"stable {stable.errors} of {stable.requests}"
        )


def _attempts(slab: Readable, cell: int) -> Attempts:
    """Read a version's first attempts; what was sent to it again says nothing."""
    codes, again = read_attempts(slab, cell), read_again(slab, cell)
    errors = sum(n for code, n in codes.items() if code >= ERROR_CODE_MIN)
    return Attempts(
        total=sum(codes.values()) - again.attempts,
        errors=errors - again.failed,
        connect_failures=sum(codes.get(code, 0) for code in CONNECT_CODES),
    )
