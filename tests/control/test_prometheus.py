"""What a real Prometheus server says, and what it means that it says nothing."""

from pathlib import Path

import pytest

from proxy.control import prometheus
from proxy.control.clock import SystemClock
from proxy.model.external import Reading
from tests.support.free_port import free_port
from tests.support.prometheus import Metrics, Prometheus
from tests.support.scripted_origin import Call, ScriptedOrigin

QUEUES = """
queue_depth{version="stable"} 0.25
queue_depth{version="canary"} 0.75
odd NaN
huge +Inf
"""


async def ask(url: str, query: str) -> Reading:
    """Ask within a second."""
    return await prometheus.ask(url, query, SystemClock(), timeout_s=5.0)


async def test_a_real_server_is_understood(tmp_path: Path) -> None:
    """One series or a scalar is a value; none and NaN are none; the rest is named."""
    async with Metrics(QUEUES) as metrics, Prometheus(tmp_path, metrics.port) as server:
        canary = 'queue_depth{version="canary"}'
        await server.knows(canary, 0.75)
        said = {
            query: await ask(server.url, query)
            for query in (
                canary,
                "scalar(sum(queue_depth))",
                'queue_depth{version="v9"}',
                "odd",
                "huge",
                "queue_depth",
                "queue_depth[5m]",
                "queue_depth{",
            )
        }
    after = await ask(server.url, canary)

    values = {query: one.value for query, one in said.items() if not one.error}
    assert values == {
        canary: 0.75,
        "scalar(sum(queue_depth))": 1.0,
        'queue_depth{version="v9"}': None,
        "odd": None,
        "huge": prometheus.LARGEST,
    }
    errors = {query: one.error for query, one in said.items() if one.error}
    assert errors["queue_depth"] == "the query gives 2 series, expected one"
    assert "expected a scalar or a vector" in errors["queue_depth[5m]"]
    assert errors["queue_depth{"].startswith("bad_data: ")
    assert after.error
    assert after.value is None


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"<html>", "status 200, and the answer is not JSON"),
        (404, b"{}", "status 404, and no answer of Prometheus"),
        (200, b'{"status": "success"}', "no answer of Prometheus"),
        (
            200,
            b'{"status": "success", "data": {"resultType": "scalar", "result": 1}}',
            "no pair of time and value",
        ),
        (200, b" " * 70_000, "longer than 65536 bytes"),
    ],
)
async def test_what_is_no_prometheus_is_an_error(
    status: int, body: bytes, says: str
) -> None:
    """A captive portal or a wrong port is told, and is no measurement."""

    async def answer(call: Call) -> None:
        await call.reply(body, status=status)

    async with ScriptedOrigin(answer) as origin:
        reading = await ask(f"http://127.0.0.1:{origin.port}/path/", "up")

    assert says in reading.error
    assert origin.requests[0].target == "/path/api/v1/query?query=up"


async def test_nobody_there_is_an_error() -> None:
    """A provider that is down says why it could not be asked."""
    reading = await ask(f"http://127.0.0.1:{free_port()}", "up")

    assert "Cannot connect" in reading.error


def test_names_are_filled_in_safely() -> None:
    """A revision with a quote cannot change the query."""
    query = 'depth{service="{{service}}",revision="{{revision}}"} / {{other}}'
    words = {"service": "shop", "revision": '2"}\\'}

    filled = prometheus.filled_in(query, words)

    assert filled == 'depth{service="shop",revision="2\\"}\\\\"} / {{other}}'
