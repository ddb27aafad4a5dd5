"""
Whether mirroring both ways loads both versions alike, while the canary has users.

Each version serves its live share and gets copies of the other's. If copies of
one side are skipped much more often than the other's (a version that hangs fills
``max_inflight``), it runs with less load, and its latency says nothing of how it
compares: then latency objectives are undecided, and it is said why.
"""

from dataclasses import dataclass, replace

from proxy.model.judging import LATENCY, TTFB, Judgement
from proxy.model.vocabulary import Reason, Verdict

REQUESTS_MIN = 100
"""Live requests of either version before shares of copies are compared."""
APART_MAX = 0.1
"""Shares of copied requests may differ by so much: sampling alone does a part."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Live requests and copies of one weight epoch so far, or since the start."""

    stable_routed: int = 0
    canary_routed: int = 0
    to_stable: int = 0
    """Copies of the canary's requests that were sent to stable."""
    to_canary: int = 0

    def since(self, before: "Loads") -> "Loads":
        """Return what was added."""
        return Loads(
            self.stable_routed - before.stable_routed,
            self.canary_routed - before.canary_routed,
            self.to_stable - before.to_stable,
            self.to_canary - before.to_canary,
        )

    def unfair(self) -> str:
        """Return why the loads cannot be compared; empty: they can."""
        if min(self.stable_routed, self.canary_routed) < REQUESTS_MIN:
            return ""
        forth = self.to_canary / self.stable_routed
        back = self.to_stable / self.canary_routed
        if abs(forth - back) <= APART_MAX:
            return ""
        return (
            f"{min(forth, 1.0):.0%} of stable's requests were copied to the canary and "
            f"{min(back, 1.0):.0%} of the canary's to stable: they do not carry the "
            "same load"
        )


class Fairness:
    """Loads of each service since its weights last changed."""

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, Loads]] = {}

    def forget(self, service: str) -> None:
        """Begin anew with a service."""
        self._marks.pop(service, None)

    def look(self, service: str, epoch: int, loads: Loads) -> str:
        """Note the loads so far; return why latencies cannot be judged, if so."""
        known = self._marks.get(service)
        if known is None or known[0] != epoch:
            self._marks[service] = (epoch, loads)
            return ""
        return loads.since(known[1]).unfair()


def without_latency(judgement: Judgement, why: str) -> Judgement:
    """Return a judgement in which latencies are undecided, and why."""
    slos = tuple(
        replace(slo, verdict=Verdict.UNDECIDED)
        if slo.id.startswith((f"{LATENCY}-", f"{TTFB}-"))
        else slo
        for slo in judgement.slos
    )
    if slos == judgement.slos:
        return judgement
    if any(slo.verdict is Verdict.FAIL for slo in slos):
        return replace(judgement, slos=slos)
    return replace(
        judgement,
        verdict=Verdict.UNDECIDED,
        reason=Reason.UNDECIDED,
        message=f"latency cannot be judged: {why}",
        slos=slos,
    )
