"""
From arguments to an exit code, whatever happens in between.

Decides how every error looks: one line on stderr, never a traceback. The
commands themselves are in ``app``.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from proxy.cli import EXIT_INTERRUPTED
from proxy.errors import AdminUnreachableError, HeadgateError, SettingsError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INVALID = 3
EXIT_UNREACHABLE = 4

DEFAULT_CONFIG = "config/headgate.yaml"


def run(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code, with every error already told."""
    try:
        code = _call(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the boundary: told in one line
        code, lines = _explain(error)
        _tell(lines)
    return code


def _call(arguments: Sequence[str]) -> int:
    """Hand over to typer; no argument at all shows the help, as a usage error."""
    config = _plain_config(arguments)
    if config is not None:
        return _start(arguments[0], config)
    from proxy.cli.app import app  # its errors are told by `run`

    shown = list(arguments) or ["--help"]
    code = app(shown, prog_name="headgate", standalone_mode=False)
    return EXIT_USAGE if not arguments else int(code or EXIT_DONE)


def _plain_config(arguments: Sequence[str]) -> Path | None:
    """
    Return the file of ``run`` or ``check`` where nothing but it is said.

    What machines start, they start like this, and wait for it: typer, which
    would read the same out of it, takes a fifth of `check` to import.
    """
    match arguments:
        case ["run" | "check", config] if not config.startswith("-"):
            return Path(config)
        case ["run" | "check"]:
            return Path(os.environ.get("HEADGATE_CONFIG") or DEFAULT_CONFIG)
        case _:
            return None


def _start(command: str, config: Path) -> int:
    """Run ``run`` or ``check`` with its defaults."""
    if command == "run":
        from proxy.cli.launch import launch

        launch(config)
    from proxy.cli import configuration

    return configuration.check(config)


def _explain(error: Exception) -> tuple[int, list[str]]:
    """Return the exit code and the lines for an error."""
    match error:
        case SettingsError():
            return EXIT_INVALID, list(error.problems)
        case AdminUnreachableError():
            return EXIT_UNREACHABLE, [f"headgate: {error}"]
        case HeadgateError():
            return EXIT_FAILED, [f"headgate: {error}"]
        case EOFError():
            return EXIT_FAILED, ["headgate: aborted"]
        case OSError():
            name = f"{error.filename}: " if error.filename else ""
            return EXIT_FAILED, [f"headgate: {name}{error.strerror or error}"]
        case _:
            return _explain_usage(error) or _explain_bug(error)


def _explain_usage(error: Exception) -> tuple[int, list[str]] | None:
    """Return the same for what typer raises; None for what it does not."""
    from typer import Abort, TyperException

    match error:
        case TyperException():
            message = error.format_message().rstrip(".")
            message = message[:1].lower() + message[1:]
            return error.exit_code, [f"headgate: {message} (see headgate --help)"]
        case Abort():
            return EXIT_FAILED, ["headgate: aborted"]
        case _:
            return None


def _explain_bug(error: Exception) -> tuple[int, list[str]]:
    """Return the same for what nobody expected: where it happened."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
    kind = type(error).__name__
    return EXIT_FAILED, [f"headgate: internal error at {where}: {kind}: {error}"]


def _tell(lines: Sequence[str]) -> None:
    """Write to stderr, if anybody is there to read it."""
    from proxy.cli.screen import printable  # only errors need it

    try:
        for line in lines:
            print(printable(line), file=sys.stderr)  # noqa: T201 - the user's line
        sys.stderr.flush()
    except OSError:
        return


def _abandon_stdout() -> None:
    """Let the interpreter's last flush go nowhere instead of failing again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
