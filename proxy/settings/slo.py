"""
The settings of one SLO: what is measured, and its limit.

``max`` is seconds for a latency and a fraction for a rate; which of the two a
text must be follows from the metric.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

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

from proxy.settings import units
from proxy.settings.fields import (
    Fraction,
    Model,
    Text,
    mistake,
    write_fraction,
)

QUANTILE_MAX = 0.9999
"""A higher quantile needs more than 30 000 requests of each arm to be seen."""

LATENCIES = ("latency", "ttfb")
Metric = Literal["latency", "ttfb", "error_rate", "mismatch_rate", "latency_ratio"]
METRICS = get_args(Metric)
RESERVED_METRICS = frozenset({*METRICS, "client_error_rate", "prometheus"})
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

    later: ClassVar[frozenset[str]] = frozenset(
        {"windows", "min_ratio", "url", "query", "every", "consecutive"}
    )
    later_values: ClassVar[Mapping[str, frozenset[str]]] = {
        "metric": frozenset({"prometheus"})
    }

    metric: Metric
    """What is measured: ``latency`` and ``ttfb`` of answers that did not fail,
    ``error_rate``; of a parallel run, ``mismatch_rate``, the share of pairs of answers
    that differ beyond the noise, and ``latency_ratio``, the median of the candidate's
    latency over stable's to the same request."""

    quantile: Annotated[float, Field(gt=0, le=QUANTILE_MAX)] | None = None
    """The quantile of a latency, such as 0.99. None: the metric is a rate."""

    max: (
        Annotated[
            float,
            WithJsonSchema({"type": "string", "pattern": r"^[0-9.]+ ?(%|[a-z]+)|\$"}),
        ]
        | None
    ) = None
    """Absolute limit: a duration for a latency, a percentage for a rate; beside a
    limit against stable, both must hold. None: no absolute limit."""

    max_ratio: Annotated[float, Field(ge=1, le=1000)] | None = None
    """Limit as a multiple of stable, 1.0 to 1000.0; 1.10 is 10 % above stable. None:
    no such limit, or with ``max_delta`` the multiple 1."""

    max_delta: Fraction | None = None
    """Limit in points above stable (times ``max_ratio``), of a rate. None: no such
    limit, or with ``max_ratio`` 0 points."""

    codes: tuple[StatusCodes, ...] = ("5xx",)
    """Statuses that count as errors, beside failures of the upstream."""

    route: Text | None = None
    """One of the service's routes, or ``each`` of them. None: all requests
    together."""

    only: bool = False
    """Whether a latency's ratio is judged at its own quantile only, and not at p50
    and p90 too."""

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
            latency = self.metric in LATENCIES
            to_text = units.format_duration if latency else write_fraction
            written["max"] = to_text(self.max)
        return written


class QuantityMistake:
    """Stands for a ``max`` that could not be read, until its field is validated."""

    def __init__(self, message: str) -> None:
        self.message = message


def read_max(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a raw SLO with its ``max`` in seconds or as a fraction."""
    read = dict(data)
    if "max" in read and read.get("metric") not in METRICS:
        del read["max"]
    if "max" in read:
        latency = read["metric"] in LATENCIES
        try:
            if latency:
                read["max"] = units.parse_duration(str(read["max"]))
            else:
                read["max"] = round(units.parse_percent(str(read["max"])) / 100, 8)
        except ValueError as error:
            read["max"] = QuantityMistake(str(error))
    return read


def default_slos() -> tuple[SloSettings, ...]:
    """Return the SLOs of a rollout that names none: no slower, and few errors."""
    return (
        SloSettings(metric="latency", quantile=0.99, max_ratio=1.10),
        SloSettings.model_validate({"metric": "error_rate", "max": "1%"}),
    )
