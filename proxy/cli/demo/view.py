"""
What the demo shows at one moment, from the admin API's documents: pure.

Decides which figures stand in which column and how they are written. Where they
appear is ``screen``'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

NOTHING = "–"
"""Stands where there is no figure yet."""

TITLES = (
    "ROLE",
    "VERSION",
    "REVISION",
    "WEIGHT",
    "REQUESTS",
    "REQ/S",
    "P50",
    "P99",
    "ERRORS",
    "ORDERS",
    "VERDICT",
)


@dataclass(frozen=True, slots=True)
class Users:
    """What the load generator counted in this story."""

    sent: int
    failed: int
    """Requests whose user saw an error."""


@dataclass(frozen=True, slots=True)
class View:
    """One picture: two rows of figures, where the rollout stands, and the users."""

    rows: tuple[tuple[str, ...], ...]
    """The cells of stable and of the canary, in the order of ``TITLES``."""
    weight: float
    """The canary's share, in percent."""
    phase: str
    """Phase, reason and step."""
    message: str
    """Why it is there and what it waits for, in Headgate's own words."""
    users: str


def draw(service: Json, rollout: Json, before: Mapping[str, int], users: Users) -> View:
    """
    Return the picture of a moment.

    Args:
        service: the service as ``GET /api/v1/services/{service}`` has it.
        rollout: the rollout as ``GET /api/v1/rollouts/{service}`` has it.
        before: requests by version before this story began.
        users: what the load generator counted.
    """
    by_role = {version["role"]: version for version in service["versions"]}
    rows = tuple(
        _row(by_role[role], rollout, before.get(by_role[role]["name"], 0))
        for role in ("stable", "canary")
    )
    return View(
        rows=rows,
        weight=float(by_role["canary"]["weight"] or 0),
        phase=_phase(rollout),
        message=str(rollout["message"] or ""),
        users=f"users sent {users.sent} requests, {users.failed} of them saw an error",
    )


def _row(version: Json, rollout: Json, before: int) -> tuple[str, ...]:
    """Return the cells of one version."""
    latency = version["latency"]
    orders = version["events"].get("orders", {})
    verdict = rollout["verdict"] if version["role"] == "canary" else None
    return (
        version["role"],
        version["name"],
        version["revision"] or NOTHING,
        f"{version['weight']:g} %",
        str(max(0, version["requests"] - before)),
        _figure(version["rate_per_s"], 1, ""),
        _figure(latency["p50"], 1000, " ms"),
        _figure(latency["p99"], 1000, " ms"),
        _figure(version["error_rate"], 100, " %"),
        _figure(orders.get("per_request"), 100, " %"),
        verdict or NOTHING,
    )


def _phase(rollout: Json) -> str:
    """Return phase, reason and step in one phrase."""
    words = [str(rollout["phase"])]
    if rollout["reason"]:
        words.append(f"({rollout['reason']})")
    if rollout["phase"] == "Progressing":
        words.append(f"step {rollout['step']} of {len(rollout['steps'])}")
    return " ".join(words)


def _figure(value: float | None, factor: float, unit: str) -> str:
    """Return a figure as people read it, or that there is none."""
    if value is None:
        return NOTHING
    scaled = value * factor
    return f"{scaled:.1f}{unit}" if 0 < scaled < 100 else f"{scaled:.0f}{unit}"  # noqa: PLR2004 three digits
