"""Connections that an origin ends while they idle, as real origins do."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.model.vocabulary import Flag
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.stage import Stage
from tests.support.wire import dial, fetch, get, post

SUPPORT = Path(__file__).resolve().parents[1] / "support"
KEEP_ALIVE_S = 2
"""What gunicorn has by default."""
CLIENTS = 15
ROUNDS = 2


@asynccontextmanager
async def gunicorn() -> AsyncIterator[int]:
    """Run an application in gunicorn with its default keep-alive."""
    port = free_port()
    command = ["-m", "gunicorn", "--worker-class", "gthread", "--threads", "32"]
    process = subprocess.Popen(  # noqa: ASYNC220 - starting is quick
        [
            *(sys.executable, *command, "--keep-alive", str(KEEP_ALIVE_S)),
            *("--log-level", "error", "--bind", f"127.0.0.1:{port}"),
            *("--chdir", str(SUPPORT), "wsgi_counter:app"),
        ]
    )
    try:
        await eventually(lambda: _accepts(port))
        yield port
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def _accepts(port: int) -> bool:
    try:
        async with dial(port):
            return True
    except OSError:
        return False


async def test_a_post_every_two_seconds_at_gunicorn(stage: Stage) -> None:
    """
    RFC 9112 section 9.3.1: what must not be sent twice avoids the race.

    gunicorn ends a connection that idled for 2 s; a POST every 2 s meets that
    moment again and again. None fails, none is sent twice, and no GET that meets
    it is anybody's failure.
    """
    async with gunicorn() as port:
        service = await stage.serve(
            {"stable": [port]}, retries={"attempts": 0, "shield": False}
        )
        statuses: list[int] = []

        async def client(number: int, request: bytes) -> None:
            await asyncio.sleep(number * 0.004)
            async with dial(stage.port) as wire:
                for _ in range(ROUNDS):
                    statuses.append((await wire.ask(request)).status)
                    await asyncio.sleep(KEEP_ALIVE_S)

        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number, post(b"order")))
                group.create_task(client(number, get()))
        posted = await fetch(port, get("/counted", "X-Method: POST"))

    assert statuses == [200] * (2 * CLIENTS * ROUNDS)
    assert int(posted.body) == CLIENTS * ROUNDS
    assert service.flag("stable", Flag.UC) == service.flag("stable", Flag.UR) == 0
