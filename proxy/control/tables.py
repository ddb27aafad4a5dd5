"""
The route table document: settings, roles and places, put down for the workers.

The shape is what ``proxy.routing.table.compile_table`` reads. Weights are not
in it. Nothing is decided here but the salt's rule and the order in a row.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.control.allocation import ARM_CONTROL, ARM_MIRROR, Allocation, Wish
from proxy.control.parallel import compare_document
from proxy.model.vocabulary import UNIT_BUCKETS
from proxy.rollout.plan import Ring
from proxy.settings.addresses import parse_endpoint, parse_route
from proxy.settings.schema import (
    EventWhenSettings,
    ServiceSettings,
    Settings,
    UnitSettings,
    WhenSettings,
)

JsonObject = dict[str, Any]

TAG_MAX = 0xFFFF

BUCKETS_A_PERCENT = UNIT_BUCKETS // 100


@dataclass(frozen=True, slots=True)
class Roles:
    """What a table needs to know of a service beside its settings."""

    stable: str | None
    canary: str | None
    salt: str
    run: str = ""
    """Of the parallel run that answers are compared in; empty: none."""
    rings: tuple[tuple[Ring, float], ...] = ()
    """The rings of the rollout under way, or of the next, with their percent."""


def wish_of(name: str, service: ServiceSettings) -> Wish:
    """Return the places that a service needs."""
    return Wish(
        name, tuple(service.versions), tuple(service.routes), tuple(service.events)
    )


def salt_of(name: str, service: ServiceSettings, revision: str | None) -> str:
    """
    Return the salt of a service's buckets.

    ``revision`` is the canary's as it was when the canary last had no live
    weight: with units already on the canary, a new salt would move them.
    """
    return service.salt or revision or name


def row_of(
    versions: tuple[str, ...],
    weights: Mapping[str, float],
    *,
    stable: str | None,
    canary: str | None,
) -> list[tuple[int, int]]:
    """
    Return a weight row: (version index, upper bound) from bucket 0 up.

    The canary owns the lowest buckets, stable the next, the others the top in
    the file's order; versions without weight are left out. ``weights`` are
    percent and sum to 100.
    """
    first = [name for name in (canary, stable) if name in versions]
    order = first + [name for name in versions if name not in first]
    row: list[tuple[int, int]] = []
    bound = 0
    for name in order:
        buckets = round(weights.get(name, 0.0) * BUCKETS_A_PERCENT)
        if buckets > 0:
            bound += buckets
            row.append((versions.index(name), bound))
    assert row, "no version has weight"
    # Weights are multiples of one bucket, so the sum is exact but for floats.
    row[-1] = (row[-1][0], UNIT_BUCKETS)
    return row


def table_document(
    settings: Settings,
    *,
    generation: int,
    config_hash: str,
    allocation: Allocation,
    roles: Mapping[str, Roles],
) -> JsonObject:
    """Return the table document of one generation."""
    log, limits = settings.access_log, settings.limits
    return {
        "generation": generation,
        "config_hash": config_hash,
        "trusted_proxies": list(settings.trusted_proxies),
        "access_log": {
            "format": log.format,
            "sample": log.sample,
            "errors": log.errors,
        },
        "limits": {
            "head": limits.head,
            "fields": limits.fields,
            "target": limits.target,
            "body": limits.body,
            "connections": limits.connections,
            "inflight_per_version": limits.inflight_per_version,
        },
        "services": [
            _service(name, service, allocation, roles[name])
            for name, service in settings.services.items()
        ],
        "places": allocation.as_json(),
    }


def _service(
    name: str, service: ServiceSettings, allocation: Allocation, roles: Roles
) -> JsonObject:
    wish = wish_of(name, service)
    index = {version: at for at, version in enumerate(service.versions)}
    return {
        "name": name,
        "slot": allocation.slot(wish),
        "match": [
            {"host": one.host, "path_prefix": one.path_prefix} for one in service.match
        ],
        "salt": roles.salt,
        "response_headers": service.response_headers,
        "unit": [_unit(unit) for unit in service.unit],
        "overrides": [
            {"when": _when(one.when), "version": index[one.version]}
            for one in service.overrides
        ],
        "rings": [
            {"when": _ring(ring), "bound": round(percent * BUCKETS_A_PERCENT)}
            for ring, percent in roles.rings
        ],
        "routes": [_route(route) for route in service.routes],
        "events": [
            _event(event, one.when, wish, allocation)
            for event, one in service.events.items()
            if one.when is not None
        ],
        "versions": [
            _version(version, service, wish, allocation) for version in service.versions
        ],
        "control_cell": allocation.cell(wish, ARM_CONTROL),
        "mirror_cell": allocation.cell(wish, ARM_MIRROR),
        "stable": None if roles.stable is None else index.get(roles.stable),
        "canary": None if roles.canary is None else index.get(roles.canary),
        "fail_fast": _fail_fast(service),
        "host": service.host,
        "timeouts": _timeouts(service),
        "retries": {
            "attempts": service.retries.attempts,
            "on": list(service.retries.on),
            "budget": service.retries.budget,
            "shield": service.retries.shield,
        },
        "mirror": _mirror(service, index, roles.run),
    }


def check_tag(service: ServiceSettings, version: str) -> int:
    """
    Return what marks a version's checks as about these endpoints, in this order.

    0 where nobody checks them. 16 bits: a worker that still has another table
    takes no bit of it for one of its own endpoints.
    """
    if service.health_check is None:
        return 0
    text = "\n".join(service.versions[version].endpoints)
    return zlib.crc32(text.encode()) % TAG_MAX + 1


def _version(
    name: str, service: ServiceSettings, wish: Wish, allocation: Allocation
) -> JsonObject:
    version = service.versions[name]
    revision = version.revision
    return {
        "name": name,
        "endpoints": [_endpoint(text) for text in version.endpoints],
        "seen": allocation.seen(wish, name),
        "trials": allocation.trials(wish, name) if wish.events else None,
        "cell": allocation.cell(wish, name),
        "check_tag": check_tag(service, name),
        "revision_header": None if revision is None else revision.header,
    }


def _endpoint(text: str) -> JsonObject:
    endpoint = parse_endpoint(text)
    if endpoint.unix is not None:
        return {"unix": endpoint.unix, "authority": endpoint.authority}
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "authority": endpoint.authority,
    }


def _route(text: str) -> JsonObject:
    method, path = parse_route(text)
    return {"method": method, "path": path}


def _unit(unit: UnitSettings) -> JsonObject:
    if unit.header is not None:
        return {"header": unit.header}
    if unit.cookie is not None:
        return {
            "cookie": unit.cookie,
            "issue": unit.issue,
            "max_age_s": round(unit.max_age),
        }
    return {"client_address": True}


def _when(when: WhenSettings) -> JsonObject:
    condition: JsonObject = {}
    if when.header:
        condition["header"] = dict(when.header)
    if when.cookie:
        condition["cookie"] = dict(when.cookie)
    if when.method is not None:
        condition["method"] = when.method
    if when.path_prefix is not None:
        condition["path_prefix"] = when.path_prefix
    return condition


def _ring(ring: Ring) -> JsonObject:
    return {
        "header": dict(ring.header),
        "cookie": dict(ring.cookie),
        "method": ring.method,
        "path_prefix": ring.path_prefix,
    }


def _event(
    name: str, when: EventWhenSettings, wish: Wish, allocation: Allocation
) -> JsonObject:
    return {
        "name": name,
        "word": allocation.event(wish, name),
        "when": _when(when),
        "statuses": list(when.status),
        "seen": [allocation.trials(wish, one, name) for one in wish.versions],
    }


def _fail_fast(service: ServiceSettings) -> JsonObject | None:
    rollout = service.rollout
    if rollout is None or rollout.fail_fast is None:
        return None
    limits = rollout.fail_fast
    return {
        "consecutive_connect_failures": limits.consecutive_connect_failures,
        "error_rate": limits.error_rate,
        "requests": limits.requests,
    }


def _timeouts(service: ServiceSettings) -> JsonObject:
    timeouts = service.timeouts
    return {
        "connect": timeouts.connect,
        "attempt": timeouts.attempt,
        "first_byte": timeouts.first_byte,
        "request": timeouts.request,
        "head": timeouts.head,
        "stream_idle": timeouts.stream_idle,
        "send": timeouts.send,
        "keepalive": timeouts.keepalive,
        "upstream_keepalive": timeouts.upstream_keepalive,
        "tunnel": timeouts.tunnel,
    }


def _mirror(
    service: ServiceSettings, index: Mapping[str, int], run: str
) -> JsonObject | None:
    mirror = service.mirror
    if mirror is None:
        return None
    return {
        "to": index[mirror.to],
        "percent": mirror.percent,
        "during": mirror.during,
        "methods": list(mirror.methods),
        "unsafe": [_route(one.route) for one in mirror.routes if one.unsafe],
        "never": [_route(one.route) for one in mirror.routes if one.never],
        "max_request_body": mirror.max_request_body,
        "timeout": mirror.timeout,
        "max_inflight": mirror.max_inflight,
        "compare": compare_document(service, run),
    }
