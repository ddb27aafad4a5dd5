"""Promise 6: weight changes, reloads, crashes and stops lose no request."""

import asyncio
import os
import signal
from pathlib import Path

from tests.product.conftest import StartOrigin
from tests.support.eventually import eventually
from tests.support.load import Load
from tests.support.product import Product

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"]}}
    split: {{stable: {share}, canary: {rest}}}
    unit: [{{header: x-user-id}}]
    retries: {{shield: false, attempts: {attempts}}}
"""


def shop(stable: int, canary: int, *, rest: int = 30, attempts: int = 1) -> str:
    """Return the services section of a shop with two versions."""
    return SHOP.format(
        stable=stable, canary=canary, share=100 - rest, rest=rest, attempts=attempts
    )


async def test_a_hundred_weight_changes_lose_nothing(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """A weight change is effective on the next request and loses none."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    async with (
        Product(tmp_path, shop(stable.port, canary.port)) as product,
        Load(product.port) as load,
    ):
        for number in range(100):
            await product.api(
                "PUT", "/services/shop/split", {"canary": number % 2 * 50 + 10}
            )
            await load.answered(5)

    assert load.tally.failures == []
    assert set(load.tally.answers) == {("stable", 200), ("canary", 200)}


async def test_twenty_reloads_lose_nothing(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """A reload drops no request and no connection."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    async with (
        Product(tmp_path, shop(stable.port, canary.port)) as product,
        Load(product.port) as load,
    ):
        for number in range(20):
            text = shop(stable.port, canary.port)
            product.write(text + f"    timeouts: {{attempt: {number + 2}s}}\n")
            reply = await product.api("POST", "/config/reload", {})
            assert not isinstance(reply, tuple), reply
            await load.answered(20)

    assert load.tally.failures == []
    assert set(load.tally.answers) == {("stable", 200), ("canary", 200)}


async def test_control_is_killed_and_traffic_goes_on(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """The data plane does not depend on the control plane."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    async with (
        Product(tmp_path, shop(stable.port, canary.port)) as product,
        Load(product.port) as load,
    ):
        await load.answered(200)
        first = product.children()["headgate-control"]
        os.kill(first, signal.SIGKILL)
        await load.answered(500)
        await eventually(
            lambda: product.children().get("headgate-control", first) != first
        )
        await load.answered(500)

    assert load.tally.failures == []
    assert set(load.tally.answers) == {("stable", 200), ("canary", 200)}


async def test_a_dead_canary_fails_its_share_only(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Without shield the canary's share is 503, and stable's never fails."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    async with (
        Product(tmp_path, shop(stable.port, canary.port, attempts=0)) as product,
        Load(product.port) as load,
    ):
        await load.answered(200)
        canary.kill()
        await load.answered(1000)

    broken = [one for one in load.tally.failures if "Reset" not in one]
    assert broken == []
    assert set(load.tally.of("stable")) == {200}
    assert set(load.tally.of("canary")) <= {200, 502, 503}
    assert 503 in load.tally.of("canary") or load.tally.of("canary")[200] > 0


async def test_workers_are_killed_under_load(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """A worker's crash loses only the exchanges that it held."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    kills = 4
    product = Product(tmp_path, shop(stable.port, canary.port), workers=4)
    load = Load(product.port, clients=8, keep_alive=False, pause_s=0.002)
    async with product, load:
        for number in range(kills):
            title = f"headgate-worker-{number % 4}"
            os.kill(product.children()[title], signal.SIGKILL)
            await load.answered(300)
            await eventually(lambda: title in product.children())  # noqa: B023 - awaited

    assert len(load.tally.failures) <= kills * 8
    assert set(load.tally.answers) == {("stable", 200), ("canary", 200)}


async def test_control_and_a_worker_die_together(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Without control a new worker serves with the last table and weights."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    product = Product(tmp_path, shop(stable.port, canary.port))
    load = Load(product.port, clients=8)
    async with product, load:
        await load.answered(100)
        stopping = asyncio.Event()

        async def keep_down() -> None:
            while not stopping.is_set():
                control = product.children().get("headgate-control")
                if control is not None:
                    os.kill(control, signal.SIGKILL)
                await asyncio.sleep(0.02)

        keeper = asyncio.get_running_loop().create_task(keep_down())
        first = product.children()["headgate-worker-0"]
        os.kill(first, signal.SIGKILL)
        await eventually(
            lambda: product.children().get("headgate-worker-0", first) != first
        )
        await load.answered(1000)
        ready = await asyncio.to_thread(product.is_ready)
        stopping.set()
        await keeper

    assert ready
    assert len(load.tally.failures) <= 8
    assert set(load.tally.answers) == {("stable", 200), ("canary", 200)}


async def test_a_graceful_stop_loses_nothing(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """SIGTERM finishes what is in flight and exits with 0."""
    stable, canary = await start_origin("stable"), await start_origin("canary")
    async with Product(tmp_path, shop(stable.port, canary.port)) as product:
        slow = [
            asyncio.get_running_loop().create_task(status_of(product, "/slow/4000"))
            for _ in range(5)
        ]
        await eventually(lambda: inflight(product) >= len(slow))
        code = await product.stop()

    assert code == 0
    assert await asyncio.gather(*slow) == [200] * 5


async def status_of(product: Product, path: str) -> int:
    """Send one request on a connection of its own; return its status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", product.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(head.split(b" ")[1])


def inflight(product: Product) -> float:
    """Return the requests in flight, as /metrics shows them."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in product.metrics().splitlines()
        if line.startswith("headgate_inflight_requests{")
    )
