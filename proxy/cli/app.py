"""
The commands and their options, as typer reads them.

Declares names, options, defaults and help texts; each command imports what it
does when it is called. Errors are told by ``entry``.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.entry import DEFAULT_CONFIG
from proxy.cli.options import (
    DEFAULT_ADMIN,
    DEFAULT_ERRORS,
    DEFAULT_EVENTS,
    DEFAULT_HEALTH,
    DEFAULT_WAIT,
    RPS_MIN,
    Admin,
    AnyService,
    Config,
    DiffOutput,
    LogFormat,
    LogLevel,
    Output,
    OutputOption,
    OverrideFreeze,
    Reason,
    Revision,
    Service,
)

if TYPE_CHECKING:
    from proxy.cli.client import AdminClient

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the help is plain text, and rich 0.1 s to import
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A reverse proxy that makes releasing a new version of a service safe.",
)


@app.command()
def run(
    config: Config = Path(DEFAULT_CONFIG),
    log_format: Annotated[
        LogFormat, typer.Option(help="How log lines are written.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option(help="The least severe line that is written.")
    ] = LogLevel.INFO,
) -> None:
    """Start the proxy, in the foreground, until SIGTERM."""
    from proxy.cli.launch import launch

    launch(config, log_format=log_format.value, log_level=log_level.value)


@app.command()
def check(
    config: Config = Path(DEFAULT_CONFIG),
    *,
    rps: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=RPS_MIN,
            help="Also refuse rollouts that N requests/s cannot decide.",
        ),
    ] = None,
    state: Annotated[
        bool,
        typer.Option(
            "--state", help="Check the saved decisions too (exit 1: changed)."
        ),
    ] = False,
) -> int:
    """Validate a configuration file (exit 3: mistakes)."""
    from proxy.cli import configuration

    if rps is not None:
        from proxy.cli.plan import refuse_impossible

        refuse_impossible(config, rps)
    code = configuration.check(config)
    return configuration.check_state(config) if state and not code else code


@app.command()
def plan(
    config: Config = Path(DEFAULT_CONFIG),
    *,
    rps: Annotated[
        float,
        typer.Option(metavar="N", min=RPS_MIN, help="Requests/s of each service."),
    ],
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Only this one.")
    ] = None,
    error_rate: Annotated[
        str, typer.Option(metavar="PERCENT", help="How much stable fails.")
    ] = DEFAULT_ERRORS,
    event_rate: Annotated[
        str, typer.Option(metavar="PERCENT", help="Events a request, of each event.")
    ] = DEFAULT_EVENTS,
    output: OutputOption = Output.TABLE,
) -> int:
    """Show what rollouts can find at a rate, and how long they take."""
    from proxy.cli.plan import show_plan
    from proxy.control.forecast import Assumed

    assumed = Assumed(
        rps,
        error_rate=_fraction(error_rate, "--error-rate"),
        event_rate=_fraction(event_rate, "--event-rate"),
    )
    return show_plan(config, assumed, service, output.value)


@app.command()
def replay(
    recording: Annotated[
        str,
        typer.Argument(
            metavar="RECORDING", help="A file, or a rollout such as checkout-7."
        ),
    ],
    config: Annotated[
        Path,
        typer.Option("--config", metavar="CONFIG", help="What decides this time."),
    ],
    *,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the recording that was fetched."),
    ] = None,
    output: OutputOption = Output.TABLE,
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Decide a recorded rollout by another configuration."""
    from proxy.cli.replay import replay_recording

    return replay_recording(_client(admin), recording, config, save, output.value)


@app.command()
def schema() -> int:
    """Print the JSON Schema of the configuration file."""
    from proxy.cli import configuration

    return configuration.print_schema()


@app.command()
def demo(
    story: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this story (good, slow, failing, silent, late, frozen); may be"
            " given again.",
        ),
    ] = None,
    *,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines instead of drawing.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="No story: keep it running for your load.")
    ] = False,
) -> int:
    """Show four rollouts on real traffic, in under two minutes."""
    from proxy.cli.demo import run_demo

    return run_demo(story, plain=plain, serve=serve)


@app.command()
def status(
    service: AnyService = None,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow until Ctrl-C.")
    ] = False,
    output: OutputOption = Output.TABLE,
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Show where the services and their rollouts stand."""
    from proxy.cli.status import show_status, watch_status

    show = watch_status if watch else show_status
    return show(_client(admin), service, output.value)


@app.command()
def wait(
    service: Service,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="Give up after so long.")
    ] = DEFAULT_WAIT,
    revision: Annotated[
        str | None,
        typer.Option(metavar="R", help="Wait for the rollout of this revision."),
    ] = None,
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Wait for a rollout's end (exit 1: rolled back)."""
    from proxy.cli.wait import wait_for_end
    from proxy.settings.units import QuantityError, parse_duration

    try:
        timeout_s = parse_duration(timeout)
    except QuantityError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error
    return wait_for_end(_client(admin), service, timeout_s=timeout_s, revision=revision)


@app.command()
def start(
    service: Service,
    reason: Reason = "",
    revision: Revision = None,
    override_freeze: OverrideFreeze = "",
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Start a rollout of the canary's present revision."""
    return _command(
        admin, service, "start", reason, revision, override_freeze=override_freeze
    )


@app.command()
def promote(
    service: Service,
    *,
    full: Annotated[
        bool, typer.Option("--full", help="To 100 % at once, not by one step.")
    ] = False,
    reason: Reason = "",
    revision: Revision = None,
    override_freeze: OverrideFreeze = "",
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Go on to the next step, or to 100 %, now; gates are not asked."""
    return _command(
        admin,
        service,
        "promote",
        reason,
        revision,
        full=full,
        override_freeze=override_freeze,
    )


@app.command()
def pause(
    service: Service,
    reason: Reason = "",
    revision: Revision = None,
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Keep the weight; judging goes on and still rolls back."""
    return _command(admin, service, "pause", reason, revision)


@app.command()
def resume(
    service: Service,
    reason: Reason = "",
    revision: Revision = None,
    override_freeze: OverrideFreeze = "",
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Let a paused rollout go on."""
    return _command(
        admin, service, "resume", reason, revision, override_freeze=override_freeze
    )


@app.command()
def abort(
    service: Service,
    reason: Reason = "",
    revision: Revision = None,
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Set the canary to 0 % now; this is never refused."""
    return _command(admin, service, "abort", reason, revision)


@app.command()
def retry(
    service: Service,
    reason: Reason = "",
    revision: Revision = None,
    override_freeze: OverrideFreeze = "",
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Try a revision again that was rolled back."""
    return _command(
        admin, service, "retry", reason, revision, override_freeze=override_freeze
    )


@app.command()
def skip(
    service: Service,
    reason: Reason = "",
    revision: Revision = None,
    override_freeze: OverrideFreeze = "",
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Leave out the rest of the present step."""
    return _command(
        admin, service, "skip", reason, revision, override_freeze=override_freeze
    )


@app.command()
def freeze(
    service: Service,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; it is shown to all.")
    ],
    owner: Annotated[
        str, typer.Option("--owner", metavar="WHO", help="Whom to ask; else you.")
    ] = "",
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Let nothing rise, start or be promoted; lowering stays free."""
    return _command(admin, service, "freeze", reason, None, owner=owner)


@app.command()
def unfreeze(
    service: Service, reason: Reason = "", admin: Admin = DEFAULT_ADMIN
) -> int:
    """Lift a freeze."""
    return _command(admin, service, "unfreeze", reason, None)


@app.command()
def split(
    service: Service,
    weights: Annotated[
        list[str],
        typer.Argument(metavar="VERSION=PERCENT...", help="Such as canary=5."),
    ],
    *,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="Also to a revision that was rolled back.")
    ] = False,
    override_freeze: OverrideFreeze = "",
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Set the live share of versions by hand."""
    from proxy.cli import verbs

    try:
        shares = verbs.parse_weights(weights)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="VERSION=PERCENT") from error
    return verbs.split(
        _client(admin),
        service,
        shares,
        reason=reason,
        force=force,
        override_freeze=override_freeze,
    )


@app.command()
def explain(
    service: Service,
    decision: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Its number; else the last.")
    ] = None,
    output: OutputOption = Output.TABLE,
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Show why a decision was made, and on what evidence."""
    from proxy.cli.explain import explain as show_decision

    return show_decision(_client(admin), service, decision, output.value)


@app.command()
def diff(
    service: Service,
    output: Annotated[
        DiffOutput, typer.Option("--output", "-o", help="How it is written.")
    ] = DiffOutput.TABLE,
    admin: Admin = DEFAULT_ADMIN,
) -> int:
    """Show what a parallel run found (exit 1: diverging)."""
    from proxy.cli.diff import diff as show_differences

    return show_differences(_client(admin), service, output.value)


@app.command()
def health(
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="The probe to ask.")
    ] = DEFAULT_HEALTH,
) -> int:
    """Ask the readiness probe (exit 1: not ready)."""
    from proxy.cli.health import check_health

    return check_health(url)


@app.command()
def version() -> int:
    """Print the version."""
    from proxy import __version__
    from proxy.cli.screen import say

    say(f"headgate {__version__}")
    return 0


def _fraction(text: str, option: str) -> float:
    """Return a percentage of an option as a fraction."""
    from proxy.settings.units import QuantityError, parse_percent

    try:
        return parse_percent(text) / 100
    except QuantityError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _client(admin: str) -> "AdminClient":
    """Return the client for ``--admin`` with the environment's token."""
    from proxy.cli.client import AdminClient

    return AdminClient(admin, os.environ.get("HEADGATE_TOKEN") or None)


def _command(
    admin: str,
    service: str,
    verb: str,
    reason: str,
    revision: str | None,
    **more: str | bool,
) -> int:
    """Ask for one rollout verb."""
    from proxy.cli import verbs

    return verbs.command(
        _client(admin), service, verb, {"reason": reason, "revision": revision, **more}
    )
