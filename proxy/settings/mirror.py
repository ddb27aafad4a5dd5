"""
The settings of copies, and of comparing their answers.

Paths into answers are those of ``proxy.parallel.paths``: ``$.items[].price``,
``$..updated_at``, ``$.prices.*``; in ``ignore`` and ``skip`` also
``header:etag``.
"""

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from proxy.parallel.paths import is_header_path, parse_pattern
from proxy.settings.fields import (
    Duration,
    Fraction,
    HeaderName,
    Method,
    Model,
    Percent,
    RouteText,
    Size,
    Text,
    mistake,
)

RULES_MAX = 64
"""Entries of each kind of rule: every path is matched against all of them."""

FORM_CHARS_MAX = 512
EXAMPLES_MAX = 20
FORMS = ("uuid", "timestamp")
KEYED = re.compile(r"key:[A-Za-z_@$][A-Za-z0-9_.@$-]*")


def _pattern(text: str) -> str:
    try:
        return parse_pattern(text).text
    except ValueError as error:
        raise mistake(str(error)) from None


def _pattern_or_header(text: str) -> str:
    return text.lower() if is_header_path(text) else _pattern(text)


def _order(text: str) -> str:
    if text in ("exact", "multiset") or KEYED.fullmatch(text):
        return text
    raise mistake(f'"{text[:64]}" is not exact, multiset or key:FIELD')


def _form(text: str) -> str:
    if text not in FORMS:
        try:
            re.compile(text)
        except re.error as error:
            raise mistake(
                f'"{text[:64]}" is not uuid, timestamp or a regular expression: {error}'
            ) from None
    return text


JsonPath = Annotated[Text, AfterValidator(_pattern)]
AnswerPath = Annotated[Text, AfterValidator(_pattern_or_header)]
Order = Annotated[
    Text,
    AfterValidator(_order),
    WithJsonSchema({"type": "string", "pattern": r"^exact$|^multiset$|^key:|\$"}),
]
Form = Annotated[
    str, Field(min_length=1, max_length=FORM_CHARS_MAX), AfterValidator(_form)
]


class FormSettings(Model):
    """What both sides must look like; a plain text in the file is the form."""

    form: Form
    """``uuid``, ``timestamp`` (ISO 8601, or seconds, milliseconds, microseconds
    since 1970), or a regular expression for the whole value."""

    skew: Duration | None = None
    """How far two timestamps may lie apart. None: any two will do."""

    @model_validator(mode="before")
    @classmethod
    def _text_is_the_form(cls, data: object) -> object:
        return {"form": data} if isinstance(data, str) else data


class ToleranceSettings(Model):
    """How far two numbers may differ; a plain number in the file is ``abs``."""

    abs: Annotated[float, Field(ge=0)] = 0.0
    """Absolute difference that is none."""

    rel: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Difference as a share of the larger number that is none, 0 to 1."""

    @model_validator(mode="before")
    @classmethod
    def _number_is_absolute(cls, data: object) -> object:
        plain = isinstance(data, str | int | float) and not isinstance(data, bool)
        return {"abs": data} if plain else data


class CompareSettings(Model):
    """How the candidate's answers are compared with stable's."""

    noise_sample: Fraction = 0.2
    """Share of the copies of safe requests for which stable is asked a second time,
    beside the candidate: how it differs from itself is noise."""

    ignore: Annotated[tuple[AnswerPath, ...], Field(max_length=RULES_MAX)] = ()
    """Values that may differ; that they are there, and their type, is still checked."""

    skip: Annotated[tuple[AnswerPath, ...], Field(max_length=RULES_MAX)] = ()
    """What is not looked at at all, with everything below it."""

    match: Annotated[dict[JsonPath, FormSettings], Field(max_length=RULES_MAX)] = Field(
        default_factory=dict
    )
    """Values that may differ as long as both have the form, by path."""

    tolerance: Annotated[
        dict[JsonPath, ToleranceSettings], Field(max_length=RULES_MAX)
    ] = Field(default_factory=dict)
    """How far numbers may differ, by path."""

    order: Annotated[dict[JsonPath, Order], Field(max_length=RULES_MAX)] = Field(
        default_factory=dict
    )
    """Arrays by path: ``exact``, ``multiset`` (any order), or ``key:FIELD``, whose
    items belong together when they have the same value there."""

    headers: Annotated[tuple[HeaderName, ...], Field(max_length=RULES_MAX)] = ()
    """Fields of answers that are compared beside the usual ones: content-type and
    -language, location, cache-control, vary, allow, www-authenticate, the presence of
    etag, the names of cookies."""

    status: Literal["exact", "class"] = "exact"
    """Whether 200 and 201 are the same: ``exact`` they are not, ``class`` they are."""

    extra_fields: Literal["forbid", "allow"] = "forbid"
    """Whether the candidate may add members to objects."""

    null_equals_missing: bool = False
    """Whether a member that is null is the same as one that is not there."""

    values: Literal["off", "hashed", "plain"] = "hashed"
    """What examples keep of values that differ: ``off`` their types, ``hashed`` also
    a keyed digest, ``plain`` the values. Credentials are never kept."""

    redact: Annotated[tuple[JsonPath, ...], Field(max_length=RULES_MAX)] = ()
    """Paths whose values are never kept, with everything below them."""

    examples: Annotated[int, Field(ge=0, le=EXAMPLES_MAX)] = 5
    """Examples kept of each field that differs: so many of the first and so many of
    the latest, 0 to 20."""

    ttl: Annotated[Duration, Field(gt=0)] = 604_800.0
    """How long examples are kept."""


class MirrorRouteSettings(Model):
    """One route that is copied although it writes, or not although it reads."""

    route: RouteText
    """Method and path, such as ``POST /quote`` or ``GET /users/{id}/export``."""

    unsafe: Text | None = None
    """Why it is safe to send such a request twice; it is copied then, and stable is
    never asked a second time. None: only safe methods are copied."""

    never: bool = False
    """Whether requests of this route are never copied."""


class MirrorSettings(Model):
    """A copy of live requests for another version."""

    to: Text
    """The version that receives the copies."""

    percent: Percent = 100.0
    """Percent of the eligible requests that are copied, always those of the same
    units."""

    during: Literal["before", "always"] = "before"
    """``before``: while the canary has no live weight; ``always``: all the time, and
    what the canary serves is copied to stable."""

    methods: tuple[Method, ...] = ("GET", "HEAD", "OPTIONS")
    """Methods of requests that are copied; only safe ones."""

    routes: Annotated[tuple[MirrorRouteSettings, ...], Field(max_length=RULES_MAX)] = ()
    """Exceptions: routes that are copied whatever their method, or never."""

    max_request_body: Size = 64 * 1024
    """Size of the largest request body that is copied."""

    timeout: Annotated[Duration, Field(gt=0)] = 5.0
    """How long a copy may take."""

    max_inflight: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Copies that one worker has in flight at most, 1 to 100000."""

    compare: CompareSettings | None = None
    """Compare the answers. None: they are counted and dropped."""
