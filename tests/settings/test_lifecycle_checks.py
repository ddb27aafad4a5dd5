"""What must hold between the settings of a rollout's life."""

import pytest

from proxy.errors import SettingsError
from proxy.settings import from_document, loads

ROLLOUT = """
services:
  web:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002], revision: "1"}
    rollout:
      """
PLACE = "services.web.rollout."
URL = "url: http://127.0.0.1:1/"


MIRROR = "\n    mirror: {to: canary, compare: {}}"


def problems(text: str) -> list[str]:
    """Return the paths below the rollout and the messages of the mistakes."""
    try:
        loads((ROLLOUT + text).encode(), "a", {})
    except SettingsError as error:
        lines = [line.split(": ", 1)[1] for line in error.problems]
        return [line.removeprefix(PLACE) for line in lines]
    return []


@pytest.mark.parametrize(
    "text",
    [
        "bake: {duration: 10m, holdback: 1%}",
        "rollback: gradual",
        "rollback: {mode: gradual, interval: 30s}",
        "strategy: blue_green",
        "strategy: parallel" + MIRROR,
        "strategy: parallel\n      slos: [{metric: mismatch_rate, max: 0.5%}, "
        "{metric: latency_ratio, max_ratio: 1.25}]" + MIRROR,
        "slos: [{metric: mismatch_rate, max: 1%}]"
        + MIRROR.replace("compare", "during: always, compare"),
        "strategy: blue_green\n      steps: [{weight: 100, pause: true}]",
        f"steps: [{{weight: 5, gate: {{{URL}}}, max_duration: 2m}}, 50]",
        "steps: [{weight: 5, slos: [{metric: error_rate, max: 5%}]}]",
        f"gates: [{{type: confirm-promotion, {URL}, on_timeout: rollback}}]",
        f"notify: [{{{URL}, on: [step, paused, rolled_back, succeeded]}}]",
        "notify: [{url_file: /run/secrets/x}]",
        'freeze: [{days: [fri], from: "16:00", to: "23:59", timezone: Europe/Berlin}]',
        "freeze: [{from: 2026-12-20, to: 2027-01-02}]",
        "progress_deadline: off\n      on_no_traffic: rollback",
        "rollback_window: 3",
        "steps: [{weight: 100, only: {header: {x-env: eu-1}}}, 5, 100]",
    ],
)
def test_what_the_contract_allows_is_accepted(text: str) -> None:
    """And survives the way into the canonical document and back."""
    assert problems(text) == []
    loaded = loads((ROLLOUT + text).encode(), "a", {})
    assert from_document(loaded.document) == loaded.settings


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("strategy: parallel", "strategy: `parallel` needs a `mirror` with `compare`"),
        (
            "strategy: parallel" + MIRROR.replace("{}", "{noise_sample: 0%}"),
            "strategy: `parallel` needs second answers of stable, `noise_sample`",
        ),
        (
            "slos: [{metric: mismatch_rate, max: 1%}]",
            "slos[0]: can never be decided: the service has no `mirror` with `compare`",
        ),
        (
            "slos: [{metric: mismatch_rate, max: 1%}]" + MIRROR,
            (
                "slos[0]: can never be decided: nothing is mirrored once the canary "
                "has live weight; write `strategy: parallel`, or `during: always`"
            ),
        ),
        (
            "strategy: parallel\n      slos: [{metric: mismatch_rate, max_ratio: 2}]"
            + MIRROR,
            "slos[0].max_ratio: `max_ratio` does not belong to mismatch_rate: `max`",
        ),
        (
            "strategy: parallel\n      slos: [{metric: latency_ratio, max: 1%}]"
            + MIRROR,
            "slos[0].max: `max` does not belong to latency_ratio: `max_ratio`",
        ),
        (
            "strategy: parallel\n      steps: [{weight: 5, slos: "
            "[{metric: mismatch_rate, max: 1%}]}]" + MIRROR,
            (
                "steps[0].slos[0]: mismatch_rate belongs to the `slos` of the whole "
                "rollout"
            ),
        ),
        (
            "strategy: blue_green\n      steps: [20, 100]",
            "steps: blue_green has one step, 100, after its preview",
        ),
        (
            "steps: [5, {weight: 50, only: {header: {x-env: eu-1}}}]",
            "steps[1].only: rings come before the steps for all (5 here)",
        ),
        (
            "steps: [{weight: 50, only: {}}]",
            "steps[0].only: expected `header`, `cookie`, `method` or `path_prefix`",
        ),
        (
            "bake: {duration: 10m, holdback: 0}",
            'bake.holdback: "0" is too small, expected more than 0',
        ),
        (
            "steps: [{weight: 5, max_duration: 30s}]",
            "steps[0].max_duration: 60s is longer than max_duration, 30s",
        ),
        (
            f"steps: [{{weight: 5, gate: {{type: rollback, {URL}}}}}]",
            (
                "steps[0].gate.type: a step's gate is one of confirm-traffic-increase, "
                "confirm-promotion"
            ),
        ),
        (
            "gates: [{type: rollback, url: not-a-url}]",
            'gates[0].url: "not-a-url" is not a URL such as http://host/path',
        ),
        (
            f"gates: [{{type: event, {URL}, on_timeout: rollback}}]",
            (
                "gates[0].on_timeout: `on_timeout` belongs to gates that are waited "
                "for, not event"
            ),
        ),
        ("notify: [{}]", "notify[0]: expected exactly one of `url` and `url_file`"),
        (
            'freeze: [{from: "16:00", to: 2026-12-24}]',
            "freeze[0].to: `from` and `to` are both times, or both dates",
        ),
        (
            "freeze: [{from: 2026-12-24, to: 2026-12-20}]",
            "freeze[0].to: 2026-12-20 is before 2026-12-24",
        ),
        (
            "freeze: [{from: 2026-02-30, to: 2026-12-20}]",
            "freeze[0].from: 2026-02-30 is no day of the calendar",
        ),
        (
            "freeze: [{days: [fri], from: 2026-12-20, to: 2026-12-21}]",
            "freeze[0].days: `days` belongs to times, not to dates",
        ),
        (
            "freeze: [{timezone: Mars/Olympus}]",
            'freeze[0].timezone: "Mars/Olympus" is no time zone known here',
        ),
        (
            'freeze: [{from: "25:00"}]',
            (
                'freeze[0].from: "25:00" is neither a time such as 16:00 nor a date '
                "such as 2026-12-20"
            ),
        ),
        (
            "deadline: 2m",
            "deadline: 2m is shorter than the steps' min_duration together, 4m",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, problem: str) -> None:
    """One sentence at the place to correct."""
    assert problem in problems(text)
