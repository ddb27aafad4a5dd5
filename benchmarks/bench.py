"""
All benchmarks, short: what ``make bench`` runs, five minutes on an idle machine.

Prints each table when it is there; writes them to results/latest.txt and all
figures, each round included, to results/latest.json. The options are those of
``compare.py``. What cannot run here is named and left out.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import compare
import guard
import journeys
import latency
import report
import workers
from peers.base import program

RESULTS: Final = Path(__file__).with_name("results")
MICRO: Final = Path(__file__).with_name("micro")
LATENCY_PEERS: Final = ("headgate", "nginx", "envoy")
WALK_S: Final = 5


class Report:
    """What was found so far."""

    def __init__(self) -> None:
        self.tables: list[str] = []
        self.document: dict[str, Any] = {"machine": compare.machine()}

    def say(self, text: str) -> None:
        """Print a table, and keep it."""
        print(text, flush=True)
        self.tables.append(text)

    def write(self, path: Path) -> None:
        """Write figures, and the tables beside them."""
        report.write(self.document, path)
        path.with_suffix(".txt").write_text("\n".join(self.tables) + "\n")


def main() -> int:
    """Run everything; 1 if anything is missing that nothing can do without."""
    parser = compare.parser()
    parser.set_defaults(rounds=3, seconds=1.0, output=RESULTS / "latest.json")
    options = compare.checked(parser.parse_args())
    if why := compare.missing():
        print(why)
        return 1
    found = Report()
    machine = found.document["machine"]
    found.say(", ".join(f"{name} {value}" for name, value in machine.items()))
    found.document |= compare.compare(options, found.say)
    _everything_else(found, options.rounds, options.seconds)
    found.write(options.output)
    return 0


def _everything_else(found: Report, rounds: int, seconds: float) -> None:
    found.document["workers"] = one = workers.compare(rounds, seconds)
    found.say(workers.table(one))
    found.document["latency"] = late = latency.compare(
        LATENCY_PEERS, latency.RATES, rounds, seconds
    )
    for rate, rows in late["rates"].items():
        found.say(latency.table(rate, rows))
    walked = journeys.compare(2, WALK_S, journeys.USERS)
    if walked is not None:
        found.document["journeys"] = walked
        found.say(journeys.table(walked))
    if program("valgrind") is None:
        found.say("instructions are left out: no valgrind (apt-get install valgrind)")
    else:
        found.document["instructions"] = ratios = guard.measure()
        recorded = json.loads(guard.RECORDED.read_text())
        found.say("\n".join(guard.compare(recorded, ratios, guard.python())[0]))
    found.document["micro"] = micro = _micro()
    found.say(_micro_table(micro))


def _micro() -> dict[str, dict[str, float]]:
    """Return the least and the median µs of each function in micro/."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        path = Path(directory) / "micro.json"
        command = [sys.executable, "-m", "pytest", "-q", str(MICRO)]
        command += ["--benchmark-json", str(path), "--benchmark-quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        document = json.loads(path.read_text())
    return {
        one["name"].removeprefix("test_"): {
            "least_us": round(one["stats"]["min"] * 1e6, 3),
            "median_us": round(one["stats"]["median"] * 1e6, 3),
        }
        for one in document["benchmarks"]
    }


def _micro_table(found: dict[str, dict[str, float]]) -> str:
    lines = [f"single functions, µs\n  {'':<26}{'least':>9}{'median':>9}"]
    for name, one in found.items():
        shown = name.replace("_", " ")
        lines.append(f"  {shown:<26}{one['least_us']:>9.2f}{one['median_us']:>9.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
