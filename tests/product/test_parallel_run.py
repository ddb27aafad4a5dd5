"""A parallel run of the whole product: compared, accounted for, and survived."""

import os
import re
import signal
from pathlib import Path
from typing import Any

from tests.product.conftest import StartOrigin
from tests.support.eventually import eventually
from tests.support.load import Load
from tests.support.product import Product

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: ["http://127.0.0.1:{stable}"]}}
      canary: {{endpoints: ["http://127.0.0.1:{canary}"], revision: "2.4.0"}}
    mirror:
      to: canary
      compare: {{noise_sample: 50%}}
"""


async def report(product: Product) -> dict[str, Any]:
    """Return the report as the API shows it."""
    shown: dict[str, Any] = await product.api("GET", "/services/shop/parallel")
    return shown


async def compared(product: Product, more_than: int) -> dict[str, Any]:
    """Wait until more pairs than these were compared."""

    async def enough() -> bool:
        shown = await report(product)
        return bool(shown["pairs"] > more_than)

    await eventually(enough)
    return await report(product)


async def is_settled(product: Product) -> bool:
    """Whether nothing is on its way."""
    return not (await report(product))["mirror"]["pending"]


async def test_a_difference_is_named_and_every_request_accounted_for(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """
    Two versions that differ in one field: exactly that field is named.

    Posts are offered and skipped by their method; the compare process is killed
    on the way, and its successor goes on with the same run. Users notice nothing.
    """
    stable, canary = await start_origin("stable"), await start_origin("canary")
    services = SHOP.format(stable=stable.port, canary=canary.port)
    async with Product(tmp_path, services) as product:
        async with Load(product.port, clients=4, pause_s=0.005) as load:
            await load.answered(200)
            await eventually(lambda: "headgate-compare" in product.children())
            before = await compared(product, 0)
            old = product.children()["headgate-compare"]
            os.kill(old, signal.SIGKILL)
            await load.answered(200)
            await eventually(
                lambda: product.children().get("headgate-compare", old) != old
            )
            await load.answered(100)
        await compared(product, before["pairs"])
        await eventually(lambda: is_settled(product))
        shown = await report(product)
        metrics = product.metrics()

    assert load.tally.failures == []
    assert shown["verdict"] == "diverging"
    assert [
        (field["path"], field["verdict"])
        for endpoint in shown["endpoints"]
        for field in endpoint["fields"]
    ] == [("$.origin", "regression")]
    mirror = shown["mirror"]
    skipped = sum(mirror["skipped"].values())
    assert mirror["offered"] == load.tally.total == mirror["compared"] + skipped
    assert mirror["skipped"]["method"] > 0
    # What the killed process had not saved is missing in the run, and only that.
    assert shown["pairs"] <= mirror["compared"]
    different = re.search(r'comparisons_total{result="different".*} ([0-9.]+)', metrics)
    assert different is not None
    assert float(different[1]) == mirror["different"]
