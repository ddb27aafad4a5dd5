"""Which version answers: overrides, units, weights, cookies, and their evidence."""

import asyncio
import re

from proxy.model.buckets import bucket_of
from proxy.model.witnesses import FAILED_AGAIN_S, WITNESS_AGAIN_S
from proxy.routing.buckets import bucket_of_unit, salt_prefix
from proxy.routing.decide import UNIT_BYTES_MAX
from proxy.telemetry import layout
from proxy.telemetry.slab import Rings, WorkerSlab
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Service, Stage
from tests.support.wire import dial, fetch, get

UNIT = [{"header": "x-user-id"}]
COOKIE = [{"cookie": "headgate_id", "issue": True, "max_age_s": 86400}]
HALF = 50_000
SLOW_S = 0.1
"""How long a slow answer takes; half of it is said to be slow."""


async def who(call: Call) -> None:
    """Answer, with something that may be cached."""
    await call.reply(b"ok", "Cache-Control: public, max-age=60", "ETag: 1")


def by(user: int | str, path: str = "/") -> bytes:
    """Return a request of a user."""
    return get(path, f"X-User-Id: {user}")


def bucket(service: Service, user: int | str) -> int:
    """Return a user's bucket."""
    return bucket_of_unit(salt_prefix(service.entry["salt"]), str(user).encode())


async def test_units_go_where_their_bucket_is(stage: Stage) -> None:
    """The canary owns [0, weight), request by request; raising adds units."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        async with dial(stage.port) as wire:
            for weight in (0, 20_000, 70_000, 100_000, 20_000):
                service.weight(weight)
                for user in range(200):
                    answer = await wire.ask(by(user))
                    expected = "canary" if bucket(service, user) < weight else "stable"
                    assert answer.get("x-headgate-version") == expected


async def test_a_unit_counts_up_to_its_bound(stage: Stage) -> None:
    """What is longer is cut: the same bucket everywhere, and bounded hashing."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        service.weight(HALF)
        async with dial(stage.port) as wire:
            for number in range(40):
                user = f"{number}-" + "x" * 600
                answer = await wire.ask(by(user))
                kept = bucket(service, user[:UNIT_BYTES_MAX])
                expected = "canary" if kept < HALF else "stable"
                assert answer.get("x-headgate-version") == expected


async def test_requests_without_a_unit_are_drawn(stage: Stage) -> None:
    """An independent draw: the share holds over many, on one connection."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        service.weight(30_000)
        async with dial(stage.port) as wire:
            for _ in range(1000):
                await wire.ask(get())

    assert 230 < len(canary.requests) < 370
    assert service.word("canary", layout.C_ROUTED) == len(canary.requests)


async def test_overrides_come_before_weights(stage: Stage) -> None:
    """Whatever the weight; and they are no evidence."""
    overrides = [
        {"when": {"header": {"x-headgate-version": "canary"}}, "version": 1},
        {"when": {"cookie": {"beta": "1"}}, "version": 1},
    ]
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve(
            {"stable": [stable], "canary": [canary]}, overrides=overrides, unit=UNIT
        )
        epoch = service.weight(0)
        async with dial(stage.port) as wire:
            await wire.ask(get("/", "x-headgate-version: canary"))
            await wire.ask(get("/", "Cookie: a=b; beta=1"))
            await wire.ask(get("/", "x-headgate-version: stable"))
        await service.counts("canary", {200: 2})

    assert (len(canary.requests), len(stable.requests)) == (2, 1)
    assert service.bank("canary", epoch) == {}


async def test_a_ring_has_the_canary_to_itself(stage: Stage) -> None:
    """The weight applies to matching requests alone; all others stay with stable."""
    rings = [{"when": {"header": {"x-env": "eu-1"}}, "bound": 100_000}]
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve(
            {"stable": [stable], "canary": [canary]}, rings=rings, unit=UNIT
        )
        control = stage.plane.control
        row = [(1, 100_000), (0, 100_000)]
        epoch = control.write_weights(service.slot, row, Rings(1, False, 100_000))  # noqa: FBT003 -- as Rings
        async with dial(stage.port) as wire:
            for number in range(20):
                await wire.ask(get("/", f"x-user-id: u{number}", "x-env: eu-1"))
                await wire.ask(get("/", f"x-user-id: u{number}", "x-env: us-1"))
        await service.counts("canary", {200: 20})
        await service.counts("stable", {200: 20})

    assert (len(canary.requests), len(stable.requests)) == (20, 20)
    assert service.bank("canary", epoch) != {}
    assert service.bank("stable", epoch) != {}


async def test_a_cookie_is_issued_once_and_kept(stage: Stage) -> None:
    """A random id, never the assignment, and private on that answer alone."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve(
            {"stable": [stable], "canary": [canary]}, unit=COOKIE
        )
        service.weight(HALF)
        versions = set()
        async with dial(stage.port) as wire:
            first = await wire.ask(get())
            cookie = first.get("set-cookie") or ""
            match = re.fullmatch(
                r"headgate_id=([0-9a-f]{32}); Max-Age=86400; Path=/; HttpOnly; "
                r"SameSite=Lax",
                cookie,
            )
            assert match is not None, cookie
            for _ in range(20):
                again = await wire.ask(get("/", f"Cookie: headgate_id={match[1]}"))
                versions.add(again.get("x-headgate-version"))
                assert again.get("set-cookie") is None
                assert again.get("cache-control") == "public, max-age=60"
            other = await wire.ask(get())

    assert first.get("cache-control") == "private"
    assert versions == {first.get("x-headgate-version")}
    assert other.get("set-cookie") != cookie
    expected = "canary" if bucket(service, match[1]) < HALF else "stable"
    assert first.get("x-headgate-version") == expected


async def test_a_single_version_hands_out_ids_too(stage: Stage) -> None:
    """So that a canary finds its users assigned when it comes."""
    async with ScriptedOrigin(who) as stable:
        await stage.serve({"stable": [stable]}, unit=COOKIE)
        answer = await fetch(stage.port, get())

    assert (answer.get("set-cookie") or "").startswith("headgate_id=")


async def test_the_client_address_can_be_the_unit(stage: Stage) -> None:
    """Behind a trusted proxy it is the one that proxy speaks for."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve(
            {"stable": [stable], "canary": [canary]},
            unit=[{"client_address": True}],
            tables={"trusted_proxies": ["127.0.0.1"]},
        )
        service.weight(HALF)
        for number in range(20):
            address = f"10.0.0.{number}"
            answer = await fetch(
                stage.port, get("/", f"X-Forwarded-For: 9.9.9.9, {address}")
            )
            expected = "canary" if bucket(service, address) < HALF else "stable"
            assert answer.get("x-headgate-version") == expected


async def test_a_service_is_found_by_host_and_path(stage: Stage) -> None:
    """Several services on one address."""
    async with ScriptedOrigin(who) as one, ScriptedOrigin(who) as other:
        first = stage.service(
            {"one": [one]}, match=[{"host": "shop.test", "path_prefix": "/a"}]
        )
        second = stage.service({"other": [other]}, match=[])
        await stage.show([first.entry, second.entry])
        async with dial(stage.port) as wire:
            names = [
                (await wire.ask(get(target))).get("x-headgate-version")
                for target in ("/a", "/a/b", "/ab", "/")
            ]

    assert names == ["one", "one", "other", "other"]


# --- evidence ---


async def test_a_unit_is_one_witness_in_ten_seconds(stage: Stage) -> None:
    """One busy client is not a thousand; each version has its own list."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        epoch = service.weight(HALF)
        users = range(10)
        in_canary = sum(bucket(service, user) < HALF for user in users)
        async with dial(stage.port) as wire:
            for _ in range(5):
                for user in users:
                    await wire.ask(by(user))
        await service.counts("canary", {200: 5 * in_canary})

    assert service.bank("canary", epoch) == {200: in_canary}
    assert service.bank("stable", epoch) == {200: 10 - in_canary}
    routed = layout.bank_offset(epoch) + layout.B_ROUTED
    assert service.word("canary", routed) == in_canary
    assert service.word("canary", layout.C_ROUTED) == 5 * in_canary


async def test_a_unit_that_failed_is_silent_for_a_minute(stage: Stage) -> None:
    """Its mark lies ahead of the others' by what it is longer silent."""

    async def partly(call: Call) -> None:
        status = b"404 Not Found" if b"broken" in call.request.head else b"200 OK"
        await call.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    async with ScriptedOrigin(partly) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        epoch = service.weight(1)
        async with dial(stage.port) as wire:
            for _ in range(3):
                await wire.ask(by("whole"))
                await wire.ask(by("broken"))
        await service.counts("stable", {200: 3, 404: 3})

    assert service.bank("stable", epoch) == {200: 1, 404: 1}
    view = WorkerSlab(stage.plane.control.fd, 0)
    first = view.seen_base(service.entry["versions"][0]["seen"])
    whole, broken = (
        view.seen[first + bucket(service, name)] for name in ("whole", "broken")
    )
    ahead = FAILED_AGAIN_S - WITNESS_AGAIN_S
    assert ahead - 5 <= (broken - whole) & 0xFFFF <= ahead + 5


async def test_a_unit_that_was_slow_is_silent_for_a_minute(stage: Stage) -> None:
    """Slow is what control says: from a latency on, and nobody before it says so."""

    async def partly(call: Call) -> None:
        if b"/slow" in call.request.head:
            await asyncio.sleep(SLOW_S)
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with ScriptedOrigin(partly) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        service.weight(1)
        async with dial(stage.port) as wire:
            await wire.ask(by("early", "/slow"))
            control = stage.plane.control
            control.set_slow(service.entry["slot"], bucket_of(int(SLOW_S / 2 * 1e6)))
            await wire.ask(by("quick"))
            await wire.ask(by("slow", "/slow"))
        await service.counts("stable", {200: 3})

    view = WorkerSlab(stage.plane.control.fd, 0)
    first = view.seen_base(service.entry["versions"][0]["seen"])
    early, quick, slow = (
        view.seen[first + bucket(service, name)] for name in ("early", "quick", "slow")
    )
    ahead = FAILED_AGAIN_S - WITNESS_AGAIN_S
    assert (quick - early) & 0xFFFF <= 5
    assert ahead - 5 <= (slow - quick) & 0xFFFF <= ahead + 5


async def test_a_unit_that_comes_back_is_noticed(stage: Stage) -> None:
    """Ten times a second the one seen again last is looked at."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        service.weight(1)
        async with dial(stage.port) as wire:

            async def looked() -> bool:
                await wire.ask(by("ann"))
                return service.words("stable", layout.C_TOP_LOOKS, 1)[0] >= 3

            await eventually(looked)
        top, hits, looks = service.words("stable", layout.C_TOP_BUCKET, 3)

    assert top == bucket(service, "ann")
    assert hits == looks


async def test_control_is_a_slice_of_stable_as_large_as_the_canary(
    stage: Stage,
) -> None:
    """Buckets [w, 2w): counted for stable, and once more as `control`."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        epoch = service.weight(20_000)
        async with dial(stage.port) as wire:
            for user in range(100):
                await wire.ask(by(user))
        buckets = [bucket(service, user) for user in range(100)]
        await service.counts("stable", {200: sum(one >= 20_000 for one in buckets)})

    in_control = sum(20_000 <= one < 40_000 for one in buckets)
    assert service.bank("control", epoch) == {200: in_control}
    assert service.attempts("control") == {}


async def test_without_canary_weight_nobody_is_evidence(stage: Stage) -> None:
    """There is nothing to compare."""
    async with ScriptedOrigin(who) as stable, ScriptedOrigin(who) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]}, unit=UNIT)
        epoch = service.weight(0)
        await fetch(stage.port, by(1))
        await service.counts("stable", {200: 1})

    assert service.bank("stable", epoch) == {}


async def test_evidence_belongs_to_the_epoch_that_routed_it(stage: Stage) -> None:
    """One flip later it still counts there; after two it is late."""
    go = asyncio.Event()

    async def slow(call: Call) -> None:
        if call.request.target == "/slow":
            await go.wait()
        await call.reply()

    async with ScriptedOrigin(slow) as stable, ScriptedOrigin(slow) as canary:
        service = await stage.serve({"stable": [stable], "canary": [canary]})
        first = service.flip(100_000)
        async with dial(stage.port) as one, dial(stage.port) as two:
            await one.send(get("/slow"))
            await eventually(lambda: len(canary.requests) == 1)
            second = service.flip(100_000)
            await two.send(get("/slow"))
            await eventually(lambda: len(canary.requests) == 2)
            third = service.flip(100_000)
            go.set()
            await one.answer()
            await two.answer()
        await service.counts("canary", {200: 2})

    assert (second, third) == (first + 1, first + 2)
    assert service.bank("canary", second) == {200: 1}
    assert service.bank("canary", third) == {}
    assert stage.plane.control.late(service.slot) == 1


async def test_requests_in_flight_are_seen_by_their_age(stage: Stage) -> None:
    """A hanging version looks slow, and not silent."""
    async with (
        ScriptedOrigin(who) as stable,
        ScriptedOrigin(lambda call: call.hang()) as canary,
    ):
        service = await stage.serve({"stable": [stable], "canary": [canary]})
        epoch = service.weight(100_000)
        ages = layout.bank_offset(epoch) + layout.B_AGES
        count = layout.BANK_WORDS - layout.B_AGES

        def waiting() -> int:
            return sum(service.words("canary", ages, count))

        waits = layout.bank_offset(epoch) + layout.B_OPEN
        async with dial(stage.port) as wire:
            await wire.send(get())
            await eventually(lambda: waiting() == 1)
            assert service.words("canary", waits, 1) == [1]
            wire.reset()
        await eventually(lambda: waiting() == 0)
        assert service.words("canary", waits, 1) == [0]

    censored = layout.bank_offset(epoch) + layout.B_CENSORED
    assert sum(service.words("canary", censored, layout.B_AGES - layout.B_CENSORED))
    assert service.bank("canary", epoch) == {0: 1}


async def test_routes_are_counted_on_their_own(stage: Stage) -> None:
    """Route n has the n-th cell behind the version's own."""
    routes = [
        {"method": "GET", "path": "/orders/{id}"},
        {"method": "POST", "path": "/orders"},
    ]
    async with ScriptedOrigin(who) as stable:
        service = await stage.serve({"stable": [stable]}, routes=routes)
        async with dial(stage.port) as wire:
            for target in ("/orders/1", "/orders/2?x", "/orders", "/"):
                await wire.ask(get(target))
            await wire.ask(get("/orders", "Content-Length: 0", method="POST"))
        await service.counts("stable", {200: 5})

    service.arms |= {f"r{n}": service.arms["stable"] + n for n in (1, 2)}
    assert service.attempts("r1") == {200: 2}
    assert service.attempts("r2") == {200: 1}
    assert service.timed("r1") == 2


async def test_revisions_seen_in_answers_are_told(stage: Stage) -> None:
    """`revision: {header: x-app-version}`: control learns of each change once."""
    revisions = iter([b"1", b"1", b"2"])

    async def script(call: Call) -> None:
        await call.reply(b"", f"X-App-Version: {next(revisions).decode()}")

    async with ScriptedOrigin(script) as stable:
        service = stage.service({"stable": [stable]})
        service.entry["versions"][0]["revision_header"] = "x-app-version"
        await stage.show([service.entry])
        async with dial(stage.port) as wire:
            for _ in range(3):
                await wire.ask(get())
        told: list[object] = []

        def heard() -> bool:
            for message, _ in stage.plane.channel.receive():
                if message["type"] == "revision":
                    told.append((message["version"], message["value"]))
            return len(told) >= 2

        await eventually(heard)

    assert told == [("stable", "1"), ("stable", "2")]
