"""
Options that several commands share, with their help texts and defaults.

Nothing is done with them here.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_ADMIN = "http://127.0.0.1:9901"
DEFAULT_HEALTH = "http://127.0.0.1:9902/readyz"
DEFAULT_WAIT = "30m"
DEFAULT_ERRORS = "0.1%"
DEFAULT_EVENTS = "5%"
RPS_MIN = 0.001
"""A request in a quarter of an hour: nobody plans a rollout on less."""


class Output(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"


class DiffOutput(StrEnum):
    """How a parallel run is written."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least severe log line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Config = Annotated[
    Path,
    typer.Argument(
        metavar="[CONFIG]", envvar="HEADGATE_CONFIG", help="Configuration file."
    ),
]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Name of the service.")]
AnyService = Annotated[
    str | None, typer.Argument(metavar="[SERVICE]", help="Name of one service.")
]
Admin = Annotated[
    str,
    typer.Option(
        "--admin", metavar="URL", envvar="HEADGATE_ADMIN", help="The admin API."
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the decision.")
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision", metavar="R", help="Only if this is the canary's revision."
    ),
]
OverrideFreeze = Annotated[
    str,
    typer.Option(
        "--override-freeze", metavar="REASON", help="Do it although it is frozen."
    ),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print.")]
