"""
Origins that others wrote: nginx, Node, gunicorn and uvicorn, as processes.

Each writes down every request that it read, so that a test can compare what the
proxy sent with what an origin took it for.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.free_port import free_port

HERE = Path(__file__).parent / "origins"
SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
READY_S = 20.0


@dataclass(slots=True)
class RealOrigin:
    """A running origin, and what it wrote down."""

    name: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    _read: int = field(default=0)

    def entries(self) -> list[dict[str, Any]]:
        """Return the requests written down since the last call."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def _program(name: str) -> str:
    found = shutil.which(name, path=SEARCH)
    assert found, f"{name} is missing: see TEST_PROGRAMS in the Makefile"
    return found


def _nginx(port: int, directory: Path, log: Path) -> list[str]:
    path = directory / "nginx.conf"
    text = (HERE / "nginx.conf").read_text()
    values = {"directory": directory, "log": log, "port": port, "inner": free_port()}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    path.write_text(text)
    return [_program("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(path)]


def _node(port: int, directory: Path, log: Path) -> list[str]:
    del directory
    return [_program("node"), str(HERE / "node.js"), str(port), str(log)]


def _gunicorn(port: int, directory: Path, log: Path) -> list[str]:
    del log
    options = f"--bind 127.0.0.1:{port} --worker-class gthread --threads 4"
    return [
        *(sys.executable, "-m", "gunicorn", *options.split()),
        *(
            "--keep-alive",
            "60",
            "--log-level",
            "critical",
            "--no-control-socket",
            "--http-parser=python",
        ),
        *("--worker-tmp-dir", str(directory), "wsgi:application"),
    ]


def _uvicorn(port: int, directory: Path, log: Path) -> list[str]:
    del directory, log
    options = f"--host 127.0.0.1 --port {port} --http h11 --log-level critical"
    return [
        *(sys.executable, "-m", "uvicorn", *options.split()),
        *("--timeout-keep-alive", "60", "asgi:application"),
    ]


COMMANDS: dict[str, Callable[[int, Path, Path], list[str]]] = {
    "nginx": _nginx,
    "node": _node,
    "gunicorn": _gunicorn,
    "uvicorn": _uvicorn,
}


@contextlib.contextmanager
def real_origin(name: str, directory: Path) -> Iterator[RealOrigin]:
    """Run an origin until the end of the block."""
    port = free_port()
    log = directory / "requests.log"
    log.touch()
    directory.chmod(0o777)  # nginx's worker is another user where we are root
    log.chmod(0o666)
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(
            COMMANDS[name](port, directory, log),
            cwd=HERE,
            env={**os.environ, "ORIGIN_LOG": str(log), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        listening = asyncio.run(_listening(port, process))
        assert listening, (directory / "output").read_text()
        yield RealOrigin(name, port, log, process)
    finally:
        process.terminate()
        process.wait()


async def _listening(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until it listens; False if it ended instead."""
    async with asyncio.timeout(READY_S):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return True
    return False
