"""Reports of parallel runs with a known outcome, made by the real tally."""

from typing import Any

from proxy.parallel.report import report
from proxy.parallel.tally import NOISE_FIRST, Observation, RunTally, Tally
from proxy.parallel.values import Difference, Kind, Outcome

ID = Difference("$.id", Kind.VALUE, "a", "b")
PRICE = Difference("$.items[].price", Kind.VALUE, 10.0, 10.1)
ANSWERED = (Outcome.ANSWERED,) * 3


def tally(*, bug: bool, pairs: int = NOISE_FIRST + 50) -> Tally:
    """Return a run in which ids are noise, and the price is wrong if ``bug``."""
    made = Tally(RunTally())
    for n in range(pairs):
        found = (ID, PRICE) if bug else (ID,)
        made.add(
            Observation(
                "GET /orders/{id}",
                found,
                (ID,),
                ANSWERED,
                (1000, 1100, 1000),
                1_800_000_000.0 + n,
            )
        )
    return made


def diverging_report() -> dict[str, Any]:
    """Return the report of a candidate with a wrong price."""
    run = tally(bug=True)
    example = {"id": "m-1", "curl": "curl -sS -i http://127.0.0.1:9002/orders/7"}
    key = ("GET /orders/{id}", PRICE.path, PRICE.kind.value)
    return report(run.run, run.endpoints.values(), {key: [example]})


def equivalent_report() -> dict[str, Any]:
    """Return the report of an equivalent candidate."""
    run = tally(bug=False, pairs=NOISE_FIRST + 800)
    return report(run.run, run.endpoints.values(), {})
