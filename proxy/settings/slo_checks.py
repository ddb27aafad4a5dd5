"""What must hold between the settings of one SLO, and with those of its service."""

from collections.abc import Iterator

from proxy.model.judging import LATENCY_RATIO, MISMATCH_RATE, PAIR_METRICS
from proxy.settings.problems import Loc, Mistake, changed, did_you_mean
from proxy.settings.service import ServiceSettings, TimeoutsSettings
from proxy.settings.slo import LATENCIES, SloSettings
from proxy.settings.units import format_duration, format_percent, quote

LATENCY_S_MAX = 2147.0
"""Where the histogram's last bucket starts; nothing longer can be told apart."""


def check(
    loc: Loc, slo: SloSettings, service: ServiceSettings, *, routes_read: bool
) -> Iterator[Mistake]:
    """Yield what is wrong with an SLO; its route only where routes could be read."""
    yield from _check_limits(loc, slo)
    yield from _check_metric(loc, slo, service.timeouts)
    if slo.metric in PAIR_METRICS:
        yield from _check_pairs(loc, slo, service)
    if routes_read:
        yield from _check_route(loc, slo, service)


def _check_limits(loc: Loc, slo: SloSettings) -> Iterator[Mistake]:
    if slo.max is None and slo.max_ratio is None and slo.max_delta is None:
        yield loc, "can never be decided: no `max`, `max_ratio` or `max_delta`"


def _check_metric(
    loc: Loc, slo: SloSettings, timeouts: TimeoutsSettings
) -> Iterator[Mistake]:
    if slo.metric in LATENCIES:
        yield from _check_latency(loc, slo, timeouts)
    elif slo.metric == LATENCY_RATIO:
        for key in changed(slo, "quantile", "only", "codes", "max", "max_delta"):
            yield (*loc, key), f"`{key}` does not belong to {slo.metric}: `max_ratio`"
    else:
        yield from _check_rate(loc, slo)


def _check_latency(
    loc: Loc, slo: SloSettings, timeouts: TimeoutsSettings
) -> Iterator[Mistake]:
    if slo.quantile is None:
        yield (*loc, "quantile"), f"is missing: a {slo.metric} needs one, such as 0.99"
    for key in changed(slo, "codes", "max_delta"):
        yield (*loc, key), f"`{key}` belongs to a rate, not to a {slo.metric}"
    if slo.max is None:
        return
    limits_s = [LATENCY_S_MAX, timeouts.request]
    limits_s += [timeouts.first_byte] if slo.metric == "ttfb" else []
    longest_s = min(limit_s for limit_s in limits_s if limit_s is not None)
    if slo.max == 0:
        yield (*loc, "max"), "can never be decided: no answer takes 0s"
    elif slo.max >= longest_s:
        yield (
            (*loc, "max"),
            (
                f"can never be decided: no answer takes {format_duration(slo.max)}, "
                f"the timeouts end it after {format_duration(longest_s)}"
            ),
        )


def _check_rate(loc: Loc, slo: SloSettings) -> Iterator[Mistake]:
    for key in changed(slo, "quantile", "only"):
        yield (*loc, key), f"`{key}` belongs to a latency, not to {slo.metric}"
    for key, limit in (("max", slo.max), ("max_delta", slo.max_delta)):
        if limit == 1 or (limit == 0 and key == "max"):
            why = "no rate is above it" if limit else "no evidence proves a rate of 0"
            text = format_percent(limit * 100)
            yield (*loc, key), f"can never be decided: {text}, and {why}"


def _check_pairs(
    loc: Loc, slo: SloSettings, service: ServiceSettings
) -> Iterator[Mistake]:
    """Yield why there would be no pairs to judge by."""
    mirror, rollout = service.mirror, service.rollout
    if mirror is None or mirror.compare is None:
        yield loc, "can never be decided: the service has no `mirror` with `compare`"
        return
    if slo.metric == MISMATCH_RATE:
        for key in changed(slo, "max_ratio", "max_delta", "codes"):
            yield (*loc, key), f"`{key}` does not belong to {slo.metric}: `max`"
    elif not mirror.compare.noise_sample:
        yield loc, "can never be decided: it needs second answers, `noise_sample`"
    if "steps" in loc:
        yield loc, f"{slo.metric} belongs to the `slos` of the whole rollout"
    if slo.route is not None:
        yield (*loc, "route"), f"`route` does not belong to {slo.metric}"
    if rollout is None:
        return
    if mirror.to != rollout.canary:
        what = f"`mirror.to` is {quote(mirror.to)}, not the canary"
        yield loc, f"can never be decided: {what}"
    elif mirror.during == "before" and rollout.strategy != "parallel":
        yield (
            loc,
            (
                "can never be decided: nothing is mirrored once the canary has live "
                "weight; write `strategy: parallel`, or `during: always`"
            ),
        )


def _check_route(
    loc: Loc, slo: SloSettings, service: ServiceSettings
) -> Iterator[Mistake]:
    if slo.route is None:
        return
    if not service.routes:
        yield (*loc, "route"), "can never be decided: the service has no `routes`"
    elif slo.route != "each" and slo.route not in service.routes:
        hint = did_you_mean(slo.route, ("each", *service.routes))
        yield (*loc, "route"), f"{quote(slo.route)} is none of the routes{hint}"
