"""What the demo shows for the admin API's documents, on a terminal and in a pipe."""

import io
from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from proxy.cli.demo.screen import LiveScreen, PlainScreen
from proxy.cli.demo.view import NOTHING, TITLES, Users, draw

NO_FIGURES: dict[str, Any] = {
    "rate_per_s": None,
    "error_rate": None,
    "latency": {"p50": None, "p90": None, "p99": None},
    "events": {"orders": {"count": 0, "rate_per_s": None, "per_request": None}},
}


def version(name: str, role: str, weight: float, **more: object) -> dict[str, Any]:
    """Return a version as the API has it."""
    return {
        "name": name,
        "role": role,
        "weight": weight,
        "revision": "2.0.0",
        "requests": 100,
        "rate_per_s": 80.25,
        "error_rate": 0.015,
        "latency": {"p50": 0.0204, "p90": 0.03, "p99": 0.123},
        "events": {"orders": {"count": 9, "rate_per_s": 8.0, "per_request": 0.1}},
        **more,
    }


def service(*versions: dict[str, Any]) -> dict[str, Any]:
    """Return a service as the API has it."""
    return {"name": "shop", "versions": list(versions)}


ROLLOUT: dict[str, Any] = {
    "phase": "Progressing",
    "reason": "Undecided",
    "step": 2,
    "steps": [{"weight": 20}, {"weight": 100}],
    "message": "needs 10 more",
    "verdict": "undecided",
}
SERVICE = service(version("green", "canary", 20), version("blue", "stable", 80))


def test_stable_stands_above_the_canary_with_its_own_figures() -> None:
    """Rows are by role; requests count from the story's begin; units are written."""
    view = draw(SERVICE, ROLLOUT, {"blue": 60, "green": 100}, Users(40, 2))

    stable, canary = (dict(zip(TITLES, row, strict=True)) for row in view.rows)
    assert (stable["VERSION"], canary["VERSION"]) == ("blue", "green")
    assert (stable["REQUESTS"], canary["REQUESTS"]) == ("40", "0")
    assert (stable["P50"], stable["P99"]) == ("20.4 ms", "123 ms")
    assert (canary["WEIGHT"], canary["ERRORS"]) == ("20 %", "1.5 %")
    assert canary["ORDERS"] == "10.0 %"
    assert (stable["VERDICT"], canary["VERDICT"]) == (NOTHING, "undecided")
    assert view.weight == 20
    assert view.phase == "Progressing (Undecided) step 2 of 2"
    assert view.message == "needs 10 more"
    assert "40 requests, 2 of them" in view.users


def test_what_is_not_known_is_a_dash_and_not_a_zero() -> None:
    """A version without traffic has no rate, no latency, no errors and no verdict."""
    idle = version("green", "canary", 0, revision=None, **NO_FIGURES)
    rollout = {
        **ROLLOUT,
        "phase": "Idle",
        "reason": None,
        "verdict": None,
        "message": "",
    }

    view = draw(service(idle, version("blue", "stable", 100)), rollout, {}, Users(0, 0))

    canary = dict(zip(TITLES, view.rows[1], strict=True))
    names = ("REVISION", "REQ/S", "P50", "P99", "ERRORS", "VERDICT")
    assert {canary[name] for name in names} == {NOTHING}
    assert view.phase == "Idle"


def test_plain_lines_come_with_news_only(capsys: pytest.CaptureFixture[str]) -> None:
    """The same moment twice is one line; a new step is another; no colour at all."""
    screen = PlainScreen()
    for step in (1, 1, 2):
        screen.show(draw(SERVICE, {**ROLLOUT, "step": step}, {}, Users(1, 0)))

    output = capsys.readouterr().out
    assert output.count("\n") == 2
    assert "\x1b" not in output
    assert "canary  20 %" in output


def test_a_terminal_shows_the_table_and_the_share() -> None:
    """The live picture holds every title, both versions and the canary's share."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Live(console=console, auto_refresh=False) as live:
        screen = LiveScreen(console, live)
        screen.say("1. a story", "bold")
        screen.show(draw(SERVICE, ROLLOUT, {}, Users(1, 0)))
        live.refresh()

    assert isinstance(console.file, io.StringIO)
    output = console.file.getvalue()
    assert all(title in output for title in TITLES)
    assert "1. a story" in output
    assert "20 %" in output
