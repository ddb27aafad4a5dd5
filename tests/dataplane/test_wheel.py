"""The wheel: each deadline is found in its second, without a timer of its own."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from proxy.dataplane.wheel import RECHECK_S, Wheel

NEVER = float("inf")


class Connection:
    """What the wheel knows of a connection."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.slot = 0
        self.transport: object | None = object()
        self.expired_at_s: list[float] = []
        self.now_s = 0.0

    def expired(self) -> None:
        """Close, as a connection does."""
        self.expired_at_s.append(self.now_s)
        self.transport = None


def placed(wheel: Wheel, deadline_s: float, now_s: float) -> Any:  # noqa: ANN401 - a stand-in
    """Place a connection."""
    connection = Connection(deadline_s)
    wheel.place(cast("Any", connection), now_s)
    return connection


@given(
    st.lists(st.floats(0, 200), min_size=1, max_size=20),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_every_deadline_is_found(deadlines: list[float], pauses: list[int]) -> None:
    """Never early, once, and at the first sweep a second or more after it."""
    wheel = Wheel(0.0)
    connections = [placed(wheel, deadline, 0.0) for deadline in deadlines]
    now_s = 0.0
    sweeps = []

    for pause in [*pauses, *([10] * 30)]:
        now_s += pause
        sweeps.append(now_s)
        for connection in connections:
            connection.now_s = now_s
        wheel.sweep(now_s)

    for connection in connections:
        (found_s,) = connection.expired_at_s
        first = min(sweep for sweep in sweeps if sweep >= connection.deadline_s + 1)
        assert connection.deadline_s <= found_s <= first


def test_a_deadline_that_was_put_off_is_found_later() -> None:
    """Putting off costs one assignment; the wheel corrects itself."""
    wheel = Wheel(0.0)
    connection = placed(wheel, 5.0, 0.0)
    connection.deadline_s = 50.0

    for second in range(1, 60):
        connection.now_s = float(second)
        wheel.sweep(float(second))

    assert connection.expired_at_s in ([50.0], [51.0])


def test_a_connection_without_a_deadline_is_only_looked_at() -> None:
    """A request is running: nothing expires, and it stays known."""
    wheel = Wheel(0.0)
    connection = placed(wheel, NEVER, 0.0)

    for second in range(1, 100):
        wheel.sweep(float(second))

    assert connection.expired_at_s == []
    assert list(wheel) == [connection]


def test_a_short_keep_alive_is_looked_at_often() -> None:
    """An idle connection is closed within twice its keep-alive time."""
    wheel = Wheel(0.0)
    wheel.recheck_s = 2.0
    connection = placed(wheel, 10.0, 0.0)
    connection.deadline_s = 3.0

    for second in range(1, 12):
        connection.now_s = float(second)
        wheel.sweep(float(second))

    assert connection.expired_at_s[0] <= 3.0 + 2.0
    assert RECHECK_S > 2.0


def test_a_removed_connection_is_forgotten() -> None:
    """Also one that was never placed."""
    wheel = Wheel(0.0)
    connection = placed(wheel, 1.0, 0.0)
    wheel.remove(connection)
    wheel.remove(connection)
    wheel.sweep(100.0)

    assert connection.expired_at_s == []
    assert list(wheel) == []
