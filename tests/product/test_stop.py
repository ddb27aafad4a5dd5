"""A graceful stop: nobody who asked is left without an answer."""

import signal
from pathlib import Path

import pytest

from tests.product.conftest import StartOrigin
from tests.support.eventually import eventually
from tests.support.load import Load
from tests.support.product import Product

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{port}"]}}
"""


@pytest.mark.parametrize("clients", [4, 32])
async def test_clients_that_stay_connected_lose_nothing(
    tmp_path: Path, start_origin: StartOrigin, clients: int
) -> None:
    """Promise 6: keep-alive clients that ask on and on; no reset, no cut answer."""
    origin = await start_origin("stable")
    async with (
        Product(tmp_path, SHOP.format(port=origin.port)) as product,
        Load(product.port, clients=clients, pause_s=0.005) as load,
    ):
        await load.answered(clients * 20)
        code = await product.stop()
    refused = [one for one in load.tally.failures if "Refused" in one]

    assert code == 0
    assert [one for one in load.tally.failures if one not in refused] == []
    assert set(load.tally.answers) == {("stable", 200)}


async def test_new_connections_are_taken_during_the_delay(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """`drain.delay`: not ready at once, and still serving whoever comes."""
    origin = await start_origin("stable")
    text = SHOP.format(port=origin.port)
    product = Product(tmp_path, text, drain="{delay: 2s, timeout: 10s}")
    async with product:
        assert product.process is not None
        product.process.send_signal(signal.SIGTERM)
        await eventually(lambda: not product.is_ready())
        async with Load(product.port, keep_alive=False, clients=4) as load:
            await load.answered(100)
        code = await product.ended()

    assert load.tally.failures == []
    assert code == 0
