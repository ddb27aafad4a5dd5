"""
The wheel as the image runs it: installed, without root, nothing writable but state.

There is no container engine in the tests; this does what the Dockerfile does
(build the wheel, install it into a fresh environment) and then takes away what a
container takes away: root, a writable home, a writable working directory.
"""

import asyncio
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.cli.demo.service import Shop, port, serve
from tests.support.eventually import eventually
from tests.support.free_port import free_port

ROOT = Path(__file__).parents[2]
CONFIG = """
listen: 127.0.0.1:{traffic}
workers: 1
limits: {{connections: 1000}}
admin: {{listen: 127.0.0.1:{admin}}}
health: {{listen: 127.0.0.1:{health}}}
state_dir: {state_dir}
services:
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{shop}"]}}
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Yield a directory that everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="headgate-container-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    """Build the wheel as the Dockerfile does: from a copy, so nothing is left here."""
    sources = place / "sources"
    sources.mkdir()
    for name in ("LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, sources)
    for name in ("config", "proxy"):
        shutil.copytree(ROOT / name, sources / name, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(place)]
    subprocess.run([*pip, "wheel", *options, str(sources)], check=True, cwd=place)
    [path] = place.glob("headgate-*.whl")
    return path


@pytest.fixture(scope="module")
def headgate(place: Path, wheel: Path) -> Path:
    """Install the wheel into an environment of its own; return the command."""
    environment = place / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [str(environment / "bin/pip"), "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    # The dependencies are those of the tests' own environment: same lock file.
    [packages] = environment.glob("lib/python3*/site-packages")
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(paths))
    return environment / "bin/headgate"


def test_the_wheel_holds_the_product_and_nothing_else(wheel: Path) -> None:
    """Only the package and its metadata; the demo's files are copies of config's."""
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()

    tops = {name.split("/")[0] for name in names}
    assert tops == {"proxy", f"{wheel.name.split('-py3')[0]}.dist-info"}
    for file in ("demo.yaml", "demo-parallel.yaml"):
        ours = (ROOT / "config" / file).read_bytes()
        assert archive.read(f"proxy/cli/demo/{file}") == ours
    assert any(name.endswith("licenses/LICENSE") for name in names)


async def test_runs_without_root_and_without_a_place_to_write(
    headgate: Path, place: Path
) -> None:
    """It becomes ready, carries a request, is healthy, and ends by SIGTERM with 0."""
    shop = Shop("stable", "2.0.0")
    async with await serve(shop.to_user) as upstream:
        ports = {"traffic": free_port(), "admin": free_port(), "health": free_port()}
        config = write_config(place, shop=port(upstream), **ports)
        async with run(headgate, place, config) as process:
            await eventually(lambda: is_ready(process, ports["health"]), within_s=60)
            status, document = await get(ports["traffic"], "/items/1")
            health = await command(
                headgate,
                place,
                "health",
                "--url",
                f"http://127.0.0.1:{ports['health']}/readyz",
            )
            process.terminate()
            async with asyncio.timeout(30):
                output, _none = await process.communicate()

    assert (status, json.loads(document)["shop"]) == (200, "stable")
    assert health == 0
    assert process.returncode == 0, output.decode()
    assert b"Traceback" not in output
    assert (place / "state/headgate.db").exists()
    assert list((place / "home").iterdir()) == []


def write_config(place: Path, **ports: int) -> Path:
    """Write the configuration and the directories; only state_dir is writable."""
    config = place / "headgate.yaml"
    config.write_text(CONFIG.format(state_dir=place / "state", **ports))
    (place / "home").mkdir(mode=0o555)
    (place / "state").mkdir(mode=0o755)
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(place / "state", nobody.pw_uid, nobody.pw_gid)
    return config


def unprivileged() -> list[str]:
    """Return the command that gives up root, if there is root to give up."""
    if os.getuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    ids = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}"]
    return ["setpriv", *ids, "--clear-groups", "--no-new-privs", *capabilities()]


def capabilities() -> list[str]:
    """
    Return the options that leave no capability at all.

    An interpreter in root's own home could not be started by anybody else: there
    the right to read everything is left, and nothing that helps to write.
    """
    interpreter = Path(sys.executable).resolve()
    if all(parent.stat().st_mode & 0o001 for parent in interpreter.parents):
        return ["--inh-caps=-all"]
    right = "-all,+dac_read_search"
    return [f"--inh-caps={right}", f"--ambient-caps={right}"]


def environ(place: Path) -> dict[str, str]:
    """Return a container's environment: little, and a home that is read-only."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@asynccontextmanager
async def run(
    headgate: Path, place: Path, config: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run Headgate as the image does, from a working directory it cannot write to."""
    process = await asyncio.create_subprocess_exec(
        *unprivileged(),
        headgate,
        "run",
        config,
        cwd=place / "home",
        env=environ(place),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def command(headgate: Path, place: Path, *arguments: str) -> int:
    """Run one command in the same surroundings; return its exit code."""
    process = await asyncio.create_subprocess_exec(
        *unprivileged(), headgate, *arguments, cwd=place / "home", env=environ(place)
    )
    return await process.wait()


async def is_ready(process: asyncio.subprocess.Process, health_port: int) -> bool:
    """Ask the readiness probe."""
    if process.returncode is not None:
        assert process.stdout is not None
        raise AssertionError((await process.stdout.read()).decode())
    try:
        status, _body = await get(health_port, "/readyz")
    except OSError:
        return False
    return status == 200


async def get(number: int, path: str) -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    request = f"GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n"
    writer.write(request.encode())
    head, _blank, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head[9:12]), body
