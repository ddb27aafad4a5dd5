"""Answers side by side: what is kept of them, handed over, or counted as skipped."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.dataplane.guard import STOP_S, WINDOW, Guard
from proxy.dataplane.pairing import KEPT_BYTES_MAX, LEG_BYTES_MAX
from proxy.model.vocabulary import MirrorOutcome, PairOutcome
from proxy.parallel.values import Outcome
from proxy.telemetry import layout
from proxy.telemetry.pairs import Record, RingReader
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Service, Stage, sparse
from tests.support.wire import chunks, dial, fetch, get, post

RULE: dict[str, Any] = {
    "to": 1,
    "percent": 100.0,
    "during": "before",
    "methods": ["GET", "HEAD", "OPTIONS"],
    "max_request_body": 64,
    "timeout": 0.4,
    "max_inflight": 100,
    "compare": {"noise_sample": 1.0},
}


@pytest.fixture
def ring(stage: Stage) -> Iterator[RingReader]:
    """Return the compare process's end of the worker's ring, empty."""
    reader = RingReader(stage.plane.pairs_fd, 0)
    _empty(reader)
    yield reader
    _empty(reader)


def _empty(reader: RingReader) -> None:
    while reader.take() is not None:
        pass


async def served(
    stage: Stage,
    stable: ScriptedOrigin,
    canary: ScriptedOrigin | int,
    **rule: object,
) -> Service:
    """Mirror from stable to the canary, which has no weight yet, and compare."""
    service = await stage.serve(
        {"stable": [stable], "canary": [canary]}, mirror={**RULE, **rule}
    )
    service.weight(0)
    return service


def paired(service: Service) -> dict[int, int]:
    """Return what became of the pairs."""
    return sparse(service.words("mirror", layout.C_PAIRS, len(PairOutcome)))


def mirrored(service: Service) -> dict[int, int]:
    """Return what became of the requests that could have been copied."""
    return sparse(service.words("mirror", layout.C_MIRROR, len(MirrorOutcome)))


async def taken(ring: RingReader, count: int) -> list[Record]:
    """Wait for records and take them."""
    records: list[Record] = []

    def more() -> bool:
        while (one := ring.take()) is not None:
            records.append(one)
        return len(records) >= count

    await eventually(more)
    assert len(records) == count
    return records


def named(name: bytes) -> Any:  # noqa: ANN401 - a script
    """Return a script that answers with a name."""

    async def script(call: Call) -> None:
        await call.reply(name, "X-Id: 1")

    return script


async def test_three_answers_to_one_request(stage: Stage, ring: RingReader) -> None:
    """The live answer, the candidate's and stable's second one, as they came."""
    async with (
        ScriptedOrigin(named(b"old")) as stable,
        ScriptedOrigin(named(b"new")) as canary,
    ):
        service = await served(stage, stable, canary)
        answer = await fetch(stage.port, get("/a?b", "Cookie: c=1"))
        (record,) = await taken(ring, 1)

    first, candidate, second = record.legs
    assert answer.body == b"old"
    assert record.request.startswith(b"GET /a?b HTTP/1.1\r\n")
    assert b"x-headgate-mirror: 1" in record.request
    assert record.sampled
    assert record.slot == service.slot
    assert first.raw == second.raw
    assert first.raw.endswith(b"X-Id: 1\r\n\r\nold")
    assert candidate.raw.endswith(b"\r\n\r\nnew")
    assert {leg.outcome for leg in record.legs} == {Outcome.ANSWERED}
    assert all(leg.latency_us > 0 for leg in record.legs)
    assert paired(service) == {PairOutcome.HANDED: 1, PairOutcome.SECOND: 1}
    assert mirrored(service) == {MirrorOutcome.ANSWERED: 1}
    assert service.attempts("mirror") == {200: 1}


async def test_second_answers_are_a_sample(stage: Stage, ring: RingReader) -> None:
    """`noise_sample`: so many of the copies have a second answer of stable."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary, compare={"noise_sample": 0.3})
        async with dial(stage.port) as wire:
            for _ in range(200):
                await wire.ask(get())
        records = await taken(ring, 200)

    seconds = sum(one.legs[2].outcome == Outcome.ANSWERED for one in records)
    assert 30 <= seconds <= 90
    assert paired(service)[PairOutcome.SECOND] == seconds
    assert len(stable.requests) == 200 + seconds
    assert len(canary.requests) == 200
    assert all(one.sampled for one in records)


async def test_chunks_bodies_and_heads_are_kept_whole(
    stage: Stage, ring: RingReader
) -> None:
    """What comes in pieces, without a body or until the end, is kept as it came."""

    async def script(call: Call) -> None:
        if call.request.target == "/chunks":
            await call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b"ab", b"cd"):
                await call.send(chunks(part)[:-5])
                await asyncio.sleep(0)
            await call.send(b"0\r\n\r\n")
        elif call.request.target == "/close":
            await call.send(b"HTTP/1.1 200 OK\r\n\r\nto the end")
            await call.close()
        else:
            await call.reply(b"xyz")

    async with ScriptedOrigin(script) as stable, ScriptedOrigin(script) as canary:
        await served(stage, stable, canary)
        await fetch(stage.port, get("/chunks"))
        await fetch(stage.port, get("/close"))
        await fetch(stage.port, get("/", method="HEAD"), method="HEAD")
        await fetch(stage.port, get("/body", "Content-Length: 3") + b"abc")
        records = await taken(ring, 4)

    by_target = {one.request.split(b" ")[1]: one for one in records}
    assert by_target[b"/chunks"].legs[0].raw.endswith(b"2\r\ncd\r\n0\r\n\r\n")
    assert {leg.ended for leg in by_target[b"/close"].legs} == {True}
    assert by_target[b"/"].legs[1].raw.endswith(b"\r\n\r\n")
    assert by_target[b"/body"].body == b"abc"
    for one in records:
        assert one.legs[0].raw == one.legs[1].raw


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        (lambda call: call.hang(), Outcome.TIMEOUT),
        (lambda call: call.send(b"what?\r\n\r\n"), Outcome.ABORTED),
        (None, Outcome.CONNECT_ERROR),
    ],
)
async def test_a_candidate_without_an_answer_is_handed_over_too(
    stage: Stage,
    ring: RingReader,
    script: Any,  # noqa: ANN401
    outcome: Outcome,
) -> None:
    """How its leg ended is a difference; the live answer is not held up."""
    async with ScriptedOrigin() as stable, ScriptedOrigin(script) as canary:
        target = free_port() if script is None else canary
        service = await served(stage, stable, target)
        answer = await fetch(stage.port, get())
        (record,) = await taken(ring, 1)

    assert answer.body == b"ok"
    assert record.legs[1].outcome == outcome
    assert record.legs[0].outcome == Outcome.ANSWERED
    assert paired(service)[PairOutcome.HANDED] == 1


async def test_large_answers_keep_their_heads(stage: Stage, ring: RingReader) -> None:
    """Beyond 1 MiB only the first bytes are kept; the live answer is whole."""

    async def large(call: Call) -> None:
        await call.reply(bytes(3 * LEG_BYTES_MAX))

    async with ScriptedOrigin(large) as stable, ScriptedOrigin(large) as canary:
        await served(stage, stable, canary, timeout=5.0)
        answer = await fetch(stage.port, get())
        (record,) = await taken(ring, 1)

    assert len(answer.body) == 3 * LEG_BYTES_MAX
    for leg in record.legs:
        assert leg.outcome == Outcome.TOO_LARGE
        assert b"Content-Length: 3145728" in leg.raw
        assert len(leg.raw) <= 65_536


async def test_answers_below_the_bound_are_kept_whole(
    stage: Stage, ring: RingReader
) -> None:
    """Half a MiB does not take the short way of large bodies, and still arrives."""
    size = LEG_BYTES_MAX // 2

    async def half(call: Call) -> None:
        await call.reply(bytes(size))

    async with ScriptedOrigin(half) as stable, ScriptedOrigin(half) as canary:
        await served(stage, stable, canary, timeout=5.0)
        answer = await fetch(stage.port, get())
        (record,) = await taken(ring, 1)

    assert len(answer.body) == size
    assert {leg.outcome for leg in record.legs} == {Outcome.ANSWERED}
    assert all(leg.raw.endswith(bytes(size)) for leg in record.legs)


async def test_a_live_answer_that_failed_is_nothing_to_compare_with(
    stage: Stage, ring: RingReader
) -> None:
    """Refused, tried again, reset, or left by its client: skipped, with a reason."""

    async def once(call: Call) -> None:
        if call.number == 0:
            call.reset()
        else:
            await call.reply()

    async with ScriptedOrigin() as canary:
        service = await stage.serve(
            {"stable": [free_port()], "canary": [canary]}, mirror=RULE
        )
        service.weight(0)
        answer = await fetch(stage.port, get())
        async with ScriptedOrigin(once) as stable:
            retried = await served(stage, stable, canary, compare={"noise_sample": 0.0})
            again = await fetch(stage.port, get())
            await eventually(lambda: bool(paired(retried)))

    assert answer.status == 503
    assert again.status == 200
    assert paired(service).get(PairOutcome.SKIPPED_LIVE) == 1
    assert paired(retried) == {PairOutcome.SKIPPED_LIVE: 1}
    assert not ring.waiting


async def test_streams_are_not_compared(stage: Stage, ring: RingReader) -> None:
    """An event stream has no end to wait for: asked for, or answered."""

    async def stream(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await call.send(b"data: 1\n\n")
        await call.close()

    async with ScriptedOrigin(stream) as stable, ScriptedOrigin(stream) as canary:
        service = await served(stage, stable, canary)
        await fetch(stage.port, get("/", "Accept: text/event-stream"))
        await fetch(stage.port, get())
        await eventually(lambda: len(paired(service)) == 2)

    assert mirrored(service)[MirrorOutcome.SKIPPED_STREAM] == 1
    assert paired(service)[PairOutcome.SKIPPED_STREAM] == 1
    assert not ring.waiting


async def test_unsafe_routes_are_copied_without_a_second_answer(
    stage: Stage, ring: RingReader
) -> None:
    """Only where a route opts in; stable is never asked to write twice."""
    routes = [{"method": "POST", "path": "/quote"}]
    never = [{"method": "GET", "path": "/logout"}]
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await served(stage, stable, canary, unsafe=routes, never=never)
        await fetch(stage.port, post(b"x").replace(b" / ", b" /quote "))
        await fetch(stage.port, post(b"x"))
        await fetch(stage.port, get("/logout"))
        (record,) = await taken(ring, 1)

    assert record.body == b"x"
    assert not record.sampled
    assert record.legs[2].outcome == Outcome.ABSENT
    assert [one.target for one in canary.requests] == ["/quote"]
    assert len(stable.requests) == 3
    skipped = {MirrorOutcome.SKIPPED_METHOD: 1, MirrorOutcome.SKIPPED_ROUTE: 1}
    assert mirrored(service) == {MirrorOutcome.ANSWERED: 1, **skipped}


async def test_both_ways_load_both_versions_alike(
    stage: Stage, ring: RingReader
) -> None:
    """`during: always`: stable's answer is the first leg, whoever served the user."""
    async with (
        ScriptedOrigin(named(b"old")) as stable,
        ScriptedOrigin(named(b"new")) as canary,
    ):
        service = await served(stage, stable, canary, during="always")
        service.weight(50_000)
        async with dial(stage.port) as wire:
            for _ in range(40):
                await wire.ask(get())
        records = await taken(ring, 40)
        seconds = paired(service)[PairOutcome.SECOND]
        await eventually(lambda: len(canary.requests) == 40 + seconds)

    for record in records:
        first, candidate, second = record.legs
        assert first.raw.endswith(b"old")
        assert candidate.raw.endswith(b"new")
        assert (second.outcome == Outcome.ANSWERED) == record.sampled
    assert 0 < seconds < 40
    assert len(stable.requests) == len(canary.requests) == 40 + seconds


async def test_a_ring_without_room_skips_and_counts(
    stage: Stage, ring: RingReader
) -> None:
    """Nobody compares: what does not fit is counted, and the worker keeps nothing."""

    async def large(call: Call) -> None:
        await call.reply(bytes(1_000_000))

    async with ScriptedOrigin(large) as stable, ScriptedOrigin(large) as canary:
        service = await served(
            stage, stable, canary, timeout=5.0, compare={"noise_sample": 0.0}
        )
        async with dial(stage.port) as wire:
            for _ in range(8):
                await wire.ask(get())
        await eventually(lambda: sum(paired(service).values()) == 8)
        assert ring.waiting

    counts = paired(service)
    assert counts[PairOutcome.HANDED] == 3
    assert counts[PairOutcome.SKIPPED_QUEUE] == 5


async def test_a_dead_target_is_let_alone(stage: Stage, ring: RingReader) -> None:
    """More than half of 50 without an answer: the copies stop, requests go on."""
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port())
        async with dial(stage.port) as wire:
            for _ in range(60):
                await wire.ask(get())
        await eventually(lambda: sum(mirrored(service).values()) == 60)

    counts = mirrored(service)
    assert counts[MirrorOutcome.SKIPPED_STOPPED] >= 60 - WINDOW
    assert counts[MirrorOutcome.FAILED] > WINDOW // 2
    await taken(ring, counts[MirrorOutcome.FAILED])


def test_the_guard_stops_and_begins_anew() -> None:
    """Half of the window is allowed; one more stops for a while, then all is new."""
    guard = Guard()
    for _ in range(WINDOW // 2):
        guard.note(1.0, failed=True)
        guard.note(1.0, failed=False)
    assert guard.until_s <= 1.0
    guard.note(2.0, failed=True)
    guard.note(2.0, failed=True)

    assert guard.until_s > 2.0
    assert guard.until_s > 1.9 + STOP_S
    assert guard.until_s <= 2.0 + STOP_S
    guard.note(40.0, failed=True)
    assert guard.until_s <= 40.0


def test_bounds_are_those_that_are_promised() -> None:
    """1 MiB an answer, 64 MiB a worker."""
    assert (LEG_BYTES_MAX, KEPT_BYTES_MAX) == (2**20, 2**26)
