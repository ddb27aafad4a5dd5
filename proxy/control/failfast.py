"""
The canary's last attempts over all workers, and stable's in the same seconds.

Workers trip by themselves on what they see; a canary whose failures are spread
over many workers is seen here, ten times a second. The rule itself is
``analysis.fail_fast``; this only keeps the last readings of the counters.
"""

from collections import deque
from dataclasses import dataclass

from proxy.analysis.fail_fast import Recent, decide
from proxy.model.judging import FailFast
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag
from proxy.telemetry.cut import Counts, Readable, read_attempts

SAMPLES_MAX = 600
"""A minute of tenths of seconds; a canary slower than that is for the judge."""

ERROR_CODE_MIN = 500
"""A 5xx, or (from 600) an attempt without a usable answer."""

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

    __slots__ = ("_epoch", "_samples")

    def __init__(self) -> None:
        self._epoch = -1
        self._samples: deque[tuple[Attempts, Attempts]] = deque(maxlen=SAMPLES_MAX)

    def add(
        self, slab: Readable, epoch: int, *, canary_cell: int, stable_cell: int
    ) -> None:
        """Take a reading; another epoch forgets the ones before."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._samples.clear()
        canary = _attempts(read_attempts(slab, canary_cell))
        stable = _attempts(read_attempts(slab, stable_cell))
        self._samples.append((canary, stable))

    def verdict(self, limits: FailFast) -> str:
        """Return why the canary must go at once, as a sentence; else ``""``."""
        canary, stable = self.recent(limits.requests)
        return decide(limits, canary, stable)

    def recent(self, requests: int) -> tuple[Recent, Recent]:
        """Return canary and stable over the canary's last ``requests`` attempts."""
        if not self._samples:
            return Recent(), Recent()
        newest_canary, newest_stable = self._samples[-1]
        canary = stable = Attempts(0, 0, 0)
        in_a_row, unbroken = 0, True
        for before_canary, before_stable in reversed(self._samples):
            canary = newest_canary.since(before_canary)
            stable = newest_stable.since(before_stable)
            unbroken = unbroken and canary.connect_failures == canary.total
            in_a_row = canary.total if unbroken else in_a_row
            if canary.total >= requests:
                break
        return (
            Recent(canary.total, canary.errors, in_a_row),
            Recent(stable.total, stable.errors),
        )

    def sentence(self, requests: int) -> str:
        """Return what the last attempts were, whether or not that is too bad."""
        canary, stable = self.recent(requests)
        return (
            f"{canary.errors} of the last {canary.requests} canary attempts failed, "
            f"stable {stable.errors} of {stable.requests}"
        )


def _attempts(codes: Counts) -> Attempts:
    return Attempts(
        total=sum(codes.values()),
        errors=sum(n for code, n in codes.items() if code >= ERROR_CODE_MIN),
        connect_failures=sum(codes.get(code, 0) for code in CONNECT_CODES),
    )
