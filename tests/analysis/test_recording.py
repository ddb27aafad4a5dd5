"""A recording's lines: what was shown to the judge comes back exactly."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.analysis.recording import Second, read, written
from proxy.analysis.values import ALL_ROUTES, Evidence, RouteEvidence, Window
from proxy.model.buckets import BUCKET_COUNT
from proxy.model.external import Reading
from proxy.model.vocabulary import CODE_COUNT

some = st.integers(1, 10**6)
buckets = st.dictionaries(st.integers(0, BUCKET_COUNT - 1), some, max_size=5)
changes = st.dictionaries(
    st.integers(0, BUCKET_COUNT - 1), st.integers(-50, 50), max_size=5
)
windows = st.builds(
    Window,
    codes=st.dictionaries(st.integers(0, CODE_COUNT - 1), some, max_size=4),
    latency=buckets,
    ttfb=buckets,
    censored=buckets,
    ages=changes,
    counts=st.dictionaries(
        st.sampled_from(["orders", "gifts"]), st.tuples(some, some), max_size=2
    ),
    assigned=st.none() | some,
    top_unit=st.none() | st.integers(0, 10_000).map(lambda part: part / 10_000),
)
arms = st.builds(RouteEvidence, windows, windows, st.none() | windows)
evidence = st.builds(
    Evidence,
    st.integers(0, 2**40),
    st.fixed_dictionaries({ALL_ROUTES: arms}, optional={"GET /a/{id}": arms}),
    st.booleans(),
)
times = st.integers(0, 2 * 10**12).map(lambda ms: ms / 1000)
readings = st.builds(
    Reading, times, st.none() | st.floats(-1e9, 1e9), st.sampled_from(["", "down: “x”"])
)
seconds = st.builds(
    Second,
    at_s=times,
    dt_s=st.integers(0, 60_000).map(lambda ms: ms / 1000),
    weight=st.sampled_from([0.0, 0.001, 20.0, 100.0]),
    evidence=st.none() | evidence,
    canary_routed=st.integers(0, 10**6),
    stable_routed=st.integers(0, 10**6),
    canary_healthy=st.booleans(),
    stable_healthy=st.booleans(),
    canary_capacity=st.sampled_from([0.0, 0.25, 1.0]),
    mirrored=st.integers(0, 9),
    mirror_failed=st.integers(0, 9),
    readings=st.dictionaries(st.just("prometheus-max"), readings, max_size=1),
)


@given(seconds)
def test_a_second_comes_back_exactly(second: Second) -> None:
    """Every count, every figure, over one line of text."""
    line = written(second)

    assert "\n" not in line
    assert read(line) == second


def test_a_second_without_traffic_is_short() -> None:
    """A rollout that waits a day costs little."""
    line = written(Second(1_000_000.0, 1.0, 20.0))

    assert json.loads(line) == {"t": 1_000_000.0, "d": 1.0, "w": 20.0}


@pytest.mark.parametrize(
    "line",
    ["", "[]", "{}", '{"t":1,"d":1,"w":"much"}', '{"t":1,"d":1,"w":1,"e":1,"b":1}'],
)
def test_what_is_no_second_is_refused(line: str) -> None:
    """One sentence, whatever the file is."""
    with pytest.raises(ValueError, match="is no second of a recording"):
        read(line)


def test_keys_of_a_later_version_are_left_alone() -> None:
    """A recording of another version of Headgate is read as far as it is known."""
    said: dict[str, Any] = json.loads(written(Second(5.0, 1.0, 0.0)))
    said["later"] = {"a": 1}

    assert read(json.dumps(said)) == Second(5.0, 1.0, 0.0)
