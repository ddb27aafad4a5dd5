"""
From SLOs to checks: one figure, one limit, one part of alpha each.

Decides what is checked and under which id, not what is found. A latency ratio
becomes checks of p50, p90 and its own quantile. The parts of all checks and
routes sum to 1: the keys are means of e-values, so several SLOs at once do not
multiply the chance of a false alarm.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from proxy.analysis.bets import (
    GRID_ABSOLUTE,
    GRID_ERRORS,
    GRID_HIGH,
    GRID_MIDDLE,
    GRID_TAIL,
)
from proxy.analysis.values import ALL_ROUTES
from proxy.model.judging import (
    CLIENT_ERROR_RATE,
    LATENCY,
    MEASURED,
    ROUTE_ALL,
    ROUTE_EACH,
    TTFB,
    Slo,
)

PROTECTED_QUANTILES = (0.5, 0.9)
"""A release that is slower for everybody shows here long before it shows at p99."""

GUARD_PART = 0.25
"""What the guard on 4xx weighs beside an SLO: its faults are gross ones."""

ECLIPSED_WORSE = 0.125
ECLIPSED_BEYOND = 0.5
"""What an absolute limit weighs in either key beside a relative one."""

WARMUP_TIME_RATIO = 5.0
"""While caches are cold a canary may be five times slower (statistics: gross gates)."""
WARMUP_RATE_RATIO = 2.0
WARMUP_RATE_DELTA = 0.05
"""While caches are cold: twice stable's rate and five points."""

CAP_RATE = 4.0
"""Nats that one block may give for a rate: no single second decides. Two do at the
start of a rollout, and three at any time."""
CAP_TIME = 2.0
"""The same for times."""
CAP_STALL = 1.0
"""The same for times of a tail, in a block that looks like a stall of the canary."""
STALL_PART = 0.25
"""It looks like one when so much of its answers are of the tail at once, and"""
STALL_MIN = 2
"""they are so many. A release that is slower for everybody shows at p50 as well."""
TAIL_MIN = 0.75
"""Quantiles above this are of a tail."""


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of the canary on one route against one limit."""

    id: str
    metric: str
    quantile: float | None
    codes: tuple[str, ...]
    route: str
    """``ALL_ROUTES`` for all requests."""
    part: float
    """The part of key 2, beyond the limit, that is this check's."""
    part_worse: float
    """
    The part of key 1, worse than stable. An absolute limit has little beside a
    relative one of the same figure, which knows as much and sooner; but it is all
    that is left where there is no stable to compare with.
    """
    absolute: float | None
    """The limit itself; ``None`` for a relative check."""
    ratio: float = 1.0
    """A relative limit is stable × ratio + delta."""
    delta: float = 0.0
    lower: bool = False
    """Lower is worse: the limit is stable × ratio, from below."""
    judged: bool = True
    """Off during the warm-up for limits that cannot be widened; still shown."""
    gross: bool = False
    """Both keys ask for more than the widened limit, as in the warm-up."""
    grid: tuple[float, ...] = GRID_ERRORS
    cap: float = CAP_RATE

    @property
    def timed(self) -> bool:
        """Whether it judges times and not rates."""
        return self.quantile is not None

    def cap_of(self, slow: int, answers: int) -> float:
        """
        Return what a block may give whose canary had so many slow answers.

        A bet may always be lowered, whatever it is lowered for (E[e^x] ≤ 1
        stays), so this costs no alpha: only the evidence of answers that one
        pause made slow all at once, where independence is not to be had.
        """
        if (
            self.quantile is not None
            and self.quantile > TAIL_MIN
            and slow >= STALL_MIN
            and slow > STALL_PART * answers
        ):
            return CAP_STALL
        return self.cap

    @property
    def counted(self) -> bool:
        """Whether it is a named counter."""
        return self.metric not in MEASURED


@lru_cache(maxsize=256)
def checks_of(slos: tuple[Slo, ...], routes: tuple[str, ...]) -> tuple[Check, ...]:
    """Return the checks of ``slos``; ``routes`` are those with evidence, sorted."""
    named = tuple(route for route in routes if route != ALL_ROUTES)
    own_ids = {slo_id(slo) for slo in slos}
    found: dict[tuple[str, str], Check] = {}
    for slo in slos:
        over = _routes_of(slo, named)
        part = (GUARD_PART if slo.metric == CLIENT_ERROR_RATE else 1.0) / len(
            over or "-"
        )
        for one in (slo, *(p for p in _protected(slo) if slo_id(p) not in own_ids)):
            for route in over:
                check = _check(one, route, part)
                found.setdefault((check.id, route), check)
    return _shared(tuple(found.values()))


def _shared(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """Return the checks with parts of either key that sum to 1."""
    relative = {_figure(check) for check in checks if check.absolute is None}
    eclipsed = [
        check.absolute is not None and _figure(check) in relative for check in checks
    ]
    beyond = [
        check.part * (ECLIPSED_BEYOND if beside else 1.0)
        for check, beside in zip(checks, eclipsed, strict=True)
    ]
    worse = [
        check.part * (ECLIPSED_WORSE if beside else 1.0)
        for check, beside in zip(checks, eclipsed, strict=True)
    ]
    return tuple(
        replace(check, part=two / sum(beyond), part_worse=one / sum(worse))
        for check, one, two in zip(checks, worse, beyond, strict=True)
    )


def _figure(check: Check) -> tuple[object, ...]:
    """Return what a check looks at, whatever its limit."""
    return check.metric, check.quantile, check.codes, check.route


@lru_cache(maxsize=256)
def gross(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """Return checks as they count during the warm-up: gross faults only."""
    return tuple(_gross(check) for check in checks)


def _gross(check: Check) -> Check:
    if check.absolute is not None or check.lower:
        return replace(check, judged=False)
    if check.timed:
        return replace(check, ratio=max(check.ratio, WARMUP_TIME_RATIO), gross=True)
    return replace(
        check,
        ratio=max(check.ratio, WARMUP_RATE_RATIO),
        delta=max(check.delta, WARMUP_RATE_DELTA),
        gross=True,
    )


def slo_id(slo: Slo) -> str:
    """Return the public id, such as ``latency-p99-ratio`` or ``error_rate-max``."""
    quantile = "" if slo.quantile is None else f"-p{slo.quantile * 100:.6g}"
    kind = "max" if slo.max is not None else "delta"
    if slo.max_ratio is not None:
        kind = "ratio"
    if slo.min_ratio is not None:
        kind = "min_ratio"
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


def _check(slo: Slo, route: str, part: float) -> Check:
    """Return one SLO on one route as a check."""
    timed = slo.metric in {LATENCY, TTFB}
    assert timed == (slo.quantile is not None), slo
    check = Check(
        id=slo_id(slo),
        metric=slo.metric,
        quantile=slo.quantile,
        codes=slo.codes,
        route=route,
        part=part,
        part_worse=part,
        absolute=slo.max,
        ratio=1.0 if slo.max_ratio is None else slo.max_ratio,
        delta=slo.max_delta or 0.0,
        cap=CAP_TIME if timed else CAP_RATE,
    )
    if slo.min_ratio is not None:
        return replace(check, ratio=slo.min_ratio, lower=True)
    if slo.max is not None:
        return replace(check, grid=GRID_ABSOLUTE)
    if slo.quantile is None:
        return check
    return replace(check, grid=_grid_of(slo.quantile))


def _grid_of(quantile: float) -> tuple[float, ...]:
    """Return the effects that are likely about a quantile."""
    if quantile <= TAIL_MIN:  # half of everything is slower or not
        return GRID_MIDDLE
    return GRID_HIGH if quantile <= 0.95 else GRID_TAIL  # noqa: PLR2004 -- p90, p99


def worst_first(checks: Iterable[Check]) -> dict[str, list[Check]]:
    """Return the checks by id, for SLOs with several routes."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(check.id, []).append(check)
    return groups
