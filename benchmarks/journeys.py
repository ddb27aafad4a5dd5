"""
The same journeys through Headgate and straight to the shop: ``journeys.py``.

Starts the demo, lets Locust's users of locustfile.py walk through its shop,
directly and through Headgate in turns, and reports both, for each step of the
journey. Options after ``--`` are Locust's (``-- --users 500``).
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import against_demo
import report

WAYS: Final = ("direct", "headgate")
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
USERS: Final = ("--users", "100", "--spawn-rate", "100")
BEYOND_S: Final = 30.0
"""What a run may take longer than it was told to."""

Times = dict[int, int]
"""How many requests took how many ms, as Locust rounds them."""


def main() -> int:
    """Walk in turns, print, write; 1 if any request failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=10, help="of one walk")
    parser.add_argument("--output", type=Path, help="a file for the figures")
    parser.add_argument("locust", nargs="*", help="options of Locust")
    options = parser.parse_args()
    found = compare(options.rounds, options.seconds, options.locust or USERS)
    if found is None:
        return 1
    print(table(found))
    report.write(found, options.output)
    return int(any(row["failed"] for rows in found.values() for row in rows.values()))


def compare(
    rounds: int, seconds: int, users: Sequence[str]
) -> dict[str, dict[str, Any]] | None:
    """Return for each step and way what its requests took; None: no demo."""
    taken: dict[str, list[Any]] = {way: [] for way in WAYS}
    with against_demo.demo() as environ:
        if environ is None:
            return None
        hosts = {
            "direct": _shop(environ),
            "headgate": f"http://127.0.0.1:{environ['HEADGATE_DEMO_PORT']}",
        }
        for _ in range(rounds):
            for way, host in hosts.items():
                taken[way] += _walk(environ, way, host, seconds, users)
    steps = sorted({f"{one['method']} {one['name']}" for one in taken["headgate"]})
    return {
        step: {way: summary(step, taken[way], rounds * seconds) for way in WAYS}
        for step in steps
    }


def _shop(environ: Mapping[str, str]) -> str:
    """Return where the version is that gets everything, as Headgate knows it."""
    port = environ["HEADGATE_DEMO_ADMIN_PORT"]
    url = f"http://127.0.0.1:{port}/api/v1/config"
    with urllib.request.urlopen(url, timeout=10) as answer:
        settings = json.load(answer)["settings"]
    endpoint: str = settings["services"]["shop"]["versions"]["blue"]["endpoints"][0]
    return endpoint


def _walk(
    environ: Mapping[str, str], way: str, host: str, seconds: int, users: Sequence[str]
) -> list[dict[str, Any]]:
    """Return Locust's own figures for one walk."""
    command = [sys.executable, "-m", "locust", "--headless", "--json", "--skip-log"]
    command += ["--locustfile", str(Path(__file__).with_name("locustfile.py"))]
    command += ["--host", host, "--run-time", f"{seconds}s", *users]
    done = subprocess.run(
        command,
        check=False,  # its exit code is 1 if a request failed: see `failed`
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds + BEYOND_S,
        env={**os.environ, **environ, "HEADGATE_WAY": way},
    )
    figures: list[dict[str, Any]] = json.loads(done.stdout)
    return figures


def summary(
    step: str, taken: Sequence[Mapping[str, Any]], over_s: int
) -> dict[str, Any]:
    """Return requests, failures and quantiles in ms of a step over all walks."""
    own = [one for one in taken if f"{one['method']} {one['name']}" == step]
    times: Times = {}
    for one in own:
        for shown_ms, count in one["response_times"].items():
            taken_ms = int(float(shown_ms))
            times[taken_ms] = times.get(taken_ms, 0) + count
    requests = sum(one["num_requests"] for one in own)
    total_ms = sum(one["total_response_time"] for one in own)
    return {
        "requests": requests,
        "requests_per_s": round(requests / over_s, 1),
        "failed": sum(one["num_failures"] for one in own),
        "mean": round(total_ms / max(requests, 1), 2),
        **{name: quantile(times, share) for name, share in QUANTILES.items()},
    }


def quantile(times: Times, share: float) -> int:
    """Return the time in ms that so large a share of the requests took at most."""
    rank = share * sum(times.values())
    seen = 0
    for taken_ms in sorted(times):
        seen += times[taken_ms]
        if seen >= rank:
            return taken_ms
    return 0


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return all steps as text."""
    columns = ("mean", *QUANTILES)
    lines = [
        f"journeys, ms\n  {'step':<18}{'way':<10}{'req/s':>8}"
        + "".join(f"{name:>8}" for name in columns)
        + f"{'failed':>8}"
    ]
    for step, ways in found.items():
        for way, row in ways.items():
            lines.append(
                f"  {step:<18}{way:<10}{row['requests_per_s']:>8.1f}"
                + "".join(f"{row[name]:>8}" for name in columns)
                + f"{row['failed']:>8}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
