"""
Headgate: one worker alone, with a slab and no control process beside it.

The worker is what serves traffic, and alone it is measured exactly. The whole
product, as ``headgate run`` starts it, is in ``headgate_tree``.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from peers.base import (
    CANARY_PERCENT,
    PLAIN,
    PROXY_CORE,
    UNIT_FIELD,
    Duty,
    Site,
    pinned,
    wait,
)
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.telemetry import channel, layout, pairs, slab

ROOT: Final = Path(__file__).resolve().parents[2]
BACKLOG: Final = 1024
CANARY: Final = 1
STABLE: Final = 0


class Headgate:
    """
    One worker process.

    ``root`` is the tree whose ``proxy`` package runs; ``under`` is put before
    the command, for a program that watches it; with ``events`` every POST that
    is answered well is a business event; with ``log`` every exchange is a line of
    JSON in a file.
    """

    mirrors = True

    def __init__(
        self,
        name: str = "headgate",
        root: Path = ROOT,
        under: Sequence[str] = (),
        *,
        events: bool = False,
        log: bool = False,
    ) -> None:
        self.name = name
        self._root = root
        self._under = under
        self._events = events
        self._log = log

    def missing(self) -> str | None:
        """Headgate is always here."""
        return None

    @contextlib.contextmanager
    def serving(self, site: Site, duty: Duty) -> Iterator[int]:
        """Run it for the length of the context."""
        with contextlib.ExitStack() as stack:
            slab_fd = slab.create(1)
            stack.callback(os.close, slab_fd)
            pairs_fd = pairs.create(1)
            stack.callback(os.close, pairs_fd)
            control = slab.ControlSlab(slab_fd)
            control.set_header_word(layout.H_CONTROL_READY, 1)
            share = CANARY_PERCENT * UNIT_BUCKETS // 100
            control.write_weights(0, [(CANARY, share), (STABLE, UNIT_BUCKETS)])
            ours, theirs = channel.pair()
            stack.callback(ours.close)
            stack.callback(theirs.close)
            table_fd = channel.sealed_document(
                "table",
                route_table(site, duty, events=self._events, log=self._log),
            )
            stack.callback(os.close, table_fd)
            listener = stack.enter_context(_listener(site.port))
            health = stack.enter_context(_listener(0))
            launch = {
                "role": "worker",
                "index": 0,
                "workers": 1,
                "slab_fd": slab_fd,
                "pairs_fd": pairs_fd,
                "channel_fd": theirs.fileno(),
                "table_fd": table_fd,
                "listeners": [[listener.fileno()]],
                "shared_listeners": [],
                "health_fds": [health.fileno()],
                "metrics_address": "\0headgate-benchmark-nobody",
                "supervisor_pid": os.getpid(),
                "log_format": "text",
                "log_level": "info",
                "restarted": False,
                "drain": {"delay": 0.0, "timeout": 30.0},
            }
            kept = [slab_fd, pairs_fd, theirs.fileno(), table_fd]
            kept += [listener.fileno(), health.fileno()]
            log = stack.enter_context((site.directory / "access.log").open("wb"))
            yield stack.enter_context(self._worker(launch, kept, log)).pid

    @contextlib.contextmanager
    def _worker(
        self, launch: dict[str, Any], kept: list[int], log: IO[bytes]
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run the process; it ends itself when it believes to be an orphan."""
        alive, ours = os.pipe()
        document = json.dumps({**launch, "alive_fd": alive})
        command = [sys.executable, "-P", "-m", "proxy.dataplane", document]
        child = subprocess.Popen(
            pinned(PROXY_CORE, [*self._under, *command]),
            pass_fds=[*kept, alive],
            stdout=log,
            env={**os.environ, "PYTHONPATH": str(self._root)},
        )
        os.close(alive)
        try:
            yield child
        finally:
            os.close(ours)
            wait(child)


def _listener(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(BACKLOG)
    return sock


def route_table(
    site: Site, duty: Duty = PLAIN, *, events: bool = False, log: bool = False
) -> dict[str, Any]:
    """Return what control would publish for two versions, 80 % and 20 %."""
    return {
        "generation": 1,
        "config_hash": "0",
        "trusted_proxies": [],
        "access_log": {
            "format": "json" if log else "off",
            "sample": 1.0,
            "errors": 1.0,
        },
        "limits": {
            "head": 32768,
            "fields": 100,
            "target": 8192,
            "body": None,
            "connections": 20000,
            "inflight_per_version": 1024,
        },
        "services": [_service(site, duty, events=events)],
    }


def _service(site: Site, duty: Duty, *, events: bool) -> dict[str, Any]:
    versions = {"stable": site.stable_port, "canary": site.canary_port}
    return {
        "name": "shop",
        "slot": 0,
        "match": [],
        "salt": "shop",
        "response_headers": True,
        "unit": [{"cookie": duty.cookie} if duty.cookie else {"header": UNIT_FIELD}],
        "overrides": [],
        "routes": [],
        "events": [_EVENT] if events else [],
        "versions": [
            {
                "name": name,
                "endpoints": [
                    {
                        "host": "127.0.0.1",
                        "port": port,
                        "authority": f"127.0.0.1:{port}",
                    }
                ],
                "seen": index,
                "trials": 2 + index,
                "cell": index,
                "revision_header": None,
            }
            for index, (name, port) in enumerate(versions.items())
        ],
        "control_cell": 2,
        "mirror_cell": 3,
        "stable": STABLE,
        "canary": CANARY,
        "fail_fast": {
            "consecutive_connect_failures": 5,
            "error_rate": 0.5,
            "requests": 20,
        },
        "host": "preserve",
        "timeouts": {
            "connect": 1.0,
            "attempt": 5.0,
            "first_byte": 15.0,
            "request": None,
            "head": 10.0,
            "stream_idle": 60.0,
            "send": 60.0,
            "keepalive": 75.0,
            "upstream_keepalive": 4.0,
            "tunnel": 3600.0,
        },
        "retries": {
            "attempts": 1,
            "on": ["connect_failure", "reset", "502", "503", "504"],
            "budget": 0.2,
            "shield": True,
        },
        "mirror": _mirror(compare=duty.compare) if duty.mirror else None,
    }


_EVENT: Final = {
    "name": "orders",
    "word": 0,
    "when": {"method": "POST"},
    "statuses": ["2xx"],
    "seen": [4, 5],
}


def _mirror(*, compare: bool) -> dict[str, Any]:
    return {
        "compare": {"noise_sample": 0.2} if compare else None,
        "to": CANARY,
        "percent": 100.0,
        "during": "always",
        "methods": ["GET", "HEAD", "OPTIONS"],
        "max_request_body": 65536,
        "timeout": 5.0,
        "max_inflight": 1024,
    }
