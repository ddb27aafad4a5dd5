"""Who is asked about external metrics, and that an outage is told once."""

import asyncio
import json
from pathlib import Path

from proxy.control.providers import Providers
from proxy.rollout.events import Command, Verb
from tests.support.control_room import ControlRoom
from tests.support.eventually import eventually
from tests.support.scripted_origin import Call, ScriptedOrigin

SHOP = """
services:
  shop:
    versions:
      stable: {{endpoints: [http://127.0.0.1:9001]}}
      canary: {{endpoints: [http://127.0.0.1:9002], revision: "2.4.0"}}
    rollout:
      start: manual
      steps: [20, 100]
      slos:
        - metric: prometheus
          url: http://127.0.0.1:{port}
          query: depth{{version="{{{{canary}}}}",of="{{{{service}}}}"}}
          max: 5
          every: 1s
"""


class Provider:
    """A Prometheus that says a number, or fails."""

    def __init__(self) -> None:
        self.value: str | None = "3"

    async def __call__(self, call: Call) -> None:
        """Answer a query."""
        if self.value is None:
            await call.reply(b"{}", status=503)
            return
        sample = {"metric": {}, "value": [1.0, self.value]}
        data = {"resultType": "vector", "result": [sample]}
        await call.reply(json.dumps({"status": "success", "data": data}).encode())


def room_with(tmp_path: Path, port: int) -> tuple[ControlRoom, Providers]:
    """Return a room with the shop, and the providers of its runs."""
    room = ControlRoom(tmp_path)
    room.begin(SHOP.format(port=port))
    governor = room.governor
    return room, Providers(governor.readings, room.clock, room.events.append)


async def test_only_a_run_with_live_weight_is_asked_for(tmp_path: Path) -> None:
    """Before it nobody is asked, after it nobody any more; names are filled in."""
    async with ScriptedOrigin(Provider()) as origin:
        room, providers = room_with(tmp_path, origin.port)
        governor = room.governor
        providers.follow(governor.stewards)
        await asyncio.sleep(0)
        before = len(origin.requests)
        steward = governor.steward("shop")
        governor.order(steward, Command(Verb.START, "ann"))
        providers.follow(governor.stewards)
        await eventually(lambda: "shop" in governor.readings)
        reading = governor.readings["shop"]["prometheus-max"]
        governor.order(steward, Command(Verb.ABORT, "ann"))
        providers.follow(governor.stewards)

    assert before == 0
    assert reading.value == 3.0
    target = origin.requests[0].target
    assert "depth%7Bversion%3D%22canary%22,of%3D%22shop%22%7D" in target
    assert governor.readings == {}


async def test_an_outage_is_an_alert_once(tmp_path: Path) -> None:
    """However often it is asked; and the next outage is another."""
    provider = Provider()
    provider.value = None
    async with ScriptedOrigin(provider) as origin:
        room, providers = room_with(tmp_path, origin.port)
        governor = room.governor
        governor.order(governor.steward("shop"), Command(Verb.START, "ann"))
        providers.follow(governor.stewards)
        await eventually(lambda: len(origin.requests) >= 2)
        provider.value = "4"
        await eventually(
            lambda: governor.readings["shop"]["prometheus-max"].value == 4.0
        )
        providers.stop()

    alerts = [event for event in room.events if event["type"] == "alert"]
    assert len(alerts) == 1
    assert alerts[0]["reason"] == "ProviderError"
    assert "prometheus-max cannot be read" in alerts[0]["message"]
