"""
Headgate as people run it: ``headgate run`` with one worker, all on one core.

Its CPU time includes the supervisor and the control process, which looks at
the evidence once a second whatever the traffic is.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from peers.base import CANARY_PERCENT, UNIT_FIELD, Site, free_port, process

ROOT: Final = Path(__file__).resolve().parents[2]

CONFIGURATION: Final = """
listen: 127.0.0.1:{port}
workers: 1
admin: {{listen: 127.0.0.1:{admin_port}}}
health: {{listen: 127.0.0.1:{health_port}}}
state_dir: {directory}/state
services:
  shop:
    versions:
      stable: {{endpoints: [http://127.0.0.1:{stable_port}]}}
      canary: {{endpoints: [http://127.0.0.1:{canary_port}]}}
    split: {{stable: {stable}, canary: {canary}}}
    unit: [{{header: {unit}}}]
"""
MIRROR: Final = """
    mirror: {to: canary, percent: 100, during: always, max_inflight: 1024}
"""


class HeadgateTree:
    """See the module."""

    name = "headgate-tree"
    mirrors = True

    def missing(self) -> str | None:
        """Headgate is always here."""
        return None

    @contextlib.contextmanager
    def serving(self, site: Site, *, mirror: bool) -> Iterator[int]:
        """Run it for the length of the context."""
        path = site.directory / "headgate.yaml"
        text = CONFIGURATION.format(
            port=site.port,
            admin_port=free_port(),
            health_port=free_port(),
            directory=site.directory,
            stable_port=site.stable_port,
            canary_port=site.canary_port,
            stable=100 - CANARY_PERCENT,
            canary=CANARY_PERCENT,
            unit=UNIT_FIELD,
        )
        path.write_text(text + MIRROR if mirror else text)
        command = [sys.executable, "-m", "proxy", "run", str(path)]
        log = site.directory / "headgate.log"
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        with process(command, log, environ=environ) as child:
            yield child.pid
