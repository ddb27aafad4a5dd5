"""Another attempt: where it is safe, inside its budget, and charged to who failed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane import retry
from proxy.model.vocabulary import Flag
from proxy.telemetry import layout
from tests.support import table
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, Script, ScriptedOrigin
from tests.support.stage import Service, Stage, flagged
from tests.support.wire import Answer, dial, fetch, get, post

ALL = 100_000
ONCE: dict[str, Any] = {"attempts": 0, "shield": False}
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


async def four_of_five(call: Call) -> None:
    """Fail as often as may be without being left out."""
    await call.reply(status=200 if call.number % 5 == 0 else 503)


async def never(call: Call) -> None:
    """Say nothing."""
    await call.hang()


async def garbage(call: Call) -> None:
    """Answer what is no HTTP."""
    await call.send(b"SSH-2.0-OpenSSH\r\n\r\n")
    await call.hang()


FAILURES = {
    "garbage": (garbage, flagged(Flag.UPE)),
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
    *,
    attempt_s: float = 0.3,
    tables: dict[str, Any] | None = None,
    **retries: object,
) -> Service:
    """Serve both, everything goes to the canary."""
    service = await stage.serve(
        {"stable": [stable], "canary": [canary]},
        timeouts={"attempt": attempt_s, "first_byte": 2 * attempt_s},
        fail_fast=None,
        retries=retries,
        tables=tables,
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
        attempts = service.attempts("canary")

    assert sum(attempts.values()) == 20
    assert set(attempts) == {flagged(Flag.UF), flagged(Flag.UH)}
    assert {answer.status for answer in answers} == {200}
    untouched(service)


async def test_a_canary_over_its_limit_fails_and_is_shielded(stage: Stage) -> None:
    """`inflight_per_version` one past it: UO for the canary, stable's answer."""
    limits = {**table.table([])["limits"], "inflight_per_version": 2}
    async with ScriptedOrigin() as stable, ScriptedOrigin(never) as canary:
        service = await canary_at(
            stage, stable, canary, attempt_s=30.0, tables={"limits": limits}
        )
        async with dial(stage.port) as one, dial(stage.port) as two:
            for wire in (one, two):
                await wire.send(get("/", "x-long: 1"))
            await eventually(lambda: len(canary.requests) == 2)
            third = await fetch(stage.port, get())
            posted = await fetch(stage.port, post(b"order"))
        code = flagged(Flag.UO)
        await eventually(lambda: service.attempts("canary").get(code) == 2)

    assert (third.status, third.get("x-headgate-version")) == (200, "stable")
    assert (posted.status, posted.get("retry-after")) == (503, "1")
    assert service.bank("canary", 1)[code] == 2
    untouched(service)


async def test_what_others_get_again_is_no_rate_of_stable(stage: Stage) -> None:
    """Shielded attempts are marked: rates are made of first attempts alone."""
    async with ScriptedOrigin() as stable, ScriptedOrigin(status_503) as canary:
        service = await canary_at(stage, stable, canary)
        for _ in range(3):
            await fetch(stage.port, get())
        service.weight(0)
        await fetch(stage.port, get())
        await service.counts("stable", {200: 4})

    assert service.word("stable", layout.C_AGAIN) == 3
    assert service.word("stable", layout.C_AGAIN_FAILED) == 0
    assert service.word("canary", layout.C_AGAIN) == 0
    assert service.word("stable", layout.C_ROUTED) == 1
    assert service.timed("stable") == 1


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
        await stage.serve({"stable": [free_port(), good]})
        async with dial(stage.port) as wire:
            answers = [await wire.ask(post(b"order")) for _ in range(20)]

    assert [answer.status for answer in answers] == [200] * 20
    assert len(good.requests) == 20


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
        (["504"], never, 2),
        (["503"], garbage, 1),
        (["502"], garbage, 2),
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
    async with ScriptedOrigin() as stable, ScriptedOrigin(four_of_five) as canary:
        service = await canary_at(stage, stable, canary)
        async with dial(stage.port) as wire:
            answers: list[Answer] = [await wire.ask(get()) for _ in range(400)]

    seen = sum(answer.status == 503 for answer in answers)
    shielded = service.word("canary", layout.C_SHIELDED)
    assert 100 <= shielded <= 100 + 0.2 * 400 + 100
    assert seen == service.word("canary", layout.C_RETRY_OVER_BUDGET) > 0
    assert shielded + seen == service.attempts("canary")[503]


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


async def test_the_keep_alive_race_is_nobodys_failure(stage: Stage) -> None:
    """RFC 9112 section 9.3.1: ended idle while our request was on its way."""

    async def lazy(call: Call) -> None:
        if call.request.target == "/race":
            await call.close() if first.pop() else await call.reply()
        else:
            await call.reply()

    first = [False, True]
    async with ScriptedOrigin(lazy) as stable:
        service = await stage.serve({"stable": [stable]}, retries=ONCE)
        async with dial(stage.port) as wire:
            await wire.ask(get())
            await asyncio.sleep(1.2)  # any origin may end it from now on
            answer = await wire.ask(get("/race"))
        await service.counts("stable", {200: 2})

    assert answer.status == 200
    assert stable.connections == 2
    assert service.word("stable", layout.C_RETRY_OK) == 0


async def test_an_end_on_a_busy_connection_is_the_versions_failure(
    stage: Stage,
) -> None:
    """No origin ends a connection that idled for a moment: it died."""

    async def dies(call: Call) -> None:
        await call.close() if call.request.target == "/die" else await call.reply()

    async with ScriptedOrigin(dies) as stable:
        service = await stage.serve({"stable": [stable]}, retries=ONCE)
        async with dial(stage.port) as wire:
            await wire.ask(get())
            answer = await wire.ask(get("/die"))
        await service.counts("stable", {200: 1, flagged(Flag.UC): 1})

    assert answer.status == 502


async def test_a_client_may_hang_up_while_a_retry_waits(stage: Stage) -> None:
    """The wait before another attempt is bounded and leaves nothing behind."""
    async with ScriptedOrigin(reset) as stable:
        service = await stage.serve({"stable": [stable]}, retries=NO_SHIELD)
        for _ in range(20):
            async with dial(stage.port) as wire:
                await wire.send(get())
                await eventually(lambda: bool(stable.requests))
                wire.reset()
        await eventually(lambda: service.word("stable", layout.C_INFLIGHT) == 0)


async def test_shielding_may_take_a_share_of_the_services_requests(
    stage: Stage,
) -> None:
    """20 % of all requests, not of the canary's few: a small canary never shows."""
    async with ScriptedOrigin() as stable, ScriptedOrigin(four_of_five) as canary:
        service = await canary_at(stage, stable, canary)
        service.weight(0)
        async with dial(stage.port) as wire:
            for _ in range(1000):
                await wire.ask(get())
            service.weight(ALL)
            answers = [await wire.ask(get()) for _ in range(325)]

    assert sum(answer.status == 200 for answer in answers) >= 315


@given(st.integers(1, 11), st.floats(0, 1, exclude_max=True))
def test_the_wait_before_a_retry_is_random_and_bounded(
    attempts: int, chance: float
) -> None:
    """Full jitter: up to 25 ms, doubled each time, never over 250 ms."""
    worker = SimpleNamespace(chance=SimpleNamespace(random=lambda: chance))
    exchange: Any = SimpleNamespace(attempts=attempts, worker=worker)

    wait_s = retry._backoff_s(exchange)

    assert wait_s == chance * min(0.025 * 2 ** (attempts - 1), 0.25)
