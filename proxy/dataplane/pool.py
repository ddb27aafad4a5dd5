"""
Warm connections to one endpoint: newest first, bounded, evicted when idle.

``take`` decides synchronously; only opening a connection waits, in a task of
its own. An idle connection that says anything, or ends, is thrown away by its
protocol (bytes behind an answer could be taken for the next one's).
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Protocol

from proxy.dataplane.names import Names
from proxy.dataplane.upstream import Upstream
from proxy.model.vocabulary import Flag
from proxy.routing.table import Endpoint

IDLE_MAX: Final = 512
"""Idle connections kept for one endpoint; more are closed when they return."""

LOOK_EVERY_S: Final = 0.1
"""How often idle connections are looked at, and how coarse the worker's clock is."""

Starter = Callable[[Coroutine[Any, Any, None], str], None]


class Waiter(Protocol):
    """Who asked for a connection; it may have lost interest since."""

    def connected(self, upstream: Upstream) -> bool:
        """Take the new connection; False if it is not wanted any more."""

    def connect_failed(self, flag: Flag) -> None:
        """Learn that there will be none."""


class Prober(Protocol):
    """Who tries an endpoint that was left out."""

    pool: "Pool | None"


class Pool:
    """
    The connections of one worker to one endpoint of one version.

    ``active`` counts exchanges that hold or await a connection: the load that
    balancing compares. ``idle_s_max`` None keeps idle connections for ever.

    ``capped`` once a connection has a limit of its own.

    How the endpoint does (``endpoints`` decides by it): ``failures`` in a row;
    left out until ``out_until_s`` (0 is not), for the ``outs``-th time, then
    ``on_trial`` until ``prober`` asks it; ``back_s`` is when it came back;
    ``down`` is what active checks say.
    """

    __slots__ = (
        "_addresses",
        "_buffer",
        "_clock",
        "_start",
        "active",
        "authority",
        "back_s",
        "capped",
        "closed",
        "connect_s_max",
        "down",
        "endpoint",
        "failures",
        "idle",
        "idle_s_max",
        "name",
        "on_trial",
        "out_until_s",
        "outs",
        "prober",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        buffer: memoryview,
        start: Starter,
        clock: Callable[[], float],
        names: Names | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.name = None
        if names is not None and endpoint.host:
            self.name = names.name(endpoint.host, endpoint.port)
            self._addresses = names.addresses
        self.authority = endpoint.authority
        self.active = 0
        self.idle: list[Upstream] = []
        self.idle_s_max: float | None = None
        self.connect_s_max: float | None = None
        self.capped = False
        self.closed = False
        self.failures = 0
        self.out_until_s = 0.0
        self.outs = 0
        self.back_s = 0.0
        self.on_trial = False
        self.prober: Prober | None = None
        self.down = False
        self._buffer = buffer
        self._start = start
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Pool {self.authority!r} active={self.active} idle={len(self.idle)}>"

    @property
    def is_open(self) -> bool:
        """Whether the endpoint is not left out for any reason."""
        return not self.out_until_s and not self.down

    def take(self) -> Upstream | None:
        """Return a warm connection, the newest first, or None."""
        idle = self.idle
        while idle:
            upstream = idle.pop()
            if upstream.usable:
                return upstream
        return None

    def take_fresh(self, since_s: float) -> Upstream | None:
        """
        Return a warm connection that became idle after ``since_s``, or None.

        What must not be sent twice avoids connections about to be closed.
        """
        upstream = self.take()
        if upstream is not None and upstream.idle_since < since_s:
            self.idle.append(upstream)
            return None
        return upstream

    def give_back(self, upstream: Upstream, now_s: float) -> None:
        """Keep a connection whose answer ended cleanly, if there is room."""
        if self.closed or len(self.idle) >= IDLE_MAX:
            upstream.close()
            return
        upstream.idle_since = now_s
        self.idle.append(upstream)

    def connect(self, waiter: Waiter) -> None:
        """Open a connection for ``waiter``, in a task."""
        self._start(self._connect(waiter), f"connect to {self.authority!r}")

    async def _connect(self, waiter: Waiter) -> None:
        flag = Flag.UF
        upstream: Upstream | None = None
        try:
            async with asyncio.timeout(self.connect_s_max):
                upstream = await self._open()
        except TimeoutError:
            flag = Flag.UCT
        except OSError:
            flag = Flag.UF
        if upstream is not None and not upstream.usable:
            upstream.close()  # accepted, and ended before we could ask
            upstream = None
        if upstream is None:
            waiter.connect_failed(flag)
        elif not waiter.connected(upstream):
            self.give_back(upstream, self._clock())

    async def _open(self) -> Upstream:
        loop = asyncio.get_running_loop()
        if self.endpoint.unix:
            _, upstream = await loop.create_unix_connection(
                lambda: Upstream(self, self._buffer), self.endpoint.unix
            )
        elif self.name is None:
            upstream = await self._open_at(self.endpoint.host)
        else:
            upstream = await self._open_one_of(await self._addresses(self.name))
        return upstream

    async def _open_one_of(self, addresses: list[str]) -> Upstream:
        """Try addresses one after another, each for its share of the time."""
        share_s = None
        if self.connect_s_max is not None:
            share_s = self.connect_s_max / len(addresses)
        for address in addresses[:-1]:
            with contextlib.suppress(OSError):  # TimeoutError is one: on to the next
                async with asyncio.timeout(share_s):
                    return await self._open_at(address)
        return await self._open_at(addresses[-1])

    async def _open_at(self, host: str) -> Upstream:
        _, upstream = await asyncio.get_running_loop().create_connection(
            lambda: Upstream(self, self._buffer), host, self.endpoint.port
        )
        return upstream

    def leave(self, upstreams: Iterable[Upstream]) -> None:
        """
        End connections to addresses that the endpoint's name no longer has.

        Who is asked right now (``upstreams``) may finish, and is not used again.
        """
        assert self.name is not None
        addresses = self.name.addresses
        idle, self.idle[:] = list(self.idle), []
        for upstream in idle:
            if upstream.address in addresses:
                self.idle.append(upstream)
            else:
                upstream.close()
        for upstream in upstreams:
            if upstream.address not in addresses:
                upstream.usable = False

    def close_idle(self) -> None:
        """Close what is idle now."""
        for upstream in self.idle:
            upstream.close()
        self.idle.clear()

    def evict(self, now_s: float) -> None:
        """Close connections whose idle time would be over before the next look."""
        idle = self.idle
        if not idle:
            return
        soon_s = now_s + LOOK_EVERY_S
        idle_s_max = self.idle_s_max
        if not self.capped and (
            idle_s_max is None or soon_s - idle[0].idle_since < idle_s_max
        ):
            return  # the oldest comes first, and all have the same limit
        kept = []
        for upstream in idle:
            limit_s = upstream.keepalive_s
            if idle_s_max is not None and idle_s_max < limit_s:
                limit_s = idle_s_max
            if upstream.usable and soon_s - upstream.idle_since < limit_s:
                kept.append(upstream)
            else:
                upstream.close()
        idle[:] = kept

    def close(self) -> None:
        """Close what is idle, and what comes back later."""
        self.closed = True
        self.close_idle()


def least_loaded(pools: list[Pool], chance: random.Random) -> Pool:
    """Return the less loaded of two random pools (Mitzenmacher 2001)."""
    if len(pools) == 1:
        return pools[0]
    first = int(chance.random() * len(pools))
    second = int(chance.random() * (len(pools) - 1))
    if second >= first:
        second += 1
    if pools[second].active < pools[first].active:
        return pools[second]
    return pools[first]
