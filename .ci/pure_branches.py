"""
Fail when too few branches of the pure packages were run by the tests.

Decides over the data that ``coverage combine`` left; runs no test itself. Only
branches count here, not lines: a line can be run without its other way out.

Use: ``pure_branches.py MINIMUM_PERCENT PATH...``
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Print one line a path; 0 when all together reach the minimum, else 1."""
    minimum_percent = float(arguments[0])
    files = _report()["files"]
    covered_sum = branches_sum = 0
    for path in arguments[1:]:
        covered, branches = _branches(files, path)
        covered_sum += covered
        branches_sum += branches
        print(f"{path:<24} {covered:>5} of {branches:>5} branches")
    if not branches_sum:
        print("no branch of the pure packages was measured", file=sys.stderr)
        return 1
    percent = 100 * covered_sum / branches_sum
    print(f"pure packages: {percent:.1f} % of branches, at least {minimum_percent:g} %")
    if percent >= minimum_percent:
        return 0
    for name in sorted(files):
        missing = files[name].get("missing_branches", [])
        if missing and any(_belongs(name, path) for path in arguments[1:]):
            print(f"{name}: not taken: {missing}", file=sys.stderr)
    return 1


def _report() -> dict[str, Any]:
    """Return coverage's own JSON report of the combined data."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "coverage.json")
        command = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(path)]
        subprocess.run(command, check=True)  # noqa: S603 our own interpreter
        report: dict[str, Any] = json.loads(path.read_text())
    return report


def _branches(files: dict[str, Any], path: str) -> tuple[int, int]:
    """Return how many branches below ``path`` were taken, and how many there are."""
    summaries = [files[name]["summary"] for name in files if _belongs(name, path)]
    return (
        sum(summary["covered_branches"] for summary in summaries),
        sum(summary["num_branches"] for summary in summaries),
    )


def _belongs(name: str, path: str) -> bool:
    """Tell whether the file is the path or lies below it."""
    return name == path or name.startswith(f"{path}/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
