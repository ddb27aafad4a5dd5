"""A real worker process with its slab, its channel and a route table."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from proxy.telemetry import channel, layout, pairs, slab

ROOT = Path(__file__).resolve().parents[2]
READY_S = 20.0
INHERITED = ("slab_fd", "pairs_fd", "channel_fd", "alive_fd", "table_fd")


class DataPlane:
    """Starts one worker; use as an async context manager."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.slab_fd = slab.create(1)
        self.pairs_fd = pairs.create(1)
        self.control = slab.ControlSlab(self.slab_fd)
        self.control.set_header_word(layout.H_CONTROL_READY, 1)
        self._channels = channel.pair()
        self.channel = channel.Channel(self._channels[0])
        self._alive = os.pipe()
        self._listener = _listener()
        self._health = _listener()
        self.port: int = self._listener.getsockname()[1]
        self.health_port: int = self._health.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.stdout: int | None = None

    async def __aenter__(self) -> Self:
        self.start()
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def start(self, **launch: Any) -> None:  # noqa: ANN401 - JSON
        """Start the worker with the present table."""
        plan = self.plan(**launch)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "proxy.dataplane", json.dumps(plan)],
            pass_fds=[
                *(plan[name] for name in INHERITED),
                self._listener.fileno(),
                self._health.fileno(),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=self.stdout,
        )
        os.close(plan["table_fd"])

    def plan(self, **launch: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Return what a worker is told; whoever starts it closes ``table_fd``."""
        return {
            "role": "worker",
            "index": 0,
            "workers": 1,
            "slab_fd": self.slab_fd,
            "pairs_fd": self.pairs_fd,
            "channel_fd": self._channels[1].fileno(),
            "alive_fd": self._alive[0],
            "table_fd": channel.sealed_document("table", self.document),
            "listeners": [[self._listener.fileno()]],
            "shared_listeners": [],
            "health_fds": [self._health.fileno()],
            "metrics_address": "\0headgate-test-nobody",
            "supervisor_pid": os.getpid(),
            "log_format": "text",
            "log_level": "info",
            "restarted": False,
            "drain": {"delay": 0.0, "timeout": 30.0},
            **launch,
        }

    async def ready(self) -> None:
        """Wait until the worker accepts."""
        async with asyncio.timeout(READY_S):
            while not self.control.region_word(0, layout.R_READY):
                assert self.process is not None
                assert self.process.poll() is None, "the worker ended"
                await asyncio.sleep(0.01)

    def weights(self, *entries: tuple[int, int], slot: int = 0) -> int:
        """Set (version index, upper bound) entries; return the epoch."""
        return self.control.write_weights(slot, entries)

    def counted(self, cell: int, start: int) -> int:
        """Return one word of a cell."""
        return self.control.sum_words(cell, start, 1)[0]

    def send_table(self, document: dict[str, Any]) -> None:
        """Give the worker another table."""
        fd = channel.sealed_document("table", document)
        self.channel.send({"type": "table"}, fd)
        os.close(fd)

    def close(self) -> None:
        """End the worker and close what it inherited."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.channel.close()
        self._channels[1].close()
        for sock in (self._listener, self._health):
            sock.close()
        for fd in (*self._alive, self.slab_fd, self.pairs_fd):
            os.close(fd)


def _listener() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock
