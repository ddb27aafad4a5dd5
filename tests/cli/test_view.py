"""What is said about services and rollouts."""

import textwrap
from copy import deepcopy
from typing import Any

import yaml

from proxy.cli.screen import Tone, plain_tree
from proxy.cli.view import slo_line, state_of, status_line, status_table, status_tree
from tests.support.standin_controller import ROLLOUT, SERVICE


def shown(**changes: Any) -> list[str]:  # noqa: ANN401 - members of a document
    """Return the tree of a state, spaces squeezed."""
    state = state_of(deepcopy(SERVICE), {**deepcopy(ROLLOUT), **changes})
    return [" ".join(line.split()) for line in plain_tree(status_tree(state))]


def swapped(commit: dict[str, Any]) -> dict[str, Any]:
    """Return a state that says what to commit."""
    return state_of(deepcopy(SERVICE), {**ROLLOUT, "split_to_commit": commit})


def test_a_swap_is_printed_as_the_split_to_commit() -> None:
    """After a success the file's new lines are there to be copied."""
    commit = {
        "split": {"stable": 0, "canary": 100},
        "rollout": {"stable": "canary", "canary": "stable"},
    }
    lines = shown(split_to_commit=commit)

    at = lines.index("commit the roles were swapped; let the file say so")
    pasted = "\n".join(plain_tree(status_tree(swapped(commit))))
    pasted = pasted[pasted.index("split: ") :].split("versions")[0]
    assert lines[at + 1] == "split: {stable: 0, canary: 100}"
    assert yaml.safe_load(textwrap.dedent("    " + pasted)) == commit


def test_what_holds_a_rollout_is_told() -> None:
    """Freeze, gates, bake and a revision that waits have a line each."""
    lines = shown(
        freeze={"message": "frozen by ops: fair", "overridden": False},
        gates=[{"type": "confirm-promotion", "name": "board"}],
        bake={"begun": True, "seconds": 12.0, "duration": 600.0, "holdback": 1.0},
        pending="2.5.0",
        store_error="the store cannot be written: disk full",
    )

    assert "freeze frozen by ops: fair" in lines
    assert "gate waits for board" in lines
    assert "store the store cannot be written: disk full; nothing rises" in lines
    assert "bake 12 of 600 s, the old version keeps 1 %" in lines
    assert "pending revision 2.5.0" in lines


def test_a_step_of_a_ring_says_whose_it_is() -> None:
    """The weight alone would look like everybody's."""
    ring = {"weight": 100, "only": {"header": {"x-env": "eu-1"}}}
    lines = shown(steps=[ring, {"weight": 20}], step=1)

    assert "step 1 of 2: [100 of x-env=eu-1] → 20" in lines


def test_an_unjudged_revision_is_named() -> None:
    """Live traffic on a revision that nobody judged is told."""
    lines = shown(unjudged_revisions={"canary": "2.5.0"})

    assert "unjudged canary took live traffic with revision 2.5.0" in lines


def test_an_unhealthy_version_stands_out() -> None:
    """Health is told when it is bad."""
    state = state_of(deepcopy(SERVICE), None)
    state["versions"][1]["healthy"] = False
    versions = next(
        line for line in status_tree(state).below if line.label == "versions"
    )

    assert versions.below[1].tone is Tone.BAD
    assert "unhealthy" in versions.below[1].text


def test_a_version_in_another_role_says_so() -> None:
    """After a swap the name and the role differ."""
    state = state_of(deepcopy(SERVICE), None)
    state["versions"][0]["role"] = "canary"

    assert any("stable (canary)" in line for line in plain_tree(status_tree(state)))


def test_nothing_known_is_a_dash_everywhere() -> None:
    """A service that has seen nothing yet can be shown."""
    bare = {"name": "new", "split": {"only": 100}}
    state = state_of(bare, None)
    table = status_table([state])

    row = ("new", "-", "-", "-", "only 100 %", "-", "-", "-", "-")
    assert table.rows == (row,)
    assert status_line(state) == "new: - · only 100 %"
    assert plain_tree(status_tree(state))[0] == "new  -"


def test_objectives_are_told_in_their_units() -> None:
    """Quantiles are times, ratios numbers, rates percentages, open ends dashes."""
    base = {"verdict": "fail", "requests": {"stable": 9, "canary": 8, "needed": 0}}
    ratio = slo_line(
        {
            **base,
            "id": "latency-p99-ratio@GET /x",
            "stable": 0.2,
            "canary": 0.3,
            "value": 1.5,
            "limit": 1.1,
            "interval": [1.2, None],
        }
    )
    errors = slo_line(
        {**base, "id": "error_rate-max", "canary": 0.02, "value": 0.02, "limit": 0.01}
    )
    blank = slo_line({**base, "id": "ttfb-p50-max", "value": None, "limit": 0.5})

    assert ratio.tone is Tone.BAD
    assert "canary 300 ms  stable 200 ms  value 1.5 [1.2, -] limit 1.1" in ratio.text
    assert "value 2.00 % limit 1.00 %" in errors.text
    assert "requests: stable 9, canary 8" in errors.text
    assert "limit 500 ms" in blank.text


def test_business_metrics_are_told_over_their_windows() -> None:
    """Side by side under the SLO; a window that is not whole says so."""
    window = {
        "seconds": 300.0,
        "stable": 0.05,
        "canary": 0.045,
        "ratio": 0.9,
        "requests": {"stable": 4000, "canary": 1000},
        "complete": True,
    }
    unknown = {"stable": None, "canary": None, "ratio": None, "complete": False}
    line = slo_line(
        {
            "id": "orders-min_ratio",
            "verdict": "undecided",
            "stable": 0.05,
            "canary": 0.045,
            "value": 0.045,
            "limit": 0.0475,
            "requests": {"stable": 4000, "canary": 1000, "needed": 0},
            "windows": [window, {**window, **unknown, "seconds": 1800.0}],
        }
    )

    assert "canary 4.50 %  stable 5.00 %  value 4.50 % limit 4.75 %" in line.text
    short, long = line.below
    assert (short.label, long.label) == ("last 300 s", "last 1800 s")
    assert "canary 4.50 %  stable 5.00 %  ratio 0.9  requests: 1000 and" in short.text
    assert "canary -  stable -  ratio -" in long.text
    assert long.text.endswith("(not yet whole)")


def test_an_external_metric_has_no_unit() -> None:
    """It is whatever its query counts."""
    line = slo_line(
        {
            "id": "prometheus-max",
            "verdict": "undecided",
            "canary": 9.0,
            "value": 9.0,
            "limit": 5.0,
        }
    )

    assert "canary 9  value 9 limit 5" in line.text
