"""What must hold between the settings of one SLO, and with those of its service."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from proxy.model.judging import LATENCY_RATIO, MISMATCH_RATE, PAIR_METRICS
from proxy.settings.problems import Loc, Mistake, changed, did_you_mean
from proxy.settings.service import ServiceSettings, TimeoutsSettings
from proxy.settings.slo import (
    LATENCIES,
    MEASURED,
    METRICS,
    PROMETHEUS,
    SloSettings,
)
from proxy.settings.units import format_duration, format_percent, quote

LATENCY_S_MAX = 2147.0
"""Where the histogram's last bucket starts; nothing longer can be told apart."""


def check(
    loc: Loc,
    slo: SloSettings,
    service: ServiceSettings,
    *,
    routes_read: bool,
    events_read: bool,
) -> Iterator[Mistake]:
    """Yield what is wrong with an SLO, as far as routes and events could be read."""
    if slo.metric != PROMETHEUS:
        for key in changed(slo, "url", "query", "every", "consecutive"):
            yield (*loc, key), f"`{key}` belongs to prometheus, not to {slo.metric}"
    if slo.metric in METRICS:
        for key in changed(slo, "min_ratio", "windows"):
            yield (*loc, key), f"`{key}` belongs to an event, not to {slo.metric}"
    if slo.metric == PROMETHEUS:
        yield from _check_query(loc, slo)
    elif slo.metric in MEASURED:
        yield from _check_limits(loc, slo)
        yield from _check_metric(loc, slo, service.timeouts)
        if slo.metric in PAIR_METRICS:
            yield from _check_pairs(loc, slo, service)
        if routes_read:
            yield from _check_route(loc, slo, service)
    elif slo.metric in service.events:
        yield from _check_event(loc, slo)
    elif events_read:
        yield (*loc, "metric"), _unknown(slo.metric, service)


def check_step(loc: Loc, slos: Sequence[SloSettings]) -> Iterator[Mistake]:
    """Yield what the SLOs of one step have that lasts for the whole rollout."""
    for index, slo in enumerate(slos):
        if slo.metric == PROMETHEUS:
            message = "prometheus is asked all along: name it in the rollout's `slos`"
            yield (*loc, index, "metric"), message
        if slo.windows:
            message = "`windows` last over steps: name them in the rollout's `slos`"
            yield (*loc, index, "windows"), message


def _unknown(metric: str, service: ServiceSettings) -> str:
    known = (*METRICS, *service.events)
    hint = did_you_mean(metric, known)
    return f"{quote(metric)} is not one of {', '.join(known)}{hint}"


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


def _check_query(loc: Loc, slo: SloSettings) -> Iterator[Mistake]:
    for key, value in (("url", slo.url), ("query", slo.query), ("max", slo.max)):
        if value is None:
            yield (*loc, key), "is missing: prometheus needs `url`, `query` and `max`"
    for key in changed(slo, "max_ratio", "max_delta", "quantile", "codes", "only"):
        yield (*loc, key), f"`{key}` does not belong to prometheus: it has `max`"
    if slo.route is not None:
        yield (*loc, "route"), "`route` does not belong to prometheus: write a query"
    if slo.url is not None and not _is_server(slo.url):
        # Not shown: there may be a password in it.
        text = "is not a server such as http://127.0.0.1:9090, without user and query"
        yield (*loc, "url"), text


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_read = parts.port is None or parts.port > 0
    except ValueError:  # a port that is no number
        return False
    plain = not (parts.query or parts.fragment or parts.username is not None)
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and url.isprintable()
        and " " not in url
        and plain
        and port_is_read
    )


def _check_event(loc: Loc, slo: SloSettings) -> Iterator[Mistake]:
    if slo.min_ratio is None:
        yield (*loc, "min_ratio"), f"is missing: {slo.metric} needs one, such as 0.95"
    elsewhere = ("max", "max_ratio", "max_delta", "quantile", "only", "codes", "route")
    for key in changed(slo, *elsewhere):
        message = f"`{key}` does not belong to an event: {slo.metric} has `min_ratio`"
        yield (*loc, key), message
    before_s = 0.0
    for index, window_s in enumerate(slo.windows):
        if window_s <= before_s:
            text = format_duration(window_s)
            why = "is not longer than the one before" if before_s else "shows nothing"
            yield (*loc, "windows", index), f"{text} {why}"
        before_s = window_s


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
