"""
Faults under load: with an idempotent workload and `shield` on nobody sees them.

There is no rollout here, so no fail-fast: the canary keeps its half of the users.
Each runs for ``FAULT_S``; ``HEADGATE_FAULT_S=60`` makes it the minute that figures
are taken from.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from tests.product.conftest import StartOrigin
from tests.support.free_port import free_port
from tests.support.load import Load
from tests.support.product import Origin, Product

FAULT_S = float(os.environ.get("HEADGATE_FAULT_S", "2"))
CLIENTS = 16
ATTEMPT_S = 0.5

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: [{stable}]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"]}}
    split: {{stable: 50, canary: 50}}
    unit: [{{header: x-user-id}}]
    timeouts: {{attempt: {attempt}s}}
"""


@asynccontextmanager
async def under_load(
    directory: Path, stable: list[int], canary: int, *, clients: int = CLIENTS
) -> AsyncIterator[tuple[Product, Load]]:
    """Run the product and a load of GET and PUT, none of which may fail."""
    endpoints = ", ".join(f'"http://127.0.0.1:{port}"' for port in stable)
    services = SHOP.format(stable=endpoints, canary=canary, attempt=ATTEMPT_S)
    async with (
        Product(directory, services) as product,
        Load(product.port, clients=clients, idempotent=True, pause_s=0.01) as load,
    ):
        yield product, load
    told(load, product)


def told(load: Load, product: Product) -> None:
    """Say what happened, for whoever runs it for the figures (``pytest -rP``)."""
    tally = load.tally
    print(  # noqa: T201
        f"{tally.total} answers, {tally.errors} errors, {len(tally.failures)} cut,"
        f" p50 {tally.quantile_s(0.5) * 1000:.1f} ms,"
        f" p99 {tally.quantile_s(0.99) * 1000:.1f} ms; {dict(tally.answers)}"
    )
    assert tally.failures == [], product.log.read_text()[-3000:]


def attempts(page: str, version: str) -> dict[str, float]:
    """Return a version's failed attempts by flag, as /metrics shows them."""
    return {
        line.split('reason="')[1].split('"')[0]: float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("headgate_upstream_failures_total{")
        and f'version="{version}"' in line
    }


async def test_a_canary_that_is_killed_every_second(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Killed and restarted: 0 user-visible failures."""
    stable = await start_origin("stable")
    canary = await start_origin("canary")
    async with under_load(tmp_path, [stable.port], canary.port) as (product, load):
        until_s = monotonic() + FAULT_S
        while monotonic() < until_s:
            await load.answered(20)
            canary.kill()
            await asyncio.sleep(0.5)
            canary = await Origin("canary", canary.port).start()
            await asyncio.sleep(0.5)
        page = await asyncio.to_thread(product.metrics)
        canary.kill()

    assert load.tally.errors == 0
    assert sum(attempts(page, "canary").values()) > 0
    assert ("canary", 200) in load.tally.answers


@pytest.mark.parametrize("fault", ["halves", "garbage"])
async def test_a_canary_that_answers_badly(
    tmp_path: Path, start_origin: StartOrigin, fault: str
) -> None:
    """Half its answers reset in their head, or no HTTP at all: 0 failures."""
    stable = await start_origin("stable")
    canary = await start_origin("canary", fault)
    async with under_load(tmp_path, [stable.port], canary.port) as (product, load):
        await asyncio.sleep(FAULT_S)
        page = await asyncio.to_thread(product.metrics)

    assert load.tally.errors == 0
    assert ("UR" if fault == "halves" else "UPE") in attempts(page, "canary")
    assert attempts(page, "stable") == {}


async def test_a_canary_that_hangs(tmp_path: Path, start_origin: StartOrigin) -> None:
    """0 failures, and p99 is at most `attempt` and stable's."""
    stable = await start_origin("stable")
    canary = await start_origin("canary", "hang")
    async with under_load(tmp_path, [stable.port], canary.port) as (product, load):
        await asyncio.sleep(FAULT_S)
        page = await asyncio.to_thread(product.metrics)
    quick = [took_s for took_s in load.tally.took_s if took_s < ATTEMPT_S]
    stables_s = sorted(quick)[int(len(quick) * 0.99)]

    assert load.tally.errors == 0
    assert "UT" in attempts(page, "canary")
    assert len(quick) < load.tally.total
    slowest_s = load.tally.quantile_s(0.99)
    print(f"stable p99 {stables_s * 1000:.1f} ms, p99 {slowest_s * 1000:.1f} ms")  # noqa: T201
    assert slowest_s <= ATTEMPT_S + max(stables_s, 0.05)


async def test_one_of_three_stable_endpoints_dies(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """What was in flight there is tried again elsewhere; then it is left out."""
    stables = [await start_origin("stable") for _ in range(3)]
    async with under_load(tmp_path, [one.port for one in stables], free_port()) as (
        product,
        load,
    ):
        await product.api("PUT", "/services/shop/split", {"canary": 0})
        await load.answered(100)
        stables[1].kill()
        await asyncio.sleep(FAULT_S)
        page = await asyncio.to_thread(product.metrics)
        shown = await product.api("GET", "/services/shop")

    failed = attempts(page, "stable")
    assert load.tally.errors == 0
    assert sum(failed.values()) < CLIENTS + 40, failed
    assert shown["versions"][0]["ejected"] == 1
