"""A worker's own share of a request, and of counting one."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import replay

from proxy.dataplane import recorder
from proxy.telemetry import layout


@pytest.fixture
def worker() -> Iterator[replay.Replay]:
    """Return a worker in this process whose transports lead nowhere."""
    loop = asyncio.new_event_loop()
    one = replay.Replay(loop)
    yield one
    one.close()
    loop.close()


def test_exchange(benchmark: Any, worker: replay.Replay) -> None:  # noqa: ANN401
    """A small GET and its answer, without sockets."""
    benchmark(lambda: worker.answer(worker.ask()))

    cells = (layout.cell_offset(0), layout.cell_offset(1))
    answered = [worker.worker.words[cell + layout.C_REQUESTS + 200] for cell in cells]
    assert sum(answered) > 0
    assert answered[0] > answered[1], "stable has 80 % of the users"


def test_record(benchmark: Any, worker: replay.Replay) -> None:  # noqa: ANN401
    """Count an answer that is evidence."""
    worker.answer(worker.ask())  # a response to count
    first = worker.ask()
    worker.answer(first)
    exchange = worker.ask()
    exchange.response = first.response
    exchange.first_s = exchange.sent_s + 0.001

    benchmark(lambda: recorder.answered(exchange, exchange.first_s))

    cell = exchange.version.cell
    assert worker.worker.words[cell + layout.C_REQUESTS + 200] > 0
