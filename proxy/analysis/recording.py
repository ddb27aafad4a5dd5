"""
One second of a rollout as a line of text, and back: what the judge was shown.

A recording is such lines, one a tick: the evidence that was added, the traffic,
health and external readings of that second. Shown to ``judge`` again, under the
same plan or another, they give the same or another verdict at the same time.

Sparse counts are written as gaps: bucket numbers of a histogram lie close
together, so a line compresses well. Nothing here reads a file or a clock.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.analysis.values import Evidence, RouteEvidence, Window
from proxy.model.external import Reading

AT_DIGITS = 3
"""Milliseconds of Unix time and of a tick's length are kept."""

_COUNTS = {
    "codes": "k",
    "latency": "l",
    "ttfb": "f",
    "censored": "z",
    "ages": "g",
}
"""The sparse counts of a window and their key in a line."""


@dataclass(frozen=True, slots=True)
class Second:
    """What one tick was made of."""

    at_s: float
    """Unix time."""
    dt_s: float
    """Since the tick before."""
    weight: float
    """The canary's live percent."""
    evidence: Evidence | None = None
    """``None`` while the canary has no live weight."""
    canary_routed: int = 0
    stable_routed: int = 0
    canary_healthy: bool = True
    stable_healthy: bool = True
    canary_capacity: float = 1.0
    """The part of the canary's endpoints that is healthy."""
    mirrored: int = 0
    """Mirrored requests that the canary answered."""
    mirror_failed: int = 0
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """Newest readings of external metrics by id."""


def written(second: Second) -> str:
    """Return a second as one line of JSON."""
    line: dict[str, Any] = {
        "t": round(second.at_s, AT_DIGITS),
        "d": round(second.dt_s, AT_DIGITS),
        "w": second.weight,
    }
    if second.canary_routed or second.stable_routed:
        line["n"] = [second.canary_routed, second.stable_routed]
    if not (second.canary_healthy and second.stable_healthy):
        line["h"] = [int(second.canary_healthy), int(second.stable_healthy)]
    if second.canary_capacity < 1.0:
        line["c"] = round(second.canary_capacity, 4)
    if second.mirrored or second.mirror_failed:
        line["m"] = [second.mirrored, second.mirror_failed]
    if second.readings:
        line["x"] = {
            name: [round(one.at_s, AT_DIGITS), one.value, one.error]
            for name, one in second.readings.items()
        }
    evidence = second.evidence
    if evidence is not None:
        line["e"] = evidence.epoch
        line["b"] = int(evidence.baseline)
        line["r"] = {name: _arms(arms) for name, arms in evidence.routes.items()}
    return json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def read(line: str) -> Second:
    """
    Return the second that ``written`` put down.

    Raises:
        ValueError: the line is none.
    """
    try:
        said = json.loads(line)
        routed, healthy = said.get("n", (0, 0)), said.get("h", (1, 1))
        copies = said.get("m", (0, 0))
        return Second(
            at_s=float(said["t"]),
            dt_s=float(said["d"]),
            weight=float(said["w"]),
            evidence=_evidence(said) if "e" in said else None,
            canary_routed=int(routed[0]),
            stable_routed=int(routed[1]),
            canary_healthy=bool(healthy[0]),
            stable_healthy=bool(healthy[1]),
            canary_capacity=float(said.get("c", 1.0)),
            mirrored=int(copies[0]),
            mirror_failed=int(copies[1]),
            readings={
                name: Reading(float(at_s), value, str(error))
                for name, (at_s, value, error) in said.get("x", {}).items()
            },
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{line[:80]!r} is no second of a recording") from error


def _evidence(said: Mapping[str, Any]) -> Evidence:
    routes = {
        name: RouteEvidence(
            _window(arms.get("s", {})),
            _window(arms.get("c", {})),
            _window(arms["a"]) if "a" in arms else None,
        )
        for name, arms in said["r"].items()
    }
    return Evidence(int(said["e"]), routes, bool(said["b"]))


def _arms(arms: RouteEvidence) -> dict[str, Any]:
    shown = {"s": _shown(arms.stable), "c": _shown(arms.canary)}
    lines = {name: window for name, window in shown.items() if window}
    if arms.control is not None:
        lines["a"] = _shown(arms.control)
    return lines


def _shown(window: Window) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for name, key in _COUNTS.items():
        counts = getattr(window, name)
        if counts:
            line[key] = _gaps(counts)
    if window.counts:
        line["o"] = {name: list(pair) for name, pair in window.counts.items()}
    if window.assigned is not None:
        line["n"] = window.assigned
    if window.top_unit is not None:
        line["u"] = round(window.top_unit, 4)
    return line


def _window(line: Mapping[str, Any]) -> Window:
    counts = {name: _counts(line.get(key, ())) for name, key in _COUNTS.items()}
    return Window(
        **counts,
        counts={name: (pair[0], pair[1]) for name, pair in line.get("o", {}).items()},
        assigned=line.get("n"),
        top_unit=line.get("u"),
    )


def _gaps(counts: Mapping[int, int]) -> list[int]:
    """Return ``[gap to the key before, count, …]`` in rising order of the keys."""
    line: list[int] = []
    before = 0
    for key in sorted(counts):
        line += (key - before, counts[key])
        before = key
    return line


def _counts(line: Any) -> dict[int, int]:  # noqa: ANN401 -- JSON
    counts: dict[int, int] = {}
    key = 0
    for at in range(0, len(line), 2):
        key += line[at]
        counts[key] = line[at + 1]
    return counts
