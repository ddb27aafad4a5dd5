"""What must hold between the settings of a mirror and those of its service."""

from collections.abc import Iterator

from proxy.settings.mirror import MirrorRouteSettings, MirrorSettings
from proxy.settings.problems import Loc
from proxy.settings.units import quote

Mistake = tuple[Loc, str]

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110 section 9.2.1), as far as one can know."""


def check_mirror(loc: Loc, mirror: MirrorSettings, stable: str) -> Iterator[Mistake]:
    """Yield the mistakes of a mirror; that ``to`` is declared is checked before."""
    if mirror.to == stable:
        yield (*loc, "to"), f"{quote(mirror.to)} is stable, which answers already"
    for at, method in enumerate(mirror.methods):
        if method not in SAFE:
            yield (
                (*loc, "methods", at),
                (
                    f"{method} may write, and would write twice; name its routes under "
                    '`routes` with `unsafe: "why it is safe"`'
                ),
            )
    seen: set[str] = set()
    for at, route in enumerate(mirror.routes):
        yield from _check_route((*loc, "routes", at), route)
        if route.route in seen:
            yield (*loc, "routes", at), f"{quote(route.route)} is there twice"
        seen.add(route.route)


def check_strategy(
    loc: Loc, mirror: MirrorSettings | None, canary: str
) -> Iterator[Mistake]:
    """Yield why ``strategy: parallel`` could never let live traffic through."""
    if mirror is None or mirror.compare is None:
        yield loc, "`parallel` needs a `mirror` with `compare`"
    elif mirror.to != canary:
        yield loc, f"`parallel` needs `mirror.to` to be the canary, {quote(canary)}"
    elif not mirror.compare.noise_sample:
        yield loc, "`parallel` needs second answers of stable, `noise_sample`"


def _check_route(loc: Loc, route: MirrorRouteSettings) -> Iterator[Mistake]:
    method = route.route.partition(" ")[0]
    if (route.unsafe is None) is not route.never:
        yield loc, "expected `unsafe` with a reason, or `never: true`, and not both"
    elif route.unsafe is not None and method in SAFE:
        yield (
            (*loc, "unsafe"),
            f"{method} is copied anyway: leave the route out, or write `never: true`",
        )
