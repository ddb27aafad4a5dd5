"""The worker's own fail-fast: it trips for a canary that fails alone."""

import json
from typing import Any

from proxy.model.vocabulary import Flag
from proxy.routing.buckets import bucket_of_unit, salt_prefix
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Service, Stage, flagged
from tests.support.wire import Wire, dial, get

HALF = 50_000


class Mood:
    """An origin that answers 200 or 500, as the test says."""

    def __init__(self) -> None:
        self.status = 200

    async def __call__(self, call: Call) -> None:
        """Answer in the present mood."""
        await call.reply(status=self.status)


SALT = "recorder"


def user_of(version: str) -> str:
    """Return a user who belongs to the version when the shares are halves."""
    prefix = salt_prefix(SALT)
    for number in range(1000):
        canary = bucket_of_unit(prefix, b"%d" % number) < HALF
        if canary == (version == "canary"):
            return str(number)
    raise AssertionError(version)


async def ask(wire: Wire, times: int, version: str) -> list[int]:
    """Ask until ``version`` answered (or failed) so many times."""
    statuses: list[int] = []
    for _ in range(2000):
        answer = await wire.ask(get("/", f"X-User-Id: {user_of(version)}"))
        if answer.get("x-headgate-version") == version:
            statuses.append(answer.status)
        if len(statuses) == times:
            return statuses
    raise AssertionError(json.dumps(statuses))


async def ask_both(wire: Wire, times: int) -> None:
    """Ask stable and canary in turns, so many times each."""
    for _ in range(times):
        await ask(wire, 1, "stable")
        await ask(wire, 1, "canary")


async def fail_alone(wire: Wire) -> None:
    """Let the canary refuse five connections in a row while stable is heard."""
    await ask(wire, 4, "canary")
    await ask(wire, 1, "stable")
    await ask(wire, 1, "canary")


async def served(stage: Stage, stable: Any, canary: Any, **changes: Any) -> Service:  # noqa: ANN401 - JSON
    """Serve both without shield, so that the canary's failures are seen."""
    return await stage.serve(
        {"stable": [stable], "canary": [canary]},
        retries={"shield": False, "attempts": 0},
        unit=[{"header": "x-user-id"}],
        salt=SALT,
        **changes,
    )


async def test_five_refused_connections_trip(stage: Stage) -> None:
    """`consecutive_connect_failures: 5`: not four; then stable has everything."""
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port())
        epoch = service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, 4, "canary")
            await ask(wire, 1, "stable")  # that is well, as fail-fast wants to know
            before = service.tripped()
            await ask(wire, 1, "canary")
            after = service.tripped()
            rest = [(await wire.ask(get())).status for _ in range(100)]

    assert (before, after) == (0, epoch)
    assert rest == [200] * 100
    assert service.attempts("canary") == {flagged(Flag.UF): 5}


async def test_a_new_epoch_clears_the_trip(stage: Stage) -> None:
    """If control does not confirm, it flips the same weights again."""
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port())
        service.weight(HALF)
        async with dial(stage.port) as wire:
            await fail_alone(wire)
            assert service.tripped()
            again = service.weight(HALF)
            await fail_alone(wire)

    assert service.tripped() == again


async def test_refused_connections_count_on_over_a_step(stage: Stage) -> None:
    """A weight that changes in between does not make it nine instead of five."""
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port())
        service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, 3, "canary")
            epoch = service.weight(HALF + 1)
            await ask(wire, 1, "canary")
            await ask(wire, 1, "stable")
            before = service.tripped()
            await ask(wire, 1, "canary")

    assert (before, service.tripped()) == (0, epoch)


async def test_refused_connections_of_an_earlier_rollout_do_not(stage: Stage) -> None:
    """Between two rollouts lies an epoch without any canary."""
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port())
        service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, 4, "canary")
            service.weight(0)
            service.weight(HALF)
            await ask(wire, 2, "canary")
            await ask(wire, 1, "stable")
            await ask(wire, 1, "canary")

    assert service.tripped() == 0


async def test_half_of_twenty_requests_trip(stage: Stage) -> None:
    """`error_rate: 50%, requests: 20`: the last twenty, and stable is well."""
    mood = Mood()
    async with ScriptedOrigin() as stable, ScriptedOrigin(mood) as canary:
        service = await served(stage, stable, canary)
        epoch = service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, 30, "canary")
            mood.status = 500
            await ask(wire, 9, "canary")
            await ask(wire, 1, "stable")
            before = service.tripped()
            await ask(wire, 1, "canary")

    assert before == 0
    await eventually(lambda: service.tripped() == epoch)


async def test_it_does_not_trip_before_twenty(stage: Stage) -> None:
    """Nineteen failures are too few to know."""
    mood = Mood()
    mood.status = 500
    async with ScriptedOrigin() as stable, ScriptedOrigin(mood) as canary:
        service = await served(stage, stable, canary)
        epoch = service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, 19, "canary")
            await ask(wire, 1, "stable")
            before = service.tripped()
            await ask(wire, 1, "canary")

    assert before == 0
    await eventually(lambda: service.tripped() == epoch)


async def test_nobody_is_blamed_when_both_fail(stage: Stage) -> None:
    """If both versions break together the canary stays."""
    mood = Mood()
    mood.status = 500
    async with ScriptedOrigin(mood) as stable, ScriptedOrigin(mood) as canary:
        service = await served(stage, stable, canary)
        service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask_both(wire, 100)

    assert service.tripped() == 0


async def test_nobody_is_blamed_when_both_refuse(stage: Stage) -> None:
    """The same for connect failures."""
    service = await served(stage, free_port(), free_port())
    service.weight(HALF)
    async with dial(stage.port) as wire:
        await ask(wire, 5, "stable")
        service.weight(100_000)
        await ask(wire, 10, "canary")

    assert service.tripped() == 0


async def test_failures_of_stable_long_ago_protect_nobody(stage: Stage) -> None:
    """Once stable answers again, the canary's refusals are its own."""
    dead = free_port()
    async with ScriptedOrigin() as stable:
        first = await served(stage, dead, dead)
        first.weight(0)
        async with dial(stage.port) as wire:
            await ask(wire, 6, "stable")
            entry = first.entry
            entry["versions"][0]["endpoints"][0].update(port=stable.port)
            await stage.show([entry])
            await ask(wire, 10, "stable")
            first.weight(HALF)

            async def tripped() -> bool:
                await wire.ask(get())
                return first.tripped() > 0

            await eventually(tripped, within_s=10)


async def test_fail_fast_off_never_trips(stage: Stage) -> None:
    """`fail_fast: off`."""
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port(), fail_fast=None)
        service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, 40, "canary")

    assert service.tripped() == 0


async def test_overridden_requests_trip_nothing(stage: Stage) -> None:
    """Who asked for the canary by name says nothing about the share."""
    overrides = [{"when": {"header": {"x-v": "*"}}, "version": 1}]
    async with ScriptedOrigin() as stable:
        service = await served(stage, stable, free_port(), overrides=overrides)
        service.weight(HALF)
        async with dial(stage.port) as wire:
            for _ in range(30):
                await wire.ask(get("/", "X-V: 1"))

    assert service.tripped() == 0


async def test_what_stable_did_before_does_not_count(stage: Stage) -> None:
    """When both break in the same moment, stable's good past blames nobody."""
    mood = Mood()
    async with ScriptedOrigin(mood) as stable, ScriptedOrigin(mood) as canary:
        service = await served(stage, stable, canary)
        service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, 100, "stable")
            mood.status = 500
            await ask_both(wire, 60)

    assert service.tripped() == 0
