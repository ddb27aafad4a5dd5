"""
A route table tied to one worker: pools, counters' places, live state.

The table itself is pure and is swapped as a whole; what lives longer than one
table (pools, in-flight counts, fail-fast windows) is kept by name in ``Live``
and found again by the next table, so a reload closes no connection.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from proxy.dataplane import events, heads, recorder
from proxy.dataplane.budget import Budget
from proxy.dataplane.guard import Guard
from proxy.dataplane.pool import Pool
from proxy.dataplane.repeats import Repeats
from proxy.http1.request import Request, RequestParser
from proxy.http1.response import ResponseParser
from proxy.routing.decide import (
    OpenRings,
    Row,
    cookie_to_issue,
    open_rings,
    row_of,
)
from proxy.routing.table import HEADER_UNIT, Endpoint, RouteTable, Service, Version
from proxy.telemetry import layout

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

PoolKey = tuple[str, str, Endpoint, bool]
"""Service, version, endpoint, and whether it is the mirror's."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Client = tuple[bytes, bool, bytes]
"""An address, whether its X-Forwarded-* are believed, and fields it gains."""

CLIENTS_MAX: Final = 1024
"""Addresses remembered by a table; at the limit all are forgotten."""


class VersionState:
    """
    What a worker remembers of a version across tables.

    ``outcomes`` holds a bit for each of the canary's last attempts (1 failed)
    within ``epoch``; ``failures_*`` are (attempts, failed) at the ends of the
    last two seconds, ``stable_mark`` those of stable at the first failure among
    ``outcomes``; ``retries`` is its retry budget, ``shielding``
    that for requests whose canary attempt failed.
    """

    __slots__ = (
        "connect_failures",
        "copies",
        "epoch",
        "failures_before",
        "failures_last",
        "inflight",
        "outcomes",
        "outcomes_seen",
        "repeats",
        "retries",
        "revision",
        "shielding",
        "stable_mark",
    )

    def __init__(self) -> None:
        self.inflight = 0
        self.epoch = 0
        self.outcomes = 0
        self.outcomes_seen = 0
        self.connect_failures = 0
        self.failures_before = (0, 0)
        self.failures_last = (0, 0)
        self.stable_mark = (0, 0)
        self.retries = Budget()
        self.shielding = Budget()
        self.repeats = Repeats()
        self.revision = b""
        self.copies = Guard()

    def begin_epoch(self, epoch: int) -> None:
        """
        Forget outcomes: those of another weight are no reason to trip.

        Connections refused in a row are, whatever the weight; but not those of a
        rollout before, which lie more than one epoch back.
        """
        if epoch != self.epoch + 1:
            self.connect_failures = 0
        self.epoch = epoch
        self.outcomes = 0
        self.outcomes_seen = 0


class BoundVersion:
    """
    A version with its pools and the offset of its cell in the region.

    ``every`` holds the pools of all its endpoints, ``pools`` those that may be
    asked now; ``impaired`` if any was left out at the last look; ``check_word`` is
    what was read last of control's checks.
    """

    __slots__ = (
        "cell",
        "check_tag",
        "check_word",
        "every",
        "header",
        "impaired",
        "index",
        "is_canary",
        "is_stable",
        "name",
        "pools",
        "repeats",
        "revision_header",
        "seen",
        "state",
        "trials",
    )

    def __init__(
        self, version: Version, service: Service, state: VersionState, pools: list[Pool]
    ) -> None:
        self.name = version.name
        self.index = version.index
        self.state = state
        self.repeats = state.repeats
        self.every = pools
        self.pools = pools
        self.impaired = False
        self.check_tag = version.check_tag
        self.check_word = -1  # none that anybody wrote: the first is read
        self.cell = layout.cell_offset(version.cell)
        self.seen = version.seen * layout.SEEN_WORDS * 4
        self.header = b"x-headgate-version: " + version.name.encode()
        self.is_canary = service.canary == version.index
        self.is_stable = service.stable == version.index
        judged = self.is_canary or self.is_stable
        self.trials = version.trials * layout.SEEN_WORDS * 4 if judged else -1
        self.revision_header = version.revision_header


class Shares:
    """
    The weights of one epoch, read once: they do not change within it.

    ``canary`` is how many buckets the canary owns, the first ones; 0 where it
    is not judged against a stable version. The rest are the evidence banks (their
    first words) of either arm, and of stable's slice that is the control.
    """

    __slots__ = (
        "canary",
        "canary_banks",
        "control_banks",
        "epoch",
        "rings",
        "row",
        "stable_banks",
    )

    def __init__(self, epoch: int, row: Row) -> None:
        self.epoch = epoch
        self.row = row
        self.canary = 0
        self.rings: OpenRings | None = None
        self.canary_banks: tuple[int, ...] = ()
        self.stable_banks: tuple[int, ...] = ()
        self.control_banks: tuple[int, ...] = ()


class BoundService:
    """A service with its versions and the offsets of its words."""

    __slots__ = (
        "answered",
        "base",
        "canary",
        "control_cell",
        "copied",
        "events",
        "first_byte_s",
        "has_units",
        "issue",
        "mirror_cell",
        "mirror_pools",
        "name",
        "region",
        "request_s",
        "routed",
        "routes",
        "service",
        "shares",
        "stable",
        "timeouts",
        "unit_header",
        "versions",
    )

    def __init__(
        self,
        service: Service,
        versions: list[BoundVersion],
        mirror_pools: list[list[Pool]],
    ) -> None:
        self.service = service
        self.mirror_pools = mirror_pools
        self.copied = _copier() if mirror_pools else None
        """Makes a request's first attempt and sends its copies, where there are any."""
        self.name = service.name
        self.versions = versions
        self.base = layout.service_base(service.slot)
        self.region = layout.REGION_SERVICES + (
            service.slot * layout.REGION_SERVICE_WORDS
        )
        self.control_cell = layout.cell_offset(service.control_cell)
        self.mirror_cell = layout.cell_offset(service.mirror_cell)
        self.routes = service.routes if service.routes.count else None
        self.events = events.by_method(service.events)
        counts = events if service.events else recorder
        self.routed = counts.routed
        self.answered = counts.answered
        self.timeouts = service.timeouts
        self.issue = cookie_to_issue(service)
        self.stable = None if service.stable is None else versions[service.stable]
        self.canary = None if service.canary is None else versions[service.canary]
        self.shares = Shares(-1, ())
        self.has_units = bool(service.units)
        first = service.units[0] if service.units else None
        is_header = first is not None and first.kind == HEADER_UNIT
        self.unit_header = first.name if first is not None and is_header else b""
        self.request_s = self.timeouts.request
        limits_s = (self.timeouts.attempt, self.timeouts.first_byte)
        self.first_byte_s = min(
            (limit_s for limit_s in limits_s if limit_s is not None),
            default=float("inf"),
        )

    def read_shares(self, shared: Sequence[int], epoch: int) -> Shares:
        """Read an epoch's weights, and keep them for its other requests."""
        row = row_of(shared, self.base, epoch)
        self.shares = shares = Shares(epoch, row)
        canary, stable = self.canary, self.stable
        if canary is None or stable is None or not row or row[0][1] != canary.index:
            return shares
        shares.canary = row[0][0]
        if self.service.rings:
            shares.rings = open_rings(shared, self.base, epoch, self.service)
        bank = layout.bank_offset(epoch)
        shares.canary_banks = (canary.cell + bank,)
        shares.stable_banks = (stable.cell + bank,)
        shares.control_banks = (stable.cell + bank, self.control_cell + bank)
        return shares


class BoundTable:
    """All that a request reads; it keeps the one that it started with."""

    __slots__ = (
        "_clients",
        "_pseudonym",
        "only",
        "parser",
        "responses",
        "services",
        "table",
        "trusted",
    )

    def __init__(self, table: RouteTable, live: "Live", pseudonym: bytes) -> None:
        self.table = table
        self.services = {service.name: live.bind(service) for service in table.services}
        only = table.only
        self.only = None if only is None else self.services[only.name]
        self._pseudonym = pseudonym
        self.parser = RequestParser(
            table.watched,
            target_bytes_max=table.limits.target,
            fields_max=table.limits.fields,
            pseudonym=pseudonym,
        )
        self.responses = ResponseParser(
            version.revision_header
            for service in table.services
            for version in service.versions
            if version.revision_header
        )
        self._clients: dict[str, Client] = {}
        self.trusted: tuple[Network, ...] = tuple(
            ipaddress.ip_network(network, strict=False)
            for network in table.trusted_proxies
        )

    def match(self, request: Request) -> BoundService | None:
        """Return the service of a request, by its host and path."""
        service = self.table.match(request.hostname, request.path)
        return None if service is None else self.services[service.name]

    def client(self, address: str) -> Client:
        """Return what holds for every connection from an address."""
        known = self._clients.get(address)
        if known is None:
            encoded = address.encode()
            trusted = self._is_trusted(address)
            known = encoded, trusted, heads.peer_fields(self._pseudonym, encoded)
            if len(self._clients) >= CLIENTS_MAX:
                self._clients.clear()
            self._clients[address] = known
        return known

    def _is_trusted(self, address: str) -> bool:
        """Whether a peer's X-Forwarded-* are believed."""
        if not self.trusted:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self.trusted)


def _copier() -> "Callable[[Exchange], None]":
    """Return what sends copies; a worker without a mirror does without the module."""
    from proxy.dataplane import mirror  # noqa: PLC0415 -- 0.1 MiB a worker

    return mirror.start


class Live:
    """Pools and version states by name, across tables."""

    def __init__(self, new_pool: Callable[[Endpoint], Pool]) -> None:
        self._new_pool = new_pool
        self._states: dict[tuple[str, str], VersionState] = {}
        self._pools: dict[PoolKey, Pool] = {}

    def bind(self, service: Service) -> BoundService:
        """Tie a service to the pools and states that its versions have."""
        versions = [
            BoundVersion(
                version,
                service,
                self._states.setdefault((service.name, version.name), VersionState()),
                self._pools_of(service, version, mirror=False),
            )
            for version in service.versions
        ]
        mirrors: list[list[Pool]] = []
        if service.mirror is not None:
            mirrors = [
                self._pools_of(service, version, mirror=True)
                for version in service.versions
            ]
        return BoundService(service, versions, mirrors)

    def _pools_of(
        self, service: Service, version: Version, *, mirror: bool
    ) -> list[Pool]:
        pools = []
        for endpoint in version.endpoints:
            key = (service.name, version.name, endpoint, mirror)
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = self._new_pool(endpoint)
            pool.idle_s_max = service.timeouts.upstream_keepalive
            pool.connect_s_max = service.timeouts.connect
            pools.append(pool)
        return pools

    def forget(self, table: RouteTable) -> list[Pool]:
        """Drop what ``table`` no longer names; return the pools to close."""
        states: set[tuple[str, str]] = set()
        pools: set[PoolKey] = set()
        for service in table.services:
            for version in service.versions:
                states.add((service.name, version.name))
                for endpoint in version.endpoints:
                    pools.add((service.name, version.name, endpoint, False))
                    if service.mirror is not None:
                        pools.add((service.name, version.name, endpoint, True))
        gone = [key for key in self._pools if key not in pools]
        for name in [key for key in self._states if key not in states]:
            del self._states[name]
        return [self._pools.pop(key) for key in gone]

    @property
    def pools(self) -> list[Pool]:
        """Every pool there is."""
        return list(self._pools.values())
