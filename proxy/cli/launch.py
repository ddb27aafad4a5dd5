"""
``run``: from a valid file to the process tree.

Decides what the supervisor is told (the plan) and how it is started: this
process turns itself into it, so that a signal to the process that a person
started reaches the tree, and nothing of what reading the file cost remains.
"""

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import proxy
from proxy import settings
from proxy.settings.cores import resolve_workers
from proxy.telemetry import channel

SUPERVISOR = "proxy.supervisor"


def launch(
    path: Path, *, log_format: str = "text", log_level: str = "info"
) -> NoReturn:
    """
    Validate the file at ``path`` and become the supervisor.

    Raises:
        SettingsError: the file has mistakes, or the token file cannot be used.
    """
    loaded = settings.load(path, os.environ)
    if loaded.settings.admin.token_file is not None:
        settings.read_secret(loaded.settings.admin.token_file)
    plan = make_plan(loaded, path, log_format=log_format, log_level=log_level)
    fd = channel.sealed_document("headgate-plan", plan)
    os.set_inheritable(fd, True)  # noqa: FBT003 - the name says it
    sys.stdout.flush()
    arguments = [sys.executable, *isolation(), "-m", SUPERVISOR, str(fd)]
    os.execv(sys.executable, arguments)  # noqa: S606 - no shell wanted


def make_plan(
    loaded: settings.Loaded, path: Path, *, log_format: str, log_level: str
) -> dict[str, Any]:
    """Return the document that ``proxy.supervisor.plan`` reads."""
    chosen = loaded.settings
    limits = chosen.limits
    return {
        "config": str(path.absolute()),
        "settings": loaded.document,
        "listen": list(chosen.listen),
        "health": chosen.health.listen,
        "admin": chosen.admin.listen,
        "workers": resolve_workers(chosen.workers),
        "state_dir": str(Path(chosen.state_dir).absolute()),
        "drain": {"delay": chosen.drain.delay, "timeout": chosen.drain.timeout},
        "limits": {name: getattr(limits, name) for name in type(limits).model_fields},
        "log_format": log_format,
        "log_level": log_level,
    }


def isolation() -> list[str]:
    """
    Return ``-P`` unless this package is found by the working directory alone.

    Without it, a ``proxy`` or ``json.py`` that lies in the working directory
    would be imported by the children instead of the installed one.
    """
    root = Path(proxy.__file__).parent.parent
    return [] if Path(sys.path[0] or os.curdir).absolute() == root else ["-P"]
