"""
A worker in this process, with transports that lead nowhere.

What is left is Headgate's own share of a request: from the bytes of a request
to the bytes for the origin, from those of its answer to those for the client.
"""

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any, Final, cast

import traffic
from peers.base import PLAIN, Duty, Site
from peers.headgate import CANARY, STABLE, route_table

from proxy.dataplane.downstream import Downstream
from proxy.dataplane.exchange import Exchange
from proxy.dataplane.upstream import Upstream
from proxy.dataplane.worker import Worker
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.telemetry import channel, pairs, slab

CANARY_BUCKETS: Final = UNIT_BUCKETS // 5
LINES_A_SWEEP: Final = 200
"""At 2 000 requests a second."""


class Nowhere(asyncio.Transport):
    """A transport that keeps the last bytes written and does nothing."""

    def __init__(self) -> None:
        super().__init__(extra={"peername": ("127.0.0.1", 40_000)})
        self.written = b""

    def write(self, data: Any) -> None:  # noqa: ANN401 - asyncio's
        """Keep the bytes."""
        self.written = data

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Never full."""

    def get_write_buffer_size(self) -> int:
        """Nothing ever waits."""
        return 0

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """Nothing to end."""

    def close(self) -> None:
        """Nothing to end."""


class Replay:
    """
    One client connection, two warm connections to each version.

    ``shape`` as in traffic.py (get, post, close). With ``log`` each request is a
    line of JSON, written to nowhere as often as the sweep does.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        shape: str = "get",
        duty: Duty = PLAIN,
        *,
        log: bool = False,
    ) -> None:
        self._slab_fd = slab.create(1)
        self._pairs_fd = pairs.create(1)
        control = slab.ControlSlab(self._slab_fd)
        control.write_weights(0, [(CANARY, CANARY_BUCKETS), (STABLE, UNIT_BUCKETS)])
        self._ours, theirs = channel.pair()
        table = route_table(Site(1, 2, 3, Path("/")), duty, log=log)
        table_fd = channel.sealed_document("table", table)
        self.worker = Worker(self._launch(theirs.detach()), loop)
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        self.worker._log_fd = self._nowhere  # noqa: SLF001 - not the caller's
        self.worker._take_table(table_fd)  # noqa: SLF001 - as at its start
        os.close(table_fd)
        self._upstreams: list[Upstream] = []
        for pool in self.worker.live.pools * 2:  # two copies may go one way
            upstream = Upstream(pool, self.worker.buffer)
            upstream.connection_made(Nowhere())
            upstream.idle_since = self.worker.now_s
            pool.idle.append(upstream)
            self._upstreams.append(upstream)
        self._asked = 0
        self._ends = shape == "close"
        self.downstream = self._connected()
        self._requests = itertools.cycle(
            [traffic.request(number, shape) for number in range(traffic.VARIANTS)]
        )

    def _connected(self) -> Downstream:
        downstream = Downstream(self.worker)
        downstream.connection_made(Nowhere())
        return downstream

    def request(self) -> None:
        """Pass one request through, with its answer and that of its copy."""
        self.ask()
        for upstream in self._upstreams:
            if upstream.leg is not None:
                self._answer(upstream)
        self.worker.outbox.flush()
        self._asked += 1
        log = self.worker.access_log
        if log is not None and self._asked % LINES_A_SWEEP == 0:
            log.flush()
        if self._ends:
            self.downstream.connection_lost(None)
            self.downstream = self._connected()

    def ask(self) -> Exchange:
        """Receive the next request; return its exchange, sent to the origin."""
        data = next(self._requests)
        buffer = self.downstream.get_buffer(-1)
        buffer[: len(data)] = data
        self.downstream.buffer_updated(len(data))
        self.worker.outbox.flush()
        return cast("Exchange", self.downstream.exchange)

    def answer(self, exchange: Exchange) -> None:
        """Receive the origin's answer and send it to the client."""
        assert exchange.upstream is not None
        self._answer(exchange.upstream)
        self.worker.outbox.flush()

    def _answer(self, upstream: Upstream) -> None:
        buffer = upstream.get_buffer(-1)
        buffer[: len(traffic.ANSWER)] = traffic.ANSWER
        upstream.buffer_updated(len(traffic.ANSWER))

    def close(self) -> None:
        """Close what was opened."""
        self._ours.close()
        self.worker._channel.close()  # noqa: SLF001 - as at its end
        os.close(self._nowhere)
        os.close(self._slab_fd)
        os.close(self._pairs_fd)

    def _launch(self, channel_fd: int) -> dict[str, Any]:
        return {
            "index": 0,
            "slab_fd": self._slab_fd,
            "pairs_fd": self._pairs_fd,
            "channel_fd": channel_fd,
            "listeners": [[]],
            "shared_listeners": [],
            "metrics_address": "",
        }
