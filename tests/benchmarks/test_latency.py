"""The open-loop generator: what is late makes what is behind it late too."""

import asyncio
from functools import partial

import latency
import pytest

from tests.support.scripted_origin import Call, ScriptedOrigin


def test_requests_are_due_at_their_times_whatever_happened() -> None:
    """A generator that was held up owes every request of that time, as due then."""
    schedule = latency.Schedule(next_ns=1_000, every_ns=100, left=10)

    schedule.due(1_250)
    before = list(schedule.waiting)
    schedule.due(10_000)

    assert before == [1_000, 1_100, 1_200]
    assert list(schedule.waiting) == list(range(1_000, 2_000, 100))
    assert schedule.left == 0


@pytest.mark.parametrize(
    ("name", "expected_ms"), [("p50", 501.0), ("p99", 991.0), ("p99.9", 1000.0)]
)
def test_quantiles_are_exact(name: str, expected_ms: float) -> None:
    """Of all values, by rank."""
    values_ns = [number * 1_000_000 for number in range(1000, 0, -1)]

    assert latency.quantiles(values_ns)[name] == expected_ms


async def test_a_stall_is_seen_by_all_who_were_due_in_it() -> None:
    """No coordinated omission: not only the request that was stalled is slow."""
    stalled_s, rate = 0.5, 200
    over = asyncio.Event()

    async def script(call: Call) -> None:
        if call.number == 20:
            asyncio.get_running_loop().call_later(stalled_s, over.set)
        if call.number >= 20:
            await over.wait()
        await call.reply(b"{}")

    async with ScriptedOrigin(script) as origin:
        ask = partial(latency.ask, origin.port, rate, 1.0)
        values_ns = await asyncio.to_thread(ask)

    slow = [value for value in values_ns if value > stalled_s / 2 * 1e9]
    assert len(values_ns) == rate
    assert len(slow) >= rate * stalled_s / 2 * 0.9


async def test_answers_that_are_no_answers_are_refused() -> None:
    """A proxy that fails fast must not look quick."""

    async def script(call: Call) -> None:
        await call.reply(b"{}", status=503)

    async with ScriptedOrigin(script) as origin:
        ask = partial(latency.ask, origin.port, 50, 0.2)
        with pytest.raises(ConnectionError, match="503"):
            await asyncio.to_thread(ask)
