"""
One round: load on one core, and the CPU time of a process tree on the other.

CPU time a request is the honest figure on a shared machine: user and system
time of all processes of a peer (``/proc/PID/stat``, in ticks of 10 ms) over the
round, divided by the requests that were answered in it.
"""

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from peers.base import LOAD_CORE, READY_S, pinned, program

SCRIPT: Final = Path(__file__).with_name("load.lua")
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
GRACE_S: Final = 30.0
"""What wrk may take beyond its round before it is ended."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured."""

    requests: int
    requests_per_s: float
    cpu_us: float
    """User and system time a request."""
    p50_ms: float
    p99_ms: float
    failed: int
    """Requests without a 2xx or 3xx answer."""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and all its living descendants."""
    ticks = 0
    for one in family(pid):
        # The second field is a name in parentheses that may hold anything.
        stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(stat[11]) + int(stat[12])
    return ticks / TICKS_A_SECOND


def family(pid: int) -> list[int]:
    """Return the process and its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def wait_until_answered(port: int, host: str = "shop") -> None:
    """
    Wait until something answers HTTP requests on a port.

    Raises:
        TimeoutError: nothing did in ``READY_S``.
    """
    until_s = monotonic() + READY_S
    while monotonic() < until_s:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
                head = f"GET / HTTP/1.1\r\nHost: {host}\r\nx-user-id: 1\r\n\r\n"
                sock.sendall(head.encode())
                if sock.recv(65_536).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        sleep(0.02)
    raise TimeoutError(f"nothing answers on port {port}")


def run(
    pid: int, port: int, shape: str, *, seconds: float, connections: int = 64
) -> Round:
    """Load a port for some seconds and measure the process behind it."""
    command = [program("wrk") or "wrk", "-t1", f"-c{connections}"]
    command += [f"-d{max(round(seconds), 1)}s", "--timeout", "10s", "-s", str(SCRIPT)]
    command += [f"http://127.0.0.1:{port}", "--", shape]
    before_s = cpu_s(pid)
    done = subprocess.run(
        pinned(LOAD_CORE, command),
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + GRACE_S,
    )
    used_s = cpu_s(pid) - before_s
    line = next(one for one in done.stdout.splitlines() if one.startswith("figures "))
    figures = json.loads(line.removeprefix("figures "))
    requests = max(figures["requests"], 1)
    return Round(
        requests=figures["requests"],
        requests_per_s=requests / figures["duration_us"] * 1e6,
        cpu_us=used_s / requests * 1e6,
        p50_ms=figures["p50_us"] / 1000,
        p99_ms=figures["p99_us"] / 1000,
        failed=figures["failed"],
    )
