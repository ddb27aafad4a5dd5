"""
Everything that a configuration file can say, as one tree of frozen values.

Attributes are named as the keys of the file. Durations are seconds, sizes are
bytes, percentages of SLOs and budgets are fractions; weights are percent. None
stands for ``off`` or ``auto`` where the docstring says so. The texts that stand
for addresses are checked and normalised; ``addresses`` takes them apart.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from proxy.settings.fields import (
    ListenText,
    Model,
    Network,
    OneOrMany,
    Text,
    whole_or_auto,
)
from proxy.settings.lifecycle import (
    BakeSettings,
    FreezeSettings,
    GateSettings,
    NotifySettings,
    RollbackSettings,
)
from proxy.settings.mirror import (
    CompareSettings,
    MirrorRouteSettings,
    MirrorSettings,
)
from proxy.settings.process import (
    AccessLogSettings,
    AdminSettings,
    DrainSettings,
    HealthSettings,
    LimitsSettings,
)
from proxy.settings.rollout import (
    ClientErrorGuardSettings,
    FailFastSettings,
    GuardsSettings,
    RolloutSettings,
    StepSettings,
)
from proxy.settings.service import (
    EventSettings,
    EventWhenSettings,
    HealthCheckSettings,
    MatchSettings,
    OverrideSettings,
    RetriesSettings,
    RevisionSettings,
    ServiceSettings,
    TimeoutsSettings,
    UnitSettings,
    VersionSettings,
)
from proxy.settings.slo import SloSettings
from proxy.settings.when import WhenSettings

WORKERS_MAX = 48
"""Rows for workers in the slab's header page."""

SERVICES_MAX = 1024
"""Service slots of the slab."""

LISTEN_MAX = 16
"""Addresses to listen on: every worker has a socket for each."""

NETWORKS_MAX = 1024
"""Trusted networks, compared one after another for each connection."""

__all__ = [
    "AccessLogSettings",
    "AdminSettings",
    "BakeSettings",
    "ClientErrorGuardSettings",
    "CompareSettings",
    "DrainSettings",
    "EventSettings",
    "EventWhenSettings",
    "FailFastSettings",
    "FreezeSettings",
    "GateSettings",
    "GuardsSettings",
    "HealthCheckSettings",
    "HealthSettings",
    "LimitsSettings",
    "MatchSettings",
    "MirrorRouteSettings",
    "MirrorSettings",
    "NotifySettings",
    "OverrideSettings",
    "RetriesSettings",
    "RevisionSettings",
    "RollbackSettings",
    "RolloutSettings",
    "ServiceSettings",
    "Settings",
    "SloSettings",
    "StepSettings",
    "TimeoutsSettings",
    "UnitSettings",
    "VersionSettings",
    "WhenSettings",
]


class Settings(Model):
    """One configuration file."""

    listen: Annotated[
        tuple[ListenText, ...],
        Field(min_length=1, max_length=LISTEN_MAX),
        BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
        OneOrMany(),
    ] = ("0.0.0.0:8080",)
    """Addresses that carry traffic: ``host:port``, ``[::]:8080`` or ``unix:/path``,
    one or a list. A change needs a restart."""

    workers: Annotated[int | None, *whole_or_auto(1, WORKERS_MAX)] = None
    """Number of worker processes, 1 to 48. ``auto``: one a core that the process may
    use, no more than its CPU quota. A change needs a restart."""

    admin: AdminSettings = Field(default_factory=AdminSettings)
    """The admin API and the dashboard. A change needs a restart."""

    health: HealthSettings = Field(default_factory=HealthSettings)
    """Probes and metrics. A change needs a restart."""

    state_dir: Text = ".headgate"
    """Directory of the embedded store. A change needs a restart."""

    access_log: AccessLogSettings = Field(default_factory=AccessLogSettings)
    """One line an exchange."""

    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    """What one worker accepts at most."""

    drain: DrainSettings = Field(default_factory=DrainSettings)
    """How the process tree ends after SIGTERM."""

    trusted_proxies: Annotated[tuple[Network, ...], Field(max_length=NETWORKS_MAX)] = ()
    """Networks whose ``X-Forwarded-*`` fields are believed."""

    services: Annotated[
        dict[str, ServiceSettings], Field(min_length=1, max_length=SERVICES_MAX)
    ]
    """The services by name, 1 to 1024."""
