"""
Headgate as people run it: ``headgate run``, everything on the same core.

Its CPU time includes the supervisor and the control process, which looks at
the evidence once a second whatever the traffic is.
"""

import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import measure

from peers.base import (
    CANARY_PERCENT,
    PROXY_CORE,
    UNIT_FIELD,
    Duty,
    Site,
    free_port,
    process,
)

ROOT: Final = Path(__file__).resolve().parents[2]


class HeadgateTree:
    """
    See the module.

    With more than one of ``services`` each has a host of its own
    (``shop-0.example`` and so on), and in each a rollout is under way whose first
    step is never over: p99 and errors of its versions are judged.
    """

    mirrors = True

    def __init__(
        self,
        name: str = "headgate-tree",
        *,
        services: int = 1,
        workers: int = 1,
        pinned: bool = True,
    ) -> None:
        self.name = name
        self._services = services
        self._workers = workers
        self._core = PROXY_CORE if pinned else None

    def missing(self) -> str | None:
        """Headgate is always here."""
        return None

    @contextlib.contextmanager
    def serving(self, site: Site, duty: Duty) -> Iterator[int]:
        """Run it for the length of the context."""
        path = site.directory / "headgate.yaml"
        admin_port = free_port()
        path.write_text(json.dumps(self._settings(site, duty, admin_port)))
        command = [sys.executable, "-m", "proxy", "run", str(path)]
        log = site.directory / "headgate.log"
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with process(command, log, core=self._core, environ=environ) as child:
            if self._services > 1:
                measure.wait_until_answered(site.port, "shop-0.example")
                for number in range(self._services):
                    _begin_rollout(admin_port, f"shop-{number}")
            yield child.pid

    def _settings(self, site: Site, duty: Duty, admin_port: int) -> dict[str, Any]:
        """Return the configuration file; JSON is YAML."""
        several = self._services > 1
        return {
            "listen": f"127.0.0.1:{site.port}",
            "workers": self._workers,
            "admin": {"listen": f"127.0.0.1:{admin_port}"},
            "health": {"listen": f"127.0.0.1:{free_port()}"},
            "state_dir": str(site.directory / "state"),
            "services": {
                f"shop-{number}": _service(site, duty, number if several else None)
                for number in range(self._services)
            },
        }


def _service(site: Site, duty: Duty, number: int | None) -> dict[str, Any]:
    """Return a service; one with a number is under judgement at a host of its own."""
    ports = {"stable": site.stable_port, "canary": site.canary_port}
    service: dict[str, Any] = {
        "versions": {
            name: {"endpoints": [f"http://127.0.0.1:{port}"]}
            for name, port in ports.items()
        },
        "unit": [{"cookie": duty.cookie} if duty.cookie else {"header": UNIT_FIELD}],
    }
    if duty.mirror:
        service["mirror"] = {
            "to": "canary",
            "percent": 100,
            "during": "always",
            "max_inflight": 1024,
        }
    if number is None:
        split = {"stable": 100 - CANARY_PERCENT, "canary": CANARY_PERCENT}
        return {**service, "split": split}
    judged = {
        "start": "manual",
        "steps": [CANARY_PERCENT, 100],
        "min_duration": "1h",
        "max_duration": "2h",
        "slos": [
            {"metric": "latency", "quantile": 0.99, "max": "60s"},
            {"metric": "latency", "quantile": 0.99, "max_ratio": 50},
            {"metric": "error_rate", "max": "50%"},
        ],
    }
    match = [{"host": f"shop-{number}.example"}]
    split = {"stable": 100, "canary": 0}
    return {**service, "match": match, "split": split, "rollout": judged}


def _begin_rollout(admin_port: int, service: str) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{admin_port}/api/v1/rollouts/{service}/start",
        data=json.dumps({"reason": "benchmark"}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status < 300
