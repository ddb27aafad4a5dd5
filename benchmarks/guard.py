"""
Guards the hot path: fails when a request costs a worker more than it did.

Counted are instructions in user space, by callgrind: they do not depend on what
else the machine does. They do depend on the interpreter's build, so what is
recorded and compared is a ratio: the instructions of a request through a worker
in this process (``replay``) to those of one round of ``yardstick``, Python of
the same kind that never changes, counted in the same run.

One process imports everything and forks a child for each count; a count is the
difference between a long and a short run, so that only requests are in it.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
RECORDED: Final = Path(__file__).with_name("recorded.json")
SHAPES: Final = ("get", "sticky", "post", "close", "mirror", "log")
YARDSTICK: Final = "yardstick"

LONGER_BY: Final = {YARDSTICK: 2_000, **dict.fromkeys(SHAPES, 400)}
"""Rounds by which the long run is longer; the counts differ by 0.1 % then."""
SHORT: Final = 100
"""Rounds of the short run: caches and specialised bytecode are warm after it."""

MORE_MAX: Final = 1.10
"""How much dearer a request may get, where the interpreter is the recorded one."""
MORE_MAX_ELSEWHERE: Final = 1.40
"""The same on another version of Python, whose parts weigh differently."""
COUNT_S_MAX: Final = 300.0
"""All of it takes 15 s alone."""


def main() -> int:
    """Count, compare, say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write recorded.json")
    parser.add_argument("--count", metavar="DIRECTORY", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        _count_all(Path(options.count))
        return 0
    ratios = measure()
    if options.record:
        document = {"python": python(), "ratios": ratios}
        RECORDED.write_text(json.dumps(document, indent=1) + "\n")
    recorded = json.loads(RECORDED.read_text())
    lines, failed = compare(recorded, ratios, python())
    print("\n".join(lines))
    return int(failed)


def python() -> str:
    """Return the interpreter's version as it matters here: ``3.11``."""
    return ".".join(platform.python_version_tuple()[:2])


def compare(
    recorded: Mapping[str, Any], ratios: Mapping[str, float], version: str
) -> tuple[list[str], bool]:
    """Return a line for each shape, and whether one costs too much."""
    same = recorded["python"] == version
    most = MORE_MAX if same else MORE_MAX_ELSEWHERE
    heading = f"a request in rounds of the yardstick, Python {version}"
    lines = [f"{heading} (recorded: {recorded['python']}; at most {most} ×)"]
    failed = False
    for shape, before in recorded["ratios"].items():
        change = ratios[shape] / before
        verdict = "too many" if change > most else "ok"
        failed |= change > most
        lines.append(
            f"  {shape:<8}{ratios[shape]:>8.2f}  recorded {before:>8.2f}  "
            f"{change:>6.3f} ×  {verdict}"
        )
    if failed:
        lines.append(
            "the hot path became dearer: see benchmarks/README.md, "
            "or record anew and say why in the commit"
        )
    return lines, failed


def measure() -> dict[str, float]:
    """
    Return each shape's instructions a request, in rounds of the yardstick.

    Raises:
        subprocess.CalledProcessError: valgrind failed.
    """
    with tempfile.TemporaryDirectory(prefix="headgate-guard-") as directory:
        command = ["valgrind", "--tool=callgrind", "--trace-children=no"]
        command.append(f"--callgrind-out-file={directory}/%p")
        command.append(f"--log-file={directory}/log-%p")
        command += [sys.executable, __file__, "--count", directory]
        subprocess.run(command, check=True, env=_environ(), timeout=COUNT_S_MAX)
        pids = json.loads((Path(directory) / "pids").read_text())
        counts = {
            name: [_total(Path(directory) / str(pid)) for pid in pair]
            for name, pair in pids.items()
        }
    each = {
        name: (long - short) / LONGER_BY[name] for name, (short, long) in counts.items()
    }
    return {shape: round(each[shape] / each[YARDSTICK], 3) for shape in SHAPES}


def _environ() -> dict[str, str]:
    """Return an environment in which two runs execute the same."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    path = os.pathsep.join((str(ROOT), str(ROOT / "benchmarks")))
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONPATH": path}


def _total(profile: Path) -> int:
    """Return the total of a callgrind file."""
    lines = profile.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))


# --- what runs under callgrind ---


def _count_all(directory: Path) -> None:
    """Fork a short and a long run of everything; write down their ids."""
    import replay  # noqa: PLC0415 - not in the process that starts valgrind
    from peers.base import Duty  # noqa: PLC0415

    work: dict[str, Callable[[int], None]] = {YARDSTICK: yardstick}
    for shape in SHAPES:
        one = replay.Replay(
            asyncio.new_event_loop(),
            shape if shape in ("post", "close") else "get",
            Duty(
                mirror=shape == "mirror", cookie="session" if shape == "sticky" else ""
            ),
            log=shape == "log",
        )
        work[shape] = _requests(one)
    gc.disable()
    pids = {
        name: [_forked(run, SHORT), _forked(run, SHORT + LONGER_BY[name])]
        for name, run in work.items()
    }
    (directory / "pids").write_text(json.dumps(pids))


def _requests(one: Any) -> Callable[[int], None]:  # noqa: ANN401 - a Replay
    def run(rounds: int) -> None:
        for _ in range(rounds):
            one.request()

    return run


def _forked(run: Callable[[int], None], rounds: int) -> int:
    """Run in a child; return its id once it has ended well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run(rounds)
            code = 0
        except Exception:  # noqa: BLE001 - whatever it is, the parent stops
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"guard: a child ended with status {status}")
    return pid


class _Bag:
    """Something with slots, like an exchange."""

    __slots__ = ("data", "left", "name", "parts", "seen", "total")

    def __init__(self, name: bytes, data: bytes) -> None:
        self.name = name
        self.data = data
        self.left = len(data)
        self.parts: list[bytes] = []
        self.seen = False
        self.total = 0

    def take(self, part: bytes, known: dict[bytes, int]) -> None:
        """Look a part up and keep it."""
        self.total += known.get(part, 1)
        self.parts.append(part)


def yardstick(rounds: int) -> None:
    """
    Work like the hot path's: bytes, dictionaries, slots, calls, counters.

    Never change it: everything recorded is in multiples of it.
    """
    words = memoryview(bytearray(8 * 1024)).cast("Q")
    known = {b"field-%d: value" % number: number for number in range(20)}
    head = b"\r\n".join([b"GET /path HTTP/1.1", *known])
    for number in range(rounds):
        bag = _Bag(b"bag %d" % number, head)
        lines = bag.data.split(b"\r\n")
        for line in lines:
            bag.take(line, known)
        name, _, value = lines[-1].partition(b":")
        if name.lower() not in known and value.strip(b" \t"):
            bag.seen = True
        words[number & 1023] += bag.total
        words[bag.left & 1023] += 1
        bag.data = b"\r\n".join(bag.parts) + b"\r\nname: %b" % bag.name


if __name__ == "__main__":
    raise SystemExit(main())
