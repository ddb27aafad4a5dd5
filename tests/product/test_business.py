"""Business and external metrics through the whole product, and its recordings."""

import json
from pathlib import Path
from typing import Any

from tests.product.conftest import StartOrigin
from tests.support.eventually import eventually
from tests.support.headgate_command import headgate
from tests.support.load import Load
from tests.support.product import Product
from tests.support.prometheus import Metrics, Prometheus

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"], revision: "2.4.0"}}
    unit: [{{header: x-user-id}}]
    events: {{orders: {{when: {{method: POST, path_prefix: /echo, status: 2xx}}}}}}
    rollout:
      start: manual
      steps: [50, 100]
      min_duration: {min_duration}
      min_requests: 20
      warmup: 0s
      slos: [{slo}]
"""
ORDERS = "{metric: orders, min_ratio: 0.9, windows: [2s, 8s]}"


def write_shop(
    stable: int, canary: int, slo: str = ORDERS, min_duration: str = "60s"
) -> str:
    """Return the services of a shop's configuration file."""
    return SHOP.format(stable=stable, canary=canary, slo=slo, min_duration=min_duration)


async def rollout(product: Product) -> dict[str, Any]:
    """Return the rollout as the API shows it."""
    shown: dict[str, Any] = await product.api("GET", "/rollouts/shop")
    return shown


async def in_phase(product: Product, phase: str, reason: str | None = None) -> None:
    """Wait until the rollout is there."""

    async def there() -> bool:
        shown = await rollout(product)
        return shown["phase"] == phase and reason in {None, shown["reason"]}

    await eventually(there, within_s=60.0)


async def test_a_drop_of_orders_is_rolled_back_shown_and_replayed(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Every answer is quick and no error; half of the canary's orders are missing."""
    stable = await start_origin("stable")
    canary = await start_origin("canary", fault="lost-orders")
    product = Product(tmp_path, write_shop(stable.port, canary.port))
    async with product:
        async with Load(product.port, clients=8, pause_s=0.01, units=50_000) as load:
            await product.api("POST", "/rollouts/shop/start", {})
            await in_phase(product, "RolledBack", "SloViolated")
        shown = await rollout(product)
        slo = next(one for one in shown["slos"] if one["id"] == "orders-min_ratio")
        service = await product.api("GET", "/services/shop")
        metrics = product.metrics()
        admin = f"http://127.0.0.1:{product.admin_port}"
        why = await headgate("explain", "shop", "--admin", admin)
        lax = tmp_path / "lax.yaml"
        lax.write_text(
            product.config.read_text().replace("0.9, windows", "0.2, windows")
        )
        saved = tmp_path / "run.jsonl"
        replays = [
            await headgate(
                *("replay", source, "--config", str(config), "-o", "json"),
                *("--admin", admin, *more),
            )
            for source, config, more in (
                ("shop-1", product.config, ("--save", str(saved))),
                (str(saved), lax, ()),
            )
        ]

    assert "orders-min_ratio" in shown["message"]
    assert slo["canary"] < slo["stable"] * 0.8
    assert [window["seconds"] for window in slo["windows"]] == [2.0, 8.0]
    counts = {v["name"]: v["events"]["orders"]["count"] for v in service["versions"]}
    assert 0 < counts["canary"] < counts["stable"]
    labels = 'event="orders",service="shop",version="canary"'
    assert f"headgate_events_total{{{labels}}} {counts['canary']}.0" in metrics
    assert "orders-min_ratio" in why.out
    assert "slo-violated" in why.out
    assert load.tally.errors == 0
    same, other = (json.loads(one.out)["replayed"] for one in replays)
    assert (same["phase"], same["reason"]) == ("RolledBack", "SloViolated")
    assert "orders-min_ratio" in same["message"]
    assert other["phase"] == "Progressing"


async def test_promotion_waits_for_the_longest_window(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """The step of a second has long passed; eight seconds of orders have not."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    services = write_shop(stable.port, canary.port, min_duration="1s")
    async with Product(tmp_path, services) as product:
        async with Load(product.port, clients=4, pause_s=0.02, units=50_000):
            await product.api("POST", "/rollouts/shop/start", {})

            async def waits() -> bool:
                return "longest window" in (await rollout(product))["message"]

            await eventually(waits)
            held = await rollout(product)
            await in_phase(product, "Succeeded")
        done = await rollout(product)

    assert held["weight"] == 50
    assert held["next"]["blocked_by"] == "windows"
    assert done["judged_seconds"] >= 8.0


async def test_a_real_prometheus_holds_resumes_and_rolls_back(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """It is down at first: `ProviderError`. Back: on it goes. Too high: rolled back."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    async with Metrics('queue_depth{version="canary"} 1') as metrics:
        server = Prometheus(tmp_path, metrics.port)
        query = 'queue_depth{version="{{canary}}"}'
        slo = (
            f"{{metric: prometheus, url: '{server.url}', query: '{query}', max: 5, "
            "every: 1s, consecutive: 2}"
        )
        services = write_shop(stable.port, canary.port, slo, min_duration="60s")
        async with Product(tmp_path, services) as product:
            async with Load(product.port, clients=2, pause_s=0.02):
                await product.api("POST", "/rollouts/shop/start", {})
                await in_phase(product, "Progressing", "ProviderError")
                held = await rollout(product)
                async with server:
                    await in_phase(product, "Progressing", "Undecided")
                    await server.knows(query.replace("{{canary}}", "canary"), 1.0)
                    metrics.text = 'queue_depth{version="canary"} 9'
                    await in_phase(product, "RolledBack", "SloViolated")
            shown = await rollout(product)
            log = product.log.read_text()

    assert "prometheus-max cannot be read" in held["message"]
    assert held["weight"] == 50
    assert shown["message"] == "prometheus-max: 9 is above 5, 2 times in a row"
    assert log.count("metric provider cannot be read") == 1
    assert "metric provider answers again" in log
