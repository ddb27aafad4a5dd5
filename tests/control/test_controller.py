"""The controller's answers: the contract's shapes, and changes that are done."""

import json
from pathlib import Path

import pytest

from proxy.control.configuration import Configuration
from proxy.control.controller import Controller
from proxy.control.figures import Figures
from proxy.control.stream import Stream
from proxy.errors import ConflictError, NotFoundError, SettingsError, StoreError
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag, MirrorOutcome, Rejection
from proxy.telemetry import layout
from tests.support.control_room import BASE, ControlRoom

TEXT = BASE.replace(
    "    rollout:",
    '    routes: ["POST /orders"]\n'
    "    events: {orders: {when: {method: POST}}, gifts: {}}\n"
    "    rollout:",
)
TEXT += "  plain:\n    match: [{host: plain.example.com}]\n"
TEXT += "    versions: {only: {endpoints: [http://127.0.0.1:9009]}}\n"


class Office:
    """A controller with the room it reads and steers."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "headgate.yaml"
        self.file.write_text(TEXT)
        self.room = ControlRoom(tmp_path / "state")
        self.room.governor.replay(None)
        stream = Stream()
        configuration = Configuration(
            str(self.file),
            self.room.governor,
            self.room.clock,
            keep=lambda _: None,
            installed=lambda _: None,
            publish=stream.publish,
        )
        configuration.begin(None)
        self.figures = Figures(self.room.governor)
        self.controller = Controller(
            self.room.governor, self.figures, configuration, stream
        )
        self.room.clock.now_s += 1


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """Give an office without traffic."""
    return Office(tmp_path)


def test_every_answer_is_json(office: Office) -> None:
    """What admin sends needs no further conversion."""
    controller = office.controller
    answers = [
        controller.services(),
        controller.service("shop"),
        controller.rollouts(),
        controller.rollout("shop"),
        controller.history("shop"),
        controller.decisions("shop"),
        controller.config(),
    ]

    for answer in answers:
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_service_without_traffic_knows_nothing(office: Office) -> None:
    """No data is ``None``, never zero."""
    shown = office.controller.service("shop")

    assert shown["split"] == {"stable": 100.0, "canary": 0.0}
    assert [v["role"] for v in shown["versions"]] == ["stable", "canary"]
    assert shown["rate_per_s"] is None
    assert shown["versions"][0]["latency"]["p99"] is None
    assert shown["versions"][1]["revision"] == "2.4.0"


def test_live_rates_read_the_last_seconds(office: Office) -> None:
    """What was before the window is in the totals only."""
    room = office.room
    room.serve("stable", 1000, code=500)
    office.figures.sample()
    room.clock.now_s += 10
    room.serve("stable", 90, latency_us=20_000)
    room.serve("stable", 10, code=FLAG_CODE_BASE + Flag.UT)

    stable = office.controller.service("shop")["versions"][0]

    assert stable["rate_per_s"] == 10.0
    assert stable["error_rate"] == 0.1
    assert stable["share"] == 100.0
    assert stable["latency"]["p99"] == pytest.approx(0.02, rel=0.016)
    assert stable["codes"] == {"200": 90, "500": 1000}


def test_routes_are_shown_on_their_own(office: Office) -> None:
    """A declared route has its own counts, a version each."""
    office.room.serve("stable", 7, route=1)

    (route,) = office.controller.service("shop")["routes"]

    assert route["route"] == "POST /orders"
    assert route["versions"][0]["requests"] == 7


def test_mirror_outcomes_are_named(office: Office) -> None:
    """Skips and answers are shown by outcome."""
    place = layout.cell_offset(office.room.mirror_cell()) + layout.C_MIRROR
    office.room.workers[0].words[place + MirrorOutcome.SKIPPED_BODY] += 3

    assert office.controller.service("shop")["mirror"] == {"skipped_body": 3}


async def test_rollout_has_the_contracts_keys(office: Office) -> None:
    """A started rollout reads as the contract says."""
    shown = await office.controller.command("shop", "start", who="ann")

    assert shown["id"] == "shop-1"
    assert (shown["phase"], shown["step"], shown["weight"]) == ("Progressing", 1, 20.0)
    assert [step["weight"] for step in shown["steps"]] == [20.0, 60.0, 100.0]
    assert shown["revision"] == "2.4.0"
    assert {"verdict", "message", "next", "slos", "plan_hash"} <= shown.keys()
    assert office.room.weights()["canary"] == 20.0


async def test_decisions_say_who_and_why(office: Office) -> None:
    """A person's order is kept with the weights before and after."""
    await office.controller.command("shop", "start", reason="release", who="ann")

    (decision,) = [
        one for one in office.controller.decisions("shop") if one["rule"] == "start"
    ]

    assert (decision["who"], decision["note"]) == ("ann", "release")
    assert decision["weights_before"]["canary"] == 0.0
    assert decision["weights"]["canary"] == 20.0
    after = decision["number"]
    assert office.controller.decisions("shop", after=after) == []


async def test_history_shows_ended_and_present_runs(office: Office) -> None:
    """Newest first, the one under way without an outcome."""
    await office.controller.command("shop", "start", who="ann")
    office.room.clock.now_s += 1
    await office.controller.command("shop", "abort", who="ann")
    office.room.clock.now_s += 1
    await office.controller.command("shop", "retry", who="ann")

    history = office.controller.history("shop")

    assert [run["id"] for run in history] == ["shop-2", "shop-1"]
    assert [run["outcome"] for run in history] == [None, "RolledBack"]


async def test_abort_right_after_start_is_applied(office: Office) -> None:
    """A row that had to wait for the one before is written when it returns."""
    await office.controller.command("shop", "start", who="ann")
    await office.controller.command("shop", "abort", who="ann")
    office.room.clock.now_s += 0.1
    office.room.governor.watch()

    assert office.room.weights() == {"stable": 100.0}


async def test_split_is_set_by_hand(office: Office) -> None:
    """Stable takes the rest, and the service is returned."""
    shown = await office.controller.set_split("shop", {"canary": 5}, who="ann")

    assert shown["split"] == {"stable": 95.0, "canary": 5.0}
    assert office.room.weights() == {"canary": 5.0, "stable": 95.0}


async def test_split_cannot_raise_an_active_canary(office: Office) -> None:
    """A rollout that is under way is raised by ``pass`` or ``promote`` only."""
    await office.controller.command("shop", "start", who="ann")

    with pytest.raises(ConflictError, match="cannot be raised"):
        await office.controller.set_split("shop", {"canary": 30}, who="ann")


async def test_split_that_makes_no_sense_is_refused(office: Office) -> None:
    """Unknown versions and impossible sums change nothing."""
    with pytest.raises(NotFoundError):
        await office.controller.set_split("shop", {"nobody": 5})
    with pytest.raises(SettingsError):
        await office.controller.set_split("shop", {"canary": 50, "stable": 60})

    assert office.room.weights() == {"stable": 100.0}


async def test_rolled_back_revision_needs_retry_or_force(office: Office) -> None:
    """``start`` refuses it by name; ``force`` is as good as ``retry``."""
    await office.controller.command("shop", "start", who="ann")
    office.room.clock.now_s += 1
    await office.controller.command("shop", "abort", who="ann")
    with pytest.raises(ConflictError, match="retry"):
        await office.controller.command("shop", "start", who="ann")

    shown = await office.controller.command("shop", "start", force=True, who="ann")

    assert shown["phase"] == "Progressing"


async def test_order_for_another_revision_is_refused(office: Office) -> None:
    """A person who means 2.3.9 must not start 2.4.0."""
    with pytest.raises(ConflictError, match=r"2\.4\.0"):
        await office.controller.command("shop", "start", revision="2.3.9")


async def test_what_does_not_exist_is_named(office: Office) -> None:
    """Services, rollouts and verbs that are unknown are told apart."""
    with pytest.raises(NotFoundError, match="no service 'shp'"):
        office.controller.service("shp")
    with pytest.raises(NotFoundError, match="plain has no rollout"):
        office.controller.rollout("plain")
    with pytest.raises(NotFoundError, match="no verb 'begin'"):
        await office.controller.command("shop", "begin")


async def test_store_that_fails_is_shown_as_the_reason(office: Office) -> None:
    """An active rollout says that its weights cannot rise."""
    await office.controller.command("shop", "start", who="ann")
    office.room.store.close()
    with pytest.raises(StoreError):
        await office.controller.command("shop", "promote", who="ann")

    assert office.controller.rollout("shop")["reason"] == "StoreUnavailable"


async def test_reload_answers_with_the_new_generation(office: Office) -> None:
    """A changed file is in force when the request returns."""
    before = office.room.governor.generation
    office.file.write_text(TEXT.replace("plain:", "simple:"))

    answer = await office.controller.reload()

    assert answer["changed"]
    assert answer["generation"] == before + 1
    assert [one["name"] for one in office.controller.services()] == ["shop", "simple"]


async def test_metrics_show_traffic_and_weights(office: Office) -> None:
    """A scrape reads the slab as it is."""
    office.room.serve("stable", 12)
    place = layout.R_REJECTED + Rejection.BAD_REQUEST
    office.room.workers[1].words[place] += 2
    await office.controller.set_split("shop", {"canary": 5}, who="ann")

    page, content_type = office.controller.metrics()

    text = page.decode()
    assert content_type.startswith("text/plain")
    labels = 'code="200",service="shop",version="stable"'
    assert f"headgate_requests_total{{{labels}}} 12.0" in text
    assert 'headgate_rejected_requests_total{reason="bad_request"} 2.0' in text
    ratio = 'headgate_version_weight_ratio{service="shop",version="canary"}'
    assert f"{ratio} 0.05" in text


async def test_subscriber_hears_of_a_reload(office: Office) -> None:
    """Events reach the stream through the controller."""
    subscription = office.controller.subscribe()
    office.file.write_text(TEXT.replace("plain:", "simple:"))
    await office.controller.reload()

    assert (await anext(subscription))["type"] == "config"


def test_events_are_shown_counted_and_pushed(office: Office) -> None:
    """Both together: since the start, a second, and a request of the last 10 s."""
    room = office.room
    office.figures.sample()
    room.clock.now_s += 10
    room.serve("canary", 100)
    room.order("canary", 4)
    push = {"version": "canary", "event": "gifts"}
    office.controller.push_events("shop", **push, count=2)
    pushed = office.controller.push_events("shop", **push, count=4)
    shown = office.controller.service("shop")["versions"][1]["events"]
    page, _ = office.controller.metrics()

    assert pushed == {"service": "shop", **push, "count": 6}
    assert shown == {
        "orders": {"count": 4, "rate_per_s": 0.4, "per_request": 0.04},
        "gifts": {"count": 6, "rate_per_s": 0.6, "per_request": 0.06},
    }
    labels = 'event="gifts",service="shop",version="canary"'
    assert f"headgate_events_total{{{labels}}} 6.0" in page.decode()


@pytest.mark.parametrize(
    ("version", "event", "says"),
    [
        ("canry", "orders", "no version 'canry', there is: stable, canary"),
        ("canary", "order", "no event 'order', there is: orders, gifts"),
    ],
)
def test_events_of_nobody_are_refused(
    office: Office, version: str, event: str, says: str
) -> None:
    """A push names a version and an event that are declared."""
    with pytest.raises(NotFoundError, match=says):
        office.controller.push_events("shop", version=version, event=event, count=1)


def test_pushed_events_are_saved(office: Office) -> None:
    """They outlive the control process; nobody else has them."""
    room = office.room
    office.controller.push_events("shop", version="canary", event="gifts", count=6)
    room.second()
    governor = room.restart(TEXT)

    assert governor.steward("shop").memory.pushed == {"canary": {"gifts": 6}}


async def test_a_recording_tells_what_was_decided_then(office: Office) -> None:
    """A header with the run and its decisions, then a line a second."""
    controller, room = office.controller, office.room
    with pytest.raises(NotFoundError, match="nothing is recorded of any rollout"):
        controller.recording("shop")
    await controller.command("shop", "start", who="ann")
    for _ in range(8):
        room.serve("stable", 10)
        room.serve("canary", 10)
        room.second()
    head, *lines = controller.recording("shop", rollout="shop-1")

    told = json.loads(head)
    assert told["run"]["id"] == "shop-1"
    assert told["decisions"][0]["rule"] == "start"
    assert len(lines) == 8
    assert json.loads(lines[5])["n"] == [10, 10]
    with pytest.raises(NotFoundError, match="nothing is recorded of shop-2"):
        controller.recording("shop", rollout="shop-2")
