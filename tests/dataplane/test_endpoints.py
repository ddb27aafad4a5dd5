"""Endpoints that fail are left out, tried by one request, and taken back."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane.endpoints import (
    FAILURES_MAX,
    JITTER,
    OUT_S_MAX,
    OUT_S_MIN,
    PATIENCE_S,
    choose,
    failed,
    refresh,
    succeeded,
)
from proxy.dataplane.endpoints import _review as review
from proxy.dataplane.pool import Pool
from proxy.model.vocabulary import Flag
from proxy.routing.table import Endpoint
from proxy.telemetry import layout
from proxy.telemetry.slab import Checks
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Service, Stage, flagged
from tests.support.wire import Wire, dial, fetch, get, post

ONCE: dict[str, Any] = {"attempts": 0, "shield": False}
TAG = 77


async def test_a_dead_endpoint_of_three_costs_nobody_anything(stage: Stage) -> None:
    """Five failures in a row and it is left out; every one was tried elsewhere."""
    async with ScriptedOrigin() as one, ScriptedOrigin() as two:
        service = await stage.serve({"stable": [one, free_port(), two]})
        async with dial(stage.port) as wire:
            for _ in range(40):
                assert (await wire.ask(get())).status == 200
                assert (await wire.ask(post(b"order"))).status == 200
            await stage.show([service.entry])  # a reload forgets nothing of it
            for _ in range(20):
                assert (await wire.ask(get())).status == 200
        refused = service.attempts("stable")[flagged(Flag.UF)]
        await eventually(lambda: service.word("stable", layout.C_EJECTED) == 1)

    assert FAILURES_MAX <= refused <= FAILURES_MAX + 1  # one more may have tried it


async def test_the_last_endpoint_is_never_left_out(stage: Stage) -> None:
    """With all of them dead each request still asks one; the gauge has them all."""
    ports = [free_port(), free_port()]
    service = await stage.serve({"stable": ports}, retries=ONCE)
    async with dial(stage.port) as wire:
        for _ in range(40):
            assert (await wire.ask(get())).status == 503
    await eventually(lambda: service.word("stable", layout.C_EJECTED) == 2)

    assert service.attempts("stable") == {flagged(Flag.UF): 40}


async def test_one_request_tries_an_endpoint_that_was_left_out(stage: Stage) -> None:
    """While it hangs nobody else goes there; when it answers, all may."""
    back = ScriptedOrigin(hang_then_ok := HangFirst())
    back.port = free_port()
    async with ScriptedOrigin() as good:
        service = await stage.serve(
            {"stable": [good, back.port]}, timeouts={"attempt": 1.0}
        )
        async with dial(stage.port) as wire:
            while service.word("stable", layout.C_EJECTED) == 0:
                assert (await wire.ask(get())).status == 200
            async with back:
                while not back.requests:
                    assert (await wire.ask(post(b"no probe"))).status == 200
                    assert (await wire.ask(get())).status == 200
                probe = back.requests[0]
                while not hang_then_ok.answered:
                    assert (await wire.ask(get())).status == 200

    assert probe.method == "GET"


class HangFirst:
    """Says nothing to the first request; answers all others."""

    def __init__(self) -> None:
        self.answered = 0

    async def __call__(self, call: Call) -> None:
        """Answer one request."""
        if call.number == 0:
            await call.hang()
        else:
            self.answered += 1
            await call.reply()


async def test_gateway_errors_count_and_others_do_not(stage: Stage) -> None:
    """503 says that the endpoint cannot; 500 is the application's own."""

    async def broken(call: Call) -> None:
        await call.reply(status=int(call.request.target[1:]))

    async with ScriptedOrigin(broken) as one, ScriptedOrigin(broken) as two:
        service = await stage.serve({"stable": [one, two]}, retries=ONCE)
        async with dial(stage.port) as wire:
            for _ in range(30):
                await wire.ask(get("/500"))
            await eventually(lambda: service.word("stable", layout.C_POOL_IDLE) > 0)
            assert service.word("stable", layout.C_EJECTED) == 0
            for _ in range(30):
                await wire.ask(get("/503"))
            await eventually(lambda: service.word("stable", layout.C_EJECTED) > 0)


# --- active checks ---


async def checked(
    stage: Stage,
    places: dict[str, Sequence[ScriptedOrigin | int]],
    **changes: Any,  # noqa: ANN401 - JSON
) -> Service:
    """Serve versions whose endpoints control checks."""
    service = stage.service(places, **changes)
    for version in service.entry["versions"]:
        version["check_tag"] = TAG
    await stage.show([service.entry])
    return service


def found_down(service: Service, version: int, bits: int, tag: int = TAG) -> None:
    """Write what control's checks found."""
    checks = Checks(tag, bits)
    service.stage.plane.control.write_checks(service.slot, version, checks)


async def test_an_endpoint_found_down_is_not_asked(stage: Stage) -> None:
    """`health_check`: the bit in the slab is enough; it works without control."""
    async with ScriptedOrigin() as one, ScriptedOrigin() as two:
        service = await checked(stage, {"stable": [one, two]})
        found_down(service, 0, 0b01)
        async with dial(stage.port) as wire:

            async def only_the_other() -> bool:
                before = len(one.requests)
                for _ in range(10):
                    await wire.ask(get())
                return len(one.requests) == before

            await eventually(only_the_other)
            found_down(service, 0, 0b00)
            known = len(one.requests)

            async def both() -> bool:
                await wire.ask(get())
                return len(one.requests) > known

            await eventually(both)


async def test_checks_of_other_endpoints_are_ignored(stage: Stage) -> None:
    """A word that was written for another list of endpoints says nothing."""
    async with ScriptedOrigin() as one, ScriptedOrigin() as two:
        service = await checked(stage, {"stable": [one, two]})
        found_down(service, 0, 0b11, tag=TAG + 1)
        async with dial(stage.port) as wire:
            for _ in range(30):
                assert (await wire.ask(get())).status == 200

    assert one.requests
    assert two.requests


async def test_stable_is_asked_even_if_all_checks_fail(stage: Stage) -> None:
    """Nobody else can answer, and a check may be wrong."""
    async with ScriptedOrigin() as one:
        service = await checked(stage, {"stable": [one]})
        found_down(service, 0, 0b1)
        async with dial(stage.port) as wire:
            for _ in range(20):
                assert (await wire.ask(get())).status == 200


async def test_a_canary_without_a_healthy_endpoint_is_shielded(stage: Stage) -> None:
    """UH: charged to the canary, answered by stable; a POST may still try it."""
    async with ScriptedOrigin() as stable, ScriptedOrigin() as canary:
        service = await checked(
            stage, {"stable": [stable], "canary": [canary]}, fail_fast=None
        )
        service.weight(100_000)
        found_down(service, 1, 0b1)

        async def shielded() -> bool:
            answer = await fetch(stage.port, get())
            assert answer.status == 200
            return answer.get("x-headgate-version") == "stable"

        await eventually(shielded)
        posted = await fetch(stage.port, post(b"order"))

    assert posted.get("x-headgate-version") == "canary"
    assert service.attempts("canary")[flagged(Flag.UH)] == 1
    assert service.word("canary", layout.C_SHIELDED) == 1


async def test_a_canary_that_only_fails_is_left_out_for_who_can_be_shielded(
    stage: Stage,
) -> None:
    """Five failures, then UH: charged to it, answered by stable, no budget needed."""

    async def broken(call: Call) -> None:
        call.reset()

    async with ScriptedOrigin() as stable, ScriptedOrigin(broken) as canary:
        service = await stage.serve(
            {"stable": [stable], "canary": [canary]},
            fail_fast=None,
            retries={"budget": 0.0},
        )
        service.weight(100_000)
        async with dial(stage.port) as wire:
            answers = [await wire.ask(get()) for _ in range(400)]
            posted = await wire.ask(post(b"order"))
        attempts = service.attempts("canary")

    assert {answer.status for answer in answers} == {200}
    assert posted.status == 502
    assert attempts[flagged(Flag.UR)] <= FAILURES_MAX + 3  # a POST, and trials
    assert sum(attempts.values()) == 401
    assert sum(service.bank("canary", 1).values()) == 401


async def test_a_canary_that_is_back_is_tried_by_one(stage: Stage) -> None:
    """While the trial hangs all others go to stable; its answer lets all back."""
    back = ScriptedOrigin(hangs := HangFirst())
    back.port = free_port()
    async with ScriptedOrigin() as stable:
        service = await stage.serve(
            {"stable": [stable], "canary": [back.port]},
            fail_fast=None,
            timeouts={"attempt": 1.0},
        )
        service.weight(100_000)
        async with dial(stage.port) as wire, dial(stage.port) as other:
            while service.word("canary", layout.C_EJECTED) == 0:
                assert (await wire.ask(get())).status == 200
            async with back:
                trial = asyncio.get_running_loop().create_task(
                    until(other, lambda: bool(back.requests))
                )
                await eventually(lambda: bool(back.requests))
                for _ in range(50):
                    assert (await wire.ask(get())).status == 200
                assert len(back.requests) == 1
                await trial
                await until(wire, lambda: hangs.answered > 3)


async def until(wire: Wire, holds: Callable[[], bool]) -> None:
    """Ask, and get good answers, until it holds."""
    while not holds():
        assert (await wire.ask(get())).status == 200


# --- time, without a clock ---


def version_of(count: int, *, is_canary: bool = False) -> Any:  # noqa: ANN401 - a part
    """Return a version with so many endpoints, as far as the functions read it."""
    every = [_pool(port) for port in range(1, count + 1)]
    return SimpleNamespace(every=every, pools=every, is_canary=is_canary)


def _pool(port: int) -> Pool:
    endpoint = Endpoint(host="127.0.0.1", port=port, unix="", authority=b"a")
    return Pool(
        endpoint, buffer=memoryview(b""), start=lambda *_: None, clock=lambda: 0.0
    )


def request_at(version: Any, now_s: float, chance: float = 0.0) -> Any:  # noqa: ANN401
    """Return an exchange of that version as far as the functions read it."""
    worker = SimpleNamespace(now_s=now_s, chance=SimpleNamespace(random=lambda: chance))
    retries = SimpleNamespace(shield=True)
    service = SimpleNamespace(service=SimpleNamespace(retries=retries), stable=1)
    return SimpleNamespace(version=version, worker=worker, service=service, pool=None)


@given(st.floats(0, 1, exclude_max=True))
def test_each_failed_trial_doubles_the_time_out(chance: float) -> None:
    """From 1 s up to a minute, and a fifth more by chance."""
    version = version_of(2)
    pool = version.every[0]
    now_s = 100.0
    for _ in range(FAILURES_MAX):
        failed(request_at(version, now_s, chance), pool)
    for outs in range(10):
        out_s = pool.out_until_s - now_s
        least_s = min(OUT_S_MIN * 2**outs, OUT_S_MAX)
        assert least_s - 1e-6 <= out_s <= least_s * (1 + JITTER) + 1e-6
        assert pool not in version.pools

        now_s = pool.out_until_s
        review(pool, now_s)
        assert pool.on_trial
        failed(request_at(version, now_s, chance), pool)


def test_a_success_takes_it_back_and_a_late_one_does_not() -> None:
    """Who was asked before says nothing; the trial's answer does."""
    version = version_of(2)
    pool = version.every[0]
    for _ in range(FAILURES_MAX):
        failed(request_at(version, 100.0), pool)
    succeeded(request_at(version, 100.5), pool)
    assert pool not in version.pools

    review(pool, 101.0)
    refresh(version)
    assert pool in version.pools
    succeeded(request_at(version, 101.0), pool)

    assert pool.is_open
    assert pool.failures == 0
    assert version.pools == version.every


def test_a_trial_that_ends_without_an_answer_is_made_again() -> None:
    """A client that hung up proved nothing."""
    version = version_of(2)
    pool = version.every[0]
    for _ in range(FAILURES_MAX):
        failed(request_at(version, 100.0), pool)
    pool.prober = request_at(version, 102.0)
    pool.prober.pool = pool
    review(pool, 102.0)
    assert not pool.on_trial
    pool.prober.pool = None
    review(pool, 102.1)

    assert pool.on_trial


def test_a_trial_is_a_posts_only_if_nothing_else_comes() -> None:
    """A service of POSTs alone gets its endpoint back, ten seconds later."""
    version = version_of(2)
    bad, good = version.every
    for _ in range(FAILURES_MAX):
        failed(request_at(version, 100.0), bad)
    review(bad, 101.0)
    refresh(version)
    good.active = 1  # so that the one on trial is the less loaded
    chosen = []
    for now_s in (101.0, 101.0 + PATIENCE_S - 0.1, 101.0 + PATIENCE_S):
        exchange = request_at(version, now_s)
        exchange.request = SimpleNamespace(method=b"POST")
        exchange.trail = ()
        chosen.append(choose(exchange))

    assert chosen == [good, good, bad]
    assert bad not in version.pools


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.floats(0, 5)), max_size=80)
)
def test_somebody_can_always_be_asked(events: list[tuple[int, bool, float]]) -> None:
    """Whatever fails of stable, in whatever order: the list is never empty."""
    version = version_of(3)
    now_s = 100.0
    for number, good, passed_s in events:
        now_s += passed_s
        for pool in version.every:
            if pool.out_until_s:
                review(pool, now_s)
        refresh(version)
        exchange = request_at(version, now_s)
        (succeeded if good else failed)(exchange, version.every[number])
        assert version.pools
