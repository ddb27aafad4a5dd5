"""``run``: the plan, and how the supervisor is started."""

import os
import sys
from pathlib import Path

import pytest

from proxy import settings
from proxy.cli.launch import isolation, make_plan
from proxy.supervisor.plan import TcpAddress, parse_plan
from tests.support.headgate_command import ROOT, headgate

FILE = b"""
listen: ["127.0.0.1:8080", "[::1]:8081", "unix:/tmp/gate.sock"]
drain: {delay: 5s, timeout: 1m}
limits: {connections: 100}
services:
  shop:
    versions:
      stable: {endpoints: ["http://127.0.0.1:9001"]}
"""


def test_the_supervisor_understands_the_plan() -> None:
    """Addresses, seconds and bytes arrive as the supervisor reads them."""
    loaded = settings.loads(FILE, "gate.yaml", {})
    path = Path("config/gate.yaml")
    plan = parse_plan(make_plan(loaded, path, log_format="json", log_level="debug"))

    assert plan.config == str(Path.cwd() / path)
    assert len(plan.listen) == 3
    assert plan.admin == TcpAddress("127.0.0.1", 9901)
    assert (plan.drain.delay_s, plan.drain.timeout_s) == (5.0, 60.0)
    assert plan.limits["connections"] == 100
    assert plan.limits["head"] == 32 * 1024
    assert plan.limits["body"] is None
    assert plan.workers >= 1
    assert plan.state_dir == str(Path.cwd() / ".headgate")
    assert plan.settings == loaded.document
    assert (plan.log_format, plan.log_level) == ("json", "debug")


def test_the_file_decides_the_number_of_workers() -> None:
    """A number is taken as it is."""
    loaded = settings.loads(b"workers: 3\n" + FILE, "gate.yaml", {})
    plan = make_plan(loaded, Path("x"), log_format="text", log_level="info")

    assert plan["workers"] == 3


@pytest.mark.parametrize(
    ("first", "flags"), [(str(ROOT), []), ("/somewhere/bin", ["-P"])]
)
def test_the_working_directory_is_not_searched_for_modules(
    first: str, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``-P`` is left out only where the package itself lies there."""
    monkeypatch.setattr(sys, "path", [first, *sys.path])

    assert isolation() == flags


async def test_an_unusable_token_file_is_told_before_the_start(tmp_path: Path) -> None:
    """Nothing is started that nobody could command."""
    path = tmp_path / "gate.yaml"
    token = tmp_path / "none"
    path.write_bytes(FILE + f"admin: {{token_file: {token}}}\n".encode())
    done = await headgate("run", str(path))

    assert done.code == 3
    assert done.err == f"{token}: cannot be read: {os.strerror(2)}\n"
