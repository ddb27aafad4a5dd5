"""A governor with a real slab and a real store, and workers that only count."""

from functools import cache
from pathlib import Path
from typing import Any

from proxy import settings
from proxy.control.allocation import ARM_MIRROR
from proxy.control.governor import Governor
from proxy.control.recordings import Recorder
from proxy.control.store import SqliteStore, Store
from proxy.control.weights import shares
from proxy.model.buckets import bucket_of
from proxy.model.vocabulary import FLAG_CODE_BASE
from proxy.telemetry import layout, slab

JsonObject = dict[str, Any]

BASE = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002], revision: "2.4.0"}
    rollout:
      start: manual
      steps: [20, 60, 100]
      min_duration: 3s
      min_requests: 50
      warmup: 0s
      slos: [{metric: error_rate, max: 5%}]
"""


class FakeClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def unix_s(self) -> float:
        """Return Unix time."""
        return self.now_s

    def monotonic_s(self) -> float:
        """Return the same time; nobody jumps here."""
        return self.now_s


class ControlRoom:
    """Builds governors over one slab and one state directory."""

    def __init__(self, state_dir: Path, workers: int = 2) -> None:
        self.fd = slab.create(workers)
        self.state_dir = state_dir
        self.clock = FakeClock()
        self.workers = [slab.WorkerSlab(self.fd, index) for index in range(workers)]
        self.tables: list[JsonObject] = []
        self.events: list[JsonObject] = []
        self.follow_tables = True
        supervisor = slab.SupervisorSlab(self.fd)
        supervisor.set_started(int(self.clock.now_s))
        for index in range(workers):
            row = slab.WorkerRow(1000 + index, layout.STATE_READY, 0)
            supervisor.set_worker(index, row)
        self.store: Store = SqliteStore.open(state_dir)
        self.governor = self.make_governor()

    def make_governor(self) -> Governor:
        """Return a governor that knows nothing yet."""
        return Governor(
            slab.ControlSlab(self.fd),
            self.store,
            self.clock,
            self.take_table,
            self.events.append,
            recorder=Recorder.open(self.state_dir),
        )

    def begin(self, text: str = BASE) -> Governor:
        """Start from the store and a file, as a cold start does."""
        self.governor.replay(None)
        self.governor.install(load(text))
        return self.governor

    def restart(self, text: str = BASE) -> Governor:
        """Replace the governor as if its process had been killed."""
        self.store.close()
        self.store = SqliteStore.open(self.state_dir)
        self.governor = self.make_governor()
        self.governor.replay(self.tables[-1])
        self.governor.install(load(text))
        return self.governor

    def take_table(self, document: JsonObject) -> None:
        """Take a table as the supervisor does, and let the workers follow."""
        self.tables.append(document)
        if self.follow_tables:
            self.use_newest_table()

    def use_newest_table(self) -> None:
        """Let every worker route by the newest table only."""
        generation = self.tables[-1]["generation"]
        for worker in self.workers:
            worker.words[layout.R_GENERATION] = generation
            worker.words[layout.R_TABLE_GENERATION] = generation

    def slot(self, service: str = "shop") -> int:
        """Return a service's slot."""
        return self.governor.allocation.slot(self.governor.steward(service).wish)

    def epoch(self, service: str = "shop") -> int:
        """Return a service's weight epoch."""
        return self.governor.slab.epoch(self.slot(service))

    def weights(self, service: str = "shop") -> dict[str, float]:
        """Return what the slab's row says, in percent."""
        row = shares(self.governor.slab.weights(self.slot(service)))
        names = self.governor.steward(service).wish.versions
        return {names[index]: buckets / 1000 for index, buckets in row.items()}

    def serve(
        self,
        version: str,
        requests: int,
        *,
        service: str = "shop",
        code: int = 200,
        latency_us: int = 10_000,
        worker: int = 0,
        route: int = 0,
    ) -> None:
        """Count answered requests as a worker does, live and as evidence."""
        allocation = self.governor.allocation
        steward = self.governor.steward(service)
        cell = layout.cell_offset(allocation.cell(steward.wish, version) + route)
        words = self.workers[worker].words
        bucket = bucket_of(latency_us)
        good = code < 500
        words[cell + layout.C_ROUTED] += requests
        words[cell + layout.C_ATTEMPTS + code] += requests
        if code < FLAG_CODE_BASE:
            words[cell + layout.C_REQUESTS + code] += requests
        if good:
            words[cell + layout.C_LATENCY + bucket] += requests
            words[cell + layout.C_TTFB + bucket] += requests
            words[cell + layout.C_LATENCY_SUM_US] += requests * latency_us
            words[cell + layout.C_TTFB_SUM_US] += requests * latency_us
        bank = cell + layout.bank_offset(self.epoch(service))
        words[bank + layout.B_ROUTED] += requests
        words[bank + layout.B_CODES + code] += requests
        if good:
            words[bank + layout.B_LATENCY + bucket] += requests
            words[bank + layout.B_TTFB + bucket] += requests
        else:
            words[bank + layout.B_CENSORED + bucket] += requests

    def order(
        self, version: str, events: int, *, event: str = "orders", trials: int = 0
    ) -> None:
        """Count business events as a worker does, live and in trials as evidence."""
        allocation = self.governor.allocation
        wish = self.governor.steward("shop").wish
        cell = layout.cell_offset(allocation.cell(wish, version))
        words = self.workers[0].words
        word = allocation.event(wish, event)
        bank = cell + layout.bank_offset(self.epoch())
        words[cell + layout.C_EVENTS + word] += events
        words[bank + layout.B_EVENTS + word] += events
        words[bank + layout.B_TRIALS] += trials

    def trip(self, service: str = "shop", worker: int = 0) -> None:
        """Trip fail-fast in one worker, in the present epoch."""
        base = layout.REGION_SERVICES
        offset = base + self.slot(service) * layout.REGION_SERVICE_WORDS
        self.workers[worker].words[offset + layout.RS_TRIP] = self.epoch(service)

    def mirror_cell(self, service: str = "shop") -> int:
        """Return the first cell of the mirror arm."""
        steward = self.governor.steward(service)
        return self.governor.allocation.cell(steward.wish, ARM_MIRROR)

    def second(self, dt_s: float = 1.0) -> None:
        """Let a second pass: a fast look, then the tick."""
        self.clock.now_s += dt_s
        self.governor.watch()
        self.governor.tick(dt_s)


@cache
def load(text: str) -> settings.Loaded:
    """Return the settings that a file with ``text`` holds."""
    return settings.loads(text.encode(), "headgate.yaml", {})
