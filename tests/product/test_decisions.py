"""Decisions from outside: a failing canary at once, a slower one by the evidence."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.support.arrivals import Arrivals
from tests.support.eventually import eventually
from tests.support.product import Product
from tests.support.scripted_origin import Call, ScriptedOrigin

RATE = 200.0
SHARE = 0.20
SHOP = """\
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"], revision: "2.4.0"}}
    split: {{stable: 100, canary: 0}}
    unit: [{{header: x-user-id}}]
    retries: {{shield: false, attempts: 0}}
    rollout:
      start: manual
      steps: [20, 100]
      min_duration: 300s
      warmup: 2s
      slos:
        - {{metric: latency, quantile: 0.99, max_ratio: 1.10}}
        - {{metric: error_rate, max: 1%}}
"""


def lognormal(median_s: float, seed: int) -> Callable[[Call], Awaitable[None]]:
    """Return a script that answers after a log-normal time, sigma 0.5."""
    random = Random(seed)  # noqa: S311 -- a simulation

    async def answer(call: Call) -> None:
        await asyncio.sleep(median_s * random.lognormvariate(0.0, 0.5))
        await call.reply()

    return answer


async def shown(product: Product) -> dict[str, Any]:
    """Return the rollout as the API shows it."""
    rollout: dict[str, Any] = await product.api("GET", "/rollouts/shop")
    return rollout


async def rolled_back(product: Product) -> bool:
    """Whether the rollout is over, and lost."""
    rollout = await shown(product)
    assert rollout["phase"] != "Succeeded"
    return bool(rollout["phase"] == "RolledBack" and rollout["weight"] == 0)


async def test_a_canary_that_fails_every_request_is_gone_within_seconds(
    tmp_path: Path,
) -> None:
    """200 requests/s at 20 %: no more than 1.5 s of its share ever fail."""

    async def failing(call: Call) -> None:
        await call.reply(status=500)

    async with (
        ScriptedOrigin(lognormal(0.005, 1)) as stable,
        ScriptedOrigin(failing) as canary,
    ):
        text = SHOP.format(stable=stable.port, canary=canary.port)
        async with (
            Product(tmp_path, text) as product,
            Arrivals(product.port, RATE) as users,
        ):
            await eventually(lambda: users.answers["stable", 200] > RATE)
            await product.api("POST", "/rollouts/shop/start", {})
            await eventually(lambda: rolled_back(product))
            answered = users.answers["stable", 200]
            await eventually(lambda: users.answers["stable", 200] > answered + 100)
            failed = users.answers["canary", 500]

    assert 0 < failed <= RATE * SHARE * 1.5
    assert users.lost == 0


async def test_a_canary_that_is_slower_everywhere_is_rolled_back(
    tmp_path: Path,
) -> None:
    """200 requests/s at 20 %, 30 % slower: within a minute's worth of requests."""
    async with (
        ScriptedOrigin(lognormal(0.030, 1)) as stable,
        ScriptedOrigin(lognormal(0.039, 2)) as canary,
    ):
        text = SHOP.format(stable=stable.port, canary=canary.port)
        async with (
            Product(tmp_path, text) as product,
            Arrivals(product.port, RATE) as users,
        ):
            await eventually(lambda: users.answers["stable", 200] > RATE)
            await product.api("POST", "/rollouts/shop/start", {})
            await eventually(lambda: rolled_back(product), within_s=90.0)
            rollout = await shown(product)
            exposed = users.answers["canary", 200]

    assert rollout["reason"] == "SloViolated"
    assert "latency-p" in rollout["message"]
    assert exposed <= RATE * SHARE * 60
