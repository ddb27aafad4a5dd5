"""
The settings of one service: its versions, and how requests reach them.

Roles and shares that the file leaves out are filled in here, so that readers
of the settings never guess: ``split`` always names every version, and a
``rollout`` always names its roles.
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
    model_serializer,
    model_validator,
)

from proxy.settings.fields import (
    CookieName,
    Duration,
    DurationOrOff,
    EndpointText,
    Fraction,
    HeaderName,
    HostText,
    Model,
    OneOrMany,
    Path,
    RouteText,
    Text,
    Weight,
    mistake,
)
from proxy.settings.mirror import MirrorSettings
from proxy.settings.rollout import RolloutSettings
from proxy.settings.slo import StatusCodes
from proxy.settings.when import WhenSettings

ROUTES_MAX = 32
"""Routes of a service; the contract's figure, and the slab's."""

ENDPOINTS_MAX = 256
"""Endpoints of a version: a pool each in every worker."""

ENTRIES_MAX = 256
"""Matches, overrides or units of a service, tried one after another."""


EVENTS_MAX = 12
"""Events of a service: half of a cell's words for them, so that a reload can
replace every one."""


class MatchSettings(Model):
    """Which requests belong to the service; everything named must hold."""

    host: HostText | None = None
    """Host without port, compared whole and without case. None: any host."""

    path_prefix: Path | None = None
    """Start of the path, by whole segments. None: any path."""


class RevisionSettings(Model):
    """How the revision of a version is known; exactly one of the three is set."""

    value: Text | None = None
    """The revision itself, as written in the file. None: it is seen or polled."""

    header: HeaderName | None = None
    """Field of the version's answers that carries its revision. None: not seen."""

    path: Path | None = None
    """Path that answers with the revision when it is polled. None: not polled."""

    @model_validator(mode="before")
    @classmethod
    def _text_is_the_value(cls, data: object) -> object:
        return {"value": data} if isinstance(data, str | int | float) else data

    @model_serializer(mode="wrap")
    def _value_is_a_text(self, write: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401
        return write(self) if self.value is None else self.value


class VersionSettings(Model):
    """One deployment of the service."""

    endpoints: Annotated[
        tuple[EndpointText, ...], Field(min_length=1, max_length=ENDPOINTS_MAX)
    ]
    """Where the version answers: ``http://host:port`` or ``unix:/path``, 1 to 256."""

    revision: RevisionSettings | None = None
    """What is deployed: a text, ``{header: …}`` seen in answers or ``{path: …}``
    polled. None: unknown, so that ``start: auto`` cannot see a change."""


class HealthCheckSettings(Model):
    """Active checks of every endpoint of the service."""

    path: Path
    """Path that answers 2xx or 3xx while the endpoint is healthy."""

    interval: Annotated[Duration, Field(ge=0.1)] = 10.0
    """Time between two checks of one endpoint, at least 100ms."""

    rise: Annotated[int, Field(ge=1, le=100)] = 2
    """Good checks in a row that make an endpoint healthy, 1 to 100."""

    fall: Annotated[int, Field(ge=1, le=100)] = 3
    """Bad checks in a row that make an endpoint unhealthy, 1 to 100."""


class UnitSettings(Model):
    """One place to look for the unit; exactly one of the three is set."""

    header: HeaderName | None = None
    """Request field that holds the unit. None: not looked at."""

    cookie: CookieName | None = None
    """Cookie that holds the unit. None: not looked at."""

    issue: bool = False
    """Whether a request without the cookie is given one with a random id."""

    max_age: Annotated[Duration, Field(ge=1.0)] = 86_400.0
    """How long an issued cookie lives, at least 1s."""

    client_address: bool = False
    """Whether the client's address is the unit."""


class EventWhenSettings(WhenSettings):
    """A condition on a request and its answer; everything named must hold."""

    status: Annotated[
        tuple[StatusCodes, ...],
        Field(min_length=1, max_length=ENTRIES_MAX),
        BeforeValidator(
            lambda value: value if isinstance(value, list | tuple) else (value,)
        ),
        OneOrMany(),
    ] = ("2xx",)
    """Statuses of the answer, such as ``2xx`` or 201: one, or a list of which any."""


class EventSettings(Model):
    """A business event, counted for the version that answered."""

    when: EventWhenSettings | None = None
    """The requests and answers that are one. None: it is only pushed by the API."""


class OverrideSettings(Model):
    """Who always sees a version, beside any weight."""

    when: WhenSettings
    """The requests that are meant."""

    version: Text
    """The version that they get."""


class TimeoutsSettings(Model):
    """How long each part of an exchange may take."""

    connect: Annotated[Duration, Field(gt=0)] = 1.0
    """A new connection to an endpoint."""

    attempt: DurationOrOff = 5.0
    """The first byte of an answer, of an attempt that may be tried again: of an
    idempotent method. ``off``: only ``first_byte`` limits it."""

    first_byte: DurationOrOff = 15.0
    """The first byte of an answer, all attempts together. ``off``: no limit."""

    request: DurationOrOff = None
    """The whole exchange. ``off``: no limit."""

    head: Annotated[Duration, Field(gt=0)] = 10.0
    """A client's request head, from its first byte."""

    stream_idle: DurationOrOff = 60.0
    """Silence of a body in transfer, either way. ``off``: no limit."""

    send: DurationOrOff = 60.0
    """A client that takes nothing of what it is sent. ``off``: no limit."""

    keepalive: Annotated[Duration, Field(gt=0)] = 75.0
    """An idle client connection between two requests."""

    upstream_keepalive: Annotated[Duration, Field(gt=0)] = 4.0
    """An idle pooled connection to an endpoint; below the 5 s after which common
    servers close theirs."""

    tunnel: DurationOrOff = 3600.0
    """Silence of an upgraded connection (WebSocket). ``off``: no limit."""


def _known_condition(text: str) -> str:
    if text in ("connect_failure", "reset"):
        return text
    if re.fullmatch(r"5[0-9][0-9]", text, re.ASCII):
        return text
    raise mistake(
        f'"{text[:64]}" is not connect_failure, reset or a status such as 503'
    )


RetryCondition = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    AfterValidator(_known_condition),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["connect_failure", "reset"]},
                {"type": "integer", "minimum": 500, "maximum": 599},
                {"type": "string", "pattern": "^5[0-9][0-9]$"},
            ]
        }
    ),
]


class RetriesSettings(Model):
    """Second attempts of idempotent requests."""

    attempts: Annotated[int, Field(ge=0, le=10)] = 1
    """Attempts after the first one, 0 to 10."""

    on: tuple[RetryCondition, ...] = ("connect_failure", "reset", "502", "503", "504")
    """What makes an attempt worth another: ``connect_failure``, ``reset`` or a 5xx
    status."""

    budget: Fraction = 0.2
    """Share of the requests that may be further attempts, beside ten a second."""

    shield: bool = True
    """Whether a failed attempt at the canary is sent once to stable, so that users
    do not see the canary's failures."""


class ServiceSettings(Model):
    """One logical API and the versions behind it."""

    match: Annotated[tuple[MatchSettings, ...], Field(max_length=ENTRIES_MAX)] = ()
    """The requests that belong to the service, any of these. Absent: every one."""

    versions: Annotated[dict[str, VersionSettings], Field(min_length=1)]
    """The versions by name, 1 to 15."""

    split: dict[str, Weight] = Field(default_factory=dict)
    """Live share of each version in percent, 100 together. Absent: the first
    version gets everything; a version that is not named gets nothing."""

    health_check: HealthCheckSettings | None = None
    """Active checks. None: healthy means that a TCP connection succeeds."""

    unit: Annotated[tuple[UnitSettings, ...], Field(max_length=ENTRIES_MAX)] = ()
    """Where the unit of a request is looked for; the first that is present wins.
    Absent: every request is assigned by chance."""

    salt: Text | None = None
    """Salt of the unit's bucket. None: the canary's revision, else the service's
    name."""

    response_headers: bool = True
    """Whether answers carry ``x-headgate-version``."""

    overrides: Annotated[
        tuple[OverrideSettings, ...], Field(max_length=ENTRIES_MAX)
    ] = ()
    """Requests that always get a version, beside any weight; the first wins."""

    routes: Annotated[tuple[RouteText, ...], Field(max_length=ROUTES_MAX)] = ()
    """Routes that are judged and shown on their own too, such as
    ``GET /orders/{id}``; at most 32."""

    events: Annotated[dict[str, EventSettings], Field(max_length=EVENTS_MAX)] = Field(
        default_factory=dict
    )
    """Business events by name, such as orders, counted per version; at most 12."""

    host: Text = "preserve"
    """``Host`` sent upstream: ``preserve`` the client's, the ``endpoint``'s, or a
    literal."""

    timeouts: TimeoutsSettings = Field(default_factory=TimeoutsSettings)
    """How long each part of an exchange may take."""

    retries: RetriesSettings = Field(default_factory=RetriesSettings)
    """Second attempts of idempotent requests."""

    mirror: MirrorSettings | None = None
    """A copy of live requests. None: nothing is mirrored."""

    rollout: RolloutSettings | None = None
    """How a new revision is released. None: weights change by hand only."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: object) -> object:
        return fill_in(data) if isinstance(data, Mapping) else data

    @property
    def roles(self) -> tuple[str, str | None]:
        """Stable and canary; a service with one version has no canary."""
        if self.rollout is not None:
            return self.rollout.stable, self.rollout.canary
        stable, canary = likely_roles(self.versions)
        return stable or next(iter(self.versions)), canary


def fill_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service's raw mapping with its whole split and the roles named."""
    versions = data.get("versions")
    if not isinstance(versions, Mapping) or not versions:
        return dict(data)
    filled = dict(data)
    split = filled.setdefault("split", {next(iter(versions)): 100})
    if isinstance(split, Mapping):
        missing = {name: 0 for name in versions if name not in split}
        filled["split"] = {**split, **missing}
    if isinstance(filled.get("rollout"), Mapping):
        stable, canary = likely_roles(versions, **_named_roles(filled["rollout"]))
        roles = {"stable": stable, "canary": canary}
        rollout = {name: role for name, role in roles.items() if role is not None}
        filled["rollout"] = {**rollout, **filled["rollout"]}
    return filled


def _named_roles(rollout: Mapping[str, Any]) -> dict[str, str]:
    return {
        role: rollout[role]
        for role in ("stable", "canary")
        if isinstance(rollout.get(role), str)
    }


def likely_roles(
    versions: Mapping[str, object],
    stable: str | None = None,
    canary: str | None = None,
) -> tuple[str | None, str | None]:
    """
    Return who is stable and who is canary, by name or else by order.

    A role that is given stays as it is. None: there is no version left for it.
    """
    names = list(versions)
    if stable is None:
        rest = [name for name in names if name not in (canary, "canary")]
        rest += [name for name in names if name != canary]
        stable = "stable" if "stable" in rest else next(iter(rest), None)
    if canary is None:
        rest = [name for name in names if name != stable]
        canary = "canary" if "canary" in rest else next(iter(rest), None)
    return stable, canary
