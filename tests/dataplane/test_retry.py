"""Another attempt: where it is safe, inside its budget, and charged to who failed."""

from typing import Any

import pytest

from proxy.model.vocabulary import Flag
from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, Script, ScriptedOrigin
from tests.support.stage import Service, Stage, flagged
from tests.support.wire import Answer, dial, fetch, get, post

ALL = 100_000
NO_SHIELD: dict[str, Any] = {"shield": False}


async def status_503(call: Call) -> None:
    """Answer that the canary cannot."""
    await call.reply(b"sorry", status=503)


async def reset(call: Call) -> None:
    """Take the request, then reset."""
    call.reset()


async def close(call: Call) -> None:
    """Take the request, then close."""
    await call.close()


async def half_a_head(call: Call) -> None:
    """Die in the middle of the head."""
    await call.send(b"HTTP/1.1 200 OK\r\nContent-")
    call.reset()


async def never(call: Call) -> None:
    """Say nothing."""
    await call.hang()


FAILURES = {
    "503": (status_503, 503),
    "reset": (reset, flagged(Flag.UR)),
    "close": (close, flagged(Flag.UC)),
    "half a head": (half_a_head, flagged(Flag.UR)),
    "no first byte": (never, flagged(Flag.UT)),
}


async def canary_at(
    stage: Stage,
    stable: ScriptedOrigin,
    canary: ScriptedOrigin | int,
    **retries: object,
) -> Service:
    """Serve both, everything goes to the canary."""
    service = await stage.serve(
        {"stable": [stable], "canary": [canary]},
        timeouts={"attempt": 0.3},
        fail_fast=None,
        retries=retries,
    )
    service.weight(ALL)
    return service


def untouched(service: Service) -> None:
    """Stable's latencies and evidence never see a shielded request."""
    assert service.timed("stable") == 0
    assert service.bank("stable", 1) == {}
    assert service.bank("control", 1) == {}


@pytest.mark.parametrize("name", FAILURES)
async def test_shield_answers_from_stable(stage: Stage, name: str) -> None:
    """The user sees stable's answer; the failure is charged to the canary."""
    script, code = FAILURES[name]
    async with ScriptedOrigin() as stable, ScriptedOrigin(script) as canary:
        service = await canary_at(stage, stable, canary)
        answer = await fetch(stage.port, get())
        await service.counts("canary", {code: 1})
        await service.counts("stable", {200: 1})

    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.get("x-headgate-version") == "stable"
    assert len(canary.requests) == len(stable.requests) == 1
    assert service.bank("canary", 1) == {code: 1}
    assert service.word("canary", layout.C_SHIELDED) == 1
    assert service.word("canary", layout.C_ROUTED) == 1
    assert service.word("stable", layout.C_ROUTED) == 0
    assert service.requests("stable") == {200: 1}
    untouched(service)


async def test_shield_covers_a_canary_that_is_not_there(stage: Stage) -> None:
    """Connect failure: the same."""
    async with ScriptedOrigin() as stable:
        service = await canary_at(stage, stable, free_port())
        async with dial(stage.port) as wire:
            answers = [await wire.ask(get()) for _ in range(20)]
        await service.counts("canary", {flagged(Flag.UF): 20})

    assert {answer.status for answer in answers} == {200}
    untouched(service)


async def test_shield_sends_the_body_again(stage: Stage) -> None:
    """An idempotent request with a body arrives whole at stable."""

    async def echo(call: Call) -> None:
        await call.reply(call.request.body)

    body = bytes(range(256)) * 200
    async with ScriptedOrigin(echo) as stable, ScriptedOrigin(reset) as canary:
        await canary_at(stage, stable, canary)
        answer = await fetch(stage.port, post(body, method="PUT"))

    assert (answer.status, answer.body) == (200, body)


async def test_a_body_too_large_to_keep_is_not_sent_again(stage: Stage) -> None:
    """64 KiB are kept; what is gone cannot be repeated."""
    async with ScriptedOrigin() as stable, ScriptedOrigin(status_503) as canary:
        await canary_at(stage, stable, canary)
        fits = await fetch(stage.port, post(bytes(65_536), method="PUT"))
        larger = await fetch(stage.port, post(bytes(65_537), method="PUT"))

    assert (fits.status, larger.status) == (200, 503)


@pytest.mark.parametrize("name", FAILURES)
async def test_a_post_is_never_sent_twice(stage: Stage, name: str) -> None:
    """RFC 9110 section 9.2.2: the canary took it, so it fails."""
    script, _ = FAILURES[name]
    async with ScriptedOrigin() as stable, ScriptedOrigin(script) as canary:
        service = await canary_at(stage, stable, canary)
        answer = await fetch(stage.port, post(b"order"))

    assert answer.status in {502, 503, 504}
    assert (len(canary.requests), len(stable.requests)) == (1, 0)
    assert service.word("canary", layout.C_SHIELDED) == 0


async def test_a_post_may_try_another_connection_if_none_was_made(
    stage: Stage,
) -> None:
    """A connect failure processed nothing: the other endpoint gets it, once."""
    async with ScriptedOrigin() as good:
        await stage.serve({"stable": [free_port(), good]}, retries={"attempts": 3})
        async with dial(stage.port) as wire:
            answers = [await wire.ask(post(b"order")) for _ in range(20)]

    assert len(good.requests) == sum(answer.status == 200 for answer in answers)
    assert len(good.requests) >= 15


async def test_without_shield_the_canarys_failure_is_seen(stage: Stage) -> None:
    """`shield: off`: its share fails, stable's never does."""
    async with ScriptedOrigin() as stable:
        service = await canary_at(stage, stable, free_port(), shield=False, attempts=0)
        answer = await fetch(stage.port, get())

    assert answer.status == 503
    assert answer.get("x-headgate-version") == "canary"
    assert service.requests("canary") == {503: 1}
    assert stable.requests == []


async def test_a_retry_stays_with_the_version(stage: Stage) -> None:
    """`retries.attempts`: stable's second try is stable's."""
    failed: list[int] = []

    async def flaky(call: Call) -> None:
        if not failed:
            failed.append(1)
            call.reset()
        else:
            await call.reply()

    async with ScriptedOrigin(flaky) as stable:
        service = await stage.serve({"stable": [stable]}, retries=NO_SHIELD)
        answer = await fetch(stage.port, get())
        await service.counts("stable", {200: 1, flagged(Flag.UR): 1})

    assert answer.status == 200
    assert service.requests("stable") == {200: 1}
    assert service.word("stable", layout.C_RETRY_OK) == 1


async def test_one_retry_and_no_more(stage: Stage) -> None:
    """`attempts: 1` is one more attempt."""
    async with ScriptedOrigin(status_503) as stable:
        service = await stage.serve({"stable": [stable]}, retries=NO_SHIELD)
        answer = await fetch(stage.port, get())
        await service.counts("stable", {503: 2})

    assert answer.body == b"sorry"
    assert len(stable.requests) == 2


@pytest.mark.parametrize(
    ("on", "script", "attempts"),
    [
        (["502"], status_503, 1),
        (["503"], status_503, 2),
        (["reset"], close, 2),
        (["connect_failure"], close, 1),
        (["reset"], never, 1),
    ],
)
async def test_only_what_is_named_is_tried_again(
    stage: Stage, on: list[str], script: Script, attempts: int
) -> None:
    """`retries.on`."""
    async with ScriptedOrigin(script) as stable:
        await stage.serve(
            {"stable": [stable]},
            retries={"on": on, "shield": False},
            timeouts={"attempt": 0.3},
        )
        await fetch(stage.port, get())

    assert len(stable.requests) == attempts


async def test_retries_end_with_their_budget(stage: Stage) -> None:
    """20 % and 10 a second over ten seconds: an outage is not doubled."""
    async with ScriptedOrigin() as stable, ScriptedOrigin(status_503) as canary:
        service = await canary_at(stage, stable, canary)
        async with dial(stage.port) as wire:
            answers: list[Answer] = [await wire.ask(get()) for _ in range(300)]

    shielded = sum(answer.status == 200 for answer in answers)
    assert 100 <= shielded <= 220
    assert service.word("canary", layout.C_SHIELDED) == shielded
    assert service.word("canary", layout.C_RETRY_OVER_BUDGET) == 300 - shielded


async def test_a_shielded_request_keeps_one_id(stage: Stage) -> None:
    """Both attempts carry the same x-request-id and traceparent."""
    async with ScriptedOrigin() as stable, ScriptedOrigin(reset) as canary:
        await canary_at(stage, stable, canary)
        await fetch(stage.port, get())

    for name in ("x-request-id", "traceparent"):
        assert stable.requests[0].get(name) == canary.requests[0].get(name)


async def test_a_pooled_connection_that_died_is_not_the_users_problem(
    stage: Stage,
) -> None:
    """The keep-alive race: an idempotent request goes again over a new one."""

    async def once(call: Call) -> None:
        await call.reply()
        call.reset()

    async with ScriptedOrigin(once) as stable:
        service = await stage.serve({"stable": [stable]})
        async with dial(stage.port) as wire:
            statuses = [(await wire.ask(get())).status for _ in range(50)]
        await eventually(lambda: service.word("stable", layout.C_INFLIGHT) == 0)

    assert statuses == [200] * 50
