"""
The settings in force: where they came from, and how they are replaced.

A new file is put into force as a whole or not at all; what was wrong with it
is kept, shown and logged once. The last good document goes to the supervisor,
so that the next control process starts with it even if the file is bad then.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy import settings
from proxy.control.clock import Clock
from proxy.control.governor import Governor
from proxy.control.keeping import Publish
from proxy.errors import ConflictError, HeadgateError, SettingsError
from proxy.model.instants import rfc3339
from proxy.settings import Loaded
from proxy.settings.schema import Settings
from proxy.settings.watching import Watcher, read_stat, restart_keys
from proxy.telemetry.log import log

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reload:
    """How the last attempt to load the file ended."""

    ok: bool
    at_s: float
    """Unix time of the attempt."""
    success_at_s: float
    """Unix time when the settings in force were loaded."""
    problems: tuple[str, ...] = ()


class Configuration:
    """The file, the settings in force, and the last attempt to change them."""

    def __init__(
        self,
        path: str,
        governor: Governor,
        clock: Clock,
        *,
        keep: Callable[[JsonObject], None],
        installed: Callable[[Loaded], None],
        publish: Publish,
    ) -> None:
        self._path = path
        self._watcher = Watcher(None)
        self._governor = governor
        self._clock = clock
        self._keep = keep
        self._installed = installed
        self._publish = publish
        self._loaded: Loaded | None = None
        self.last = Reload(ok=False, at_s=0.0, success_at_s=0.0)

    @property
    def loaded(self) -> Loaded:
        """The settings in force."""
        assert self._loaded is not None, "asked before begin"
        return self._loaded

    def begin(self, document: Mapping[str, Any] | None) -> None:
        """
        Put the first settings into force: the last good ones, or the file's.

        Raises:
            SettingsError: there are no last good ones and the file has mistakes.
            TableError: they do not fit into the slab.
        """
        if document is None:
            self._watcher = Watcher(read_stat(self._path))
            loaded = settings.load(self._path, os.environ)
        else:
            kept = settings.from_document(document)
            canonical = settings.document_of(kept)
            loaded = Loaded(kept, canonical, settings.hash_of(canonical))
        self._install(loaded)

    def look(self) -> None:
        """Reload if the file looks different; mistakes are logged, not raised."""
        self._watcher, changed = self._watcher.observe(read_stat(self._path))
        if changed:
            self.reload_quietly()

    def reload_quietly(self) -> None:
        """Reload for somebody who does not wait for the answer; log mistakes."""
        try:
            self.reload()
        except HeadgateError as error:
            log("error", "configuration_refused", path=self._path, why=str(error))

    def reload(self) -> JsonObject:
        """
        Read the file now; return whether anything changed.

        Raises:
            SettingsError: the file has mistakes; nothing was changed.
            ConflictError: a key changed that needs a restart.
            TableError: the services do not fit into the slab.
        """
        try:
            changed = self._replace(settings.load(self._path, os.environ))
        except HeadgateError as error:
            self._failed(error)
            raise
        return {
            "changed": changed,
            "hash": self.loaded.hash,
            "generation": self._governor.generation,
        }

    def as_json(self) -> JsonObject:
        """Return the settings in force, secrets redacted, and the last attempt."""
        return {
            "path": self._path,
            "hash": self.loaded.hash,
            "settings": settings.redacted(self.loaded.document),
            "generation": self._governor.generation,
            "loaded_at": rfc3339(self.last.success_at_s),
            "last_reload": {
                "ok": self.last.ok,
                "at": rfc3339(self.last.at_s),
                "problems": list(self.last.problems),
            },
        }

    def _replace(self, loaded: Loaded) -> bool:
        if loaded.hash == self.loaded.hash:
            self._succeeded()
            return False
        _refuse_restart_keys(self.loaded.settings, loaded.settings)
        self._install(loaded)
        log("info", "configuration_reloaded", hash=loaded.hash)
        return True

    def _install(self, loaded: Loaded) -> None:
        self._governor.install(loaded)
        self._loaded = loaded
        self._keep(loaded.document)
        self._succeeded()
        self._installed(loaded)

    def _succeeded(self) -> None:
        now_s = self._clock.unix_s()
        self.last = Reload(ok=True, at_s=now_s, success_at_s=now_s)
        self._tell()

    def _failed(self, error: HeadgateError) -> None:
        problems = error.problems if isinstance(error, SettingsError) else (str(error),)
        now_s = self._clock.unix_s()
        self.last = Reload(
            ok=False,
            at_s=now_s,
            success_at_s=self.last.success_at_s,
            problems=problems,
        )
        self._tell()

    def _tell(self) -> None:
        self._publish(
            {
                "type": "config",
                "ok": self.last.ok,
                "at": rfc3339(self.last.at_s),
                "problems": list(self.last.problems),
                "generation": self._governor.generation,
            }
        )


def _refuse_restart_keys(present: Settings, wanted: Settings) -> None:
    """Raise ConflictError for changes that running processes cannot follow."""
    keys = restart_keys(present, wanted)
    if keys:
        names = " and ".join(f"`{key}`" for key in keys)
        raise ConflictError(f"{names} changed, which needs a restart")
