"""
What starting takes and what an idle tree holds, against its limits.

1. ``headgate check``: at most 0.4 s;
2. ``headgate run`` until /readyz says so, with one worker: at most 1.0 s;
3. the whole tree idle with one worker: at most 90 MiB (PSS);
4. each further worker: at most 15 MiB more.

Run: ``python benchmarks/startup.py``; half a minute. Times are the least of some
tries, because on a shared machine every other one is somebody else's; the same
for a bare ``python -c pass`` stands beside them. Ends with 1 if one is passed.
"""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import measure
from peers.base import free_port

ROOT: Final = Path(__file__).resolve().parents[1]
TRIES: Final = 5
WORKERS: Final = (1, 2, 3)
READY_S: Final = 60.0
CALM_S: Final = 2.0
CHECK_S_MAX: Final = 0.4
START_S_MAX: Final = 1.0
TREE_MIB_MAX: Final = 90
WORKER_MIB_MAX: Final = 15

CONFIGURATION: Final = """
listen: 127.0.0.1:{port}
workers: {workers}
admin: {{listen: 127.0.0.1:{admin_port}}}
health: {{listen: 127.0.0.1:{health_port}}}
state_dir: {directory}/state
services:
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:1"]}}
      canary: {{endpoints: ["http://127.0.0.1:2"]}}
"""


def main() -> int:
    """Print each figure beside its limit."""
    bare = [sys.executable, "-c", "pass"]
    check = [sys.executable, "-m", "proxy", "check", "config/headgate.yaml"]
    held = {workers: held_mib(workers) for workers in WORKERS}
    further = (held[WORKERS[-1]] - held[WORKERS[0]]) / (len(WORKERS) - 1)
    figures = (
        ("headgate check, s", least_s(check), CHECK_S_MAX),
        (
            "headgate run until ready, s",
            min(start_s() for _ in range(TRIES)),
            START_S_MAX,
        ),
        ("idle tree with one worker, MiB", held[1], TREE_MIB_MAX),
        ("each further worker, MiB", further, WORKER_MIB_MAX),
    )
    for name, value, most in figures:
        print(f"{name:<34} {value:>7.2f}  at most {most}")
    print(f"{'python -c pass, s':<34} {least_s(bare):>7.3f}")
    return 0 if all(value <= most for _, value, most in figures) else 1


def least_s(command: list[str]) -> float:
    """Return the least time that a command took in some tries."""
    taken = []
    for _ in range(TRIES):
        began_s = time.monotonic()
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - began_s)
    return min(taken)


def start_s() -> float:
    """Return how long a tree with one worker took until it was ready."""
    began_s = time.monotonic()
    with running(1):
        return time.monotonic() - began_s


def held_mib(workers: int) -> float:
    """Return what an idle tree holds, in proportional MiB."""
    with running(workers) as pid:
        time.sleep(CALM_S)
        held_kib = sum(proportional_kib(one) for one in measure.family(pid))
    return held_kib / 1024


def proportional_kib(pid: int) -> int:
    """Return a process's proportional set size."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


@contextlib.contextmanager
def running(workers: int) -> Iterator[int]:
    """Run the product until it is ready; give the id of its first process."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        health_port = free_port()
        path = Path(directory) / "headgate.yaml"
        path.write_text(
            CONFIGURATION.format(
                port=free_port(),
                admin_port=free_port(),
                health_port=health_port,
                workers=workers,
                directory=directory,
            )
        )
        child = subprocess.Popen(
            [sys.executable, "-m", "proxy", "run", str(path)],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until_ready(health_port)
            yield child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait()


def wait_until_ready(health_port: int) -> None:
    """
    Wait until /readyz answers 200.

    Raises:
        TimeoutError: it did not in ``READY_S``.
    """
    until_s = time.monotonic() + READY_S
    url = f"http://127.0.0.1:{health_port}/readyz"
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.005)
    raise TimeoutError(f"not ready in {READY_S} s")


if __name__ == "__main__":
    sys.exit(main())
