"""
``check`` and ``schema``: the configuration file without a running Headgate.

What a valid file is, is ``proxy.settings``'s; how it reads is decided here.
"""

import json
import os
from pathlib import Path

from proxy import settings
from proxy.cli.screen import say


def check(path: Path) -> int:
    """
    Validate a file and print one line about it.

    Raises:
        SettingsError: the file has mistakes, all of them.
    """
    loaded = settings.load(path, os.environ)
    services = loaded.settings.services
    versions = sum(len(service.versions) for service in services.values())
    say(
        f"{path}: valid, {_counted(len(services), 'service')},"
        f" {_counted(versions, 'version')}, hash {loaded.hash[:12]}"
    )
    token_file = loaded.settings.admin.token_file
    if token_file is not None and not os.access(token_file, os.R_OK):
        say(f"{path}: note: admin.token_file {token_file} cannot be read here")
    return 0


def check_state(path: Path) -> int:
    """
    Check the store of a file's ``state_dir``: whole, ours, and not tampered with.

    Returns 1 where a decision was changed, removed or added afterwards.

    Raises:
        SettingsError: the file has mistakes, all of them.
        StoreError: there is no store, or it is torn or foreign.
    """
    from proxy.control.store import audit

    loaded = settings.load(path, os.environ)
    state_dir = Path(loaded.settings.state_dir)
    decisions, problems = audit(state_dir)
    for problem in problems:
        say(f"{state_dir}: {problem}")
    if not problems:
        say(f"{state_dir}: whole, {_counted(decisions, 'decision')} in unbroken chains")
    return 1 if problems else 0


def print_schema() -> int:
    """Print the JSON Schema of the configuration file."""
    from proxy.settings.json_schema import json_schema

    say(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
