"""``headgate plan`` and ``check --rps``: told for people, and refused with a place."""

import json
from pathlib import Path

import pytest

from proxy.cli.plan import duration_text, refuse_impossible, show_plan
from proxy.control.forecast import Assumed
from proxy.errors import SettingsError

FILE = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002]}
    rollout: {start: manual, steps: [1, 20, 100], max_duration: 5m}
  blog:
    match: [{host: blog.example.com}]
    versions: {only: {endpoints: [http://127.0.0.1:9003]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a file with one rollout."""
    path = tmp_path / "headgate.yaml"
    path.write_text(FILE)
    return path


def test_a_plan_is_told_in_tables(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step, each SLO with a few sizes, and what it stands on."""
    code = show_plan(config, Assumed(500.0), None, "table")

    shown = capsys.readouterr().out
    assert code == 0
    assert "shop  500 requests/s · promoted after about 2.33 min" in shown
    assert "latency-p99-ratio" in shown
    assert "50 % slower" in shown
    assert "AT 1%" in shown
    assert "assumed: stable fails 0.1% of its requests" in shown
    assert "blog" not in shown


def test_a_plan_is_json_too(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Strict JSON: what is infinite is null."""
    show_plan(config, Assumed(0.001), "shop", "json")

    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert shown["shop"]["steps"][0]["weight"] == 1.0
    assert shown["shop"]["impossible"][0]["step"] == 0


def test_a_service_without_rollout_has_no_plan(config: Path) -> None:
    """The mistake names those that have one."""
    with pytest.raises(SettingsError, match="no rollout of 'blog', there is: shop"):
        show_plan(config, Assumed(50.0), "blog", "table")


def test_a_plan_that_cannot_decide_is_refused_at_its_place(config: Path) -> None:
    """`check --rps 5`: FILE:LINE:COLUMN, as any other mistake."""
    with pytest.raises(SettingsError) as refused:
        refuse_impossible(config, 5.0)

    (problem,) = refused.value.problems
    assert problem.startswith(f"{config}:7:38: services.shop.rollout.steps[0]: can ")


def test_a_plan_that_can_decide_is_not(config: Path) -> None:
    """The same file at 500 requests/s."""
    refuse_impossible(config, 500.0)


def test_an_slo_that_cannot_decide_is_refused_at_the_slos(tmp_path: Path) -> None:
    """It is named, whether the file writes SLOs or not."""
    path = tmp_path / "headgate.yaml"
    path.write_text(
        FILE.replace("steps: [1, 20, 100]", "min_requests: 1, steps: [1, 2, 100]")
    )
    with pytest.raises(SettingsError) as refused:
        refuse_impossible(path, 2.0)

    assert (
        "services.shop.rollout.slos: latency-p99-ratio can never be decided"
        in (refused.value.problems[0])
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (119.0, "119 s"),
        (150.0, "2.5 min"),
        (9000.0, "2.5 h"),
        (float("inf"), "never"),
    ],
)
def test_durations_are_as_people_say_them(seconds: float, text: str) -> None:
    """Nobody counts hours in seconds."""
    assert duration_text(seconds) == text
