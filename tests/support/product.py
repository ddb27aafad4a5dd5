"""The whole product as a user runs it: ``headgate run`` in front of origins."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.support.eventually import eventually
from tests.support.free_port import free_port

ROOT = Path(__file__).resolve().parents[2]
STOP_S = 45.0
PYTHON_PATH = {**os.environ, "PYTHONPATH": str(ROOT)}


class Origin:
    """An echo origin in a process of its own."""

    def __init__(self, name: str, port: int | None = None, fault: str = "") -> None:
        self.name = name
        self.fault = fault
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> Self:
        """Start it and wait until it accepts."""
        script = Path(__file__).with_name("echo_origin.py")
        self._process = subprocess.Popen(  # noqa: ASYNC220 - starting is quick
            [sys.executable, str(script), str(self.port), self.name, self.fault]
        )
        await eventually(self._accepts)
        return self

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Product:
    """``headgate run`` on free ports, with its admin API."""

    def __init__(
        self,
        directory: Path,
        services: str,
        *,
        workers: int = 2,
        drain: str = "{timeout: 10s}",
    ) -> None:
        self.directory = directory
        self._drain = drain
        self.port = free_port()
        self.admin_port = free_port()
        self.health_port = free_port()
        self.config = directory / "headgate.yaml"
        self.log = directory / "log"
        self._workers = workers
        self.write(services)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, services: str) -> None:
        """Write the configuration file with these services (YAML)."""
        self.config.write_text(
            f"listen: 127.0.0.1:{self.port}\n"
            f"workers: {self._workers}\n"
            f"admin: {{listen: 127.0.0.1:{self.admin_port}}}\n"
            f"health: {{listen: 127.0.0.1:{self.health_port}}}\n"
            f"state_dir: {self.directory / 'state'}\n"
            "limits: {connections: 2000}\n"
            f"drain: {self._drain}\n"
            f"services:\n{services}"
        )

    async def __aenter__(self) -> Self:
        self.start()
        await eventually(self.is_ready)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Start the process tree."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "proxy", "run", str(self.config)],
                stderr=log,
                cwd=ROOT,
                env=PYTHON_PATH,
            )

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.health_port}/readyz", timeout=2
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    async def stop(self) -> int:
        """Drain by SIGTERM; return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end of a stop that was asked for; return the exit code."""
        assert self.process is not None
        try:
            return await asyncio.to_thread(self.process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    async def api(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        """Call the admin API; an error status is returned as ``(status, body)``."""
        return await asyncio.to_thread(self._api, method, path, body)

    def _api(self, method: str, path: str, body: dict[str, Any] | None) -> Any:  # noqa: ANN401
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin_port}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own API
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def children(self) -> dict[str, int]:
        """Return the tree's processes by title (``headgate-worker-0``…)."""
        assert self.process is not None
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        found: dict[str, int] = {}
        for child in text.split():
            try:
                title = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
            found[title.split(b"\0")[0].decode()] = int(child)
        return found

    def metrics(self) -> str:
        """Return /metrics; empty while control starts."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.health_port}/metrics", timeout=10
            ) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            return ""
