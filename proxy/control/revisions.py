"""
Revisions that are asked for: ``{path: …}``, or a field of health answers.

A version without live traffic shows its ``{header: …}`` in no answer but those
to a ``health_check``. Every endpoint of the version is asked; only when all
that answer say the same is it the version's revision, so a deployment that is
under way is not taken for the next one. A poll that fails is tried again with
back-off and changes nothing. Literal revisions come with the settings, those
in live answers from the workers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from proxy.control import client
from proxy.control.tasks import Tasks
from proxy.settings.schema import (
    HealthCheckSettings,
    ServiceSettings,
    VersionSettings,
)

POLL_S = 5.0
"""Between two polls: a deployment takes longer than that."""
POLL_S_MAX = 60.0
"""The longest back-off after failures."""
TIMEOUT_S = 3.0
REVISION_CHARS_MAX = 200
OK_STATUS = 200

Report = Callable[[str, str, str], None]
"""Takes service, version and revision."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where to ask, and the field that answers; ``None``: the body does."""

    path: str
    header: str | None = None


def source_of(
    version: VersionSettings, health_check: HealthCheckSettings | None
) -> Source | None:
    """Return how a version's revision can be asked for, if it can."""
    revision = version.revision
    if revision is None:
        return None
    if revision.path is not None:
        return Source(revision.path)
    if revision.header is not None and health_check is not None:
        return Source(health_check.path, revision.header)
    return None


class Poller:
    """Polls one service's versions until it is stopped."""

    def __init__(
        self,
        name: str,
        service: ServiceSettings,
        report: Report,
        *,
        poll_s: float = POLL_S,
    ) -> None:
        self._name = name
        self._versions = service.versions
        self._health_check = service.health_check
        self._report = report
        self._poll_s = poll_s
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin to poll the versions that can be."""
        for version, settings in self._versions.items():
            source = source_of(settings, self._health_check)
            if source is not None:
                self._tasks.start(
                    self._poll(version, settings, source),
                    name=f"revision of {self._name}/{version}",
                )

    def stop(self) -> None:
        """Stop polling."""
        self._tasks.cancel()

    async def _poll(
        self, version: str, settings: VersionSettings, source: Source
    ) -> None:
        failures = 0
        while True:
            answers = await asyncio.gather(
                *(ask(endpoint, source) for endpoint in settings.endpoints)
            )
            revision = agreed(answers)
            if revision is not None:
                self._report(self._name, version, revision)
            failures = failures + 1 if not any(answers) else 0
            # 2^10 is far above the bound; larger powers only cost memory.
            wait_s = self._poll_s * 2 ** min(failures, 10)
            await asyncio.sleep(min(wait_s, POLL_S_MAX))


async def ask(endpoint: str, source: Source) -> str | None:
    """Return what an endpoint says its revision is; ``None`` if it says nothing."""
    try:
        reply = await client.fetch(endpoint, source.path, timeout_s=TIMEOUT_S)
    except OSError:
        return None
    return revision_in(reply, source.header) if reply.status == OK_STATUS else None


def revision_in(reply: client.Reply, header: str | None = None) -> str | None:
    """Return the one printable word or line of a reply's field, or of its body."""
    if header is None:
        text = reply.body.decode("utf-8", "replace").strip()
    else:
        text = reply.fields.get(header.lower(), "").strip()
    usable = 0 < len(text) <= REVISION_CHARS_MAX and text.isprintable()
    return text if usable else None


def agreed(answers: list[str | None]) -> str | None:
    """Return what all endpoints that answered said; ``None`` if they differ."""
    said = {answer for answer in answers if answer is not None}
    return said.pop() if len(said) == 1 else None
