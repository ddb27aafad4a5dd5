"""Business events from the slab to the judge, and what a reload does to them."""

from pathlib import Path

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
