"""Medians of rounds, ratios to Headgate, as a table and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from measure import Round

Rounds = Mapping[str, Sequence[Round]]
"""The rounds of each peer in one scenario."""


def summary(rounds: Rounds, subject: str) -> dict[str, Any]:
    """
    Return medians of each peer, and how the subject compares to it.

    Ratios are medians of the rounds' own ratios: both sides of one ratio were
    measured within seconds of one another, so slow drifts fall out.
    """
    found: dict[str, Any] = {}
    for name, own in rounds.items():
        figures = {
            field: round(median(getattr(one, field) for one in own), 3)
            for field in ("requests_per_s", "cpu_us", "p50_ms", "p99_ms")
        }
        pairs = list(zip(rounds[subject], own, strict=False))
        figures["subject_cpu_ratio"] = _median_ratio(
            (mine.cpu_us, other.cpu_us) for mine, other in pairs
        )
        figures["subject_rate_ratio"] = _median_ratio(
            (mine.requests_per_s, other.requests_per_s) for mine, other in pairs
        )
        figures["failed"] = sum(one.failed for one in own)
        figures["rounds"] = [asdict(one) for one in own]
        found[name] = figures
    return found


def write(document: Mapping[str, Any], path: Path | None) -> None:
    """Write figures as JSON, if somebody named a file for them."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")


def _median_ratio(pairs: Any) -> float:  # noqa: ANN401
    return round(median(a / b if b else 0.0 for a, b in pairs), 3)


def table(title: str, peers: Mapping[str, Any], subject: str) -> str:
    """Return one scenario as text."""
    heading = (
        f"{title}\n  {'peer':<12}{'req/s':>9}{'CPU µs':>9}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'failed':>8}   {subject} against it"
    )
    lines = [heading]
    for name, one in peers.items():
        line = (
            f"  {name:<12}{one['requests_per_s']:>9.0f}{one['cpu_us']:>9.1f}"
            f"{one['p50_ms']:>9.2f}{one['p99_ms']:>9.2f}{one['failed']:>8}"
        )
        if name != subject:
            line += (
                f"   {one['subject_cpu_ratio']:.2f} × CPU, "
                f"{one['subject_rate_ratio']:.2f} × requests/s"
            )
        lines.append(line)
    return "\n".join(lines)
