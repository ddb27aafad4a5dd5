"""
What there is to say about services and rollouts, as lines and rows.

Documents of the admin API in, ``Line`` and ``Table`` out: pure. A *state* is a
service's document with its rollout's members over it, so that every public key
of both is at its top level.
"""

from collections.abc import Callable
from typing import Any

from proxy.cli.figures import MISSING, duration, fraction, number, percent, rate, word
from proxy.cli.screen import Line, Table, Tone

Document = dict[str, Any]

ENDED_WELL = "Succeeded"
ENDED_BADLY = "RolledBack"

_TONES = {
    "Progressing": Tone.BUSY,
    "Promoting": Tone.BUSY,
    "Baking": Tone.BUSY,
    "Waiting": Tone.HELD,
    "Paused": Tone.HELD,
    ENDED_WELL: Tone.GOOD,
    "RollingBack": Tone.BAD,
    ENDED_BADLY: Tone.BAD,
}
_VERDICT_TONES = {"pass": Tone.GOOD, "fail": Tone.BAD}

STATUS_TITLES = (
    "SERVICE",
    "PHASE",
    "REASON",
    "STEP",
    "WEIGHTS",
    "REVISION",
    "VERDICT",
    "RATE",
    "ERRORS",
)


def state_of(service: Document, rollout: Document | None) -> Document:
    """Return a service and its rollout as one document."""
    return {**service, **(rollout or {}), "service": service["name"]}


def status_table(states: list[Document]) -> Table:
    """Return one row a service."""
    return Table(
        titles=STATUS_TITLES,
        rows=tuple(_status_row(state) for state in states),
        tones=tuple(tone_of(state) for state in states),
    )


def status_tree(state: Document) -> Line:
    """Return everything about one service that a person decides by."""
    parts = [phase_of(state), *_named(state, "id", "rollout {}")]
    parts += _named(state, "revision", "revision {}")
    below = [
        Line("weights", _weights(state["split"])),
        *_progress(state),
        *_around(state),
        *_to_commit(state),
        *_unjudged(state),
        Line("versions", below=tuple(map(_version, state.get("versions", ())))),
    ]
    slos = tuple(slo_line(slo) for slo in state.get("slos") or ())
    if slos:
        below.append(Line("slos", below=slos))
    return Line(state["service"], " · ".join(parts), tone_of(state), tuple(below))


def status_line(state: Document) -> str:
    """Return where a service stands in one line, for logs and pipes."""
    parts = [f"{state['service']}: {phase_of(state)}"]
    if state.get("steps") and state.get("step"):
        parts.append(f"step {state['step']} of {len(state['steps'])}")
    parts.append(_weights(state["split"]))
    if state.get("message"):
        parts.append(str(state["message"]))
    return " · ".join(parts)


def phase_of(state: Document) -> str:
    """Return ``Phase (Reason)``."""
    phase = word(state.get("phase"))
    return f"{phase} ({state['reason']})" if state.get("reason") else phase


def tone_of(state: Document) -> Tone:
    """Return what the phase means for who reads it."""
    return _TONES.get(str(state.get("phase")), Tone.PLAIN)


def slo_line(slo: Document) -> Line:
    """Return one objective: verdict, figures, limit and evidence."""
    parts = [f"{slo['verdict']:<9}"]
    show = _figure_of(str(slo["id"]))
    arms = [arm for arm in ("canary", "stable") if slo.get(arm) is not None]
    parts += [f"{arm} {show(slo[arm])}" for arm in arms]
    parts.append(_against_limit(slo))
    requests = slo.get("requests") or {}
    counts = [f"{name} {requests[name]}" for name in requests if requests[name]]
    if counts:
        parts.append("requests: " + ", ".join(counts))
    tone = _VERDICT_TONES.get(slo["verdict"], Tone.PLAIN)
    windows = tuple(map(_window, slo.get("windows") or ()))
    return Line(str(slo["id"]), "  ".join(filter(None, parts)), tone, windows)


def _window(window: Document) -> Line:
    """Return a business metric over one window: both arms, side by side."""
    requests = window["requests"]
    parts = [
        *(f"{arm} {fraction(window[arm])}" for arm in ("canary", "stable")),
        f"ratio {number(window['ratio'])}",
        f"requests: {requests['canary']} and {requests['stable']}",
    ]
    if not window["complete"]:
        parts.append("(not yet whole)")
    return Line(f"last {window['seconds']:g} s", "  ".join(parts), Tone.QUIET)


def split_text(split: dict[str, float]) -> str:
    """Return shares as they are written in the file and on the command line."""
    return ", ".join(f"{name}: {share:.6g}" for name, share in split.items())


def _status_row(state: Document) -> tuple[str, ...]:
    steps = state.get("steps") or ()
    step = f"{state['step']}/{len(steps)}" if steps and state.get("step") else MISSING
    return (
        state["service"],
        word(state.get("phase")),
        word(state.get("reason")),
        step,
        _weights(state["split"]),
        word(state.get("revision")),
        word(state.get("verdict")),
        rate(state.get("rate_per_s")),
        fraction(state.get("error_rate")),
    )


def _progress(state: Document) -> list[Line]:
    """Return the lines of a rollout: step, why, what comes next and when."""
    lines = []
    steps = state.get("steps") or ()
    if steps and state.get("step"):
        present = int(state["step"])
        path = " → ".join(
            f"[{_step(step)}]" if index == present else _step(step)
            for index, step in enumerate(steps, start=1)
        )
        lines.append(Line("step", f"{present} of {len(steps)}: {path}"))
    if state.get("message"):
        lines.append(Line("why", str(state["message"])))
    if state.get("next"):
        lines.append(Line("next", _next(state["next"])))
    if state.get("exposed_requests") is not None and state.get("id"):
        lines.append(Line("exposed", f"{state['exposed_requests']} requests"))
    return lines


def _step(step: Document) -> str:
    """Return a step's weight, and whom it is meant for if not for all."""
    only = step.get("only") or {}
    parts = [
        f"{name}={value}"
        for key in ("header", "cookie")
        for name, value in (only.get(key) or {}).items()
    ]
    parts += [str(only[key]) for key in ("method", "path_prefix") if only.get(key)]
    return f"{step['weight']:g}" + (f" of {' '.join(parts)}" if parts else "")


def _around(state: Document) -> list[Line]:
    """Return what holds or follows the steps: store, freeze, gates, bake, a start."""
    lines = []
    if state.get("store_error"):
        told = f"{state['store_error']}; nothing rises"
        lines.append(Line("store", told, Tone.BAD))
    freeze, bake = state.get("freeze"), state.get("bake")
    if freeze:
        told = str(freeze["message"]) + (", overridden" * bool(freeze["overridden"]))
        lines.append(Line("freeze", told, Tone.HELD))
    lines += [
        Line("gate", f"waits for {gate['name']}", Tone.HELD)
        for gate in state.get("gates") or ()
    ]
    if bake and bake["begun"]:
        done = f"{bake['seconds']:.0f} of {bake['duration']:g} s"
        told = f"{done}, the old version keeps {bake['holdback']:g} %"
        lines.append(Line("bake", told))
    if state.get("pending"):
        lines.append(Line("pending", f"revision {state['pending']}", Tone.BUSY))
    return lines


def _to_commit(state: Document) -> list[Line]:
    """Return what the file should say after a swap of the roles."""
    commit = state.get("split_to_commit")
    if not commit:
        return []
    below = [Line(f"split: {{{split_text(commit['split'])}}}"), Line("rollout:")]
    below += [Line(f"  {role}: {name}") for role, name in commit["rollout"].items()]
    told = "the roles were swapped; let the file say so"
    return [Line("commit", told, Tone.HELD, tuple(below))]


def _unjudged(state: Document) -> list[Line]:
    """Return the versions that changed with live weight, outside of a rollout."""
    unjudged = state.get("unjudged_revisions") or {}
    return [
        Line("unjudged", f"{name} took live traffic with revision {revision}", Tone.BAD)
        for name, revision in unjudged.items()
    ]


def _next(coming: Document) -> str:
    """Return what the controller will do, when, and what it waits for."""
    text = word(coming.get("action"))
    if coming.get("at"):
        text += f", not before {coming['at']}"
    if coming.get("blocked_by"):
        text += f", waits for {coming['blocked_by']}"
    return text


def _version(version: Document) -> Line:
    """Return one version's share and live figures."""
    latency = version.get("latency") or {}
    parts = [
        percent(version.get("weight")),
        *_named(version, "revision", "revision {}"),
    ]
    if version.get("healthy") is False:
        parts.append("unhealthy")
    parts += [
        rate(version.get("rate_per_s")),
        f"errors {fraction(version.get('error_rate'))}",
        f"p50 {duration(latency.get('p50'))}",
        f"p99 {duration(latency.get('p99'))}",
    ]
    events = version.get("events") or {}
    parts += [
        f"{event} {fraction(one['per_request'])}" for event, one in events.items()
    ]
    tone = Tone.BAD if version.get("healthy") is False else Tone.PLAIN
    name = str(version["name"])
    role = version.get("role")
    label = name if role in (name, "other", None) else f"{name} ({role})"
    return Line(label, "  ".join(parts), tone)


def _against_limit(slo: Document) -> str:
    """Return the judged value, its interval and its limit."""
    show = number if _is_ratio(str(slo["id"])) else _figure_of(str(slo["id"]))
    limit = f"limit {show(slo.get('limit'))}"
    if slo.get("value") is None:
        return limit
    text = f"value {show(slo['value'])}"
    if slo.get("interval"):
        low, high = slo["interval"]
        text += f" [{show(low)}, {show(high)}]"
    return f"{text} {limit}"


def _is_ratio(slo_id: str) -> bool:
    """Tell whether a quantile is held against stable's, and has no unit."""
    return slo_id.partition("@")[0].endswith("-ratio") and _is_time(slo_id)


def _is_time(slo_id: str) -> bool:
    return slo_id.startswith(("latency", "ttfb"))


def _figure_of(slo_id: str) -> Callable[[float | None], str]:
    """Return how an objective's arms are written, by its metric."""
    if slo_id.startswith("prometheus"):
        return number
    return duration if _is_time(slo_id) else fraction


def _weights(split: dict[str, float]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in split.items())


def _named(document: Document, key: str, text: str) -> list[str]:
    return [text.format(document[key])] if document.get(key) else []
