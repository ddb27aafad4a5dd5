"""The settings of a rollout: its steps, and what happens in between."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from proxy.settings.fields import (
    Duration,
    DurationOrOff,
    Fraction,
    Model,
    OrOff,
    Text,
    Weight,
    whole_or_auto,
)
from proxy.settings.lifecycle import (
    BakeSettings,
    FreezeSettings,
    GateSettings,
    NotifySettings,
    RollbackSettings,
)
from proxy.settings.slo import SloSettings, default_slos
from proxy.settings.when import WhenSettings

ENTRIES_MAX = 32
"""Gates, addressees or freeze windows of one rollout."""

STEPS_MAX = 100
"""Steps of a rollout; one a percent is more than anyone waits for."""

SLOS_MAX = 64
"""SLOs of a rollout: each more makes every one of them slower to decide."""

REQUESTS_MAX = 1_000_000_000
"""More evidence than a step ever gathers."""

FULL_PERCENT = 100.0


class StepSettings(Model):
    """One step; a plain number in the file is its weight."""

    weight: Weight
    """The canary's share of the live traffic in percent, or of the ring's."""

    only: WhenSettings | None = None
    """The ring: the requests that the weight is meant for; they keep the canary in the
    steps after it. None: all requests."""

    min_duration: Duration | None = None
    """Shortest time of this step. None: the rollout's."""

    max_duration: Annotated[Duration, Field(gt=0)] | None = None
    """Longest time of this step without a verdict. None: the rollout's."""

    min_requests: Annotated[int, Field(ge=1, le=REQUESTS_MAX)] | None = None
    """Canary evidence that this step needs, in requests. None: the rollout's."""

    pause: bool = False
    """Whether the step waits for a person once it has passed."""

    gate: GateSettings | None = None
    """Who must agree before the step after this one. None: nobody."""

    slos: Annotated[tuple[SloSettings, ...], Field(max_length=SLOS_MAX)] | None = None
    """The limits in this step. None: the rollout's."""

    @model_validator(mode="before")
    @classmethod
    def _number_is_the_weight(cls, data: object) -> object:
        plain = isinstance(data, str | int | float) and not isinstance(data, bool)
        return {"weight": data} if plain else data


class FailFastSettings(Model):
    """What drops the canary at once, without statistics."""

    consecutive_connect_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failures to connect in a row, 1 to 1000."""

    error_rate: Fraction = 0.5
    """Share of errors among the last ``requests``."""

    requests: Annotated[int, Field(ge=20, le=1000)] = 20
    """Number of the canary's last requests that are looked at, 20 to 1000."""


class ClientErrorGuardSettings(Model):
    """Answers 4xx, which are no errors but should not become more."""

    max_delta: Fraction = 0.02
    """Points above stable."""


class GuardsSettings(Model):
    """What is judged without being named."""

    client_error_rate: Annotated[ClientErrorGuardSettings | None, *OrOff] = Field(
        default_factory=ClientErrorGuardSettings
    )
    """A canary that answers 404 to everyone is not healthy. ``off``: not judged."""


def default_steps() -> tuple[StepSettings, ...]:
    """Return the steps of a rollout that names none: 20, 40, 60, 80, 100."""
    return tuple(StepSettings(weight=float(weight)) for weight in range(20, 101, 20))


def blue_green_steps(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a raw rollout whose ``blue_green`` has its only step."""
    if data.get("strategy") == "blue_green" and "steps" not in data:
        return {**data, "steps": [{"weight": FULL_PERCENT}]}
    return dict(data)


class RolloutSettings(Model):
    """How a revision of the canary goes from 0 to 100 %."""

    stable: Text
    """The version that serves users now. Absent: ``stable``, else the first."""

    canary: Text
    """The version that is released. Absent: ``canary``, else the next."""

    start: Literal["auto", "manual"] = "auto"
    """``auto``: when a new revision of the canary is seen, healthy and never judged;
    ``manual``: by command only."""

    strategy: Literal["canary", "blue_green", "parallel"] = "canary"
    """How the traffic moves: ``canary``, by weights; ``blue_green``, all at once after
    a preview without live traffic; ``parallel``, by weights once the parallel run of
    ``mirror.compare`` has found the canary equivalent."""

    steps: Annotated[
        tuple[StepSettings, ...], Field(min_length=1, max_length=STEPS_MAX)
    ] = Field(default_factory=default_steps)
    """The canary's weights, increasing; promotion (100) is the last and may be left
    out. A number, or a mapping with ``weight``. With ``blue_green`` there is only
    100, and what it says besides is about the preview."""

    min_duration: Duration = 60.0
    """Shortest time of each step, warm-up included."""

    max_duration: Annotated[Duration, Field(gt=0)] = 1800.0
    """Longest time of each step without a verdict; then ``on_undecided``."""

    min_requests: Annotated[int | None, *whole_or_auto(1, REQUESTS_MAX)] = None
    """Canary evidence of each step, in requests. ``auto``: from the SLOs, 299 for
    99 %, 2995 for 99.9 %."""

    deadline: DurationOrOff = None
    """Longest time of the whole rollout. ``off``: no limit."""

    on_undecided: Literal["hold", "promote", "rollback"] = "hold"
    """What follows ``max_duration``: ``hold`` the weights and go on judging,
    ``promote`` or ``rollback``."""

    on_no_traffic: Literal["hold", "rollback"] = "hold"
    """What follows 5 minutes without requests: ``hold`` the weights and tell, or
    ``rollback``."""

    progress_deadline: DurationOrOff = 600.0
    """Longest time without a healthy endpoint of the canary; then a rollout is rolled
    back, and a start is told to be late. ``off``: for ever."""

    rollback: RollbackSettings = Field(default_factory=RollbackSettings)
    """How a violated SLO takes the canary to 0: ``instant``, ``gradual``, or both keys
    of the mapping."""

    rollback_window: Annotated[int, Field(ge=0, le=10)] = 0
    """A person who starts one of the last so many stable revisions again skips the
    steps, 0 to 10."""

    slos: Annotated[tuple[SloSettings, ...], Field(max_length=SLOS_MAX)] = Field(
        default_factory=default_slos
    )
    """The limits, all of which must hold. Absent: p99 latency at most 10 % above
    stable, and at most 1 % errors. An empty list leaves guards and fail-fast."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Chance that a canary no worse than stable is rolled back, over the whole
    rollout, however often it is looked at; above 0 and below 0.5."""

    alpha_tolerance: Annotated[float, Field(gt=0, lt=0.5)] = 0.10
    """The same chance for a canary that is worse, but within the limits."""

    warmup: Duration = 20.0
    """How long only gross faults count, while the canary's caches are cold."""

    safety: Literal["off", "accelerate", "require"] = "off"
    """Whether a step ends early on proof that it does no harm (``accelerate``), or
    only then (``require``)."""

    fail_fast: Annotated[FailFastSettings | None, *OrOff] = Field(
        default_factory=FailFastSettings
    )
    """What drops the canary at once. ``off``: nothing does."""

    guards: GuardsSettings = Field(default_factory=GuardsSettings)
    """What is judged without being named."""

    bake: BakeSettings | None = None
    """After 100 % the old version stays as control for a while. None: it does not."""

    after: Literal["swap", "return"] = "swap"
    """After success: ``swap`` the roles, or ``return`` the traffic to stable once it
    reports the winner's revision."""

    gates: Annotated[tuple[GateSettings, ...], Field(max_length=ENTRIES_MAX)] = ()
    """Who must agree, is asked all along, or is told; 32 at most."""

    notify: Annotated[tuple[NotifySettings, ...], Field(max_length=ENTRIES_MAX)] = ()
    """Who is told what happens, 32 at most."""

    freeze: Annotated[tuple[FreezeSettings, ...], Field(max_length=ENTRIES_MAX)] = ()
    """When nothing rises, starts or is promoted, 32 at most."""

    @model_validator(mode="before")
    @classmethod
    def _blue_green_has_one_step(cls, data: object) -> object:
        return blue_green_steps(data) if isinstance(data, Mapping) else data

    @field_validator("steps", mode="after")
    @classmethod
    def _promotion_comes_last(
        cls, steps: tuple[StepSettings, ...]
    ) -> tuple[StepSettings, ...]:
        if steps[-1].weight < FULL_PERCENT or steps[-1].only is not None:
            return (*steps, StepSettings(weight=FULL_PERCENT))
        return steps
