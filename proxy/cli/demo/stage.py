"""
What the demo runs: two shops, Headgate in front of them, and users.

Starts every process for real and ends every one of them, whatever happened: the
shops end with their standard input, Headgate by SIGTERM, and the kernel ends it
if the demo itself is killed. What is told on this stage is ``stories``.
"""

import asyncio
import http.client
import importlib.resources
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import proxy
from proxy.cli.client import AdminClient
from proxy.cli.demo.behaviour import JsonValue, Tally
from proxy.errors import StartError
from proxy.telemetry.process import die_with_parent

SERVICE = "shop"
VERSIONS = ("blue", "green")
"""As config/demo.yaml names them; blue begins as stable."""
FIRST_REVISION = "2.0.0"

START_WAIT_S = 30.0
"""Longest wait for anything to start: a busy laptop takes seconds."""
POLL_WAIT_S = 0.1
END_WAIT_S = 10.0
"""Headgate drains for 5 s at most (config/demo.yaml); after this it is killed."""
LOG_LINES_SHOWN = 20

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where Headgate listens on loopback."""

    traffic: int
    admin: int
    health: int


@dataclass(frozen=True, slots=True)
class Shop:
    """One version of the demo shop, a process of its own."""

    name: str
    process: asyncio.subprocess.Process
    port: int
    private_port: int

    async def deploy(self, changes: Mapping[str, JsonValue]) -> None:
        """Change what the shop does, from the next request on; clears its tally."""
        await asyncio.to_thread(
            _ask, self.private_port, "PUT", "/behaviour", json.dumps(dict(changes))
        )

    async def tally(self) -> Tally:
        """Return what reached the shop since the last ``deploy``."""
        answer = await asyncio.to_thread(_ask, self.private_port, "GET", "/tally")
        return Tally(**json.loads(answer))


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, ready for traffic."""

    shops: Mapping[str, Shop]
    ports: Ports
    config: Path
    workers: int

    @property
    def client(self) -> AdminClient:
        """The admin API."""
        return AdminClient(f"http://127.0.0.1:{self.ports.admin}")

    async def service(self) -> Json:
        """Return the service as the admin API shows it."""
        service: Json = await asyncio.to_thread(self.client.get, "services", SERVICE)
        return service

    async def order(self, verb: str, **body: str) -> None:
        """Order something of the rollout, as a person does."""
        await asyncio.to_thread(
            self.client.post, "rollouts", SERVICE, verb, body=dict(body)
        )

    async def rollout(self) -> Json:
        """Return the rollout as the admin API shows it."""
        rollout: Json = await asyncio.to_thread(self.client.get, "rollouts", SERVICE)
        return rollout

    async def parallel(self) -> Json:
        """Return the report of the parallel run as the admin API shows it."""
        report: Json = await asyncio.to_thread(
            self.client.get, "services", SERVICE, "parallel"
        )
        return report


@asynccontextmanager
async def set_up(
    ports: Ports | None = None, file: str = "demo.yaml"
) -> AsyncIterator[Stage]:
    """
    Start the shops and Headgate; end them and remove their files at the end.

    Args:
        ports: where Headgate listens; ``None``: on free ports.
        file: the configuration, one of those beside this module.

    Raises:
        StartError: something did not start, with the end of Headgate's log.
    """
    async with AsyncExitStack() as stack:
        files = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-"))
        )
        config = stack.enter_context(
            importlib.resources.as_file(
                importlib.resources.files("proxy.cli.demo") / file
            )
        ).resolve()
        shops = {name: await _open_shop(stack, name) for name in VERSIONS}
        ports = ports or free_ports()
        environ = {
            "HEADGATE_DEMO_PORT": str(ports.traffic),
            "HEADGATE_DEMO_ADMIN_PORT": str(ports.admin),
            "HEADGATE_DEMO_HEALTH_PORT": str(ports.health),
            "HEADGATE_DEMO_STATE_DIR": str(files / "state"),
            "HEADGATE_DEMO_BLUE_PORT": str(shops["blue"].port),
            "HEADGATE_DEMO_GREEN_PORT": str(shops["green"].port),
        }
        log = files / "headgate.log"
        headgate = await _open_headgate(stack, config, log, environ)
        await _until_ready(headgate, ports.health, log)
        stage = Stage(shops, ports, config, workers=0)
        settings = (await asyncio.to_thread(stage.client.get, "config"))["settings"]
        stage = Stage(shops, ports, config, workers=int(settings["workers"]))
        await _until_revisions_are_known(stage)
        yield stage


def free_ports() -> Ports:
    """Return three ports of loopback that nobody listens on at this moment."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _port in range(3)
        ]
        return Ports(*(listener.getsockname()[1] for listener in listeners))


async def _open_shop(stack: AsyncExitStack, name: str) -> Shop:
    """Start one shop; it ends with the stack."""
    process = await asyncio.create_subprocess_exec(
        *_python(),
        "proxy.cli.demo.service",
        name,
        FIRST_REVISION,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=_environ({}),
        start_new_session=True,  # Ctrl-C is the demo's, which then ends the others
    )
    stack.push_async_callback(_end, process)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_WAIT_S):
            ports = json.loads(await process.stdout.readline())
    except (TimeoutError, ValueError) as error:
        raise StartError(f"the demo's shop {name} did not start") from error
    return Shop(name, process, ports["port"], ports["private_port"])


async def _open_headgate(
    stack: AsyncExitStack, config: Path, log: Path, environ: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """Start Headgate; it ends with the stack."""
    demo_pid = os.getpid()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *_python(),
            "proxy",
            "run",
            str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environ(environ),
            start_new_session=True,  # as the shops
            # The demo's other threads only wait for a child: forking is safe here.
            preexec_fn=lambda: die_with_parent(demo_pid),
        )
    stack.push_async_callback(_end, process)
    return process


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and kill it when it does not."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(END_WAIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _until_ready(
    headgate: asyncio.subprocess.Process, health_port: int, log: Path
) -> None:
    """Wait until Headgate says that it is ready for traffic."""
    try:
        async with asyncio.timeout(START_WAIT_S):
            while headgate.returncode is None:
                if await asyncio.to_thread(_is_ready, health_port):
                    return
                await asyncio.sleep(POLL_WAIT_S)
    except TimeoutError:
        reason = f"is not ready after {START_WAIT_S:g} s"
    else:
        reason = f"ended with exit code {headgate.returncode}"
    raise StartError("\n".join([f"Headgate {reason}", *_last_lines(log)]))


async def _until_revisions_are_known(stage: Stage) -> None:
    """Wait until Headgate has seen both revisions: from then on a new one is new."""
    try:
        async with asyncio.timeout(START_WAIT_S):
            while True:
                versions = (await stage.service())["versions"]
                if all(version["revision"] for version in versions):
                    return
                await asyncio.sleep(POLL_WAIT_S)
    except TimeoutError as error:
        raise StartError("Headgate has not seen the shops' revisions") from error


def _is_ready(health_port: int) -> bool:
    """Ask the readiness probe."""
    try:
        _ask(health_port, "GET", "/readyz")
    except (OSError, http.client.HTTPException):
        return False
    return True


def _last_lines(log: Path) -> list[str]:
    """Return the end of a log."""
    return log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]


def _ask(port: int, method: str, path: str, body: str | None = None) -> bytes:
    """
    Return the body of an answer from loopback.

    Raises:
        OSError, http.client.HTTPException: there was no answer, or not a 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"{method} {path}: status {response.status}")
    return answer


def _python() -> list[str]:
    """Return how to run a module of ours, whatever lies in the working directory."""
    return [sys.executable, "-P", "-m"]


def _environ(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: it finds this package, installed or not."""
    root = str(Path(proxy.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **extra, "PYTHONPATH": os.pathsep.join(paths)}
