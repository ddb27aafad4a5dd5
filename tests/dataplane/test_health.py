"""The health address: answered from the slab, whatever control does."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.telemetry import layout
from tests.support.stage import Stage
from tests.support.wire import Answer, dial, get


async def probe(stage: Stage, target: str, method: str = "GET") -> Answer:
    """Ask the health address; it closes after each answer."""
    async with dial(stage.plane.health_port) as wire:
        answer = await wire.ask(get(target, method=method), method=method)
        assert await wire.rest() == b""
        return answer


@pytest.fixture
async def replaying(stage: Stage) -> AsyncIterator[Stage]:
    """Return the stage while control has not read its store yet."""
    stage.plane.control.set_header_word(layout.H_CONTROL_READY, 0)
    yield stage
    stage.plane.control.set_header_word(layout.H_CONTROL_READY, 1)


async def test_a_worker_that_serves_is_live_and_ready(stage: Stage) -> None:
    """`/livez` and `/readyz`, for GET and HEAD."""
    for target in ("/livez", "/readyz", "/readyz?verbose"):
        assert (await probe(stage, target)).status == 200
        assert (await probe(stage, target, "HEAD")).status == 200
    verbose = await probe(stage, "/readyz?verbose")

    assert b"[+]table ok\n" in verbose.body
    assert verbose.body.endswith(b"readyz check passed\n")


async def test_it_is_not_ready_before_the_store_was_read(replaying: Stage) -> None:
    """A cold start is not ready; it is live."""
    ready = await probe(replaying, "/readyz")
    verbose = await probe(replaying, "/readyz?verbose")
    live = await probe(replaying, "/livez")

    assert (ready.status, ready.body) == (503, b"not ready\n")
    assert b"[-]control-replayed failed: " in verbose.body
    assert live.status == 200


async def test_other_questions(stage: Stage) -> None:
    """Read-only, and nothing else is here."""
    assert (await probe(stage, "/")).status == 404
    assert (await probe(stage, "/livez", "POST")).status == 405
    assert (await probe(stage, "/metrics")).status == 503


async def test_malformed_probes(stage: Stage) -> None:
    """400, 431, and the end."""
    async with dial(stage.plane.health_port) as wire:
        assert (await wire.ask(b"BAD\r\n\r\n")).status == 400
    async with dial(stage.plane.health_port) as wire:
        assert (await wire.ask(b"GET / HTTP/1.1\r\nX: " + b"x" * 9000)).status == 431


async def test_a_probe_may_come_in_pieces(stage: Stage) -> None:
    """Where TCP splits it means nothing."""
    async with dial(stage.plane.health_port) as wire:
        for byte in get("/livez"):
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await wire.answer()).status == 200
