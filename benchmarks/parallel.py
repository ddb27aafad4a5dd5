"""
What a parallel run costs live requests: two comparisons of whole trees.

``cpu``: CPU time of the worker a request, every GET copied, answers compared
(with the default sample of second answers) and not; at most 1.3 times as much.
``faults``: p99 of live requests in an open loop at 30 % of capacity, with a
candidate that hangs, resets, answers 50 MB or garbage, against mirroring switched
off; the median of interleaved pairs, at most 10 % or 0.2 ms more. Both trees run
all the time and only one of them is loaded, so that a busy machine hits both.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import measure
import origin
from peers.base import free_port, wait

ROOT: Final = Path(__file__).resolve().parents[1]
PAIRS: Final = 7
ROUND_S: Final = 3.0
CPU_RATE_PER_S: Final = 1_500.0
"""Few enough that every pair is compared on a laptop."""
CAPACITY_SHARE: Final = 0.3
CONNECTIONS: Final = 64
CPU_RATIO_MAX: Final = 1.3
P99_RATIO_MAX: Final = 1.1
P99_MORE_MS_MAX: Final = 0.2
FAULTS: Final = ("hang", "reset", "large", "garbage")
LARGE_BYTES: Final = 50_000_000
READY_S: Final = 30.0

CONFIGURATION: Final = """
listen: 127.0.0.1:{port}
workers: 1
admin: {{listen: "127.0.0.1:{admin}"}}
health: {{listen: "127.0.0.1:{health}"}}
state_dir: {state}
limits: {{connections: 2000}}
services:
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"], revision: "1"}}
    unit: [{{header: x-user-id}}]
{mirror}
"""
MIRROR: Final = "    mirror: {to: canary, max_inflight: 1000%s}"
COMPARE: Final = ", compare: {}"


class Tree:
    """``headgate run`` with one worker."""

    def __init__(self, directory: Path, stable: int, canary: int, mirror: str) -> None:
        self.port, self.admin, self.health = free_port(), free_port(), free_port()
        directory.mkdir()
        config = directory / "headgate.yaml"
        config.write_text(
            CONFIGURATION.format(
                port=self.port,
                admin=self.admin,
                health=self.health,
                state=directory / "state",
                stable=stable,
                canary=canary,
                mirror=mirror,
            )
        )
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "run", str(config)],
                cwd=ROOT,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def wait(self) -> None:
        """Wait until it is ready for traffic."""
        until_s = monotonic() + READY_S
        while monotonic() < until_s:
            with contextlib.suppress(OSError):
                self._get(self.health, "/readyz")
                return
            sleep(0.05)
        raise TimeoutError("headgate is not ready")

    @property
    def worker(self) -> int:
        """The worker's process id."""
        for pid in measure.family(self.process.pid):
            if b"headgate-worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise LookupError("no worker")

    def memory_mib(self) -> float:
        """Return the worker's resident memory."""
        pages = int(Path(f"/proc/{self.worker}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def mirror(self) -> dict[str, Any]:
        """Return what became of the copies, from the report."""
        report = json.loads(self._get(self.admin, "/api/v1/services/shop/parallel"))
        mirror: dict[str, Any] = report["mirror"]
        return mirror

    @staticmethod
    def _get(port: int, path: str) -> bytes:
        url = f"http://127.0.0.1:{port}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())


@contextlib.contextmanager
def trees(canary: int | None, mirrors: tuple[str, str]) -> Iterator[tuple[Tree, Tree]]:
    """Run two trees over one origin; ``canary`` None: the origin's second port."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        place = Path(name)
        stable, good = stack.enter_context(origin.serving(place))
        both = []
        for index, mirror in enumerate(mirrors):
            tree = Tree(place / str(index), stable, canary or good, mirror)
            stack.callback(wait, tree.process)
            stack.callback(tree.process.terminate)
            both.append(tree)
        for tree in both:
            tree.wait()
        yield both[0], both[1]


# --- cpu ---


def cpu(pairs: int) -> bool:
    """Compare the worker's CPU time a request, with comparing and without."""
    ratios = []
    mirrors = (MIRROR % "", MIRROR % COMPARE)
    with trees(None, mirrors) as (plain, comparing):
        for _ in range(pairs):
            costs = []
            for tree in (plain, comparing):
                worker = tree.worker
                before_s = measure.cpu_s(worker)
                asyncio.run(p99_ms(tree.port, CPU_RATE_PER_S, ROUND_S))
                used_s = measure.cpu_s(worker) - before_s
                costs.append(used_s / (CPU_RATE_PER_S * ROUND_S) * 1e6)
            ratios.append(costs[1] / costs[0])
            print(f"  mirror {costs[0]:6.1f} µs  compared {costs[1]:6.1f} µs")
        sleep(2)
        shown = comparing.mirror()
    ratio = statistics.median(ratios)
    print(f"cpu of the worker: {ratio:.2f} x (at most {CPU_RATIO_MAX}); {shown}")
    return ratio <= CPU_RATIO_MAX and accounted(shown)


def accounted(mirror: dict[str, Any]) -> bool:
    """Whether every offered request was compared or skipped by reason."""
    known = mirror["compared"] + sum(mirror["skipped"].values()) + mirror["pending"]
    return bool(mirror["offered"] == known)


# --- faults ---


async def misbehave(port: int, fault: str) -> None:
    """Be a candidate with a fault."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                if fault == "hang":
                    await reader.read()
                elif fault == "reset":
                    writer.transport.abort()
                    return
                elif fault == "garbage":
                    writer.write(os.urandom(4096) + b"\r\n\r\n")
                else:
                    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    writer.write(head)
                    for _ in range(LARGE_BYTES // 65_536):
                        writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
                        await writer.drain()
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


class Client(asyncio.Protocol):
    """A connection that asks when it is told to, and notes how long that took."""

    def __init__(self, idle: "list[Client]", took_s: list[float]) -> None:
        self._idle = idle
        self._took_s = took_s
        self._due_s = 0.0
        self._left = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for a request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._idle.append(self)

    def ask(self, due_s: float, number: int) -> None:
        """Send a request that was due at a time."""
        self._due_s = due_s
        assert self._transport is not None
        self._transport.write(
            b"GET /items/%d HTTP/1.1\r\nHost: shop\r\nx-user-id: u%d\r\n\r\n"
            % (number, number)
        )

    def data_received(self, data: bytes) -> None:
        """Note the whole answer; nginx sends it at once."""
        if data.endswith(b"}"):
            self._took_s.append(monotonic() - self._due_s)
            self._idle.append(self)


async def p99_ms(port: int, rate_per_s: float, seconds: float) -> float:
    """Return the p99 of requests that come at a rate, whatever becomes of them."""
    loop = asyncio.get_running_loop()
    idle: list[Client] = []
    took_s: list[float] = []
    clients = [
        await loop.create_connection(lambda: Client(idle, took_s), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    began_s = monotonic()
    number = missed = 0
    while (now_s := monotonic()) < began_s + seconds:
        while began_s + number / rate_per_s <= now_s:
            if idle:
                idle.pop(0).ask(began_s + number / rate_per_s, number)
            else:
                missed += 1
            number += 1
        await asyncio.sleep(0.0005)
    await asyncio.sleep(0.2)
    for transport, _ in clients:
        transport.close()
    if missed > number / 100:
        print(f"  {missed} of {number} found no idle connection")
    return statistics.quantiles(took_s, n=100)[98] * 1000


def faults(pairs: int, names: list[str]) -> bool:
    """Compare live p99 with mirroring to a faulty candidate and switched off."""
    good = True
    for fault in names:
        port = free_port()
        command = [sys.executable, __file__, "misbehave", str(port), fault]
        candidate = subprocess.Popen(command)
        try:
            with trees(port, ("", MIRROR % COMPARE)) as (off, on):
                good &= _fault(fault, off, on, pairs)
        finally:
            candidate.kill()
            candidate.wait()
    return good


def _fault(fault: str, off: Tree, on: Tree, pairs: int) -> bool:
    capacity = measure.run(on.worker, on.port, "get", seconds=2.0).requests_per_s
    rate = min(CAPACITY_SHARE * capacity, 3000.0)
    before_mib = on.memory_mib()
    more, ratios, most_mib = [], [], before_mib
    for pair in range(pairs):
        order = (off, on) if pair % 2 else (on, off)
        seen = {id(one): asyncio.run(p99_ms(one.port, rate, ROUND_S)) for one in order}
        more.append(seen[id(on)] - seen[id(off)])
        ratios.append(seen[id(on)] / seen[id(off)])
        most_mib = max(most_mib, on.memory_mib())
    sleep(2)
    shown = on.mirror()
    more_ms, ratio = statistics.median(more), statistics.median(ratios)
    print(
        f"{fault:8} p99 {ratio:.2f} x, {more_ms:+.2f} ms at {rate:.0f}/s; worker "
        f"{before_mib:.0f} -> {most_mib:.0f} MiB; accounted for: {accounted(shown)}; "
        f"{shown}"
    )
    within = ratio <= P99_RATIO_MAX or more_ms <= P99_MORE_MS_MAX
    return within and accounted(shown)


def main() -> int:
    """Run what was asked for; 0 if all is within its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cpu", "faults", "misbehave"])
    parser.add_argument("names", nargs="*", help=", ".join(FAULTS))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    arguments = parser.parse_args()
    if arguments.what == "misbehave":
        port, fault = arguments.names
        asyncio.run(misbehave(int(port), fault))
        return 0
    if arguments.what == "cpu":
        return int(not cpu(arguments.pairs))
    return int(not faults(arguments.pairs, arguments.names or list(FAULTS)))


if __name__ == "__main__":
    sys.exit(main())
