"""
What a proxy adds to the latency, at fixed rates.

``python benchmarks/latency.py`` sends requests at their intended times, whether
or not earlier ones were answered (an open loop), and counts each from its
intended time on, so that an answer that comes late makes those behind it late
too: nothing is omitted. Every value is kept, so quantiles are exact. Added is
the quantile through the proxy minus that of the origin itself, measured within
seconds of one another; what is printed is the median over the rounds.
"""

import argparse
import contextlib
import ctypes
import gc
import os
import select
import socket
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic_ns
from typing import Any, Final

import measure
import origin
import report
import traffic
from peers.base import LOAD_CORE, PLAIN, Peer, Site, free_port
from peers.envoy import Envoy
from peers.haproxy import Haproxy
from peers.headgate import Headgate
from peers.nginx import Nginx

RATES: Final = (500, 2000, 5000)
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
DIRECT: Final = "direct"
CONNECTIONS: Final = 64
"""Requests in flight; more wait, and their time runs."""
ANSWER_S: Final = 10.0
READ_BYTES: Final = 65_536
PR_SET_TIMERSLACK: Final = 29
NS: Final = 1_000_000_000


def main() -> int:
    """Measure in turns, print, write."""
    options = _options()
    found = compare(options.peers, options.rates, options.rounds, options.seconds)
    for rate, rows in found["rates"].items():
        print(table(rate, rows))
    for name, why in found["absent"].items():
        print(f"{name} is left out: {why}")
    report.write(found, options.output)
    return 0


def compare(
    names: Sequence[str], rates: Sequence[int], rounds: int, seconds: float
) -> dict[str, Any]:
    """Return for each rate and peer the quantiles in ms, and what was added."""
    peers: list[Peer] = [Headgate(), Nginx(), Haproxy(), Envoy()]
    peers = [peer for peer in peers if peer.name in names]
    absent = {peer.name: why for peer in peers if (why := peer.missing())}
    peers = [peer for peer in peers if peer.name not in absent]
    found: dict[str, Any] = {}
    with _running(peers) as ports, _alone_on_its_core():
        for rate in rates:
            taken: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
            for number in range(-1, rounds):
                for name, port in ports.items():
                    values = ask(port, rate, seconds if number >= 0 else 0.5)
                    if number >= 0:
                        taken[name].append(quantiles(values))
            found[str(rate)] = _summary(taken)
    return {"rates": found, "absent": absent, "load": os.getloadavg()[0]}


def quantiles(values_ns: Sequence[int]) -> dict[str, float]:
    """Return the quantiles of some latencies, in ms, and how many there were."""
    ordered = sorted(values_ns)
    last = len(ordered) - 1
    found = {
        name: ordered[min(int(share * len(ordered)), last)] / 1e6
        for name, share in QUANTILES.items()
    }
    return {**found, "requests": float(len(ordered))}


def _summary(taken: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for name, own in taken.items():
        row: dict[str, Any] = {"rounds": own}
        for quantile in QUANTILES:
            row[quantile] = round(median(one[quantile] for one in own), 3)
            row[f"added_{quantile}"] = round(
                median(
                    one[quantile] - direct[quantile]
                    for one, direct in zip(own, taken[DIRECT], strict=True)
                ),
                3,
            )
        summary[name] = row
    return summary


def table(rate: str, rows: dict[str, Any]) -> str:
    """Return one rate as text."""
    lines = [
        f"{rate} requests/s, latency in ms\n  {'peer':<12}"
        + "".join(f"{name:>9}" for name in QUANTILES)
        + "   added"
        + "".join(f"{name:>9}" for name in QUANTILES)
    ]
    for peer, row in rows.items():
        line = f"  {peer:<12}" + "".join(f"{row[name]:>9.3f}" for name in QUANTILES)
        if peer != DIRECT:
            line += "        "
            line += "".join(f"{row[f'added_{name}']:>9.3f}" for name in QUANTILES)
        lines.append(line)
    return "\n".join(lines)


# --- the generator ---


@dataclass(eq=False, slots=True)
class Client:
    """One connection; ``intended_ns`` is when its request should have left."""

    sock: socket.socket
    intended_ns: int = 0
    data: bytes = b""
    end: int = 0
    """Length of the answer, once its head is there."""

    def take(self) -> bool:
        """Read what is there; return whether the answer is whole."""
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the connection ended within an answer")
        self.data += data
        if not self.end:
            head, found, _ = self.data.partition(b"\r\n\r\n")
            if not found:
                return False
            if not head.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(f"not answered well: {head[:80]!r}")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
            self.end = len(head) + len(found) + int(length)
        if len(self.data) < self.end:
            return False
        self.data, self.end = b"", 0
        return True


@dataclass(slots=True)
class Schedule:
    """When requests are due: evenly, from the first to the last."""

    next_ns: int
    every_ns: int
    left: int
    waiting: deque[int] = field(default_factory=deque)
    """Intended times of requests for which no connection was free."""

    def due(self, now_ns: int) -> None:
        """Put what is due by now where it waits for a connection."""
        while self.left and self.next_ns <= now_ns:
            self.waiting.append(self.next_ns)
            self.next_ns += self.every_ns
            self.left -= 1


def ask(port: int, rate: int, seconds: float) -> list[int]:
    """
    Send ``rate`` requests a second to a port; return their latencies in ns.

    Raises:
        ConnectionError: an answer was none, or not 200.
        TimeoutError: one did not come.
    """
    requests = [traffic.request(number, "get") for number in range(traffic.VARIANTS)]
    count = int(rate * seconds)
    taken: list[int] = []
    with contextlib.ExitStack() as stack:
        free = [
            Client(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
            for _ in range(CONNECTIONS)
        ]
        busy: dict[socket.socket, Client] = {}
        start_ns = monotonic_ns() + NS // 100
        schedule = Schedule(start_ns, NS // rate, count)
        while len(taken) < count:
            now_ns = monotonic_ns()
            schedule.due(now_ns)
            while schedule.waiting and free:
                client = free.pop()
                client.intended_ns = schedule.waiting.popleft()
                client.sock.sendall(requests[client.intended_ns % len(requests)])
                busy[client.sock] = client
            wait_s = ANSWER_S
            if schedule.left:
                wait_s = max(schedule.next_ns - monotonic_ns(), 0) / NS
            ready, _, _ = select.select(busy, (), (), wait_s)
            if not ready and not schedule.left:
                raise TimeoutError(f"an answer did not come in {ANSWER_S} s")
            for sock in ready:
                client = busy[sock]
                if client.take():
                    taken.append(monotonic_ns() - client.intended_ns)
                    free.append(busy.pop(sock))
    return taken


@contextlib.contextmanager
def _alone_on_its_core() -> Iterator[None]:
    """Keep the generator off the peers' core, exact in its sleeps, and steady."""
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOAD_CORE})
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _running(peers: Sequence[Peer]) -> Iterator[dict[str, int]]:
    """Run the origin and the peers; give the port of each, the origin's first."""
    with contextlib.ExitStack() as stack:
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="headgate-bench-", dir="/dev/shm")
            )
        )
        directory.chmod(0o755)  # the origin's worker is another user
        stable, canary = stack.enter_context(origin.serving(directory))
        measure.wait_until_answered(stable)
        ports = {DIRECT: stable}
        for peer in peers:
            own = directory / peer.name
            own.mkdir()
            site = Site(stable, canary, free_port(), own)
            stack.enter_context(peer.serving(site, PLAIN))
            measure.wait_until_answered(site.port)
            ports[peer.name] = site.port
        yield ports


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["headgate", "nginx", "haproxy", "envoy"]
    parser.add_argument("--peers", type=_list, default=names, help=",".join(names))
    parser.add_argument("--rates", type=_rates, default=RATES, help="500,2000,5000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round")
    parser.add_argument("--output", type=Path, help="a file for the figures")
    return parser.parse_args()


def _list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _rates(text: str) -> list[int]:
    return [int(part) for part in _list(text)]


if __name__ == "__main__":
    raise SystemExit(main())
