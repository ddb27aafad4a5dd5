"""
From SLOs to checks: one figure, one limit, one part of alpha each.

Decides what is checked and under which id, not what is found. A latency ratio
becomes checks of p50, p90 and its own quantile; every SLO has an equal part of
alpha, which its checks and routes divide (Bonferroni).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from proxy.analysis.values import ALL_ROUTES
from proxy.model.judging import (
    LATENCY,
    ROUTE_ALL,
    ROUTE_EACH,
    TTFB,
    Slo,
)

PROTECTED_QUANTILES = (0.5, 0.9)
"""A release that is slower for everybody shows here long before it shows at p99."""

WARMUP_TIME_RATIO = 5.0
"""While caches are cold a canary may be five times slower (statistics: gross gates)."""
WARMUP_RATE_RATIO = 2.0
WARMUP_RATE_DELTA = 0.05
"""While caches are cold: twice stable's rate and five points."""


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of the canary against one limit."""

    id: str
    metric: str
    quantile: float | None
    codes: tuple[str, ...]
    routes: tuple[str, ...]
    """Judged one by one, the worst is shown; ``ALL_ROUTES`` for all requests."""
    share: float
    """The part of alpha that one route of this check may spend at a look."""
    absolute: float | None
    """The limit itself; ``None`` for a relative check."""
    ratio: float = 1.0
    """A relative limit is stable × ratio + delta."""
    delta: float = 0.0
    judged: bool = True
    """Off during the warm-up for absolute limits; the figures are still shown."""

    @property
    def timed(self) -> bool:
        """Whether it judges times and not rates."""
        return self.quantile is not None

    @property
    def everywhere(self) -> bool:
        """Whether it looks at all requests."""
        return self.routes == (ALL_ROUTES,)


def checks_of(slos: Iterable[Slo], routes: Iterable[str]) -> tuple[Check, ...]:
    """Return the checks of ``slos``; ``routes`` are those that have evidence."""
    wanted = tuple(slos)
    named = tuple(sorted(route for route in routes if route != ALL_ROUTES))
    own_ids = {slo_id(slo) for slo in wanted}
    found: dict[str, Check] = {}
    for slo in wanted:
        parts = [slo, *(p for p in _protected(slo) if slo_id(p) not in own_ids)]
        over = _routes_of(slo, named)
        share = 1.0 / len(wanted) / len(parts) / max(len(over), 1)
        for part in parts:
            check = _check(part, over, share)
            found.setdefault(check.id, check)
    return tuple(found.values())


def gross(check: Check) -> Check:
    """Return the check as it counts during the warm-up: gross faults only."""
    if check.absolute is not None:
        return replace(check, judged=False)
    if check.timed:
        return replace(check, ratio=max(check.ratio, WARMUP_TIME_RATIO))
    return replace(
        check,
        ratio=max(check.ratio, WARMUP_RATE_RATIO),
        delta=max(check.delta, WARMUP_RATE_DELTA),
    )


def slo_id(slo: Slo) -> str:
    """Return the public id, such as ``latency-p99-ratio`` or ``error_rate-max``."""
    quantile = "" if slo.quantile is None else f"-p{slo.quantile * 100:.6g}"
    kind = "max" if slo.max is not None else "delta"
    if slo.max_ratio is not None:
        kind = "ratio"
    codes = f"-{'+'.join(slo.codes)}" if slo.codes else ""
    route = "" if slo.route == ROUTE_ALL else f"@{slo.route}"
    return f"{slo.metric}{codes}{quantile}-{kind}{route}"


def _protected(slo: Slo) -> tuple[Slo, ...]:
    """Return p50 and p90 of a latency ratio that does not say ``only: true``."""
    if slo.metric != LATENCY or slo.max_ratio is None or slo.only:
        return ()
    return tuple(
        replace(slo, quantile=q) for q in PROTECTED_QUANTILES if q != slo.quantile
    )


def _routes_of(slo: Slo, named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the routes that an SLO judges."""
    if slo.route == ROUTE_EACH:
        return named
    return (ALL_ROUTES,) if slo.route == ROUTE_ALL else (slo.route,)


def _check(slo: Slo, routes: tuple[str, ...], share: float) -> Check:
    """Return one SLO as a check."""
    assert (slo.metric in {LATENCY, TTFB}) == (slo.quantile is not None)
    return Check(
        id=slo_id(slo),
        metric=slo.metric,
        quantile=slo.quantile,
        codes=slo.codes,
        routes=routes,
        share=share,
        absolute=slo.max,
        ratio=1.0 if slo.max_ratio is None else slo.max_ratio,
        delta=slo.max_delta or 0.0,
    )
