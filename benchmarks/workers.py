"""
Two workers against one: what a further core is worth, and whether shares hold.

The whole product runs with one worker and with two, in turns. Compared is how
many requests fit into a second in which every worker has a core's whole time:
workers times a million µs by the CPU time of all of them for a request. (How
busy each was says nothing here: the generator waits for every answer, and so
asks the worker more that has the emptier core.) Measured twice:

- *apart*: all workers on core 0, generator and origin on core 1, so that the
  workers have all they can do, as on a machine with more cores;
- *together*: everything on both cores. The generator takes half of them, so two
  workers wait in between, find less to do at a time, and pay more for it.

Then every unit of some hundred is asked for over connections of its own, through
both: each must get the version that its bucket says, whichever worker it meets.
"""

import argparse
import contextlib
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import measure
import origin
import report
from peers.base import CANARY_PERCENT, PLAIN, UNIT_FIELD, VERSION_FIELD, Site, free_port
from peers.headgate_tree import HeadgateTree

from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.routing.buckets import bucket_of_unit, salt_prefix

WORKERS: Final = (1, 2)
APART: Final = "apart"
PLACES: Final = (APART, "together")
CONNECTIONS: Final = 256
"""The kernel spreads them over listeners by a hash: many fall more evenly."""
UNITS: Final = 400
SALT: Final = "shop-0"
"""The service's name: no revision was seen and none is set."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One round of so many workers: CPU µs of all of them for a request."""

    workers: int
    requests_per_s: float
    cpu_us: float

    @property
    def capacity(self) -> float:
        """Requests in a second in which each worker has a core."""
        return self.workers * 1e6 / self.cpu_us


def main() -> int:
    """Measure, print, write; 1 if a unit met the wrong version."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round")
    parser.add_argument("--output", type=Path, help="a file for the figures")
    options = parser.parse_args()
    found = compare(options.rounds, options.seconds)
    print(table(found))
    report.write(found, options.output)
    return int(found["misplaced_units"] > 0)


def compare(rounds: int, seconds: float) -> dict[str, Any]:
    """Return the figures of one and of two workers, and the ratio of capacities."""
    found: dict[str, Any] = {}
    misplaced = 0
    for place in PLACES:
        taken: dict[int, list[Figures]] = {number: [] for number in WORKERS}
        with _running(pinned=place == APART) as running:
            for number in range(-1, rounds):
                for workers, (pid, port) in running.items():
                    one = _round(pid, port, seconds if number >= 0 else 1.0)
                    if number >= 0:
                        taken[workers].append(one)
            misplaced += sum(_misplaced(port) for _, port in running.values())
        found[place] = _summary(taken)
    return {"places": found, "units": UNITS, "misplaced_units": misplaced}


def _summary(taken: dict[int, list[Figures]]) -> dict[str, Any]:
    pairs = zip(taken[1], taken[2], strict=True)
    summary: dict[str, Any] = {
        "capacity_ratio": round(median(b.capacity / a.capacity for a, b in pairs), 3)
    }
    for number, own in taken.items():
        summary[str(number)] = {
            "requests_per_s": round(median(one.requests_per_s for one in own)),
            "cpu_us": round(median(one.cpu_us for one in own), 2),
            "rounds": [asdict(one) for one in own],
        }
    return summary


def table(found: dict[str, Any]) -> str:
    """Return it as text."""
    heading = f"  {'workers':<20}{'req/s':>9}{'CPU µs':>9}"
    lines = ["two workers against one", heading]
    for place, rows in found["places"].items():
        for number in WORKERS:
            one = rows[str(number)]
            line = (
                f"  {f'{number}, {place}':<20}{one['requests_per_s']:>9.0f}"
                f"{one['cpu_us']:>9.1f}"
            )
            if number > 1:
                line += f"   {rows['capacity_ratio']:.2f} × requests a CPU-second"
            lines.append(line)
    wrong, units = found["misplaced_units"], found["units"]
    lines.append(f"  {wrong} of {units} units misplaced, by any of them")
    return "\n".join(lines)


def _round(pid: int, port: int, seconds: float) -> Figures:
    """Load a tree and see what each of its workers used."""
    workers = [
        one
        for one in measure.family(pid)
        if "worker" in Path(f"/proc/{one}/comm").read_text()
    ]
    before = [measure.cpu_s(one) for one in workers]
    done = measure.run(pid, port, "get", seconds=seconds, connections=CONNECTIONS)
    used = [measure.cpu_s(one) - was for one, was in zip(workers, before, strict=True)]
    return Figures(
        workers=len(workers),
        requests_per_s=done.requests_per_s,
        cpu_us=sum(used) / max(done.requests, 1) * 1e6,
    )


def _misplaced(port: int) -> int:
    """Return how many units met another version than their bucket says."""
    salt = salt_prefix(SALT)
    wrong = 0
    for number in range(UNITS):
        unit = b"user-%d" % number
        canary = bucket_of_unit(salt, unit) < CANARY_PERCENT * UNIT_BUCKETS // 100
        wrong += _version(port, unit) != (b"canary" if canary else b"stable")
    return wrong


def _version(port: int, unit: bytes) -> bytes:
    """Ask for a unit over a new connection; return who answered."""
    request = b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n%b: %b\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request % (UNIT_FIELD.encode(), unit))
        answer = b""
        while data := sock.recv(65_536):
            answer += data
    named = answer.partition(b"\r\n%b: " % VERSION_FIELD.encode())[2]
    return named.partition(b"\r\n")[0]


@contextlib.contextmanager
def _running(*, pinned: bool) -> Iterator[dict[int, tuple[int, int]]]:
    """Run the origin and both trees; give the process and port of each."""
    with contextlib.ExitStack() as stack:
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="headgate-bench-", dir="/dev/shm")
            )
        )
        directory.chmod(0o755)  # the origin's worker is another user
        stable, canary = stack.enter_context(origin.serving(directory))
        measure.wait_until_answered(stable)
        running: dict[int, tuple[int, int]] = {}
        for workers in WORKERS:
            own = directory / str(workers)
            own.mkdir()
            site = Site(stable, canary, free_port(), own)
            tree = HeadgateTree(f"headgate-{workers}", workers=workers, pinned=pinned)
            pid = stack.enter_context(tree.serving(site, PLAIN))
            measure.wait_until_answered(site.port)
            running[workers] = (pid, site.port)
        yield running


if __name__ == "__main__":
    raise SystemExit(main())
