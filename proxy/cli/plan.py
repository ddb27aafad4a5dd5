"""
``plan`` and ``check --rps``: what a file's rollouts can do at a rate of traffic.

The arithmetic is ``control.forecast``; here it becomes tables, JSON and lines
for mistakes.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from math import isinf
from pathlib import Path

from proxy import settings
from proxy.cli.figures import MISSING
from proxy.cli.screen import Line, Table, Tone, say, show_table, show_trees
from proxy.control.forecast import Assumed, Detection, Forecast, Impossible, forecast
from proxy.control.plans import rollout_plan
from proxy.errors import SettingsError
from proxy.settings.schema import ServiceSettings, Settings
from proxy.settings.units import format_percent

Document = dict[str, object]

STEPS_SHOWN = 6
"""Steps that have a column of their own; ``-o json`` has all."""
MINUTE_S = 60.0
HOUR_S = 3600.0


def show_plan(config: Path, assumed: Assumed, service: str | None, output: str) -> int:
    """Print what every rollout of a file can do, or that of one service."""
    found = dict(_forecasts(settings.load(config, os.environ).settings, assumed))
    if service is not None and service not in found:
        known = ", ".join(found) or "none"
        problem = f"{config}: no rollout of {service!r}, there is: {known}"
        raise SettingsError((problem,))
    wanted = found if service is None else {service: found[service]}
    if not wanted:
        say("no service has a rollout")
        return 0
    if output == "json":
        shown = {name: _json(one) for name, one in wanted.items()}
        say(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    for name, one in wanted.items():
        show_trees([_heading(name, one, assumed)])
        show_table(_steps_table(one))
        show_table(_slos_table(one))
        show_trees([_notes(one, assumed)])
    return 0


def refuse_impossible(config: Path, rps: float) -> None:
    """
    Refuse a file with rollouts that can never be decided at a rate.

    Raises:
        SettingsError: it has mistakes, or such rollouts; all are listed.
    """
    loaded = settings.load(config, os.environ)
    mistakes = [
        (("services", name, "rollout", *_place(one)), one.message)
        for name, found in _forecasts(loaded.settings, Assumed(rps))
        for one in found.impossible
    ]
    if mistakes:
        raise SettingsError(settings.located(config, mistakes))


def _forecasts(loaded: Settings, assumed: Assumed) -> Iterator[tuple[str, Forecast]]:
    for name, service in loaded.services.items():
        plan = rollout_plan(service)
        if plan is not None:
            others = _others(service)
            yield name, forecast(plan, assumed, service.routes, others)


def _others(service: ServiceSettings) -> float:
    """Return the percent of the versions without a role."""
    return sum(
        share for name, share in service.split.items() if name not in service.roles
    )


def _place(impossible: Impossible) -> tuple[str | int, ...]:
    if impossible.step is not None:
        return ("steps", impossible.step)
    return ("slos",)


def _heading(service: str, found: Forecast, assumed: Assumed) -> Line:
    if isinf(found.promoted_s):
        text = "never promoted"
    else:
        text = (
            f"promoted after about {duration_text(found.promoted_s)} if nothing is "
            f"wrong; about {found.exposed:.0f} requests see the canary before"
        )
        if found.bake_s:
            text += f"; baked after {duration_text(found.promoted_s + found.bake_s)}"
    return Line(service, f"{assumed.rps:g} requests/s · {text}")


def _steps_table(found: Forecast) -> Table:
    return Table(
        titles=("STEP", "WEIGHT", "CANARY/S", "NEEDS", "TAKES", "EXPOSED"),
        rows=tuple(
            (
                str(step.number),
                format_percent(step.weight),
                f"{step.canary_per_s:.3g}",
                f"{step.requests} requests",
                duration_text(step.takes_s),
                _count(step.exposed),
            )
            for step in found.steps
        ),
        tones=tuple(Tone.PLAIN for _ in found.steps),
    )


def _slos_table(found: Forecast) -> Table:
    """Return a row a size of harm: what each step needs, and when it is found."""
    shown = [step for step in found.steps if step.weight][:STEPS_SHOWN]
    rows = [(slo.id, one) for slo in found.slos for one in slo.detections]
    return Table(
        titles=(
            *("SLO", "CANARY THAT HAS"),
            *(f"AT {format_percent(step.weight)}" for step in shown),
            *("FOUND AFTER", "EXPOSED"),
        ),
        rows=tuple(
            (
                slo,
                one.size,
                *(_need(one, place) for place in range(len(shown))),
                _when(one, found),
                MISSING if one.exposed is None else _count(one.exposed),
            )
            for slo, one in rows
        ),
        tones=tuple(_tone(one) for _, one in rows),
    )


def _when(one: Detection, found: Forecast) -> str:
    """Return when harm is found, and whether that is in the bake."""
    if one.after_s is None:
        return "not found"
    text = duration_text(one.after_s)
    return f"{text} (bake)" if one.after_s > found.promoted_s else text


def _need(found: Detection, place: int) -> str:
    """Return what one step needs: requests, and how long they take."""
    if place >= len(found.steps) or isinf(found.steps[place].requests):
        return MISSING
    need = found.steps[place]
    return f"{need.requests:.0f} in {duration_text(need.seconds)}"


def _tone(found: Detection) -> Tone:
    return Tone.HELD if found.after_s is None else Tone.PLAIN


def _notes(found: Forecast, assumed: Assumed) -> Line:
    """Return the warnings, what cannot be decided, and what all of it stands on."""
    lines = [Line("!", one.message, Tone.BAD) for one in found.impossible]
    lines += [Line("!", one, Tone.HELD) for one in found.warnings]
    stable = (
        f"stable fails {format_percent(assumed.error_rate * 100)} of its requests and "
        f"answers {format_percent(assumed.client_error_rate * 100)} with 4xx; "
        f"{format_percent(assumed.event_rate * 100)} have each business event"
    )
    lines += [
        Line("·", f"assumed: {stable}"),
        Line("·", "assumed: log-normal latencies; every request of another user"),
        Line("·", "figures are averages; fail-fast finds gross failures at once"),
    ]
    return Line("notes", below=tuple(lines))


def _json(found: Forecast) -> Document:
    """Return a forecast without infinities, which JSON has no word for."""
    return {key: _finite(value) for key, value in asdict(found).items()}


def _finite(value: object) -> object:
    if isinstance(value, float) and isinf(value):
        return None
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def duration_text(seconds: float) -> str:
    """Return a long duration as people say it: ``48 s``, ``4 min``, ``2.5 h``."""
    if isinf(seconds):
        return "never"
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.3g} min"
    return f"{seconds / HOUR_S:.3g} h"


def _count(requests: float) -> str:
    return MISSING if isinf(requests) else f"{requests:.0f}"
