"""Promise 1, from outside: a rollout outlives every process, and drops a bad canary."""

import asyncio
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

from tests.product.conftest import StartOrigin
from tests.support.eventually import eventually
from tests.support.load import Load
from tests.support.process_tree import is_running
from tests.support.product import Product

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"], revision: "2.4.0"}}
    split: {{stable: 90, canary: 10}}
    unit: [{{header: x-user-id}}]
    retries: {{shield: false, attempts: 0}}
    rollout:
      start: manual
      steps: [20, {{weight: 60, min_duration: 300s}}, 100]
      min_duration: 1s
      min_requests: 20
      warmup: 0s
      slos: [{{metric: error_rate, max: 5%}}]
"""


async def rollout(product: Product) -> dict[str, Any]:
    """Return the rollout as the API shows it."""
    shown: dict[str, Any] = await product.api("GET", "/rollouts/shop")
    return shown


async def in_phase(product: Product, phase: str, *, step: int | None = None) -> None:
    """Wait until the rollout is there."""

    async def there() -> bool:
        shown = await rollout(product)
        return shown["phase"] == phase and step in {None, shown["step"]}

    await eventually(there)


async def test_a_rollout_outlives_the_whole_tree(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """SIGKILL of all: no orphan is left, and the start finds step and weight again."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    product = Product(tmp_path, SHOP.format(stable=stable.port, canary=canary.port))
    async with product:
        async with Load(product.port, clients=4, pause_s=0.01):
            await product.api("POST", "/rollouts/shop/start", {})
            await in_phase(product, "Progressing", step=2)
        before = await rollout(product)
        family = [*product.children().values()]
        assert product.process is not None
        product.process.kill()
        product.process.wait()
        await eventually(lambda: not any(is_running(pid) for pid in family))

        product.start()
        await eventually(product.is_ready)

        after = await rollout(product)
        assert (after["id"], after["step"], after["weight"]) == ("shop-1", 2, 60.0)
        assert after["plan_hash"] == before["plan_hash"]
        await product.api("POST", "/rollouts/shop/abort", {})
        product.process.kill()
        product.process.wait()
        product.start()
        await eventually(product.is_ready)

        # The file's split still says 10 %.
        assert (await rollout(product))["weight"] == 0.0
        shown = product.metrics()
        assert 'weight_ratio{service="shop",version="canary"} 0.0' in shown


async def test_control_is_killed_in_every_step(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Each advance is decided once, and evidence goes on where it was."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    text = SHOP.format(stable=stable.port, canary=canary.port)
    product = Product(tmp_path, text.replace("300s", "1s"))
    async with product, Load(product.port, clients=4, pause_s=0.01) as load:
        await product.api("POST", "/rollouts/shop/start", {})
        for step in (1, 2):
            await in_phase(product, "Progressing", step=step)
            os.kill(product.children()["headgate-control"], signal.SIGKILL)
            await eventually(lambda: answers(product))
        await in_phase(product, "Succeeded")
        decisions = await product.api("GET", "/rollouts/shop/decisions?rollout=shop-1")

    assert [one["rule"] for one in decisions] == ["start", "advance", "advance"]
    assert load.tally.failures == []


async def test_a_dead_canary_is_dropped_and_two_dead_versions_are_not_blamed(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Fail-fast needs a stable that is clearly better."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    product = Product(tmp_path, SHOP.format(stable=stable.port, canary=canary.port))
    async with product, Load(product.port, clients=4, pause_s=0.01) as load:
        await product.api("POST", "/rollouts/shop/start", {})
        await load.answered(50)
        canary.kill()
        await in_phase(product, "RolledBack")
        exposed = load.tally.of("canary").get(503, 0)
        await canary.start()
        await product.api("POST", "/rollouts/shop/retry", {})
        stable.kill()
        canary.kill()
        await load.answered(400)
        both = await rollout(product)

    assert both["phase"] in {"Progressing", "RollingBack"}, both["message"]
    # Without a healthy endpoint the canary gets nothing, unless stable has none.
    assert both["weight"] in (0.0, 20.0)
    assert exposed <= 2 * 20 + 4


async def answers(product: Product) -> bool:
    """Whether control serves its API."""
    url = f"http://127.0.0.1:{product.admin_port}/api/v1/rollouts"
    try:
        with await asyncio.to_thread(urllib.request.urlopen, url, None, 5):
            return True
    except OSError:
        return False
