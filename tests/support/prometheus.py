"""A real Prometheus server, and a target whose metrics the test writes."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, ScriptedOrigin

SCRAPE = "1s"
"""As often as Prometheus scrapes at most in these tests."""
CONFIG = """
global: {{scrape_interval: {scrape}, scrape_timeout: {scrape}}}
scrape_configs:
  - job_name: test
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
"""


class Metrics:
    """Metrics of a program, as text; use as an async context manager."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self._origin = ScriptedOrigin(self._answer)

    async def _answer(self, call: Call) -> None:
        kind = "Content-Type: text/plain; version=0.0.4"
        await call.reply(self.text.encode() + b"\n", kind)

    @property
    def port(self) -> int:
        """Where they are scraped."""
        return self._origin.port

    async def __aenter__(self) -> Self:
        await self._origin.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._origin.stop()


class Prometheus:
    """The server that Debian ships, on a free port; it scrapes one target."""

    def __init__(self, directory: Path, target_port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._directory = directory
        self._config = directory / "prometheus.yml"
        self._config.write_text(CONFIG.format(scrape=SCRAPE, target=target_port))
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it answers queries."""
        program = shutil.which("prometheus")
        assert program is not None, "prometheus is missing: make test installs it"
        with (self._directory / "prometheus.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - starting is quick
                [
                    program,
                    f"--config.file={self._config}",
                    f"--storage.tsdb.path={self._directory / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        await eventually(self._ready)

    async def stop(self) -> None:
        """End it as an operator does."""
        if self._process is not None:
            self._process.terminate()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def knows(self, query: str, value: float) -> None:
        """Wait until a query gives a value."""
        await eventually(lambda: self._value(query) == value)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except OSError:
            return False

    def _value(self, query: str) -> float | None:
        url = f"{self.url}/api/v1/query?query={quote(query)}"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as a:  # noqa: S310 - our own server
            found = json.load(a)["data"]["result"]
            return float(found[0]["value"][1]) if len(found) == 1 else None
        return None
