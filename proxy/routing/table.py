"""
The route table: everything a worker needs besides the weights, frozen.

Control writes it as a JSON document, a worker compiles it once and swaps it in
by one assignment; a request keeps the table that it started with. Weights are
not in it: they live in the slab and change without a new table.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import TableError
from proxy.routing.buckets import salt_prefix

HEADER_UNIT = 0
COOKIE_UNIT = 1
ADDRESS_UNIT = 2

STATUS_CLASS = 100
"""Statuses of one class: 2xx is 200 to 299."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a version listens: a TCP address, or a Unix socket's path."""

    host: str
    port: int
    unix: str
    authority: bytes


@dataclass(frozen=True, slots=True)
class Version:
    """
    One deployment of a service; ``cell``, ``seen`` and ``trials`` are slab places.

    ``trials`` is the seen table of business events' trials, of services with any.

    ``check_tag`` marks the slab's word of active checks that is about these
    endpoints, 0 where nobody checks them.
    """

    name: str
    index: int
    endpoints: tuple[Endpoint, ...]
    cell: int
    seen: int
    trials: int
    revision_header: bytes
    check_tag: int = 0


@dataclass(frozen=True, slots=True)
class UnitSource:
    """Where a unit may stand; ``issue`` sets a cookie where there is none."""

    kind: int
    name: bytes
    issue: bool = False
    max_age_s: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """What an override asks of a request; every part given must hold."""

    headers: tuple[tuple[bytes, bytes | None], ...]
    cookies: tuple[tuple[bytes, bytes | None], ...]
    method: bytes
    path_prefix: bytes


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; None is off."""

    connect: float | None
    attempt: float | None
    first_byte: float | None
    request: float | None
    head: float | None
    stream_idle: float | None
    send: float | None
    keepalive: float | None
    upstream_keepalive: float | None
    tunnel: float | None


@dataclass(frozen=True, slots=True)
class Retries:
    """When an attempt is made again, and whether stable shields the canary."""

    attempts: int
    on: frozenset[str]
    budget: float
    shield: bool


@dataclass(frozen=True, slots=True)
class FailFast:
    """The worker's own trip: see ``RS_TRIP`` in the slab's layout."""

    consecutive_connect_failures: int
    error_rate: float
    requests: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """Which copies go where; ``percent`` 0 to 100, sizes in bytes, seconds."""

    to: int
    percent: float
    always: bool
    methods: frozenset[bytes]
    request_body_bytes_max: int
    timeout_s: float
    inflight_max: int
    salt: bytes
    """Of the sample: the live split's, set apart."""
    unsafe: "Routes"
    """Routes that are copied whatever their method."""
    excluded: "Routes"
    """Routes that are never copied."""
    compares: bool
    """Whether answers are kept and handed to the compare process."""
    noise_sample: float
    """Share of the copies for which stable is asked a second time, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    A business event: which complete answers are one, and where it is counted.

    ``word`` is its place among a cell's event words; ``seen`` has a table a
    version, so that a unit is evidence of it once in a while only.
    """

    name: str
    word: int
    condition: Condition
    statuses: frozenset[int]
    seen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """Requests that get the canary before others; ``bound`` buckets of them."""

    condition: Condition
    bound: int


@dataclass(frozen=True, slots=True)
class Service:
    """One logical API and its versions; roles are version indexes or None."""

    name: str
    slot: int
    salt: bytes
    matches: tuple[tuple[bytes, bytes], ...]
    versions: tuple[Version, ...]
    control_cell: int
    mirror_cell: int
    units: tuple[UnitSource, ...]
    overrides: tuple[tuple[Condition, int], ...]
    rings: tuple[Ring, ...]
    """In the order in which a rollout opens them; the weight row says how many are."""
    routes: "Routes"
    events: tuple[Event, ...]
    stable: int | None
    canary: int | None
    fail_fast: FailFast | None
    host: str
    response_headers: bool
    timeouts: Timeouts
    retries: Retries
    mirror: Mirror | None


class Routes:
    """Numbers the routes of a service that are counted on their own."""

    __slots__ = ("_exact", "_pattern", "count")

    def __init__(self, routes: list[dict[str, str]]) -> None:
        self.count = len(routes)
        self._exact: dict[bytes, int] = {}
        patterns = []
        for number, route in enumerate(routes, start=1):
            method, path = route["method"], route["path"]
            if "{" in path:
                patterns.append(f"(?P<r{number}>{re.escape(method)} {_template(path)})")
            else:
                self._exact.setdefault(f"{method} {path}".encode(), number)
        self._pattern = re.compile("|".join(patterns).encode()) if patterns else None

    def number(self, method: bytes, path: bytes) -> int:
        """Return the route's number from 1, or 0 where no route matches."""
        key = method + b" " + path
        number = self._exact.get(key)
        if number is not None:
            return number
        if self._pattern is None:
            return 0
        match = self._pattern.fullmatch(key)
        if match is None or match.lastgroup is None:
            return 0
        return int(match.lastgroup[1:])


def _template(path: str) -> str:
    parts = re.split(r"\{[^{}/]*\}", path)
    return "[^/]+".join(re.escape(part) for part in parts)


@dataclass(frozen=True, slots=True)
class Limits:
    """A worker's limits: bytes and counts; ``body`` None is off."""

    head: int
    fields: int
    target: int
    body: int | None
    connections: int
    inflight_per_version: int


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All services; ``watched`` are the request fields that routing reads."""

    generation: int
    config_hash: str
    services: tuple[Service, ...]
    limits: Limits
    trusted_proxies: tuple[str, ...]
    access_log: dict[str, Any]
    watched: frozenset[bytes]
    only: Service | None
    by_host: dict[bytes, tuple[tuple[bytes, Service], ...]] = field(repr=False)

    def match(self, hostname: bytes, path: bytes) -> Service | None:
        """
        Return the service of a request: its host first, then the longest path.

        A path prefix matches whole segments (``/v2`` is not ``/v2x``), as the
        Kubernetes Gateway API has it.
        """
        if self.only is not None:
            return self.only
        for candidates in (self.by_host.get(hostname), self.by_host.get(b"")):
            for prefix, service in candidates or ():
                if path_has_prefix(path, prefix):
                    return service
        return None


def path_has_prefix(path: bytes, prefix: bytes) -> bool:
    """Whether the path's segments start with those of a clean ``prefix``."""
    return path.startswith(prefix) and (
        not prefix
        or len(path) == len(prefix)
        or path[len(prefix) : len(prefix) + 1] == b"/"
    )


def clean_prefix(path: str | None) -> bytes:
    """Return a prefix for ``path_has_prefix``: a slash at its end means nothing."""
    return (path or "").rstrip("/").encode()


def compile_table(document: bytes) -> RouteTable:
    """
    Compile control's JSON document.

    Raises ``TableError`` where the document lacks something or is no JSON; a
    worker then keeps the table that it has.
    """
    try:
        parsed = json.loads(document)
        services = tuple(_service(entry) for entry in parsed["services"])
        return RouteTable(
            generation=parsed["generation"],
            config_hash=parsed["config_hash"],
            services=services,
            limits=Limits(**parsed["limits"]),
            trusted_proxies=tuple(parsed["trusted_proxies"]),
            access_log=parsed["access_log"],
            watched=_watched(services),
            only=_only(services),
            by_host=_by_host(services),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TableError(f"the route table cannot be read: {error!r}") from error


def _service(entry: dict[str, Any]) -> Service:
    retries = entry["retries"]
    fail_fast = entry["fail_fast"]
    _check_indexes(entry)
    return Service(
        name=entry["name"],
        slot=entry["slot"],
        salt=salt_prefix(entry["salt"]),
        matches=tuple(
            (
                (one.get("host") or "").lower().encode(),
                clean_prefix(one.get("path_prefix")),
            )
            for one in entry["match"]
        ),
        versions=tuple(
            _version(index, version) for index, version in enumerate(entry["versions"])
        ),
        control_cell=entry["control_cell"],
        mirror_cell=entry["mirror_cell"],
        units=tuple(_unit(source) for source in entry["unit"]),
        overrides=tuple(
            (_condition(one["when"]), one["version"]) for one in entry["overrides"]
        ),
        rings=tuple(
            Ring(_condition(one["when"]), one["bound"])
            for one in entry.get("rings", ())
        ),
        routes=Routes(entry["routes"]),
        events=tuple(_event(one) for one in entry.get("events", ())),
        stable=entry["stable"],
        canary=entry["canary"],
        fail_fast=None if fail_fast is None else FailFast(**fail_fast),
        host=entry["host"],
        response_headers=entry["response_headers"],
        timeouts=Timeouts(**entry["timeouts"]),
        retries=Retries(
            attempts=retries["attempts"],
            on=frozenset(str(reason) for reason in retries["on"]),
            budget=retries["budget"],
            shield=retries["shield"],
        ),
        mirror=_mirror(entry["mirror"], salt_prefix(entry["salt"])),
    )


def _check_indexes(entry: dict[str, Any]) -> None:
    """Raise ``ValueError`` where something names a version that is not there."""
    named = [entry["stable"], entry["canary"]]
    named += [override["version"] for override in entry["overrides"]]
    if entry["mirror"] is not None:
        named.append(entry["mirror"]["to"])
    count = len(entry["versions"])
    for index in named:
        if index is not None and not 0 <= index < count:
            raise ValueError(f"no version {index} in {entry['name']}")
    if not count:
        raise ValueError(f"no version at all in {entry['name']}")


def _version(index: int, entry: dict[str, Any]) -> Version:
    return Version(
        name=entry["name"],
        index=index,
        endpoints=tuple(
            Endpoint(
                host=one.get("host") or "",
                port=one.get("port") or 0,
                unix=one.get("unix") or "",
                authority=one["authority"].encode(),
            )
            for one in entry["endpoints"]
        ),
        cell=entry["cell"],
        seen=entry["seen"],
        trials=entry.get("trials") or 0,
        revision_header=(entry.get("revision_header") or "").lower().encode(),
        check_tag=int(entry.get("check_tag") or 0),
    )


def _unit(entry: dict[str, Any]) -> UnitSource:
    if "header" in entry:
        return UnitSource(HEADER_UNIT, entry["header"].lower().encode())
    if "cookie" in entry:
        return UnitSource(
            COOKIE_UNIT,
            entry["cookie"].encode(),
            issue=bool(entry.get("issue")),
            max_age_s=int(entry.get("max_age_s") or 0),
        )
    return UnitSource(ADDRESS_UNIT, b"")


def _condition(entry: dict[str, Any]) -> Condition:
    return Condition(
        headers=_wanted(entry.get("header") or {}, lower=True),
        cookies=_wanted(entry.get("cookie") or {}, lower=False),
        method=(entry.get("method") or "").encode(),
        path_prefix=clean_prefix(entry.get("path_prefix")),
    )


def _event(entry: dict[str, Any]) -> Event:
    return Event(
        name=entry["name"],
        word=entry["word"],
        condition=_condition(entry["when"]),
        statuses=_statuses(entry["statuses"]),
        seen=tuple(entry["seen"]),
    )


def _statuses(patterns: list[str]) -> frozenset[int]:
    """Return the statuses that ``["2xx", "304"]`` means."""
    statuses: set[int] = set()
    for pattern in patterns:
        if pattern.endswith("xx"):
            first = int(pattern[0]) * STATUS_CLASS
            statuses.update(range(first, first + STATUS_CLASS))
        else:
            statuses.add(int(pattern))
    return frozenset(statuses)


def _wanted(
    entry: dict[str, str], *, lower: bool
) -> tuple[tuple[bytes, bytes | None], ...]:
    return tuple(
        (
            (name.lower() if lower else name).encode(),
            None if value == "*" else value.encode(),
        )
        for name, value in entry.items()
    )


def _mirror(entry: dict[str, Any] | None, salt: bytes) -> Mirror | None:
    if entry is None:
        return None
    compare = entry.get("compare")
    return Mirror(
        to=entry["to"],
        percent=entry["percent"],
        always=entry["during"] == "always",
        methods=frozenset(method.encode() for method in entry["methods"]),
        request_body_bytes_max=entry["max_request_body"],
        timeout_s=entry["timeout"],
        inflight_max=entry["max_inflight"],
        salt=b"mirror\0" + salt,
        unsafe=Routes(entry.get("unsafe", [])),
        excluded=Routes(entry.get("never", [])),
        compares=compare is not None,
        noise_sample=0.0 if compare is None else compare["noise_sample"],
    )


def _watched(services: tuple[Service, ...]) -> frozenset[bytes]:
    names: set[bytes] = set()
    for service in services:
        for unit in service.units:
            names.add(b"cookie" if unit.kind == COOKIE_UNIT else unit.name)
        conditions = [condition for condition, _ in service.overrides]
        conditions += [event.condition for event in service.events]
        conditions += [ring.condition for ring in service.rings]
        for condition in conditions:
            names.update(name for name, _ in condition.headers)
            if condition.cookies:
                names.add(b"cookie")
        if service.mirror is not None:
            names.add(b"accept")
    return frozenset(names - {b""})


def _only(services: tuple[Service, ...]) -> Service | None:
    if len(services) == 1 and not services[0].matches:
        return services[0]
    return None


def _by_host(
    services: tuple[Service, ...],
) -> dict[bytes, tuple[tuple[bytes, Service], ...]]:
    hosts: dict[bytes, list[tuple[bytes, Service]]] = {}
    for service in services:
        for host, prefix in service.matches or ((b"", b""),):
            hosts.setdefault(host, []).append((prefix, service))
    return {
        host: tuple(sorted(entries, key=lambda entry: -len(entry[0])))
        for host, entries in hosts.items()
    }
