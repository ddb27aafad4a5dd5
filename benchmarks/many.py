"""
Many services at once, all of them fine: how many are rolled back all the same.

Starts the product with so many services whose versions are the same program,
sends requests to all of them, starts all rollouts and waits for their ends.
``python benchmarks/many.py --help`` lists the options.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any, Final

from peers.base import free_port

ROOT: Final = Path(__file__).resolve().parents[1]
CONNECTIONS: Final = 96
STEPS: Final = "[20, 40, 60, 80, 100]"
MEDIAN_S: Final = 0.010
SIGMA: Final = 0.5
ERRORS: Final = 0.002
READY_S: Final = 60.0
ENDED: Final = ("Succeeded", "RolledBack")
ANSWERS: Final = {
    False: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    True: b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
}


def main() -> int:
    """Run the product, lead all rollouts, print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=300)
    parser.add_argument("--rate", type=float, default=1500, help="requests a second")
    parser.add_argument("--seconds", type=float, default=240, help="at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-many-") as name:
        return asyncio.run(_run(Path(name), options))


async def _run(directory: Path, options: argparse.Namespace) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Origin, "127.0.0.1", 0, backlog=1024)
    port, admin = free_port(), free_port()
    origin = server.sockets[0].getsockname()[1]
    config = directory / "headgate.yaml"
    config.write_text(_config(directory, port, admin, origin, options.services))
    process = subprocess.Popen(  # noqa: ASYNC220 -- starting is quick
        [sys.executable, "-m", "proxy", "run", str(config)],
        cwd=ROOT,
        stderr=(directory / "log").open("w"),
    )
    try:
        await _ready(admin)
        users = [
            loop.create_task(_user(port, number, options))
            for number in range(CONNECTIONS)
        ]
        phases = await _lead(admin, options)
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)
    finally:
        process.terminate()
        process.wait()
        server.close()
    print(f"{options.services} services: {dict(phases)}")
    return 0


def _config(directory: Path, port: int, admin: int, origin: int, services: int) -> str:
    head = (
        f"listen: 127.0.0.1:{port}\nworkers: 2\n"
        f"admin: {{listen: 127.0.0.1:{admin}}}\n"
        f"health: {{listen: 127.0.0.1:{free_port()}}}\n"
        f"state_dir: {directory / 'state'}\nservices:\n"
    )
    endpoint = f'["http://127.0.0.1:{origin}"]'
    return head + "".join(
        f"  s{number}:\n"
        f"    match: [{{host: s{number}.test}}]\n"
        "    versions:\n"
        f"      stable: {{endpoints: {endpoint}}}\n"
        f'      canary: {{endpoints: {endpoint}, revision: "2"}}\n'
        "    split: {stable: 100, canary: 0}\n"
        f"    rollout: {{start: manual, steps: {STEPS}, min_duration: 2s,"
        " warmup: 0s, min_requests: 10}\n"
        for number in range(services)
    )


class _Origin(asyncio.Protocol):
    """Answers after a log-normal time, now and then with an error."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._chance = random.Random(4711)  # noqa: S311 -- a load

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._chance.seed(id(self))

    def data_received(self, data: bytes) -> None:
        """Answer each head that ends in ``data``; no request has a body."""
        loop = asyncio.get_running_loop()
        for _ in range(data.count(b"\r\n\r\n")):
            wait_s = MEDIAN_S * self._chance.lognormvariate(0.0, SIGMA)
            loop.call_later(wait_s, self._answer, self._chance.random() < ERRORS)

    def _answer(self, failed: bool) -> None:  # noqa: FBT001 -- a callback
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(ANSWERS[failed])


async def _user(port: int, number: int, options: argparse.Namespace) -> None:
    """Ask one service after another, at this connection's part of the rate."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    chance = random.Random(number)  # noqa: S311 -- a load
    pause_s = CONNECTIONS / options.rate
    due_s = monotonic() + chance.random() * pause_s
    while True:
        await asyncio.sleep(max(due_s - monotonic(), 0.0))
        due_s = max(due_s + pause_s, monotonic() - 1.0)
        host = chance.randrange(options.services)
        writer.write(f"GET / HTTP/1.1\r\nHost: s{host}.test\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)


async def _lead(admin: int, options: argparse.Namespace) -> Counter[str]:
    """Start all rollouts; return their phases once all ended or time is over."""
    for number in range(options.services):
        await _api(admin, "POST", f"/rollouts/s{number}/start", {})
    until_s = monotonic() + options.seconds
    while True:
        rollouts = await _api(admin, "GET", "/rollouts")
        phases = Counter(one["phase"] for one in rollouts)
        left = sum(n for phase, n in phases.items() if phase not in ENDED)
        if not left or monotonic() > until_s:
            for one in rollouts:
                if one["phase"] != "Succeeded":
                    print(f"{one['service']}: {one['phase']}: {one['message']}")
            return phases
        await asyncio.sleep(2.0)


async def _ready(admin: int) -> None:
    until_s = monotonic() + READY_S
    while True:
        try:
            await _api(admin, "GET", "/rollouts")
        except OSError:
            if monotonic() > until_s:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def _api(admin: int, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 -- JSON
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )

    def call() -> Any:  # noqa: ANN401 -- JSON
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    return await asyncio.to_thread(call)


if __name__ == "__main__":
    raise SystemExit(main())
