"""
The types of single settings: what each accepts, holds, and is written as.

Every type reads the text of the file and what it once wrote itself into the
canonical document, holds a plain number or string, and describes itself to
JSON Schema. Relations between settings are ``checks``' business.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    WrapSerializer,
)
from pydantic_core import CoreSchema, PydanticCustomError

from proxy.settings import addresses, units

MISTAKE = "mistake"
"""The error type of ours; its message is shown as it is."""


class Model(BaseModel):
    """
    Base of every group of settings: frozen, and unknown keys are mistakes.

    ``defer_build`` leaves the validators to the root, which builds them once.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        # `from` is a key of the file and no name in Python.
        serialize_by_alias=True,
    )


def mistake(message: str) -> PydanticCustomError:
    """Return the error that pydantic reports with ``message`` at its place."""
    return PydanticCustomError(MISTAKE, "{message}", {"message": message})


def _reader(read: Callable[[str], Any], expected: str) -> BeforeValidator:
    """Make a validator of a function that reads a text or raises ValueError."""

    def validate(value: object) -> object:
        if isinstance(value, bool | dict | list | tuple) or value is None:
            raise mistake(f"expected {expected}")
        try:
            return read(str(value))
        except ValueError as error:
            raise mistake(str(error)) from None

    return BeforeValidator(validate)


def _or_off(read: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: None if text == units.OFF else read(text)


def _writer(write: Callable[[Any], str], absent: str = units.OFF) -> PlainSerializer:
    return PlainSerializer(
        lambda value: absent if value is None else write(value), return_type=str
    )


_DURATION_PATTERN = r"^([0-9]*\.?[0-9]+(us|ms|s|m|h|d))+$"
_SIZE_PATTERN = r"^[0-9]*\.?[0-9]+ ?(B|[KMG]B|[KMGT]iB)$"
_PERCENT_PATTERN = r"^[0-9]*\.?[0-9]+ ?%$"
VARIABLE_PATTERN = r"\$[A-Za-z_{]"
"""A text that takes its value from the environment."""


def _text_schema(pattern: str, *, off: bool = False) -> dict[str, object]:
    """Describe a text; a variable's name may stand for any of it."""
    off_pattern = ["^off$"] if off else []
    patterns = "|".join([pattern, *off_pattern, VARIABLE_PATTERN])
    return {"type": "string", "pattern": patterns}


def _number_schema(**bounds: object) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [{"type": "number", **bounds}, _text_schema(_PERCENT_PATTERN)]}
    )


Duration = Annotated[
    float,
    _reader(units.parse_duration, "a duration such as 250ms, 60s or 30m"),
    _writer(units.format_duration),
    WithJsonSchema(_text_schema(_DURATION_PATTERN)),
]
"""Seconds, exact to the microsecond."""

DurationOrOff = Annotated[
    float | None,
    _reader(_or_off(units.parse_duration), "a duration such as 60s, or off"),
    _writer(units.format_duration),
    WithJsonSchema(_text_schema(_DURATION_PATTERN, off=True)),
]
"""Seconds; None: no limit (``off``)."""

Size = Annotated[
    int,
    _reader(units.parse_size, "a size such as 64KiB"),
    _writer(units.format_size),
    WithJsonSchema(_text_schema(_SIZE_PATTERN)),
]
"""Bytes."""

SizeOrOff = Annotated[
    int | None,
    _reader(_or_off(units.parse_size), "a size such as 64KiB, or off"),
    _writer(units.format_size),
    WithJsonSchema(_text_schema(_SIZE_PATTERN, off=True)),
]
"""Bytes; None: no limit (``off``)."""


def _percent(text: str) -> float:
    return units.parse_percent(text, plain=True)


def _weight(text: str) -> float:
    percent = _percent(text)
    if round(percent, 3) != percent:
        raise ValueError(f"{text} is finer than 0.001%")
    return percent


def _written_number(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _fraction(text: str) -> float:
    return _exact_fraction(units.parse_percent(text))


def _exact_fraction(percent: float) -> float:
    return round(percent / 100, units.PERCENT_DIGITS + 2)


def _share(text: str) -> float:
    if text.endswith("%"):
        return _fraction(text)
    if not units.is_plain_number(text) or not 0 <= float(text) <= 1:
        raise ValueError(f"{units.quote(text)} is not a share from 0.0 to 1.0")
    return float(text)


def write_fraction(fraction: float) -> str:
    """Return the text of a fraction as a percentage: 0.01 is ``1%``."""
    return units.format_percent(fraction * 100)


Percent = Annotated[
    float,
    _reader(_percent, "a percentage such as 5"),
    PlainSerializer(_written_number),
    _number_schema(minimum=0, maximum=100),
]
"""Percent, 0 to 100; written with or without ``%``."""

Weight = Annotated[
    float,
    _reader(_weight, "a percentage such as 5"),
    PlainSerializer(_written_number),
    _number_schema(minimum=0, maximum=100),
]
"""Percent of the live traffic, 0 to 100 in steps of 0.001; ``%`` may be left out."""

Fraction = Annotated[
    float,
    _reader(_fraction, "a percentage such as 5%"),
    _writer(write_fraction),
    WithJsonSchema(_text_schema(_PERCENT_PATTERN)),
]
"""A fraction, 0 to 1, written as a percentage: ``5%`` is 0.05."""

Share = Annotated[
    float,
    _reader(_share, "a share from 0.0 to 1.0"),
    _number_schema(minimum=0, maximum=1),
]
"""A fraction, 0 to 1, written as it is (or as a percentage)."""


class OneOrMany:
    """Says in JSON Schema that a list of one may be written as its only item."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the list's schema beside that of its items."""
        schema = handler(core_schema)
        return {"anyOf": [schema["items"], schema]}


class OffSchema:
    """Says in JSON Schema that ``off`` takes the place of a group."""

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the group's schema with ``off`` in the place of null."""
        schema = handler(core_schema)
        schema["anyOf"] = [
            {"const": units.OFF} if part == {"type": "null"} else part
            for part in schema["anyOf"]
        ]
        return schema


OrOff = (
    BeforeValidator(lambda value: None if value in (units.OFF, False) else value),
    WrapSerializer(lambda value, write: units.OFF if value is None else write(value)),
    OffSchema(),
)
"""Metadata of a group that can be switched off: ``Annotated[Group | None, *OrOff]``."""


def whole_or_auto(lowest: int, highest: int) -> tuple[object, ...]:
    """Return the metadata of a whole number that may be ``auto`` (None)."""
    return (
        Field(ge=lowest, le=highest),
        BeforeValidator(lambda value: None if value == "auto" else value),
        PlainSerializer(lambda value: "auto" if value is None else value),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "integer", "minimum": lowest, "maximum": highest},
                    {"type": "string", "pattern": rf"^auto$|{VARIABLE_PATTERN}"},
                ]
            }
        ),
    )


def _checked(accepts: Callable[[str], bool], expected: str) -> AfterValidator:
    def validate(text: str) -> str:
        if not accepts(text):
            raise mistake(f"{units.quote(text)} is not {expected}")
        return text

    return AfterValidator(validate)


def _normalised(read: Callable[[str], object]) -> AfterValidator:
    def validate(text: str) -> str:
        try:
            return str(read(text))
        except ValueError as error:
            raise mistake(str(error)) from None

    return AfterValidator(validate)


def _cleaned_host(text: str) -> str:
    if not addresses.is_host_name(text):
        raise ValueError(
            f"{units.quote(text)} is not a host name such as shop.example.com, "
            "without a port"
        )
    return text.lower()


TEXT_CHARS_MAX = 1024
"""Longer than any name, path or address that makes sense."""

Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARS_MAX)]
ListenText = Annotated[Text, _normalised(addresses.parse_listen)]
EndpointText = Annotated[Text, _normalised(addresses.parse_endpoint)]
Network = Annotated[Text, _normalised(addresses.parse_network)]
RouteText = Annotated[
    Text, _normalised(lambda text: " ".join(addresses.parse_route(text)))
]
HostText = Annotated[Text, _normalised(_cleaned_host)]
Path = Annotated[Text, _checked(addresses.is_path, "a path such as /checkout")]
HeaderName = Annotated[
    Text,
    AfterValidator(str.lower),
    _checked(addresses.is_token, "a header's name"),
]
CookieName = Annotated[Text, _checked(addresses.is_token, "a cookie's name")]
Method = Annotated[
    Text,
    AfterValidator(str.upper),
    _checked(addresses.is_token, "a method such as GET"),
]
