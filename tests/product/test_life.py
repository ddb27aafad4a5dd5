"""A whole life on real traffic: ring, gate, freeze, bake, news, and the record."""

import os
import signal
from pathlib import Path

from proxy.control.store import audit
from tests.product.conftest import StartOrigin
from tests.product.test_rollouts import answers, in_phase, rollout
from tests.support.eventually import eventually
from tests.support.gate_server import gate_server
from tests.support.load import Load
from tests.support.product import Product

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"], revision: "2.4.0"}}
    unit: [{{header: x-user-id}}]
    rollout:
      start: manual
      steps: [{{weight: 50, only: {{method: GET}}}}, 60, 100]
      min_duration: 1s
      min_requests: 20
      warmup: 0s
      slos: [{{metric: error_rate, max: 5%}}]
      bake: {{duration: 1s, holdback: 20}}
      gates: [{{type: confirm-promotion, url: "{gate}/promotion", interval: 1s}}]
      notify: [{{url: "{told}/news", on: [started, waiting, baking, succeeded]}}]
"""


async def test_a_rollout_with_everything_around_its_steps(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Closed, killed, frozen, thawed, baked: it ends well, once, and on the record."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    async with gate_server() as gate, gate_server() as told:
        gate.status = 403
        ports = {"stable": stable.port, "canary": canary.port}
        text = SHOP.format(**ports, gate=gate.url, told=told.url)
        product = Product(tmp_path, text)
        async with product, Load(product.port, clients=8, pause_s=0.005) as load:
            await product.api("POST", "/rollouts/shop/start", {})
            await in_phase(product, "Waiting", step=2)

            async def asked() -> bool:
                return "403" in (await rollout(product))["message"]

            await eventually(asked)
            os.kill(product.children()["headgate-control"], signal.SIGKILL)
            await eventually(lambda: answers(product))
            assert (await rollout(product))["phase"] == "Waiting"

            frozen = {"reason": "incident", "owner": "ops"}
            await product.api("POST", "/rollouts/shop/freeze", frozen)
            gate.status = 200

            async def opened() -> bool:
                return bool((await rollout(product))["reason"] == "Frozen")

            await eventually(opened)
            status, problem = await product.api("POST", "/rollouts/shop/promote", {})
            assert (status, "frozen by ops: incident" in problem["detail"]) == (
                409,
                True,
            )
            assert 'rollout_frozen{service="shop"} 1.0' in product.metrics()

            await product.api("POST", "/rollouts/shop/unfreeze", {})
            await in_phase(product, "Succeeded")
            decided = await product.api("GET", "/rollouts/shop/decisions")
            await eventually(lambda: "succeeded" in news(told.documents))

        assert load.tally.failures == []

    rules = [one["rule"] for one in decided if one["rollout"] == "shop-1"]
    assert [one for one in rules if "freeze" not in one] == [
        "start",
        "advance",
        "advance",
        "gate-opened",
        "advance",
        "baked",
    ]
    # What a killed control had told, but not noted yet, is told once more.
    once = list(dict.fromkeys(news(told.documents)))
    assert once == ["started", "waiting", "baking", "succeeded"]
    assert audit(tmp_path / "state") == (len(decided), [])


def news(documents: list[dict[str, object]]) -> list[str]:
    """Return what was told, without the gate's questions."""
    return [str(one["event"]) for one in documents if "event" in one]
