"""
The settings of one SLO: what is measured, and its limit.

``max`` is seconds for a latency and a fraction for a rate; which of the two a
text must be follows from the metric.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from proxy.model.judging import PAIR_METRICS
from proxy.settings import units
from proxy.settings.fields import (
    Duration,
    Fraction,
    Model,
    Text,
    mistake,
    write_fraction,
)

QUANTILE_MAX = 0.9999
"""A higher quantile needs more than 30 000 requests of each arm to be seen."""

WINDOWS_MAX = 8
"""Windows of a business metric: what a screen shows side by side."""

QUERY_CHARS_MAX = 4096
"""A longer query does not fit into the request target of usual servers."""

LATENCIES = ("latency", "ttfb")
MEASURED = (*LATENCIES, "error_rate", *PAIR_METRICS)
"""Metrics that the proxy measures by itself."""
PROMETHEUS = "prometheus"
METRICS = (*MEASURED, PROMETHEUS)
RESERVED_METRICS = frozenset({*METRICS, "client_error_rate"})
"""What no event may be called."""

_STATUS = re.compile(r"[1-5](?:[0-9][0-9]|xx)", re.ASCII)


def _known_code(text: str) -> str:
    family = text.lower()
    if _STATUS.fullmatch(family):
        return family
    raise mistake(f"{units.quote(text)} is not a status such as 404 or 5xx")


StatusCodes = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    AfterValidator(_known_code),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": "^[1-5]([0-9][0-9]|[xX][xX])$"},
            ]
        }
    ),
]


class SloSettings(Model):
    """One limit; which of its keys make sense together is checked."""

    metric: Annotated[
        Text, WithJsonSchema({"anyOf": [{"enum": list(METRICS)}, {"type": "string"}]})
    ]
    """What is measured: ``latency`` and ``ttfb`` of answers that did not fail,
    ``error_rate``; one of the service's ``events`` (its rate per request); what a
    ``prometheus`` server says; of a parallel run, ``mismatch_rate``, the share of
    pairs of answers that differ beyond the noise, and ``latency_ratio``, the median
    of the candidate's latency over stable's to the same request."""

    quantile: Annotated[float, Field(gt=0, le=QUANTILE_MAX)] | None = None
    """The quantile of a latency, such as 0.99. None: the metric is a rate."""

    max: (
        Annotated[
            float,
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "string", "pattern": r"^[0-9.]+ ?(%|[a-z]+)|\$"},
                        {"type": "number"},
                    ]
                }
            ),
        ]
        | None
    ) = None
    """Absolute limit: a duration for a latency, a percentage for a rate, a number for
    a query; beside a limit against stable, both must hold. None: no absolute limit."""

    max_ratio: Annotated[float, Field(ge=1, le=1000)] | None = None
    """Limit as a multiple of stable, 1.0 to 1000.0; 1.10 is 10 % above stable. None:
    no such limit, or with ``max_delta`` the multiple 1."""

    max_delta: Fraction | None = None
    """Limit in points above stable (times ``max_ratio``), of a rate. None: no such
    limit, or with ``max_ratio`` 0 points."""

    min_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """Limit of an event as a multiple of stable's rate, above 0 and at most 1; 0.95
    is 5 % fewer. None: no such limit."""

    windows: Annotated[tuple[Duration, ...], Field(max_length=WINDOWS_MAX)] = ()
    """Times over which an event's rates are shown side by side, rising, at most 8;
    nothing is promoted before the longest has passed. Absent: none."""

    codes: tuple[StatusCodes, ...] = ("5xx",)
    """Statuses that count as errors, beside failures of the upstream."""

    route: Text | None = None
    """One of the service's routes, or ``each`` of them. None: all requests
    together."""

    only: bool = False
    """Whether a latency's ratio is judged at its own quantile only, and not at p50
    and p90 too."""

    url: Text | None = None
    """Address of a Prometheus server, without the API's path. None: none is asked."""

    query: Annotated[str, Field(min_length=1, max_length=QUERY_CHARS_MAX)] | None = None
    """PromQL that gives one number; ``{{service}}``, ``{{stable}}``, ``{{canary}}`` and
    ``{{revision}}`` are filled in. None: nothing is asked."""

    every: Annotated[Duration, Field(ge=1.0, le=3600.0)] = 30.0
    """Time between two queries, 1s to 1h."""

    consecutive: Annotated[int, Field(ge=1, le=100)] = 3
    """Values above ``max`` in a row that fail the canary, 1 to 100."""

    @model_validator(mode="before")
    @classmethod
    def _read_max(cls, data: object) -> object:
        return read_max(data) if isinstance(data, Mapping) else data

    @field_validator("max", mode="before")
    @classmethod
    def _max_was_read(cls, value: object) -> object:
        if isinstance(value, QuantityMistake):
            raise mistake(value.message)
        return value

    @model_serializer(mode="wrap")
    def _write_max(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if self.max is not None:
            written["max"] = _write_max(self.metric, self.max)
        return written


class QuantityMistake:
    """Stands for a ``max`` that could not be read, until its field is validated."""

    def __init__(self, message: str) -> None:
        self.message = message


def _write_max(metric: str, limit: float) -> str | float:
    """Return a limit as a file writes it."""
    if metric == PROMETHEUS:
        return limit
    return (
        units.format_duration(limit) if metric in LATENCIES else write_fraction(limit)
    )


def read_max(data: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a raw SLO with its ``max`` in seconds, as a fraction, or as a number.

    An event has no ``max``; that it is there is for the checks to say.
    """
    read = dict(data)
    if "max" in read:
        try:
            read["max"] = _max_of(read.get("metric"), str(read["max"]))
        except ValueError as error:
            read["max"] = QuantityMistake(str(error))
    return read


def _max_of(metric: object, text: str) -> float:
    if metric not in METRICS:
        return 0.0
    if metric in LATENCIES:
        return units.parse_duration(text)
    if metric == PROMETHEUS:
        return units.parse_number(text)
    return round(units.parse_percent(text) / 100, 8)


def default_slos() -> tuple[SloSettings, ...]:
    """Return the SLOs of a rollout that names none: no slower, and few errors."""
    return (
        SloSettings(metric="latency", quantile=0.99, max_ratio=1.10),
        SloSettings.model_validate({"metric": "error_rate", "max": "1%"}),
    )
