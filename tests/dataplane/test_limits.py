"""Limits that have no setting: each at its value, and one past it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.dataplane import answer
from proxy.dataplane.downstream import (
    LINGER_BYTES_MAX,
    PENDING_BYTES_MAX,
    Downstream,
)
from proxy.dataplane.pool import IDLE_MAX, Pool
from proxy.dataplane.upstream import Upstream
from proxy.model.vocabulary import Flag
from proxy.routing.table import Endpoint
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Stage, flagged
from tests.support.wire import dial, fetch, get

ONCE = {"attempts": 0, "shield": False}


@pytest.mark.parametrize(
    ("count", "status"),
    [(answer.INFORMATIONAL_MAX, 200), (answer.INFORMATIONAL_MAX + 1, 502)],
)
async def test_informational_answers(stage: Stage, count: int, status: int) -> None:
    """RFC 9110 section 15.2: sixteen 1xx before the final answer."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 102 Wait\r\n\r\n" * count)
        await call.reply()

    async with ScriptedOrigin(script) as origin:
        await stage.serve({"stable": [origin]}, retries=ONCE)
        async with dial(stage.port) as wire:
            await wire.send(get())
            statuses = [
                (await wire.answer()).status
                for _ in range(min(count, answer.INFORMATIONAL_MAX) + 1)
            ]

    assert statuses[-1] == status


@pytest.mark.parametrize(("over", "status"), [(0, 200), (1, 502)])
async def test_the_head_of_an_answer(stage: Stage, over: int, status: int) -> None:
    """64 KiB: twice what is taken of a request's."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
    head += b"x" * (answer.HEAD_BYTES_MAX + over - len(head))

    async def script(call: Call) -> None:
        await call.send(head + b"\r\n\r\n")

    async with ScriptedOrigin(script) as origin:
        service = await stage.serve({"stable": [origin]}, retries=ONCE)
        found = await fetch(stage.port, get())
        code = status if status == 200 else flagged(Flag.UPE)
        await service.counts("stable", {code: 1})

    assert found.status == status


def test_idle_connections_of_an_endpoint() -> None:
    """512 wait in a pool; one more is closed when it comes back."""
    pool = Pool(
        Endpoint(host="127.0.0.1", port=1, unix="", authority=b"a"),
        buffer=memoryview(b""),
        start=lambda *_: None,
        clock=lambda: 0.0,
    )
    returned = [Upstream(pool, memoryview(b"")) for _ in range(IDLE_MAX + 1)]
    for upstream in returned:
        upstream.usable = True
        pool.give_back(upstream, 0.0)

    assert len(pool.idle) == IDLE_MAX
    assert returned[-2].usable
    assert not returned[-1].usable


async def test_input_held_while_a_request_is_answered(stage: Stage) -> None:
    """64 KiB of pipelined requests wait; then the client is not read any more."""
    go = asyncio.Event()

    async def slow(call: Call) -> None:
        await go.wait()
        await call.reply()

    async with ScriptedOrigin(slow) as origin:
        await stage.serve({"stable": [origin]}, timeouts={"attempt": 30.0})
        async with dial(stage.port) as wire:
            taken = 0
            piece = get("/" + "x" * 900)
            try:
                async with asyncio.timeout(1.0):
                    while True:
                        await wire.send(piece)
                        taken += len(piece)
            except TimeoutError:
                pass  # it reads no more, and the kernel's buffers are full
            go.set()
            await eventually(lambda: len(origin.requests) > 1)
            wire.reset()

    # What the kernel holds for a connection on loopback is at most some MiB.
    assert PENDING_BYTES_MAX < taken < 16 * 2**20


def test_input_read_after_an_answer_that_ends_the_connection() -> None:
    """RFC 9112 section 9.6: 64 KiB are dropped, one byte more ends it."""
    closed: list[bool] = []
    transport = SimpleNamespace(
        close=lambda: closed.append(True), get_write_buffer_size=lambda: 0
    )
    worker: Any = SimpleNamespace(
        buffer=memoryview(bytearray(LINGER_BYTES_MAX)),
        now_s=0.0,
        outbox=SimpleNamespace(turn=0),
        wheel=SimpleNamespace(place=lambda *_: None),
    )
    down = Downstream(worker)
    down.transport = cast("asyncio.Transport", transport)
    down.closing = True
    down.buffer_updated(LINGER_BYTES_MAX)
    before = list(closed)
    down.buffer_updated(1)

    assert (before, closed) == ([], [True])
