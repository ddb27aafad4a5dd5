"""
Instructions a request of one worker, counted by callgrind: the same on any day.

Time depends on what else the machine does; the number of instructions that a
worker executes in user space for a request hardly does (0.1 %). Two runs of
different lengths are compared, so that starting up and ending fall out. What
the kernel does is not in it.
"""

import argparse
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

import measure
import origin
import traffic
from peers.base import Duty, Site, free_port, program
from peers.headgate import Headgate

SHAPES: Final = (
    *("get", "post", "close", "download", "mirror", "compare", "events", "orders"),
)
"""``compare``: mirrored GETs whose answers are handed over to be compared;
``events``: GETs of a service that counts POSTs as orders; ``orders``: those."""
CONNECTIONS: Final = 16
"""Requests that are in flight at once, as sixteen clients would have them."""
ROUNDS: Final = (40, 120)
"""Rounds of requests in the short and in the long run."""
READ_BYTES: Final = 1 << 20
ANSWER_S: Final = 60.0
"""Valgrind is some fifty times slower."""


def main() -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=["get"], help=", ".join(SHAPES))
    parser.add_argument(
        "--tree", type=Path, action="append", help="of Headgate, instead of this one"
    )
    options = parser.parse_args()
    if unknown := set(options.shapes) - set(SHAPES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if program("valgrind") is None:
        print("valgrind is missing (apt-get install valgrind)")
        return 1
    here = Path(__file__).resolve().parents[1]
    for shape in options.shapes:
        for tree in options.tree or [here]:
            short, long = (_count(tree.resolve(), shape, rounds) for rounds in ROUNDS)
            each = (long - short) / ((ROUNDS[1] - ROUNDS[0]) * CONNECTIONS)
            print(f"{tree.resolve().name} {shape}: {each:.0f} instructions a request")
    return 0


def _count(tree: Path, shape: str, rounds: int) -> int:
    """Return the instructions of a worker's whole life with so many requests."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-", dir="/dev/shm") as name:
        directory = Path(name)
        directory.chmod(0o755)  # the origin's worker is another user
        profile = directory / "callgrind"
        under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
        under.append(f"--log-file={directory / 'valgrind.log'}")
        counted = shape in ("events", "orders")
        peer = Headgate(root=tree, under=under, events=counted)
        with origin.serving(directory) as (stable, canary):
            measure.wait_until_answered(stable)
            site = Site(stable, canary, free_port(), directory)
            compare = shape == "compare"
            duty = Duty(mirror=shape == "mirror" or compare, compare=compare)
            with peer.serving(site, duty):
                measure.wait_until_answered(site.port)
                _load(site.port, "post" if shape == "orders" else shape, rounds)
        return _total(profile)


def _load(port: int, shape: str, rounds: int) -> None:
    """Send rounds of requests over some connections at once, read every answer."""
    clients: list[socket.socket] = []
    for number in range(rounds):
        if not clients:
            clients = [_connect(port) for _ in range(CONNECTIONS)]
        for index, client in enumerate(clients):
            request_number = number * CONNECTIONS + index
            client.sendall(traffic.request(request_number, shape))
        for client in clients:
            _read_answer(client)
        if shape == "close" or number == rounds - 1:
            for client in clients:
                client.close()
            clients.clear()


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)


def _read_answer(client: socket.socket) -> None:
    """Read an answer that has a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(client)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    left = int(length) - len(body)
    while left > 0:
        left -= len(_receive(client))


def _receive(client: socket.socket) -> bytes:
    data = client.recv(READ_BYTES)
    assert data, "the connection ended within an answer"
    return data


def _total(profile: Path) -> int:
    """Return the total of a callgrind file (and of its parts, if any)."""
    lines = profile.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))


if __name__ == "__main__":
    os.environ["PYTHONHASHSEED"] = "0"
    raise SystemExit(main())
