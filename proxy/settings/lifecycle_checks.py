"""
What must hold between the settings of a rollout's life: steps, clocks, gates.

As in ``checks``: generators of mistakes over one group, nothing is changed.
"""

from collections.abc import Iterator
from datetime import date

from proxy.settings.lifecycle import FreezeSettings, GateSettings, NotifySettings
from proxy.settings.problems import Loc, Mistake
from proxy.settings.rollout import FULL_PERCENT, RolloutSettings, StepSettings
from proxy.settings.units import format_duration

STEP_GATES = ("confirm-traffic-increase", "confirm-promotion")
"""What a gate of a step may be: it stands before the next one."""

TIME_CHARS = len("16:00")


def check(loc: Loc, rollout: RolloutSettings) -> Iterator[Mistake]:
    """Yield the mistakes of a rollout's steps, clocks, gates, news and freezes."""
    yield from _check_steps((*loc, "steps"), rollout)
    yield from _check_clocks(loc, rollout)
    for index, gate in enumerate(rollout.gates):
        yield from _check_gate((*loc, "gates", index), gate)
    for index, step in enumerate(rollout.steps):
        if step.gate is not None and step.gate.type not in STEP_GATES:
            message = f"a step's gate is one of {', '.join(STEP_GATES)}"
            yield (*loc, "steps", index, "gate", "type"), message
    for index, notify in enumerate(rollout.notify):
        yield from _check_notify((*loc, "notify", index), notify)
    for index, freeze in enumerate(rollout.freeze):
        yield from _check_freeze((*loc, "freeze", index), freeze)


def _check_steps(loc: Loc, rollout: RolloutSettings) -> Iterator[Mistake]:
    if rollout.strategy == "blue_green":
        if [(step.weight, step.only) for step in rollout.steps] != [
            (FULL_PERCENT, None)
        ]:
            yield loc, "blue_green has one step, 100, after its preview"
        return
    before = 0.0
    for index, step in enumerate(rollout.steps):
        weight = step.weight
        if step.only is not None:
            yield from _check_ring((*loc, index), step, before)
            continue
        if weight == 0:
            yield (*loc, index), "a step of 0 moves nothing, expected more than 0"
        elif before == FULL_PERCENT:
            yield (*loc, index - 1), "100 means promotion and must be the last step"
        elif weight <= before:
            message = f"{weight:g} is not more than the step before, {before:g}"
            yield (*loc, index), message
        before = weight


def _check_ring(loc: Loc, step: StepSettings, before: float) -> Iterator[Mistake]:
    """Yield what is wrong with a step for some requests only."""
    only = step.only
    assert only is not None
    if not (only.header or only.cookie or only.method or only.path_prefix):
        message = "expected `header`, `cookie`, `method` or `path_prefix`"
        yield (*loc, "only"), message
    if step.weight == 0:
        yield loc, "a step of 0 moves nothing, expected more than 0"
    if before:
        yield (*loc, "only"), f"rings come before the steps for all ({before:g} here)"


def _check_clocks(loc: Loc, rollout: RolloutSettings) -> Iterator[Mistake]:
    if rollout.min_duration > rollout.max_duration:
        message = _longer(rollout.min_duration, rollout.max_duration)
        yield (*loc, "min_duration"), message
    for index, step in enumerate(rollout.steps):
        given = [key for key in ("min_duration", "max_duration") if getattr(step, key)]
        shortest_s = step.min_duration or rollout.min_duration
        longest_s = step.max_duration or rollout.max_duration
        if given and shortest_s > longest_s:
            yield (*loc, "steps", index, given[0]), _longer(shortest_s, longest_s)
    yield from _check_deadline(loc, rollout)


def _longer(shortest_s: float, longest_s: float) -> str:
    shortest, longest = format_duration(shortest_s), format_duration(longest_s)
    return f"{shortest} is longer than max_duration, {longest}"


def _check_deadline(loc: Loc, rollout: RolloutSettings) -> Iterator[Mistake]:
    steps_s = sum(
        rollout.min_duration if step.min_duration is None else step.min_duration
        for step in rollout.steps
        if step.weight < FULL_PERCENT
    )
    windows_s = max((slo.windows[-1] for slo in rollout.slos if slo.windows), default=0)
    compared = any(0 < step.weight < FULL_PERCENT for step in rollout.steps)
    if windows_s and not (compared and rollout.strategy != "blue_green"):
        message = "`windows` need a step below 100 %, in which versions are compared"
        yield (*loc, "slos"), message
    if rollout.deadline is not None and rollout.deadline < windows_s:
        yield (
            (*loc, "deadline"),
            (
                f"{format_duration(rollout.deadline)} is shorter than the longest "
                f"window of an event, {format_duration(windows_s)}"
            ),
        )
    if rollout.deadline is not None and rollout.deadline < steps_s:
        yield (
            (*loc, "deadline"),
            (
                f"{format_duration(rollout.deadline)} is shorter than the steps' "
                f"min_duration together, {format_duration(steps_s)}"
            ),
        )


def _check_gate(loc: Loc, gate: GateSettings) -> Iterator[Mistake]:
    if gate.type in ("event", "post-rollout") and gate.on_timeout == "rollback":
        message = f"`on_timeout` belongs to gates that are waited for, not {gate.type}"
        yield (*loc, "on_timeout"), message


def _check_notify(loc: Loc, notify: NotifySettings) -> Iterator[Mistake]:
    if (notify.url is None) == (notify.url_file is None):
        yield loc, "expected exactly one of `url` and `url_file`"


def _check_freeze(loc: Loc, freeze: FreezeSettings) -> Iterator[Mistake]:
    times = [len(text) == TIME_CHARS for text in (freeze.from_, freeze.to)]
    if times[0] != times[1]:
        yield (*loc, "to"), "`from` and `to` are both times, or both dates"
        return
    if times[0]:
        return
    dates = []
    for key, text in (("from", freeze.from_), ("to", freeze.to)):
        try:
            dates.append(date.fromisoformat(text))
        except ValueError:
            yield (*loc, key), f"{text} is no day of the calendar"
    if len(dates) == len(times) and dates[1] < dates[0]:
        yield (*loc, "to"), f"{freeze.to} is before {freeze.from_}"
    if freeze.days:
        yield (*loc, "days"), "`days` belongs to times, not to dates"
