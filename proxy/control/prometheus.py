"""
One question to a Prometheus server: ``GET /api/v1/query``, an instant query.

Decides what its answer means: a scalar, or a vector of one series, is a value;
an empty vector and NaN are none; everything else is an error that is named.
https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

import math
import sys
from collections.abc import Mapping

from proxy.control import client
from proxy.control.clock import Clock
from proxy.model.external import Reading

TIMEOUT_S = 10.0
"""As Flagger's and Argo's providers; Prometheus itself gives a query 2 minutes."""
LARGEST = sys.float_info.max
"""Stands for infinity, which JSON has no word for."""
ERROR_CHARS_MAX = 200
"""Of what a provider says about an error; shown in messages."""


async def ask(url: str, query: str, clock: Clock, *, timeout_s: float) -> Reading:
    """Return the query's value now; whatever goes wrong is in the reading."""
    try:
        status, document = await client.fetch_json(
            f"{url.rstrip('/')}/api/v1/query",
            {"query": query},
            timeout_s=min(timeout_s, TIMEOUT_S),
        )
        value = _value(status, document)
    except (OSError, ValueError) as error:
        return Reading(clock.unix_s(), error=str(error)[:ERROR_CHARS_MAX])
    return Reading(clock.unix_s(), value)


def filled_in(query: str, values: Mapping[str, str]) -> str:
    """Return a query with ``{{name}}`` replaced, safe within quotes of PromQL."""
    for name, value in values.items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        query = query.replace("{{" + name + "}}", quoted)
    return query


def _value(status: int, document: object) -> float | None:
    """
    Return the one number of an answer; ``None`` where it has none.

    Raises:
        ValueError: the answer is an error, or not one number.
    """
    match document:
        case {"status": "success", "data": {"resultType": "vector", "result": []}}:
            return None
        case {"status": "success", "data": {"result": [{"value": sample}]}}:
            return _number(sample)
        case {"status": "success", "data": {"resultType": "scalar", "result": sample}}:
            return _number(sample)
        case {"status": "success", "data": {"resultType": "vector", "result": found}}:
            count = len(found) if isinstance(found, list) else "no list of"
            raise ValueError(f"the query gives {count} series, expected one")
        case {"status": "success", "data": {"resultType": kind}}:
            raise ValueError(f"the query gives a {kind}, expected a scalar or a vector")
        case {"status": "error", "errorType": kind, "error": said}:
            raise ValueError(f"{kind}: {said}")
        case _:
            raise ValueError(f"status {status}, and no answer of Prometheus")


def _number(sample: object) -> float | None:
    """Return the value of ``[time, "value"]``; NaN is none, infinity the largest."""
    match sample:
        case [_, str(text)]:
            value = float(text)
            return None if math.isnan(value) else max(min(value, LARGEST), -LARGEST)
        case _:
            raise ValueError("the answer's sample is no pair of time and value")
