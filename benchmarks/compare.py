"""
Headgate beside other proxies, on one core each, in turns.

``python benchmarks/compare.py --help`` lists the options; README.md says what
is measured and how.
"""

import argparse
import contextlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import measure
import origin
import report
from peers.aiohttp_proxy import AiohttpProxy
from peers.base import Peer, Site, free_port, program
from peers.envoy import Envoy
from peers.haproxy import Haproxy
from peers.headgate import Headgate
from peers.headgate_tree import HeadgateTree
from peers.nginx import Nginx
from scenarios import JUDGING, LOGGING, SCENARIOS, SERVICES, SUBJECT, TREE, Scenario

WARM_UP_S: Final = 1.0


def main() -> int:
    """Compare, print, write."""
    options = checked(parser().parse_args())
    if why := missing():
        print(why)
        return 1
    document = {"machine": machine(), **compare(options, print)}
    report.write(document, options.output)
    return 0


def missing() -> str | None:
    """Say what is missing to measure anything at all, or None."""
    for need in ("nginx", "wrk", "taskset"):
        if program(need) is None:
            return f"{need} is missing, it is needed as origin or generator"
    return None


def compare(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Return all scenarios' figures; ``say`` gets each table when it is there."""
    peers = [peer for peer in _peers(options) if peer.name in options.peers]
    absent = {peer.name: why for peer in peers if (why := peer.missing())}
    for name, why in absent.items():
        say(f"{name} is left out: {why}")
    present = [peer for peer in peers if peer.name not in absent]
    present += [Headgate(LOGGING, log=True), HeadgateTree()]
    present += [HeadgateTree(JUDGING, services=SERVICES)]
    found: dict[str, Any] = {}
    for scenario in SCENARIOS:
        if scenario.name not in options.scenarios:
            continue
        found[scenario.name] = one = _rounds(present, scenario, options)
        say(report.table(scenario.title, one, scenario.subject))
    return {
        "seconds": options.seconds,
        "rounds": options.rounds,
        "absent": absent,
        "scenarios": found,
    }


def _peers(options: argparse.Namespace) -> list[Peer]:
    peers: list[Peer] = [Headgate(SUBJECT)]
    peers += [Headgate(tree.name, tree.resolve()) for tree in options.tree]
    return [*peers, Nginx(), Haproxy(), Envoy(), AiohttpProxy()]


def _rounds(
    peers: Sequence[Peer], scenario: Scenario, options: argparse.Namespace
) -> dict[str, Any]:
    """Run a scenario's rounds, one peer after the other in each round."""
    names = scenario.only or options.peers
    able = [
        peer
        for peer in peers
        if peer.name in names and (peer.mirrors or not scenario.duty.mirror)
    ]
    rounds: dict[str, list[measure.Round]] = {peer.name: [] for peer in able}
    with _running(able, scenario) as running:
        for number in range(-1, options.rounds):
            for name, (pid, port) in running.items():
                seconds = options.seconds if number >= 0 else WARM_UP_S
                one = measure.run(
                    pid,
                    port,
                    scenario.shape_for(name),
                    seconds=seconds,
                    connections=scenario.connections,
                )
                if number >= 0:
                    rounds[name].append(one)
    return report.summary(rounds, scenario.subject)


@contextlib.contextmanager
def _running(
    peers: Sequence[Peer], scenario: Scenario
) -> Iterator[dict[str, tuple[int, int]]]:
    """Run the origin and all peers; idle ones cost next to nothing."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="headgate-bench-", dir="/dev/shm")
        )
        Path(directory).chmod(0o755)  # the origin's worker is another user
        stable, canary = stack.enter_context(origin.serving(Path(directory)))
        measure.wait_until_answered(stable)
        running: dict[str, tuple[int, int]] = {}
        for peer in peers:
            own = Path(directory) / peer.name
            own.mkdir()
            site = Site(stable, canary, free_port(), own)
            pid = stack.enter_context(peer.serving(site, scenario.duty))
            measure.wait_until_answered(site.port, "shop-0.example")
            running[peer.name] = (pid, site.port)
        yield running


def machine() -> dict[str, str]:
    """Say where and beside what this ran: ``load`` 1 or more means not alone."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cpus": str(len(models)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def parser() -> argparse.ArgumentParser:
    """Return what reads the options of ``compare``."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [SUBJECT, "nginx", "haproxy", "envoy", "aiohttp"]
    scenarios = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--peers", type=_list, default=names, help=",".join(names))
    parser.add_argument(
        "--scenarios", type=_list, default=scenarios, help=",".join(scenarios)
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one round")
    parser.add_argument(
        "--tree",
        type=Path,
        action="append",
        default=[],
        help="another tree of Headgate to measure beside this one",
    )
    parser.add_argument(
        "--full", action="store_true", help="also the whole tree of `headgate run`"
    )
    parser.add_argument("--output", type=Path, help="a file for the figures")
    return parser


def checked(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options with the peers that they imply."""
    options.peers += [tree.name for tree in options.tree]
    if options.full:
        options.peers.append(TREE)
    if SUBJECT not in options.peers:
        parser().error(f"--peers must contain {SUBJECT}, the others are compared to it")
    return options


def _list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


if __name__ == "__main__":
    raise SystemExit(main())
