"""
The worker process: the data plane and nothing else.

It waits for a route table, then accepts; from then on it needs control for
nothing but changes. The supervisor talks to it over a channel: new tables,
listeners to adopt and release, and the drain.
"""

import asyncio
import os
import random
import resource
import sys
from collections.abc import Coroutine
from time import monotonic, time  # noqa: TID251 - a shell reads the clock
from typing import TYPE_CHECKING, Any, Final

from proxy.dataplane import bulk, crowding, endpoints, heads, retry
from proxy.dataplane.access_log import AccessLog, without_waiting
from proxy.dataplane.bound import BoundTable, Live
from proxy.dataplane.downstream import Downstream
from proxy.dataplane.garbage import Garbage
from proxy.dataplane.health import Health
from proxy.dataplane.listeners import Listeners, close_all, serve
from proxy.dataplane.names import Name, Names, resolve
from proxy.dataplane.outbox import Outbox
from proxy.dataplane.pool import Pool
from proxy.dataplane.sweep import Sweep
from proxy.dataplane.wheel import RECHECK_S, Wheel
from proxy.errors import ChannelError, TableError
from proxy.model.descriptors import most_connections
from proxy.model.witnesses import FAILED_AGAIN_S, WITNESS_AGAIN_S
from proxy.routing.table import Endpoint, RouteTable, compile_table
from proxy.telemetry import layout
from proxy.telemetry.channel import Channel, read_sealed
from proxy.telemetry.log import log
from proxy.telemetry.pairs import RingWriter
from proxy.telemetry.process import exit_if_orphaned
from proxy.telemetry.slab import WorkerSlab

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange
    from proxy.dataplane.mirror_leg import MirrorLeg

READ_BUFFER_BYTES: Final = 65_536
"""One read of any connection; uvloop alone would hand over 256 KB at once."""
GENERATIONS_MAX: Final = 1_024
"""Old tables remembered while requests still use them."""
DEFAULT_HEAD_S: Final = 10.0
DEFAULT_KEEPALIVE_S: Final = 75.0
DRAIN_POLL_S: Final = 0.05
DRAIN_GRACE_S: Final = 1.0
"""So long after the last accept nobody is hung up on, or for half of the time to
drain: a client that keeps asking learns from its next answer that it is the last."""
SECOND_MASK: Final = 0xFFFF


class Worker:
    """One worker's state; attributes are read on the hot path."""

    def __init__(self, launch: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        slab = WorkerSlab(launch["slab_fd"], launch["index"])
        self.loop = loop
        self.words = slab.words
        self.shared = slab.shared
        self.seen = slab.seen
        self.chance = random.Random(os.urandom(16))  # noqa: S311 - ids and draws
        self.buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self.bulk = bulk.Store()
        self.now_s = monotonic()
        self.tell_time(self.now_s)
        self.date = heads.http_date(time())
        self.head_s = self.head_s_max = DEFAULT_HEAD_S
        self.crowded_until_s = 0.0
        self.keepalive_s = DEFAULT_KEEPALIVE_S
        self.connections = 0
        self.outbox = Outbox(loop.call_soon)
        self.garbage = Garbage()
        self.connections_max = 0
        self.head_bytes_max = 0
        self.inflight_max = 0
        # Trace ids start with the worker's half; the other is each request's.
        self.trace_prefix = b"%016x" % self.chance.getrandbits(64)
        self._descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.draining = False
        self.active: set[Exchange] = set()
        self.mirrors: set[MirrorLeg] = set()
        self.kept_bytes = 0
        self.ring = RingWriter(launch["pairs_fd"], launch["index"])
        self.wheel = Wheel(self.now_s)
        self.access_log: AccessLog | None = None
        self.names = Names(resolve, self.start_task, monotonic, self._resolved)
        self.live = Live(self._new_pool)
        self.table: BoundTable
        self.metrics_address: str = launch["metrics_address"]
        # The address is the tree's own, the same in all of its workers.
        self.pseudonym = heads.pseudonym(self.metrics_address)
        self._tables: list[BoundTable] = []
        self._log_fd = without_waiting(sys.stdout.fileno())
        self._launch = launch
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep = Sweep(self)
        self._channel = Channel.from_fd(launch["channel_fd"])
        self._has_table = loop.create_future()
        self._finished = loop.create_future()
        self._listeners = Listeners(
            loop,
            launch["listeners"],
            launch["shared_listeners"],
            launch["index"],
            lambda: Downstream(self),
        )

    # --- life ---

    async def run(self) -> None:
        """Serve until drained."""
        launch = self._launch
        self.loop.add_reader(launch["alive_fd"], exit_if_orphaned, launch["alive_fd"])
        self.loop.add_reader(self._channel.fileno(), self._receive)
        self.words[layout.R_BEAT_MS] = int(self.now_s * 1000)
        if launch["table_fd"] >= 0:
            self._take_table(launch["table_fd"])
        await self._has_table
        self._sweep.run()
        await self._listeners.open()
        health = await serve(self.loop, launch["health_fds"], lambda: Health(self))
        self.garbage.begin()
        self.words[layout.R_READY] = 1
        self._tell({"type": "ready"})
        await self._finished
        close_all(health)
        for pool in self.live.pools:
            pool.close()

    def start_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run ``work`` beside the protocols; a failure is counted and logged."""
        task = self.loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.words[layout.R_CALLBACK_ERRORS] += 1
            log("error", "task_failed", task=task.get_name(), error=task.exception())

    def callback_failed(
        self, _: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """Count and log what escaped a callback: a bug, never a traceback."""
        self.words[layout.R_CALLBACK_ERRORS] += 1
        log(
            "error",
            "callback_failed",
            message=context.get("message"),
            error=repr(context.get("exception")),
        )
        transport = context.get("transport")
        if transport is not None:
            transport.abort()

    # --- the channel ---

    def _receive(self) -> None:
        try:
            for message, fd in self._channel.receive():
                try:
                    self._obey(message, fd)
                finally:
                    if fd is not None:
                        os.close(fd)
        except ChannelError as error:
            log("error", "message_refused", error=str(error))
        if self._channel.closed:
            self.loop.remove_reader(self._channel.fileno())

    def _obey(self, message: dict[str, Any], fd: int | None) -> None:
        kind = message["type"]
        if kind == "table" and fd is not None:
            self._take_table(fd)
        elif kind == "adopt":
            self.start_task(self._listeners.adopt(message["listener"]), "adopt")
        elif kind == "release":
            self._listeners.release(message["listener"])
        elif kind == "drain":
            self.draining = True
        elif kind == "stop_accepting":
            self.draining = True
            self.start_task(self._drain(), "drain")

    def _tell(self, message: dict[str, Any]) -> None:
        self._channel.send(message)

    # --- the table ---

    def _take_table(self, fd: int) -> None:
        try:
            table = compile_table(read_sealed(fd))
        except (TableError, ChannelError) as error:
            log("error", "table_refused", error=str(error))
            return
        self._swap(table)

    def _swap(self, table: RouteTable) -> None:
        """Make a table the one that new requests use."""
        self.table = BoundTable(table, self.live, self.pseudonym)
        for service in self.table.services.values():
            endpoints.review(service, self)
            retry.earn(service, self.words)
        self._tables.append(self.table)
        for pool in self.live.forget(table):
            pool.close()
        if table.services:
            timeouts = table.services[0].timeouts
            self.head_s = self.head_s_max = timeouts.head or float("inf")
            self.keepalive_s = timeouts.keepalive or float("inf")
            self.wheel.recheck_s = min(self.keepalive_s, RECHECK_S)
        self.head_bytes_max = table.limits.head
        self.inflight_max = table.limits.inflight_per_version
        self.connections_max = min(
            table.limits.connections, most_connections(self._descriptors)
        )
        if self.access_log is not None:
            self.access_log.flush()
            dropped = self.access_log.take_dropped()
            self.words[layout.R_ACCESS_LOG_DROPPED] += dropped
            self.access_log = None
        if table.access_log["format"] != "off":
            self.access_log = AccessLog(table.access_log, self.chance, self._log_fd)
        self.words[layout.R_TABLE_GENERATION] = table.generation
        self.publish_generation()
        if not self._has_table.done():
            self._has_table.set_result(None)

    def publish_generation(self) -> None:
        """Say which tables are still in use, so that no slot of them is reused."""
        if len(self._tables) > 1:
            used = {id(exchange.table) for exchange in self.active}
            used.update(id(leg.table) for leg in self.mirrors)
            used.add(id(self.table))
            self._tables = [one for one in self._tables if id(one) in used]
            del self._tables[:-GENERATIONS_MAX]
        self.words[layout.R_GENERATION] = self._tables[0].table.generation

    def _new_pool(self, endpoint: Endpoint) -> Pool:
        return Pool(
            endpoint,
            buffer=self.buffer,
            start=self.start_task,
            clock=monotonic,
            names=self.names,
        )

    def _resolved(self, name: Name) -> None:
        """Leave the addresses that an endpoint's name does not have any more."""
        for pool in self.live.pools:
            if pool.name is name:
                asked = [one.upstream for one in self.active if one.pool is pool]
                pool.leave(upstream for upstream in asked if upstream is not None)

    def tell_time(self, now_s: float) -> None:
        """
        Set the marks that units' tables hold, in seconds of 16 bits.

        ``second`` is now, never 0; a mark that is ``ahead`` silences a unit for
        ``FAILED_AGAIN_S`` where another does for ``WITNESS_AGAIN_S``.
        """
        self.second = (int(now_s) & SECOND_MASK) or 1
        self.ahead = int(now_s) + FAILED_AGAIN_S - WITNESS_AGAIN_S & SECOND_MASK

    def revision_seen(self, exchange: "Exchange", value: bytes) -> None:
        """Tell control that a version answers with another revision."""
        state = exchange.version.state
        if state.revision == value:
            return
        state.revision = value
        self._tell(
            {
                "type": "revision",
                "service": exchange.service.name,
                "version": exchange.version.name,
                "value": value.decode("latin-1"),
            }
        )

    # --- the end ---

    async def _drain(self) -> None:
        """Stop accepting, let requests end, close what idles, then finish."""
        grace_s = min(DRAIN_GRACE_S, self._launch["drain"]["timeout"] / 2)
        hang_up_s = monotonic() + grace_s
        await self._listeners.stop()
        while self.connections or self.active:
            if monotonic() >= hang_up_s:
                for connection in self.wheel:
                    if connection.is_idle:
                        crowding.hang_up(connection, lingering=True)
            await asyncio.sleep(DRAIN_POLL_S)
        self._finished.set_result(None)
