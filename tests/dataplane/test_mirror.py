"""Copies for another version: bounded, counted, and nobody ever waits for one."""

import asyncio
import time
from typing import Any

import pytest

from proxy.model.vocabulary import Flag, MirrorOutcome
from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Service, Stage, flagged, sparse
from tests.support.wire import chunks, dial, fetch, get, post

RULE: dict[str, Any] = {
    "to": 1,
    "percent": 100.0,
    "during": "before",
    "methods": ["GET", "HEAD", "OPTIONS"],
    "max_request_body": 64,
    "timeout": 0.4,
    "max_inflight": 100,
}


async def served(
    stage: Stage,
    stable: ScriptedOrigin,
    canary: ScriptedOrigin | int,
    **rule: object,
) -> Service:
    """Mirror from stable to the canary, which has no weight yet."""
    service = await stage.serve(
        {"stable": [stable], "canary": [canary]}, mirror={**RULE, **rule}
    )
    service.weight(0)
    return service


def outcomes(service: Service) -> dict[int, int]:
    """Return what became of the copies."""
    count = len(MirrorOutcome)
    return sparse(service.words("mirror", layout.C_MIRROR, count))


async def counted(service: Service, expected: dict[int, int]) -> None:
    """Wait until exactly these outcomes are counted."""
    await eventually(lambda: sum(outcomes(service).values()) == sum(expected.values()))
    assert outcomes(service) == expected


async def test_a_copy_is_sent_read_and_counted_apart(stage: Stage) -> None:
    """The same request, marked; live figures of the canary stay empty."""

    async def script(call: Call) -> None:
        await call.send(b"HTTP/1.1 103 Early\r\n\r\n")
        await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await call.send(chunks(b"x" * 1000, b"y"))

    async with ScriptedOrigin() as stable, ScriptedOrigin(script) as canary:
        service = await served(stage, stable, canary)
        async with dial(stage.port) as wire:
            for _ in range(10):
                answer = await wire.ask(get("/a?b", "X-User: ann"))
                assert answer.get("x-headgate-version") == "stable"
                await eventually(lambda: len(canary.requests) == len(stable.requests))
        await counted(service, {MirrorOutcome.ANSWERED: 10})

    live, copy = stable.requests[0], canary.requests[0]
    assert (copy.method, copy.target) == ("GET", "/a?b")
    assert copy.get("x-headgate-mirror") == "1"
    assert live.get("x-headgate-mirror") is None
    for name in ("host", "x-user", "x-request-id", "traceparent", "x-forwarded-for"):
        assert copy.get(name) == live.get(name)
    assert canary.connections == 1
    assert service.attempts("mirror") == {200: 10}
    assert service.timed("mirror") == 10
    assert service.attempts("canary") == {}
    assert service.word("canary", layout.C_ROUTED) == 0


async def test_bodies_are_copied_up_to_their_limit(stage: Stage) -> None:
    """`max_request_body`: at the limit, and one past, known and unknown before."""
    chunked = get("/", "Transfer-Encoding: chunked", method="POST")
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary, methods=["POST"])
        async with dial(stage.port) as wire:
            await wire.ask(post(b"x" * 64))
            await wire.ask(post(b"y" * 65))
            await wire.ask(chunked + chunks(b"a" * 40))
            await wire.ask(chunked + chunks(b"b" * 70))
        await counted(
            service, {MirrorOutcome.ANSWERED: 2, MirrorOutcome.SKIPPED_BODY: 2}
        )

    assert sorted(one.body[:1] for one in canary.requests) == [b"a", b"x"]
    assert len(stable.requests) == 4


async def dead(call: Call) -> None:
    """Reset at once."""
    call.reset()


async def hanging(call: Call) -> None:
    """Say nothing."""
    await call.hang()


async def garbage(call: Call) -> None:
    """Answer what is none."""
    await call.send(b"what?\r\n\r\n")
    await call.hang()


async def trickling(call: Call) -> None:
    """Answer far too slowly."""
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    for _ in range(100):
        await call.send(b"x")
        await asyncio.sleep(0.1)


async def cut(call: Call) -> None:
    """Promise more than comes."""
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
    await call.close()


FAILED = {
    "dead": (dead, MirrorOutcome.FAILED, Flag.UR),
    "hanging": (hanging, MirrorOutcome.TIMEOUT, Flag.UT),
    "garbage": (garbage, MirrorOutcome.FAILED, Flag.UPE),
    "trickling": (trickling, MirrorOutcome.TIMEOUT, Flag.UT),
    "cut": (cut, MirrorOutcome.FAILED, Flag.UC),
}


@pytest.mark.parametrize("name", FAILED)
async def test_a_bad_target_delays_nobody(stage: Stage, name: str) -> None:
    """Promise 5: no live request waits for a mirror, and none is changed."""
    script, outcome, flag = FAILED[name]
    async with ScriptedOrigin() as stable, ScriptedOrigin(script) as canary:
        service = await served(stage, stable, canary)
        async with dial(stage.port) as wire:
            began = time.monotonic()
            answers = [await wire.ask(get()) for _ in range(20)]
            took_s = time.monotonic() - began
        await counted(service, {outcome: 20})
        await service.counts("stable", {200: 20})

    assert {(answer.status, answer.body) for answer in answers} == {(200, b"ok")}
    assert took_s < 0.4
    assert service.attempts("mirror") == {flagged(flag): 20}
    assert service.attempts("canary") == {}
    assert service.timed("mirror") == 0


async def test_a_target_that_is_not_there(stage: Stage) -> None:
    """Refused connections are counted, and that is all."""
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port())
        async with dial(stage.port) as wire:
            statuses = {(await wire.ask(get())).status for _ in range(20)}
        await counted(service, {MirrorOutcome.FAILED: 20})

    assert statuses == {200}
    assert service.attempts("mirror") == {flagged(Flag.UF): 20}
    assert service.tripped() == 0


async def test_at_most_so_many_at_once(stage: Stage) -> None:
    """`max_inflight`: the rest is skipped, at once."""
    async with ScriptedOrigin() as stable, ScriptedOrigin(hanging) as canary:
        service = await served(stage, stable, canary, max_inflight=3, timeout=1.0)
        async with dial(stage.port) as wire:
            for _ in range(10):
                await wire.ask(get())
        await counted(
            service, {MirrorOutcome.TIMEOUT: 3, MirrorOutcome.SKIPPED_INFLIGHT: 7}
        )


@pytest.mark.parametrize(
    ("request_bytes", "reason"),
    [
        (post(b""), MirrorOutcome.SKIPPED_METHOD),
        (get("/", "Range: bytes=0-1"), MirrorOutcome.SKIPPED_RANGE),
        (
            get("/", "Connection: Upgrade", "Upgrade: websocket"),
            MirrorOutcome.SKIPPED_UPGRADE,
        ),
        (get("/", "Content-Length: 65") + bytes(65), MirrorOutcome.SKIPPED_BODY),
    ],
)
async def test_each_skip_has_its_reason(
    stage: Stage, request_bytes: bytes, reason: MirrorOutcome
) -> None:
    """What is not copied is counted, so that silence is explained."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary)
        answer = await fetch(stage.port, request_bytes)
        await counted(service, {reason: 1})

    assert answer.status == 200
    assert canary.requests == []


async def test_a_sample_is_mirrored(stage: Stage) -> None:
    """`percent`: the rest is counted as not sampled."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary, percent=30.0)
        async with dial(stage.port) as wire:
            for _ in range(500):
                await wire.ask(get())
        await eventually(lambda: sum(outcomes(service).values()) == 500)

    answered = outcomes(service).get(MirrorOutcome.ANSWERED, 0)
    assert 100 < answered < 200
    assert outcomes(service)[MirrorOutcome.SKIPPED_SAMPLE] == 500 - answered


async def test_before_ends_with_live_weight(stage: Stage) -> None:
    """`during: before`: once the canary has users, nothing is copied."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary)
        service.weight(1)
        async with dial(stage.port) as wire:
            for _ in range(5):
                await wire.ask(get())

    assert outcomes(service) == {}


async def test_always_mirrors_both_ways(stage: Stage) -> None:
    """`during: always`: what the canary answers is copied to stable."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary, during="always")
        service.weight(50_000)
        async with dial(stage.port) as wire:
            for _ in range(40):
                await wire.ask(get())
        await counted(service, {MirrorOutcome.ANSWERED: 40})

    marks = [len(one.all("x-headgate-mirror")) for one in stable.requests]
    assert len(stable.requests) == len(canary.requests) == 40
    assert 0 < sum(marks) < 40


async def test_a_copy_is_not_copied_again(stage: Stage) -> None:
    """A proxy behind this one sees the mark, and leaves it."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary)
        await fetch(stage.port, get("/", "x-headgate-mirror: 1"))
        await service.counts("stable", {200: 1})

    assert canary.requests == []
    assert outcomes(service) == {}


async def test_a_request_without_host_is_copied_whole(stage: Stage) -> None:
    """HTTP/1.0 needs no Host; the copy has one, and is one request."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary)
        await fetch(stage.port, b"GET /old HTTP/1.0\r\n\r\n")
        await counted(service, {MirrorOutcome.ANSWERED: 1})

    assert [one.target for one in canary.requests] == ["/old"]
    assert canary.requests[0].get("host") == f"127.0.0.1:{canary.port}"
    assert canary.requests[0].get("x-headgate-mirror") == "1"


@pytest.mark.parametrize("framed", [False, True])
async def test_a_large_answer_is_read_up_to_its_bound(
    stage: Stage,
    framed: bool,  # noqa: FBT001
) -> None:
    """1 MiB of an answer is enough to count it; its connection then ends."""

    async def large(call: Call) -> None:
        if not framed:
            await call.reply(bytes(3_000_000))
            return
        await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await call.send(chunks(bytes(3_000_000)))

    async with ScriptedOrigin() as stable, ScriptedOrigin(large) as canary:
        service = await served(stage, stable, canary, timeout=5.0)
        await fetch(stage.port, get())
        await fetch(stage.port, get())
        await counted(service, {MirrorOutcome.ANSWERED: 2})

    assert canary.connections == 2


async def test_a_flood_is_stopped(stage: Stage) -> None:
    """A target whose answers all have to be cut gets no more after half a window."""

    async def flood(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await call.send(chunks(bytes(2_000_000)))

    async with ScriptedOrigin() as stable, ScriptedOrigin(flood) as canary:
        service = await served(stage, stable, canary, timeout=5.0)
        async with dial(stage.port) as wire:
            for number in range(1, 31):
                await wire.ask(get())
                total = number
                await eventually(lambda: sum(outcomes(service).values()) == total)  # noqa: B023

    assert outcomes(service)[MirrorOutcome.SKIPPED_STOPPED] == 4
