"""
What must hold between settings that are each valid alone.

Every check is a generator of mistakes over one group; none changes anything.
``Broken`` tells which parts of the file could not be read, so that a check does
not blame what is only missing because of another mistake.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from proxy.settings import lifecycle_checks, slo_checks
from proxy.settings.addresses import is_host_name, parse_listen
from proxy.settings.mirror_checks import check_mirror, check_strategy
from proxy.settings.problems import (
    KEY,
    Loc,
    Mistake,
    changed,
    did_you_mean,
    path_text,
)
from proxy.settings.rollout import (
    FULL_PERCENT,
    RolloutSettings,
)
from proxy.settings.schema import Settings
from proxy.settings.service import (
    ServiceSettings,
    UnitSettings,
)
from proxy.settings.slo import RESERVED_METRICS, SloSettings
from proxy.settings.units import quote
from proxy.settings.when import WhenSettings

Broken = Callable[[Loc], frozenset[str | int]]
"""Returns what could not be read right below a place; empty if all could."""

VERSIONS_MAX = 15
"""Versions of a service: what fits in a weight row of the slab."""

CHECKED_MAX = 48
"""Endpoints of a version with active checks: bits in one word of the slab."""

CELLS_MAX = 4096
"""Half of the slab's cells, so that a reload can replace every one."""

SEEN_MAX = 4096
"""Tables of units that the slab has: one a version, and for its events more."""

ARMS_BESIDE_VERSIONS = 2
"""``control`` and ``mirror``."""

NAME_CHARS_MAX = 63
"""As long as a DNS label."""

RESERVED_NAMES = frozenset({"control", "mirror"})
"""Arms of the evidence that are no versions."""


def check(settings: Settings, broken: Broken) -> Iterator[Mistake]:
    """Yield every mistake that concerns more than one setting."""
    yield from _check_admin(settings)
    yield from _repeated(("listen",), settings.listen)
    yield from _check_shared_addresses(settings)
    catch_all: str | None = None
    for name, service in settings.services.items():
        loc: Loc = ("services", name)
        yield from _check_name((*loc, KEY), name)
        if not service.match and not broken((*loc, "match")):
            if catch_all is not None:
                message = f"is missing: {quote(catch_all)} takes every request already"
                yield (*loc, "match"), message
            catch_all = catch_all or name
        yield from _check_service(loc, service, broken)
    yield from _check_cells(settings)


def _check_admin(settings: Settings) -> Iterator[Mistake]:
    address = parse_listen(settings.admin.listen)
    if not address.loopback and settings.admin.token_file is None:
        yield (
            ("admin", "listen"),
            f"{address} can be reached from elsewhere, so `token_file` is needed",
        )


def _check_shared_addresses(settings: Settings) -> Iterator[Mistake]:
    """Yield an address that two listeners of ours would fight for."""
    taken = {str(parse_listen(text)): "listen" for text in settings.listen}
    for group, text in (
        ("admin", settings.admin.listen),
        ("health", settings.health.listen),
    ):
        address = parse_listen(text)
        if address.unix is None and address.port == 0:
            continue  # the system chooses another one
        holder = taken.setdefault(str(address), f"{group}.listen")
        if holder != f"{group}.listen":
            yield (group, "listen"), f"{address} is that of `{holder}` already"


Item = TypeVar("Item")


def _whole(
    loc: Loc, items: Sequence[Item], broken: Broken
) -> Iterator[tuple[Loc, Item]]:
    """Yield the items of a list that were read as they are written."""
    for index, item in enumerate(items):
        if not broken((*loc, index)):
            yield (*loc, index), item


def _repeated(loc: Loc, values: Iterable[str]) -> Iterator[Mistake]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield (*loc, index), f"{quote(value)} is listed twice"
        seen.add(value)


def _check_name(loc: Loc, name: str) -> Iterator[Mistake]:
    allowed = name.isascii() and name[:1].isalnum()
    if not allowed or name.strip("-._") != name or not _is_word(name):
        yield (
            loc,
            (
                f"{quote(name)} is not a name: expected letters, digits, -, _ or ., "
                f"at most {NAME_CHARS_MAX}"
            ),
        )


def _is_word(name: str) -> bool:
    return len(name) <= NAME_CHARS_MAX and all(
        char.isalnum() or char in "-._" for char in name
    )


def _check_cells(settings: Settings) -> Iterator[Mistake]:
    cells = sum(
        (len(service.versions) + ARMS_BESIDE_VERSIONS) * (len(service.routes) + 1)
        for service in settings.services.values()
    )
    if cells > CELLS_MAX:
        message = f"versions times routes need {cells} counters, at most {CELLS_MAX}"
        yield ("services",), message
    tables = sum(
        len(service.versions) * (1 + len(service.events) + bool(service.events))
        for service in settings.services.values()
    )
    if tables > SEEN_MAX:
        message = f"versions times events need {tables} tables, at most {SEEN_MAX}"
        yield ("services",), message


def _check_service(
    loc: Loc, service: ServiceSettings, broken: Broken
) -> Iterator[Mistake]:
    declared = list(service.versions)
    yield from _check_versions((*loc, "versions"), service)
    yield from _check_split(loc, service, declared, broken)
    for place, match in _whole((*loc, "match"), service.match, broken):
        if match.host is None and match.path_prefix is None:
            yield place, "names neither `host` nor `path_prefix`"
    for place, unit in _whole((*loc, "unit"), service.unit, broken):
        yield from _check_unit(place, unit)
    for place, override in _whole((*loc, "overrides"), service.overrides, broken):
        yield from _check_when((*place, "when"), override.when)
        yield from _undeclared((*place, "version"), override.version, declared)
    yield from _repeated((*loc, "routes"), service.routes)
    for name in service.events:
        yield from _check_event((*loc, "events", name, KEY), name)
    if service.host not in ("preserve", "endpoint"):
        yield from _check_host((*loc, "host"), service.host)
    yield from _check_mirror(loc, service, declared)
    if service.rollout is not None:
        yield from _check_rollout(
            (*loc, "rollout"), service, service.rollout, declared, broken
        )


def _check_versions(loc: Loc, service: ServiceSettings) -> Iterator[Mistake]:
    if len(service.versions) > VERSIONS_MAX:
        count = len(service.versions)
        yield loc, f"has {count} versions, expected at most {VERSIONS_MAX}"
    for name, version in service.versions.items():
        yield from _check_name((*loc, name, KEY), name)
        if name in RESERVED_NAMES:
            yield (
                (*loc, name, KEY),
                f"{quote(name)} is the name of an arm of the evidence",
            )
        yield from _repeated((*loc, name, "endpoints"), version.endpoints)
        count = len(version.endpoints)
        if service.health_check is not None and count > CHECKED_MAX:
            message = f"has {count} endpoints, `health_check` covers {CHECKED_MAX}"
            yield (*loc, name, "endpoints"), message
        revision = version.revision
        if revision is not None:
            values = (revision.value, revision.header, revision.path)
            if sum(value is not None for value in values) != 1:
                message = "expected a text, or one of `header` and `path`"
                yield (*loc, name, "revision"), message


def _undeclared(loc: Loc, name: str, declared: list[str]) -> Iterator[Mistake]:
    if name not in declared:
        known = ", ".join(path_text((other,)) for other in declared)
        hint = did_you_mean(name, declared) or f"; there are {known}"
        yield loc, f"no version is named {quote(name)}{hint}"


def _check_split(
    loc: Loc, service: ServiceSettings, declared: list[str], broken: Broken
) -> Iterator[Mistake]:
    place = (*loc, "split")
    for name in service.split:
        yield from _undeclared((*place, name, KEY), name, declared)
    total = round(sum(service.split.values()), 6)
    if total != FULL_PERCENT and not broken(place):
        yield place, f"weights sum to {total:g}, expected 100"


def _check_unit(loc: Loc, unit: UnitSettings) -> Iterator[Mistake]:
    places = (unit.header is not None, unit.cookie is not None, unit.client_address)
    if sum(places) != 1:
        yield loc, "expected exactly one of `header`, `cookie` and `client_address`"
    elif unit.cookie is None:
        for key in changed(unit, "issue", "max_age"):
            yield (*loc, key), f"`{key}` belongs to a `cookie` only"
    elif any(changed(unit, "max_age")) and not unit.issue:
        yield (*loc, "max_age"), "`max_age` belongs to a cookie with `issue: true`"


def _check_when(loc: Loc, when: WhenSettings) -> Iterator[Mistake]:
    if not (when.header or when.cookie or when.method or when.path_prefix):
        yield loc, "expected `header`, `cookie`, `method` or `path_prefix`"


def _check_event(loc: Loc, name: str) -> Iterator[Mistake]:
    yield from _check_name(loc, name)
    if name in RESERVED_METRICS:
        yield loc, f"{quote(name)} is the name of a metric"


def _check_host(loc: Loc, host: str) -> Iterator[Mistake]:
    name, separator, port = host.rpartition(":")
    if host.endswith("]") or not separator:
        name, port = host, "0"
    if not is_host_name(name) or not port.isdecimal():
        words = ("preserve", "endpoint")
        hint = did_you_mean(host, words)
        yield loc, f"{quote(host)} is not preserve, endpoint or a host{hint}"


def _check_mirror(
    loc: Loc, service: ServiceSettings, declared: list[str]
) -> Iterator[Mistake]:
    if service.mirror is None:
        return
    place = (*loc, "mirror", "to")
    yield from _undeclared(place, service.mirror.to, declared)
    yield from check_mirror(place[:-1], service.mirror, service.roles[0])


def _check_rollout(
    loc: Loc,
    service: ServiceSettings,
    rollout: RolloutSettings,
    declared: list[str],
    broken: Broken,
) -> Iterator[Mistake]:
    for role in ("stable", "canary"):
        yield from _undeclared((*loc, role), getattr(rollout, role), declared)
    if rollout.stable == rollout.canary:
        yield (*loc, "canary"), "stable and canary are the same version"
    if not broken((*loc[:2], "versions", rollout.canary)):
        yield from _check_start(loc, service, rollout)
    if not broken((*loc[:2], "versions", rollout.stable)):
        yield from _check_return(loc, service, rollout)
    yield from lifecycle_checks.check(loc, rollout)
    if rollout.strategy == "parallel" and not broken((*loc[:2], "mirror")):
        strategy = (*loc, "strategy")
        yield from check_strategy(strategy, service.mirror, rollout.canary)
    yield from _check_slos((*loc, "slos"), rollout.slos, service, broken)
    for index, step in enumerate(rollout.steps):
        place = (*loc, "steps", index, "slos")
        yield from _check_slos(place, step.slos or (), service, broken)
        yield from slo_checks.check_step(place, step.slos or ())


def _check_slos(
    loc: Loc, slos: Sequence[SloSettings], service: ServiceSettings, broken: Broken
) -> Iterator[Mistake]:
    seen: dict[str, Loc] = {}
    for place, slo in _whole(loc, slos, broken):
        yield from slo_checks.check(
            place,
            slo,
            service,
            routes_read=not broken((*loc[:2], "routes")),
            events_read=not broken((*loc[:2], "events")),
        )
        text = slo.model_dump_json()
        if slo.metric in service.events:
            text = slo.metric  # one limit and one set of windows an event
        if text in seen:
            what = "judges the same" if text == slo.metric else "is the same"
            yield place, f"{what} as slos[{seen[text][-1]}]"
        seen.setdefault(text, place)


def _check_start(
    loc: Loc, service: ServiceSettings, rollout: RolloutSettings
) -> Iterator[Mistake]:
    canary = service.versions.get(rollout.canary)
    key = ("versions", rollout.canary, "revision")
    if rollout.start == "auto" and canary is not None and canary.revision is None:
        yield (
            (*loc, "start"),
            (
                f"`auto` needs `{path_text(key)}` to see a new one; "
                "give it, or write `start: manual`"
            ),
        )


def _check_return(
    loc: Loc, service: ServiceSettings, rollout: RolloutSettings
) -> Iterator[Mistake]:
    """Refuse to wait for a revision that stable, without traffic, cannot report."""
    stable = service.versions.get(rollout.stable)
    if rollout.after != "return" or stable is None:
        return
    key = path_text(("versions", rollout.stable, "revision"))
    if stable.revision is None:
        yield (*loc, "after"), f"`return` needs `{key}` to see the winner's there"
    elif stable.revision.header is not None and service.health_check is None:
        yield (
            (*loc, "after"),
            (
                f"`return` needs `health_check` beside the header of `{key}`: "
                "stable has no traffic to see it in"
            ),
        )
