"""What health checks find reaches the workers, endpoint by endpoint."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.probes import Probes
from proxy.control.tables import check_tag
from proxy.telemetry.slab import Checks
from tests.support.control_room import ControlRoom, load
from tests.support.eventually import eventually
from tests.support.free_port import free_port
from tests.support.origin import running_origin

SHOP = """
services:
  shop:
    versions:
      stable: {{endpoints: [http://127.0.0.1:{one}, http://127.0.0.1:{two}]}}
    health_check: {{path: /healthz, interval: 100ms, rise: 2, fall: 2}}
"""


@pytest.fixture
def room(tmp_path: Path) -> Iterator[ControlRoom]:
    """Return a room with two workers."""
    yield (made := ControlRoom(tmp_path))
    made.store.close()


async def test_a_bit_for_each_endpoint_that_is_down(room: ControlRoom) -> None:
    """Set after `fall` failed checks, cleared after `rise` good ones."""
    async with running_origin() as origin:
        text = SHOP.format(one=free_port(), two=origin.port)
        governor = room.begin(text)
        settings = load(text).settings.services
        tag = check_tag(settings["shop"], "stable")
        probes = Probes(governor)
        probes.follow(settings)

        def says(bits: int) -> bool:
            return governor.slab.checks(room.slot(), 0) == Checks(tag, bits)

        await eventually(lambda: says(0b01))
        origin.status = 500
        await eventually(lambda: says(0b11))
        origin.status = 200
        await eventually(lambda: says(0b01))
        probes.stop()

    assert room.tables[-1]["services"][0]["versions"][0]["check_tag"] == tag


async def test_what_is_not_known_yet_stays_as_it_was(room: ControlRoom) -> None:
    """A control process that starts anew declares nobody healthy unseen."""
    async with running_origin() as origin:
        text = SHOP.format(one=free_port(), two=origin.port)
        governor = room.begin(text)
        settings = load(text).settings.services
        tag = check_tag(settings["shop"], "stable")
        governor.slab.write_checks(room.slot(), 0, Checks(tag, 0b11))
        probes = Probes(governor)
        probes._checked("shop", "stable", [None, True])

    assert governor.slab.checks(room.slot(), 0) == Checks(tag, 0b01)


def test_the_tag_is_that_of_the_endpoints_and_their_order() -> None:
    """Another list, another tag; without a check there is none."""
    tags = {
        check_tag(
            load(SHOP.format(one=one, two=two)).settings.services["shop"], "stable"
        )
        for one, two in ((1, 2), (2, 1), (1, 3))
    }
    unchecked = SHOP.format(one=1, two=2).split("    health_check")[0]

    assert len(tags) == 3
    assert check_tag(load(unchecked).settings.services["shop"], "stable") == 0
