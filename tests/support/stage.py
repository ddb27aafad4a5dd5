"""One worker for many tests: each gets a service of its own that shares nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.model.buckets import BUCKET_COUNT
from proxy.model.vocabulary import CODE_COUNT, FLAG_CODE_BASE, Flag
from proxy.telemetry import layout
from tests.support import table
from tests.support.data_plane import DataPlane
from tests.support.eventually import eventually
from tests.support.scripted_origin import ScriptedOrigin

CELLS_APART = 4
"""Cells from one arm to the next: the service and up to three routes."""

Places = Mapping[str, Sequence[ScriptedOrigin | int]]


class Stage:
    """Puts services on one worker, one after the other."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self.port = plane.port
        self._services = 0
        self._cells = 0
        self._seen = 0
        self._generation = 1

    def cells(self) -> int:
        """Return the first of some cells that nobody used before."""
        self._cells += CELLS_APART
        return self._cells

    def seen_table(self) -> int:
        """Return a table of units seen that nobody used before."""
        self._seen += 1
        return self._seen

    async def show(self, services: list[dict[str, Any]], **changes: Any) -> None:  # noqa: ANN401 - JSON
        """Give the worker a table and wait until new requests use it."""
        self._generation += 1
        generation = self._generation
        document = table.table(services, generation=generation, **changes)
        self.plane.send_table(document)
        await eventually(lambda: self.worker(layout.R_TABLE_GENERATION) == generation)

    def worker(self, word: int) -> int:
        """Return a word of the worker's header."""
        return self.plane.control.region_word(0, word)

    async def serve(
        self,
        places: Places,
        *,
        tables: dict[str, Any] | None = None,
        timeouts: dict[str, Any] | None = None,
        retries: dict[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - JSON
    ) -> "Service":
        """Serve versions by name at their origins (or ports); the first is stable."""
        service = self.service(places, timeouts=timeouts, retries=retries, **changes)
        await self.show([service.entry], **(tables or {}))
        return service

    def service(
        self,
        places: Places,
        *,
        timeouts: dict[str, Any] | None = None,
        retries: dict[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - JSON
    ) -> "Service":
        """Return a new service that no table names yet."""
        self._services += 1
        versions = []
        for name, origins in places.items():
            ports = [
                origin.port if isinstance(origin, ScriptedOrigin) else origin
                for origin in origins
            ]
            entry = table.version(
                name, ports, cell=self.cells(), seen=self.seen_table()
            )
            versions.append({**entry, "trials": self.seen_table()})
        entry = table.service(versions)
        entry.update(
            name=f"service-{self._services}",
            slot=self._services,
            control_cell=self.cells(),
            mirror_cell=self.cells(),
        )
        entry["timeouts"].update(timeouts or {})
        entry["retries"].update(retries or {})
        entry.update(changes)
        return Service(self, entry)


class Service:
    """A service on the stage: its weights, and what was counted for it."""

    def __init__(self, stage: Stage, entry: dict[str, Any]) -> None:
        self.stage = stage
        self.entry = entry
        self.slot: int = entry["slot"]
        self.arms: dict[str, int] = {
            version["name"]: version["cell"] for version in entry["versions"]
        }
        self.arms["control"] = entry["control_cell"]
        self.arms["mirror"] = entry["mirror_cell"]

    def weight(self, canary_buckets: int) -> int:
        """Give the canary (version 1) so many of the 100 000 buckets; return epoch."""
        entries = [(1, canary_buckets), (0, 100_000)]
        return self.stage.plane.control.write_weights(self.slot, entries)

    def flip(self, canary_buckets: int) -> int:
        """Do the same the way control does: with floor and a zeroed bank."""
        entries = [(1, canary_buckets), (0, 100_000)]
        cells = self.arms.values()
        return self.stage.plane.control.flip(self.slot, entries, cells)

    def words(self, arm: str, start: int, count: int) -> list[int]:
        """Return words of an arm's cell."""
        return self.stage.plane.control.sum_words(self.arms[arm], start, count)

    def word(self, arm: str, start: int) -> int:
        """Return a word of an arm's cell."""
        return self.words(arm, start, 1)[0]

    def attempts(self, arm: str) -> dict[int, int]:
        """Return attempts by code; from 600 on by flag."""
        return sparse(self.words(arm, layout.C_ATTEMPTS, CODE_COUNT))

    def requests(self, arm: str) -> dict[int, int]:
        """Return requests by the status that the user got."""
        return sparse(self.words(arm, layout.C_REQUESTS, CODE_COUNT))

    def flag(self, arm: str, flag: Flag) -> int:
        """Return how many attempts ended with a flag."""
        return self.word(arm, layout.C_FLAGS + flag)

    def timed(self, arm: str) -> int:
        """Return how many answers have a latency."""
        return sum(self.words(arm, layout.C_LATENCY, BUCKET_COUNT))

    def bank(self, arm: str, epoch: int) -> dict[int, int]:
        """Return an epoch's evidence by outcome code."""
        start = layout.bank_offset(epoch) + layout.B_CODES
        return sparse(self.words(arm, start, CODE_COUNT))

    async def counts(self, arm: str, expected: dict[int, int]) -> None:
        """Wait until exactly these attempts are counted (a count may follow)."""
        try:
            await eventually(lambda: self.attempts(arm) == expected, within_s=5.0)
        except TimeoutError:
            assert self.attempts(arm) == expected, self.attempts(arm)

    def tripped(self) -> int:
        """Return the epoch in which fail-fast tripped; 0 if never."""
        return self.stage.plane.control.trips(self.slot)[0]


def sparse(words: list[int]) -> dict[int, int]:
    """Return the words that are not zero, by their place."""
    return {place: word for place, word in enumerate(words) if word}


def flagged(flag: Flag) -> int:
    """Return the code that an attempt which ended with a flag counts at."""
    return FLAG_CODE_BASE + flag


def start() -> DataPlane:
    """Start a worker without services and wait until it accepts."""
    return started(table.table([]))


def started(document: dict[str, Any]) -> DataPlane:
    """Start a worker with a table and wait until it accepts."""
    plane = DataPlane(document)
    plane.start()
    asyncio.run(plane.ready())
    return plane
