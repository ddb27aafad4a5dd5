"""Business events: what is one, for whom it is counted, and what is evidence of it."""

from typing import Any

from proxy.dataplane.events import by_method
from proxy.routing.buckets import bucket_of_unit, salt_prefix
from proxy.telemetry import layout
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.route_table import compiled, service_of
from tests.support.scripted_origin import Call, ScriptedOrigin
from tests.support.stage import Service, Stage
from tests.support.wire import Wire, dial, get, post

ORDERS, SEARCHES = 0, 3
"""The words of the two events."""
HALF = 50_000
SALT = "events"


async def shop(call: Call) -> None:
    """Take orders with 201, refuse those of nobody's wanting, answer the rest."""
    if call.request.target == "/orders/refused":
        await call.reply(status=409)
    elif call.request.method == "POST":
        await call.reply(status=201)
    else:
        await call.reply()


def events(stage: Stage) -> list[dict[str, Any]]:
    """Return orders (POST /orders, 2xx) and searches (any method, a field, 200)."""
    return [
        {
            "name": "orders",
            "word": ORDERS,
            "when": {"method": "POST", "path_prefix": "/orders"},
            "statuses": ["2xx"],
            "seen": [stage.seen_table(), stage.seen_table()],
        },
        {
            "name": "searches",
            "word": SEARCHES,
            "when": {"header": {"x-search": "*"}},
            "statuses": ["200", "304"],
            "seen": [stage.seen_table(), stage.seen_table()],
        },
    ]


def user_of(version: str, *, nth: int = 0) -> str:
    """Return the nth user of a version when the shares are halves."""
    prefix = salt_prefix(SALT)
    found = [
        str(number)
        for number in range(200)
        if (bucket_of_unit(prefix, b"%d" % number) < HALF) == (version == "canary")
    ]
    return found[nth]


async def served(stage: Stage, **changes: Any) -> Service:  # noqa: ANN401 - JSON
    """Serve two shops with events, from origins of the test."""
    return await stage.serve(
        {"stable": changes.pop("stable"), "canary": changes.pop("canary")},
        events=events(stage),
        unit=[{"header": "x-user-id"}],
        salt=SALT,
        **changes,
    )


def order(user: str = "", *fields: str, target: str = "/orders") -> bytes:
    """Return an order of a user, or of nobody."""
    named = (f"X-User-Id: {user}",) if user else ()
    return post(b"{}", *named, *fields, target=target)


def live(service: Service, arm: str, word: int = ORDERS) -> int:
    """Return how often an event was counted for an arm."""
    return service.word(arm, layout.C_EVENTS + word)


def evidence(service: Service, arm: str, epoch: int, word: int) -> tuple[int, int]:
    """Return trials with the event, and all trials, of an arm in an epoch."""
    bank = layout.bank_offset(epoch)
    return (
        service.word(arm, bank + layout.B_EVENTS + word),
        service.word(arm, bank + layout.B_TRIALS),
    )


async def ask(wire: Wire, *requests: bytes) -> None:
    """Send requests one after the other."""
    for request in requests:
        await wire.ask(request)


async def test_an_answer_that_matches_is_an_event(stage: Stage) -> None:
    """Method, path by segments and status must hold; a field of the request too."""
    async with ScriptedOrigin(shop) as stable, ScriptedOrigin(shop) as canary:
        service = await served(stage, stable=[stable], canary=[canary])
        service.weight(0)
        async with dial(stage.port) as wire:
            await ask(
                wire,
                order("1"),
                order("1", target="/orders/7?q=1"),
                order("1", target="/ordersheet"),
                order("1", target="/orders/refused"),
                get("/orders", "X-User-Id: 1"),
                get("/", "X-Search: tea"),
                get("/", "X-Other: tea"),
            )
        await service.counts("stable", {200: 3, 201: 3, 409: 1})

    assert live(service, "stable") == 2
    assert live(service, "stable", SEARCHES) == 1
    assert live(service, "canary") == 0


async def test_an_event_counts_for_the_version_that_answered(stage: Stage) -> None:
    """Two orders by users of the canary are the canary's, and nobody else's."""
    async with ScriptedOrigin(shop) as stable, ScriptedOrigin(shop) as canary:
        service = await served(stage, stable=[stable], canary=[canary])
        epoch = service.weight(HALF)
        async with dial(stage.port) as wire:
            for nth in range(2):
                await ask(wire, order(user_of("canary", nth=nth)))
            await ask(wire, order(user_of("stable")))
        await service.counts("canary", {201: 2})

    assert (live(service, "canary"), live(service, "stable")) == (2, 1)
    assert evidence(service, "canary", epoch, ORDERS) == (2, 2)
    assert evidence(service, "stable", epoch, ORDERS) == (1, 1)


async def test_a_busy_unit_is_one_trial(stage: Stage) -> None:
    """Twenty orders and sixty looks of one user: one trial, and one order in it."""
    user = user_of("stable")
    async with ScriptedOrigin(shop) as stable, ScriptedOrigin(shop) as canary:
        service = await served(stage, stable=[stable], canary=[canary])
        epoch = service.weight(HALF)
        async with dial(stage.port) as wire:
            for _ in range(20):
                looks = [get("/", f"X-User-Id: {user}")] * 3
                await ask(wire, *looks, order(user))
        await service.counts("stable", {200: 60, 201: 20})

    had, trials = evidence(service, "stable", epoch, ORDERS)
    assert live(service, "stable") == 20
    assert had == trials
    assert trials <= 3  # a machine that stands still for 10 s begins another


async def test_an_epoch_begins_with_trials_of_its_own(stage: Stage) -> None:
    """Who was just seen is heard again after a change of weights, orders and all."""
    user = user_of("stable")
    async with ScriptedOrigin(shop) as stable, ScriptedOrigin(shop) as canary:
        service = await served(stage, stable=[stable], canary=[canary])
        first = service.flip(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, order(user))
            await service.counts("stable", {201: 1})
            second = service.flip(HALF)
            await ask(wire, get("/", f"X-User-Id: {user}"), order(user))
        await service.counts("stable", {200: 1, 201: 2})

    assert evidence(service, "stable", first, ORDERS) == (1, 1)
    assert evidence(service, "stable", second, ORDERS) == (1, 1)


async def test_requests_without_a_unit_are_trials_of_their_own(stage: Stage) -> None:
    """Nobody can say that they belong together."""
    async with ScriptedOrigin(shop) as stable, ScriptedOrigin(shop) as canary:
        service = await served(stage, stable=[stable], canary=[canary])
        epoch = service.weight(1)
        async with dial(stage.port) as wire:
            await ask(wire, *[order()] * 5, *[get()] * 5)
        await eventually(
            lambda: (
                sum(service.attempts("stable").values())
                + sum(service.attempts("canary").values())
                == 10
            )
        )

    arms = [evidence(service, arm, epoch, ORDERS) for arm in ("stable", "canary")]
    assert [sum(column) for column in zip(*arms, strict=True)] == [5, 10]


async def test_testers_are_no_evidence(stage: Stage) -> None:
    """Overrides could not have gone either way."""
    overrides = [{"when": {"header": {"x-tester": "*"}}, "version": 1}]
    async with ScriptedOrigin(shop) as stable, ScriptedOrigin(shop) as canary:
        service = await served(
            stage, stable=[stable], canary=[canary], overrides=overrides
        )
        epoch = service.weight(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, order(user_of("stable"), "X-Tester: 1"))
        await service.counts("canary", {201: 1})

    assert live(service, "canary") == 1
    assert evidence(service, "canary", epoch, ORDERS) == (0, 0)
    assert evidence(service, "stable", epoch, ORDERS) == (0, 0)


async def test_a_rescued_request_is_an_event_of_nobodys_trial(stage: Stage) -> None:
    """`shield`: the user got stable's answer, and the canary had its trial."""
    async with ScriptedOrigin(shop) as stable:
        service = await served(stage, stable=[stable], canary=[free_port()])
        epoch = service.weight(HALF)
        user = user_of("canary")
        async with dial(stage.port) as wire:
            await ask(wire, get("/", f"X-User-Id: {user}", "X-Search: tea"))
        await service.counts("stable", {200: 1})

    assert live(service, "stable", SEARCHES) == 1
    assert evidence(service, "canary", epoch, SEARCHES) == (0, 1)
    assert evidence(service, "stable", epoch, SEARCHES) == (0, 0)


async def test_a_late_event_is_no_evidence(stage: Stage) -> None:
    """Two changes of weights later its bank belongs to somebody else."""
    async with ScriptedOrigin(shop) as canary, ScriptedOrigin() as stable:

        async def slow(call: Call) -> None:
            service.flip(HALF)
            service.flip(HALF)
            await call.reply(status=201)

        stable.script = slow
        service = await served(stage, stable=[stable], canary=[canary])
        service.flip(HALF)
        async with dial(stage.port) as wire:
            await ask(wire, order(user_of("stable")))
        await service.counts("stable", {201: 1})
        epochs = [evidence(service, "stable", epoch, ORDERS) for epoch in (0, 1)]

    assert live(service, "stable") == 1
    assert epochs == [(0, 0), (0, 0)]


def test_events_are_found_by_method() -> None:
    """One look-up tells an ordinary GET that it is none."""
    named = {
        "word": 0,
        "statuses": ["2xx"],
        "seen": [0, 0],
    }
    table = compiled(
        service_of(
            events=[
                {"name": "orders", "when": {"method": "POST"}, **named},
                {"name": "any", "when": {}, **named},
                {"name": "gone", "when": {"method": "DELETE"}, **named},
            ]
        )
    )

    found = by_method(table.services[0].events)

    names = {method: [one.name for one in events] for method, events in found.items()}
    assert names == {
        b"": ["any"],
        b"POST": ["orders", "any"],
        b"DELETE": ["any", "gone"],
    }
