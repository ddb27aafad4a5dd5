"""Business events from the slab to the judge, and what a reload does to them."""

from pathlib import Path
from typing import Any

from proxy.control import views
from proxy.model.external import Reading
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import Command, Verb
from proxy.rollout.state import RolloutState
from proxy.telemetry import layout
from tests.support.control_room import BASE, ControlRoom, load


def test_an_event_that_comes_back_begins_at_zero(tmp_path: Path) -> None:
    """A word that another event had is empty before it is given away."""
    room = ControlRoom(tmp_path)
    shop = BASE.replace("    rollout:", "    events: {orders: {}}\n    rollout:")
    room.begin(shop)
    room.order("canary", 5, trials=9)
    room.governor.install(load(shop.replace("orders", "gifts")))
    room.use_newest_table()
    room.governor.install(load(BASE))
    room.use_newest_table()
    room.governor.install(load(shop))

    cell = room.governor.allocation.cell(room.governor.steward("shop").wish, "canary")
    word = room.governor.event_words(room.governor.steward("shop"))["orders"]
    assert word == 0
    assert room.governor.slab.sum_words(cell, layout.C_EVENTS + word, 1) == [0]


SHOP = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002], revision: "2.4.0"}
    events: {orders: {when: {method: POST}}}
    rollout:
      start: manual
      steps: [50, 100]
      min_duration: 30s
      min_requests: 50
      warmup: 0s
      slos: [{metric: orders, min_ratio: 0.9, windows: [10s, 60s]}]
"""


def begin(room: ControlRoom, text: str = SHOP) -> None:
    """Start a rollout of the shop."""
    governor = room.begin(text)
    room.second()
    steward = governor.steward("shop")
    governor.order(steward, Command(Verb.START, "ann"))


def trade(room: ControlRoom, seconds: int, *, stable: int, canary: int) -> None:
    """Let seconds pass in which each arm has 100 trials and so many orders."""
    for _ in range(seconds):
        for version, orders in (("stable", stable), ("canary", canary)):
            room.serve(version, 100)
            room.order(version, orders, trials=100)
        room.second()


def state_of(room: ControlRoom) -> RolloutState:
    """Return the shop's state."""
    return room.governor.steward("shop").state


def shown(room: ControlRoom) -> dict[str, Any]:
    """Return the rollout as the API shows it."""
    steward = room.governor.steward("shop")
    rates = room.governor.chronicle.rates(steward)
    return views.rollout_json(steward, "", room.clock.unix_s(), rates)


def test_a_canary_that_sells_less_is_rolled_back(tmp_path: Path) -> None:
    """Half of stable's orders, every answer a 200: the business metric fires."""
    room = ControlRoom(tmp_path)
    begin(room)
    trade(room, 25, stable=20, canary=10)

    state = state_of(room)
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED)
    assert "orders-min_ratio" in state.message
    assert room.weights()["stable"] == 100.0


def test_a_canary_that_sells_as_well_goes_on(tmp_path: Path) -> None:
    """The same orders: the rates are shown per request, by version and window."""
    room = ControlRoom(tmp_path)
    begin(room)
    trade(room, 20, stable=20, canary=20)

    assert state_of(room).phase is Phase.PROGRESSING
    slo = next(one for one in shown(room)["slos"] if one["id"] == "orders-min_ratio")
    assert [window["seconds"] for window in slo["windows"]] == [10.0, 60.0]
    for window in slo["windows"]:
        assert (window["stable"], window["canary"], window["ratio"]) == (0.2, 0.2, 1.0)
    assert [window["complete"] for window in slo["windows"]] == [True, False]


def test_windows_outlive_the_process(tmp_path: Path) -> None:
    """They are filled again from the recording, up to its open chunk."""
    room = ControlRoom(tmp_path)
    begin(room)
    trade(room, 31, stable=20, canary=20)
    before = shown(room)["slos"][0]["windows"][1]["requests"]["canary"]
    room.governor.chronicle.recorder.flush()
    room.restart(SHOP)

    after = shown(room)["slos"][0]["windows"][1]["requests"]["canary"]
    assert before > 2500
    assert after == before


def test_pushed_orders_are_judged_too(tmp_path: Path) -> None:
    """What only the shop's books know, pushed by version: a drop rolls back."""
    room = ControlRoom(tmp_path)
    begin(room, SHOP.replace("orders: {when: {method: POST}}", "orders: {}"))
    steward = room.governor.steward("shop")
    for at in range(60):
        trade(room, 1, stable=0, canary=0)
        steward.push("stable", "orders", 20)
        steward.push("canary", "orders", 6)
        if at == 9:  # the shortest window: what came before may have been late
            assert state_of(room).phase is Phase.PROGRESSING

    assert state_of(room).phase is Phase.ROLLED_BACK
    assert "orders-min_ratio" in state_of(room).message


def test_a_provider_decides_beside_the_evidence(tmp_path: Path) -> None:
    """An outage holds as `ProviderError`; three values above in a row roll back."""
    room = ControlRoom(tmp_path)
    slo = "{metric: prometheus, url: 'http://127.0.0.1:9', query: q, max: 5}"
    begin(
        room, SHOP.replace("{metric: orders, min_ratio: 0.9, windows: [10s, 60s]}", slo)
    )

    def say(value: float | None, error: str = "") -> None:
        reading = Reading(room.clock.unix_s(), value, error)
        room.governor.readings["shop"] = {"prometheus-max": reading}

    said = []
    for value, error in ((None, "refused"), (9.0, ""), (9.0, ""), (9.0, "")):
        said.append((state_of(room).phase, state_of(room).reason))
        say(value, error)
        trade(room, 2, stable=0, canary=0)

    assert said[1] == (Phase.PROGRESSING, Reason.PROVIDER_ERROR)
    assert said[3] == (Phase.PROGRESSING, Reason.UNDECIDED)
    state = state_of(room)
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, Reason.SLO_VIOLATED)
    assert state.message == "prometheus-max: 9 is above 5, 3 times in a row"
