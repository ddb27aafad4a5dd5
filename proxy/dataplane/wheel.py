"""
Deadlines of client connections, looked at once a second.

A connection stands in the slot of the second in which its deadline may pass.
Putting a deadline off costs one assignment: the slot is corrected when it
comes up. Only an earlier deadline needs ``place`` again; that of the keep-alive, set
after each answer, is found by looking at least that often. So no connection
costs a timer, and an idle one is closed within twice its keep-alive time.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream

RECHECK_S: Final = 30.0
"""A connection is looked at this often, or as often as idle ones are closed."""


class Wheel:
    """Connections by the second in which they are looked at next."""

    __slots__ = ("_slots", "_swept", "recheck_s")

    def __init__(self, now_s: float) -> None:
        self._slots: dict[int, set[Downstream]] = {}
        self._swept = int(now_s)
        self.recheck_s = RECHECK_S

    def __iter__(self) -> Iterator["Downstream"]:
        for slot in list(self._slots.values()):
            yield from list(slot)

    def place(self, connection: "Downstream", now_s: float) -> None:
        """Put a connection where its deadline is looked at."""
        self.remove(connection)
        latest_s = now_s + self.recheck_s
        second = int(min(connection.deadline_s, latest_s)) + 1
        connection.slot = max(second, self._swept + 1)
        slot = self._slots.get(connection.slot)
        if slot is None:
            slot = self._slots[connection.slot] = set()
        slot.add(connection)

    def remove(self, connection: "Downstream") -> None:
        """Forget a connection."""
        slot = self._slots.get(connection.slot)
        if slot is not None:
            slot.discard(connection)

    def sweep(self, now_s: float) -> None:
        """Tell every connection whose deadline passed."""
        last, self._swept = self._swept, int(now_s)
        for second in range(last + 1, self._swept + 1):
            for connection in self._slots.pop(second, ()):
                if connection.deadline_s <= now_s:
                    connection.expired()
                if connection.transport is not None:
                    self.place(connection, now_s)
