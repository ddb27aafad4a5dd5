"""Health checks from the file to the choice of an endpoint."""

import asyncio
import json
import os
import signal
import urllib.request
from pathlib import Path

from tests.product.conftest import StartOrigin
from tests.support.eventually import eventually
from tests.support.product import Product

SHOP = """\
  shop:
    versions:
      stable: {{endpoints: [{endpoints}]}}
    health_check: {{path: /healthz, interval: 200ms, rise: 1, fall: 2}}
"""
ASKED = 20


async def test_an_endpoint_that_fails_its_check_is_asked_for_nothing(
    tmp_path: Path, start_origin: StartOrigin
) -> None:
    """Control asks, the workers follow, and go on so while control is killed."""
    well, sick = await start_origin("well"), await start_origin("sick", "sick")
    ports = (well.port, sick.port)
    endpoints = ", ".join(f'"http://127.0.0.1:{port}"' for port in ports)
    async with Product(tmp_path, SHOP.format(endpoints=endpoints)) as product:

        async def only_the_well_one() -> bool:
            return await asyncio.to_thread(who_answers, product.port) == {"well"}

        await eventually(only_the_well_one)
        os.kill(product.children()["headgate-control"], signal.SIGKILL)
        for _ in range(5):
            assert await only_the_well_one()


def who_answers(port: int) -> set[str]:
    """Return the names of the origins that answer a few requests."""
    found = set()
    for _ in range(ASKED):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/echo") as answer:
            found.add(json.load(answer)["origin"])
    return found
