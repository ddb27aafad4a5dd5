"""What a run counts, and what it says."""

import pytest

from proxy.model.document import decode, encode
from proxy.parallel.report import report
from proxy.parallel.tally import (
    ENDPOINTS_MAX,
    FIELDS_MAX,
    NOISE_FIRST,
    EndpointTally,
    Observation,
    RunTally,
    Tally,
)
from proxy.parallel.values import OVERFLOW_PATH, Difference, Kind, Outcome
from proxy.parallel.verdict import RunVerdict, median_ratio, slower_pairs, standing_of

OK = Outcome.ANSWERED


def seen(
    *paths: str,
    noise: tuple[str, ...] | None = (),
    endpoint: str = "GET /",
    sampled: bool = True,
    us: tuple[int, int, int] = (1000, 1000, 1000),
) -> Observation:
    """Return an observation in which the candidate differs at ``paths``."""
    return Observation(
        endpoint,
        _differences(paths),
        None if noise is None else _differences(noise),
        (OK, OK, OK if noise is not None else Outcome.ABSENT),
        us,
        1000.0,
        sampled,
    )


def _differences(paths: tuple[str, ...]) -> tuple[Difference, ...]:
    return tuple(Difference(path, Kind.VALUE, 1.0, 1.005) for path in paths)


def test_clean_pairs_become_equivalent() -> None:
    """600 clean pairs prove a rate below 0.5 %; before, it is said how many miss."""
    tally = Tally(RunTally())
    for _ in range(NOISE_FIRST + 100):
        tally.add(seen())

    early = standing_of(tally.run)
    assert early.verdict is RunVerdict.INCONCLUSIVE
    assert early.missing is not None
    for _ in range(early.missing):
        tally.add(seen())
    assert standing_of(tally.run).verdict is RunVerdict.EQUIVALENT
    assert "about" in early.message


def test_noise_is_no_miss() -> None:
    """A field in which stable differs from itself does not count for the rate."""
    tally = Tally(RunTally())
    for _ in range(NOISE_FIRST + 700):
        tally.add(seen("$.id", noise=("$.id",)))

    assert tally.run.missed == 0
    assert standing_of(tally.run).verdict is RunVerdict.EQUIVALENT


def test_a_miss_counts_with_and_without_a_second_answer() -> None:
    """A quiet field that differs is a miss, also where no second answer was asked."""
    tally = Tally(RunTally())
    for _ in range(NOISE_FIRST):
        tally.add(seen())
    tally.add(seen("$.price"))
    tally.add(seen("$.price", noise=None))

    assert (tally.run.judged, tally.run.missed) == (2, 2)


def test_a_regression_stays_a_miss() -> None:
    """Noise that is seen later does not take a proven regression back."""
    tally = Tally(RunTally())
    for _ in range(NOISE_FIRST + 20):
        tally.add(seen("$.price"))
    tally.add(seen(noise=("$.price",)))
    before = tally.run.missed
    tally.add(seen("$.price"))

    assert tally.run.regressions == 1
    assert tally.run.missed == before + 1
    assert standing_of(tally.run).verdict is RunVerdict.DIVERGING


def test_endpoints_without_second_answers_count_at_once() -> None:
    """Where no second answer can come (unsafe methods), every pair is judged."""
    tally = Tally(RunTally())
    tally.add(seen("$.a", noise=None, sampled=False))

    assert (tally.run.judged, tally.run.missed) == (1, 1)


def test_known_noise_leaves_the_first_places_to_others() -> None:
    """A field that was noise before it was discovered is held to more."""
    tally = Tally(RunTally())
    tally.add(seen("$.id", "$.ts", noise=("$.id", "$.ts")))
    tally.add(seen("$.id", noise=()))
    tally.add(seen(noise=("$.ts",)))
    tally.add(seen("$.price"))

    fields = tally.endpoints["GET /"].fields
    places = {field.path: field.place for field in fields.values()}
    assert places == {"$.id": 3, "$.ts": 6, "$.price": 1}


def test_paths_and_endpoints_are_bounded() -> None:
    """Beyond the bounds everything is one field of one endpoint, and still counted."""
    tally = Tally(RunTally())
    for n in range(FIELDS_MAX + 50):
        tally.add(seen(f"$.f{n}"))
    for n in range(ENDPOINTS_MAX + 50):
        tally.add(seen(endpoint=f"GET /{n}"))

    fields = tally.endpoints["GET /"].fields
    assert len(fields) == FIELDS_MAX + 1
    assert fields[OVERFLOW_PATH].raw == 50
    assert len(tally.endpoints) == ENDPOINTS_MAX + 1
    assert tally.endpoints[OVERFLOW_PATH].pairs == 51


def test_latency_is_compared_in_pairs() -> None:
    """The ratio is the candidate's over that of stable's second answer."""
    tally = Tally(RunTally())
    for _ in range(60):
        tally.add(seen(us=(500, 1200, 1000)))
    for _ in range(40):
        tally.add(seen(us=(500, 900, 1000)))
    tally.add(seen(noise=None, us=(500, 9000, 0)))

    assert median_ratio(tally.run) == pytest.approx(1.2, rel=0.01)
    assert slower_pairs(tally.run, 1.1) == (60, 100)
    assert slower_pairs(tally.run, 1.25) == (0, 100)


def test_tallies_survive_as_documents() -> None:
    """What is saved and read back counts on as if nothing had happened."""
    tally = Tally(RunTally())
    for _ in range(NOISE_FIRST + 5):
        tally.add(seen("$.price", noise=("$.id",)))
    restored = Tally(
        decode(RunTally, encode(tally.run)),
        [decode(EndpointTally, encode(one)) for one in tally.endpoints.values()],
    )
    for one in (tally, restored):
        one.add(seen("$.price"))

    assert encode(restored.run) == encode(tally.run)
    assert encode(restored.endpoints["GET /"]) == encode(tally.endpoints["GET /"])


def test_the_report_has_the_contracts_shape() -> None:
    """Pairs, verdict, endpoints, fields with counts, e-value, verdict and hint."""
    tally = Tally(RunTally())
    for _ in range(NOISE_FIRST):
        tally.add(seen("$.price", "$.id", noise=("$.id",)))
    tally.add(seen("$.x", endpoint="POST /quote", noise=None, sampled=False))
    examples = {("GET /", "$.price", "value"): [{"id": "m-1"}]}

    shown = report(tally.run, tally.endpoints.values(), examples)

    assert shown["pairs"] == NOISE_FIRST + 1
    assert shown["verdict"] == "diverging"
    assert shown["mismatch_rate"]["judged"] == 1
    assert shown["legs"]["candidate"]["p50"] == pytest.approx(0.001, rel=0.02)
    first, other = shown["endpoints"]
    price, ident = first["fields"]
    assert (first["endpoint"], first["pairs"]) == ("GET /", NOISE_FIRST)
    assert (price["path"], price["kind"], price["verdict"]) == (
        "$.price",
        "value",
        "regression",
    )
    assert (price["candidate_only"], price["noise_only"]) == (NOISE_FIRST, 0)
    assert price["e_value"] > 1e6
    assert price["examples"] == [{"id": "m-1"}]
    assert price["rule_hint"] == "tolerance 0.01 would hide 30 of 30"
    assert ident["verdict"] == "noise"
    assert other["fields"] == []
    assert other["unsampled_fields"][0]["path"] == "$.x"
