"""What workers tell of failing endpoints reaches the controller."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control import views
from proxy.control.ejections import is_ejected
from proxy.control.figures import Figures
from proxy.telemetry import layout
from tests.support.control_room import ControlRoom

TWO = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary:
        endpoints: [http://127.0.0.1:9002, http://127.0.0.1:9003]
        revision: "2.4.0"
    rollout: {start: manual}
"""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[ControlRoom]:
    """Return a room with two workers."""
    yield (made := ControlRoom(tmp_path))
    made.store.close()


def failing(room: ControlRoom, worker: int, count: int) -> None:
    """Let a worker say how many of the canary's endpoints fail."""
    wish = room.governor.steward("shop").wish
    cell = layout.cell_offset(room.governor.allocation.cell(wish, "canary"))
    room.workers[worker].words[cell + layout.C_EJECTED] = count


def test_the_controller_knows_how_many_endpoints_fail(room: ControlRoom) -> None:
    """Where most do; an ejected canary is one all of whose endpoints fail there."""
    steward = room.begin(TWO).steward("shop")
    states = []
    for counts in ((0, 0), (1, 0), (1, 2), (0, 0)):
        for worker, count in enumerate(counts):
            failing(room, worker, count)
        room.second()
        states.append((steward.ejected.get("canary", 0), is_ejected(steward, "canary")))

    assert states == [(0, False), (1, False), (2, True), (0, False)]


def test_the_api_shows_it(room: ControlRoom) -> None:
    """`GET /api/v1/services/{s}`: `ejected` of each version."""
    governor = room.begin(TWO)
    failing(room, 0, 2)
    room.second()
    figures = Figures(governor)
    steward = governor.steward("shop")
    live = figures.read(steward)
    shown = views.service_json(
        steward, live, figures.windows(steward, live), mirrored={}, events={}
    )

    found = {version["name"]: version["ejected"] for version in shown["versions"]}
    assert found == {"stable": 0, "canary": 2}
