"""
Services and rollouts as the API shows them; the contract's keys and units.

Pure spelling of what stewards and figures hold: weights in percent, rates as
fractions, times in seconds or RFC 3339, steps counted from 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from proxy.control.figures import (
    Window,
    error_rate_of,
    quantiles_of,
    rate_of,
    shares_of,
)
from proxy.control.steward import Steward
from proxy.control.windows import Rates
from proxy.model.vocabulary import FLAG_CODE_BASE, Reason
from proxy.rollout import public_view
from proxy.rollout.plan import PERCENT_ALL
from proxy.telemetry import layout
from proxy.telemetry.cut import Counts, Live

JsonObject = dict[str, Any]


def service_json(
    steward: Steward,
    live: Mapping[str, Live],
    windows: Mapping[str, Window],
    mirrored: Mapping[str, int],
    events: Mapping[str, int],
) -> JsonObject:
    """Return a service with its versions, split, live rates and quantiles."""
    state = steward.state
    shares = shares_of(windows)
    versions = [
        {
            **_version_json(steward, name, live[name], windows[name], shares[name]),
            "events": {
                event: _event_json(word, live[name], windows[name])
                for event, word in events.items()
            },
        }
        for name in steward.wish.versions
    ]
    asked = _together(window.requests for window in windows.values())
    rates = [version["rate_per_s"] for version in versions]
    known = [rate for rate in rates if rate is not None]
    return {
        "name": steward.name,
        "match": [_model_json(match) for match in steward.settings.match],
        "split": steward.weights,
        "stable": steward.stable,
        "canary": steward.canary,
        "phase": state.phase.value,
        "reason": state.reason.value,
        "inflight": sum(version["inflight"] for version in versions),
        "rate_per_s": round(sum(known), 2) if known else None,
        "error_rate": error_rate_of(asked),
        "versions": versions,
        "exposed_requests": steward.memory.exposed,
        "retries": {
            "success": _sum(live, layout.C_RETRY_OK),
            "failure": _sum(live, layout.C_RETRY_FAILED),
            "over_budget": _sum(live, layout.C_RETRY_OVER_BUDGET),
            "shielded": _sum(live, layout.C_SHIELDED),
        },
        "mirror": dict(mirrored),
        "unjudged_revisions": dict(state.unjudged),
        "split_to_commit": split_to_commit(steward),
    }


def _version_json(
    steward: Steward, name: str, live: Live, window: Window, share: float | None
) -> JsonObject:
    settings = steward.settings.versions[name]
    role = {steward.stable: "stable", steward.canary: "canary"}.get(name, "other")
    return {
        "name": name,
        "role": role,
        "weight": steward.weights.get(name, 0.0),
        "share": None if share is None else round(share * PERCENT_ALL, 3),
        "revision": steward.state.revisions.get(name),
        "healthy": steward.health.get(name),
        "endpoints": list(settings.endpoints),
        "ejected": steward.ejected.get(name, 0),
        "inflight": live.word(layout.C_INFLIGHT),
        "rate_per_s": rate_of(window),
        "error_rate": error_rate_of(window.attempts, window.again),
        "requests": sum(live.requests.values()),
        "codes": codes_json(live.requests),
        "failures": {flag.name: count for flag, count in live.failures().items()},
        "latency": quantiles_of(window.latency),
        "ttfb": quantiles_of(window.ttfb),
    }


def _event_json(word: int, live: Live, window: Window) -> JsonObject:
    """Return a business event of a version: since the start, and of the last 10 s."""
    count = window.events.get(word, 0)
    return {
        "count": live.word(layout.C_EVENTS + word),
        "rate_per_s": round(count / window.seconds, 3) if window.seconds else None,
        "per_request": round(count / window.routed, 6) if window.routed else None,
    }


def route_json(route: str, live: Mapping[str, Live]) -> JsonObject:
    """Return one declared route, a version each, since the start."""
    return {
        "route": route,
        "versions": [
            {
                "name": name,
                "requests": sum(one.requests.values()),
                "codes": codes_json(one.requests),
                "error_rate": error_rate_of(one.attempts, one.again),
                "latency": quantiles_of(one.latency),
                "ttfb": quantiles_of(one.ttfb),
            }
            for name, one in live.items()
        ],
    }


def codes_json(codes: Counts) -> dict[str, int]:
    """Return counts by status; ``0`` stands for requests that got no answer."""
    shown: dict[str, int] = {}
    for code, count in sorted(codes.items()):
        key = str(code) if code < FLAG_CODE_BASE else "0"
        shown[key] = shown.get(key, 0) + count
    return shown


def split_to_commit(steward: Steward) -> JsonObject | None:
    """Return what the file should say after a swap; ``None`` while it does."""
    state = steward.state
    if state.file_roles is None or state.file_roles == (state.stable, state.canary):
        return None
    return {
        "split": steward.weights,
        "rollout": {"stable": state.stable, "canary": state.canary},
    }


def rollout_json(
    steward: Steward,
    store_error: str,
    now_s: float,
    rates: Mapping[str, Sequence[Rates]],
) -> JsonObject:
    """
    Return the present rollout, or the last one, in the contract's shape.

    ``rates`` are its business metrics over their windows, by event.
    """
    state = steward.state
    shown: JsonObject = dict(public_view(state, steward.plan, now_s))
    for slo in shown["slos"]:
        event, _, kind = slo["id"].rpartition("-")
        if kind == "min_ratio" and event in rates:
            slo["windows"] = [window_json(one) for one in rates[event]]
    shown["split_to_commit"] = split_to_commit(steward)
    shown["store_error"] = store_error or None
    if store_error and state.active:
        shown["reason"] = Reason.STORE_UNAVAILABLE.value
        shown["message"] = f"weights cannot rise: {store_error}"
    return shown


def window_json(rates: Rates) -> JsonObject:
    """Return an event's rates over one window, per trial; ``None``: no trials."""
    stable, canary = rate_per_trial(rates.stable), rate_per_trial(rates.canary)
    return {
        "seconds": rates.window_s,
        "stable": stable,
        "canary": canary,
        "ratio": round(canary / stable, 4) if stable and canary is not None else None,
        "requests": {"stable": rates.stable[1], "canary": rates.canary[1]},
        "complete": rates.complete,
    }


def rate_per_trial(counts: tuple[int, int]) -> float | None:
    """Return how many of the trials had the event."""
    return round(counts[0] / counts[1], 6) if counts[1] else None


def _sum(live: Mapping[str, Live], place: int) -> int:
    return sum(one.word(place) for one in live.values())


def _together(counts: Any) -> Counts:  # noqa: ANN401 -- any iterable of counts
    total: Counts = {}
    for one in counts:
        for key, count in one.items():
            total[key] = total.get(key, 0) + count
    return total


def _model_json(model: Any) -> JsonObject:  # noqa: ANN401 -- any settings model
    """Return a group of settings as the file spells it."""
    document: JsonObject = model.model_dump(mode="json", exclude_none=True)
    return document
