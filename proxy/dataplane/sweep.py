"""
What a worker does by the clock: deadlines, gauges, budgets, heartbeats.

One timer for everything. Ten times a second requests in flight are checked
against their deadlines, idle connections against theirs, and gauges are shown;
once a second the rest follows. So no request and no connection needs a timer; a
second timer, shared by all, only makes deadlines before the next look exact.
"""

from time import monotonic, time  # noqa: TID251 - a shell reads the clock
from typing import TYPE_CHECKING, Final

from proxy.dataplane import crowding, endpoints, expiry, heads, recorder, retry
from proxy.model.buckets import bucket_of
from proxy.telemetry import layout

if TYPE_CHECKING:
    from asyncio import TimerHandle

    from proxy.dataplane.bound import BoundService
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.worker import Worker

INTERVAL_S: Final = 0.1
TIMER_S: Final = 0.001
"""The event loop's timers come up to so much early."""


class Sweep:
    """The periodic work of one worker."""

    __slots__ = ("_ages", "_next_s", "_soon", "_timer", "_worker")

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._next_s = 0.0
        self._ages: list[int] = []
        self._soon: list[tuple[float, int, Exchange]] = []
        self._timer: TimerHandle | None = None

    def run(self) -> None:
        """Do what is due, and come again."""
        worker = self._worker
        worker.loop.call_later(INTERVAL_S, self.run)
        worker.now_s = now_s = monotonic()
        worker.words[layout.R_BEAT_MS] = int(now_s * 1000)
        self._expire(now_s)
        for leg in [one for one in worker.mirrors if one.deadline_s <= now_s]:
            leg.timed_out()
        crowding.relieve(worker)
        for service in worker.table.services.values():
            endpoints.review(service, worker)
        for pool in worker.live.pools:
            pool.evict(now_s)
        self._gauges()
        if worker.access_log is not None:
            worker.access_log.flush()
        if now_s >= self._next_s:
            self._next_s = now_s + 1.0
            self._each_second(now_s)

    def _expire(self, now_s: float) -> None:
        """Act on deadlines that passed; note those before the next look."""
        until_s = now_s + INTERVAL_S
        late: list[Exchange] = []
        soon: list[tuple[float, int, Exchange]] = []
        for exchange in self._worker.active:
            due_s = exchange.deadline_s
            due_s = min(due_s, exchange.total_s)
            if due_s <= now_s:
                late.append(exchange)
            elif due_s < until_s:
                soon.append((due_s, id(exchange), exchange))
        for exchange in late:
            _act(exchange, now_s)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        soon.sort(reverse=True)
        self._soon = soon
        if soon:
            self._set_timer(now_s)

    def _set_timer(self, now_s: float) -> None:
        wait_s = max(self._soon[-1][0] - now_s, 0.0)
        self._timer = self._worker.loop.call_later(wait_s, self._expire_soon)

    def _expire_soon(self) -> None:
        """Act on the next deadline when it passes, not a tenth of a second later."""
        self._timer = None
        now_s = monotonic()
        soon = self._soon
        while soon and soon[-1][0] <= now_s + TIMER_S:
            _, _, exchange = soon.pop()
            _act(exchange, now_s + TIMER_S)
        if soon:
            self._set_timer(now_s)

    def _each_second(self, now_s: float) -> None:
        worker = self._worker
        worker.tell_time(now_s)
        worker.date = heads.http_date(time())
        worker.wheel.sweep(now_s)
        self._publish_ages(now_s)
        for service in worker.table.services.values():
            _look_back(service, worker.words)
        worker.names.refresh()
        worker.publish_generation()
        worker.garbage.look(now_s, worker.connections)

    def _gauges(self) -> None:
        """Publish what is open and in flight."""
        worker = self._worker
        words = worker.words
        active = idle = 0
        for service in worker.table.services.values():
            for version in service.versions:
                version_active = sum(pool.active for pool in version.every)
                version_idle = sum(len(pool.idle) for pool in version.every)
                words[version.cell + layout.C_INFLIGHT] = version.state.inflight
                version.repeats.look(version, words)
                words[version.cell + layout.C_POOL_ACTIVE] = version_active
                words[version.cell + layout.C_POOL_IDLE] = version_idle
                words[version.cell + layout.C_EJECTED] = sum(
                    pool.failures >= endpoints.FAILURES_MAX for pool in version.every
                )
                active += version_active
                idle += version_idle
        words[layout.R_DOWNSTREAM] = worker.connections
        words[layout.R_UPSTREAM_ACTIVE] = active
        words[layout.R_UPSTREAM_IDLE] = idle
        words[layout.R_MIRROR_INFLIGHT] = len(worker.mirrors)
        if worker.access_log is not None:
            words[layout.R_ACCESS_LOG_DROPPED] += worker.access_log.take_dropped()

    def _publish_ages(self, now_s: float) -> None:
        """Show how old the unanswered evidence is: a hanging version looks slow."""
        worker = self._worker
        words = worker.words
        for at in self._ages:
            words[at] = 0
        ages: list[int] = []
        for exchange in worker.active:
            if not exchange.evidence or exchange.trail or exchange.tunnel:
                continue
            if exchange.epoch < worker.shared[exchange.service.base + layout.S_FLOOR]:
                continue
            for bank in exchange.evidence:
                words[bank + layout.B_OPEN] += 1
                ages.append(bank + layout.B_OPEN)
            if exchange.response is not None and exchange.response.stream:
                continue
            since_s = exchange.sent_s or exchange.started_s
            age_us = int((now_s - since_s - exchange.stalled_s) * 1_000_000)
            bucket = layout.B_AGES + bucket_of(max(age_us, 0))
            for bank in exchange.evidence:
                words[bank + bucket] += 1
                ages.append(bank + bucket)
        self._ages = ages


def _act(exchange: "Exchange", now_s: float) -> None:
    """Act on a deadline of an exchange, if it still stands and has passed."""
    if exchange.total_s <= now_s:
        expiry.out_of_time(exchange)
    elif exchange.deadline_s <= now_s:
        expiry.timed_out(exchange)


def _look_back(service: "BoundService", words: memoryview) -> None:
    """Fill retry budgets; note how stable did in the last seconds."""
    retry.earn(service, words)
    stable = service.stable
    if stable is None or service.canary is None:
        return
    state = stable.state
    state.failures_before = state.failures_last
    state.failures_last = recorder.attempts_of(stable, words)
    if _good(state.failures_last) > _good(state.failures_before):
        state.connect_failures = 0


def _good(figures: tuple[int, int]) -> int:
    attempts, failed = figures
    return attempts - failed
