"""
How well decisions are made, on simulated traffic, beside the rules of others.

``python benchmarks/decide.py --help`` lists the options; README.md says what is
simulated. Seeds are fixed: the same command prints the same figures.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import Pool
from pathlib import Path
from statistics import mean, median
from time import monotonic
from typing import Final

from decisions.rules import RULES
from decisions.scenarios import ALL, BAD, BY_NAME, GOOD
from decisions.trial import HELD, PROMOTED, ROLLED_BACK, Job, Result, lead

SUBJECT: Final = "headgate"
PLAIN: Final = "plain"
"""Runs as often as the subject: they differ by little."""
PROCESSES: Final = 2
RUNS: Final = {5.0: 12, 50.0: 32, 1000.0: 6}
"""Runs of each scenario and rule by requests a second."""
QUICK: Final = {50.0: 10, 1000.0: 2}
OTHERS_PART: Final = 4
"""The other rules run so much rarer: they differ by tens of percent."""
RESULTS: Final = Path(__file__).with_name("results") / "decisions.json"


def main() -> int:
    """Run, print, write."""
    options = _options()
    began_s = monotonic()
    jobs = list(_jobs(options))
    with Pool(PROCESSES) as pool:
        results = pool.map(lead, jobs, chunksize=4)
    rates = sorted({job.rate for job in jobs})
    rules = [rule for rule in RULES if any(job.rule == rule for job in jobs)]
    names = [one.name for one in ALL if any(job.scenario == one.name for job in jobs)]
    lines = _report(results, rates, rules, names)
    print("\n".join(lines))
    print(f"\n{len(jobs)} rollouts in {monotonic() - began_s:.0f} s")
    if options.write:
        RESULTS.write_text(json.dumps(_figures(results), indent=1) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Headgate only, a minute")
    parser.add_argument("--runs", type=int, help="of each cell, at every rate")
    parser.add_argument("--rates", type=float, nargs="+", help="requests a second")
    parser.add_argument("--rules", nargs="+", choices=RULES, metavar="RULE")
    parser.add_argument("--scenarios", nargs="+", choices=BY_NAME, metavar="SCENARIO")
    parser.add_argument("--write", action="store_true", help=f"figures to {RESULTS}")
    return parser.parse_args()


def _jobs(options: argparse.Namespace) -> Iterable[Job]:
    """Yield the rollouts, the long ones first."""
    runs = QUICK if options.quick else RUNS
    rates = sorted(options.rates or runs, reverse=True)
    rules = options.rules or ([SUBJECT] if options.quick else list(RULES))
    for rate in rates:
        for rule in rules:
            count = options.runs or runs.get(rate, min(runs.values()))
            if not options.runs and rule not in {SUBJECT, PLAIN}:
                count = max(count // OTHERS_PART, 1)
            for name in options.scenarios or [one.name for one in ALL]:
                for seed in range(count):
                    yield Job(name, rate, rule, seed)


# --- the table ---

Cells = dict[tuple[str, float, str], list[Result]]
Cell = Callable[[Sequence[Result]], str]


def _report(
    results: Sequence[Result],
    rates: Sequence[float],
    rules: Sequence[str],
    names: Sequence[str],
) -> list[str]:
    cells = _cells(results)
    good = [one.name for one in GOOD if one.name in names]
    bad = [one.name for one in BAD if one.name in names]
    other = [name for name in names if name not in (*good, *bad)]
    lines = []
    if good + other:
        lines += ["", "Good versions: rolled back % / median s to 100 %, h: held %", ""]
        lines += _table(cells, good + other, rates, rules, _good_cell)
    if bad:
        lines += ["", "Bad versions: missed % / median s to the rollback / harmed", ""]
        lines += _table(cells, bad, rates, rules, _bad_cell)
    lines += ["", "All: falsely rolled back % / detected % / harmed a bad rollout", ""]
    lines += _row(["rps", *rules]) + _row(["---"] * (len(rules) + 1))
    for rate in rates:
        row = [f"{rate:g}"]
        row += [_whole(cells, rate, rule, good, bad) for rule in rules]
        lines += _row(row)
    return lines


def _cells(results: Sequence[Result]) -> Cells:
    cells: Cells = defaultdict(list)
    for result in results:
        job = result.job
        cells[job.scenario, job.rate, job.rule].append(result)
    return cells


def _table(
    cells: Cells,
    names: Sequence[str],
    rates: Sequence[float],
    rules: Sequence[str],
    cell: Cell,
) -> list[str]:
    lines = _row(["scenario", "rps", *rules]) + _row(["---"] * (len(rules) + 2))
    for name in names:
        for rate in rates:
            found = [cells[name, rate, rule] for rule in rules]
            row = [name, f"{rate:g}", *(cell(one) if one else "" for one in found)]
            lines += _row(row)
    return lines


def _row(columns: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(columns) + " |"]


def _part(results: Sequence[Result], outcome: str) -> float:
    return 100.0 * sum(one.outcome == outcome for one in results) / len(results)


def _good_cell(results: Sequence[Result]) -> str:
    promoted = [one.seconds for one in results if one.outcome == PROMOTED]
    seconds = f"{median(promoted):.0f}" if promoted else "-"
    held = _part(results, HELD)
    return f"{_part(results, ROLLED_BACK):.1f} / {seconds}" + (
        f" h{held:.0f}" if held else ""
    )


def _bad_cell(results: Sequence[Result]) -> str:
    found = [one.detected_s for one in results if one.detected_s is not None]
    seconds = f"{median(found):.0f}" if found else "-"
    missed = _part(results, PROMOTED)
    return f"{missed:.0f} / {seconds} / {mean(one.harmed for one in results):.0f}"


def _whole(
    cells: Cells, rate: float, rule: str, good: Sequence[str], bad: Sequence[str]
) -> str:
    fine = [cells[name, rate, rule] for name in good if cells[name, rate, rule]]
    faulty = [cells[name, rate, rule] for name in bad if cells[name, rate, rule]]
    false = f"{mean(_part(one, ROLLED_BACK) for one in fine):.1f}" if fine else "-"
    if not faulty:
        return f"{false} / - / -"
    found = mean(_part(one, ROLLED_BACK) for one in faulty)
    harmed = mean(mean(one.harmed for one in cell) for cell in faulty)
    return f"{false} / {found:.0f} / {harmed:.0f}"


def _figures(results: Sequence[Result]) -> list[dict[str, object]]:
    """Return the cells as they are kept."""
    figures = []
    for (name, rate, rule), cell in sorted(_cells(results).items()):
        promoted = sorted(one.seconds for one in cell if one.outcome == PROMOTED)
        found = [one.detected_s for one in cell if one.detected_s is not None]
        figures.append(
            {
                "scenario": name,
                "rps": rate,
                "rule": rule,
                "runs": len(cell),
                "rolled_back_percent": round(_part(cell, ROLLED_BACK), 2),
                "held_percent": round(_part(cell, HELD), 2),
                "promoted_median_s": median(promoted) if promoted else None,
                "promoted_p95_s": _p95(promoted),
                "detected_median_s": median(found) if found else None,
                "exposed_mean": round(mean(one.exposed for one in cell), 1),
                "harmed_mean": round(mean(one.harmed for one in cell), 1),
            }
        )
    return figures


def _p95(ordered: Sequence[int]) -> int | None:
    return ordered[int(len(ordered) * 0.95)] if ordered else None


if __name__ == "__main__":
    raise SystemExit(main())
