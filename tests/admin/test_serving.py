"""What the control process serves on the listeners that it inherits."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.admin.serving import serve
from proxy.control.process import Launch
from tests.support.admin_api import AdminApi
from tests.support.standin_controller import StandInController

CONFIG = {
    "path": "/etc/headgate.yaml",
    "settings": {"admin": {"listen": "127.0.0.1:0"}},
}


@asynccontextmanager
async def served() -> AsyncIterator[tuple[AdminApi, str]]:
    """Serve a stand-in as the supervisor starts control: by descriptors."""
    admin = socket.create_server(("127.0.0.1", 0))
    address = f"\0headgate-test-{os.getpid()}"
    metrics = socket.socket(socket.AF_UNIX)
    metrics.bind(address)
    metrics.listen()
    port = admin.getsockname()[1]
    known: dict[str, Any] = dict.fromkeys(Launch.__dataclass_fields__)
    known |= {"admin_fds": (admin.detach(),), "metrics_fd": metrics.detach()}
    async with serve(StandInController(config=CONFIG), Launch(**known)):
        yield AdminApi(port), address


async def scrape(address: str, accept: str) -> bytes:
    """Ask for the metrics as a worker does."""
    reader, writer = await asyncio.open_unix_connection(address)
    head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_the_api_answers_on_the_inherited_listener() -> None:
    """The admin descriptor of the launch argument serves the API."""
    async with served() as (api, _):
        answer = await api.ask("GET", "/api/v1/services")

    assert answer.status == 200


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", b"text/plain"),
        (
            "application/openmetrics-text; version=1.0.0",
            b"application/openmetrics-text",
        ),
    ],
)
async def test_metrics_are_served_to_the_workers(accept: str, kind: bytes) -> None:
    """The unix socket serves both text formats, and nothing else."""
    async with served() as (_, address):
        answer = await scrape(address, accept)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: " + kind in head
    assert b"\r\nServer: headgate\r\n" in head
    assert body == b"headgate_build_info 1\n"


async def test_metrics_are_not_on_the_admin_listener() -> None:
    """Each listener has its own app."""
    async with served() as (api, _):
        answer = await api.ask("GET", "/metrics")

    assert answer.status == 404
