"""Exit codes and errors: one line on stderr, never a traceback."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from proxy import __version__
from proxy.cli import configuration
from proxy.cli import launch as launching
from proxy.cli.entry import run
from tests.support.admin_api import admin_api
from tests.support.free_port import free_port
from tests.support.headgate_command import COMMAND, ROOT, environment, headgate, started
from tests.support.standin_controller import StandInController


async def test_version_is_printed() -> None:
    """``headgate version`` names itself and its version, and exits 0."""
    done = await headgate("version")

    assert (done.code, done.out, done.err) == (0, f"headgate {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["statu"], "did you mean 'status'"),
        (["bake", "checkout"], "no such command"),
        (["diff", "checkout", "-o", "yaml"], "yaml"),
        (["status", "--nope"], "no such option"),
        (["promote"], "missing argument 'SERVICE'"),
        (["split", "checkout"], "missing argument"),
        (["split", "checkout", "canary"], "expected such as canary=5"),
        (["split", "checkout", "canary=lots"], "no percentage"),
        (["split", "checkout", "canary=101"], "out of range"),
        (["split", "checkout", "a=1", "a=2"], "given twice"),
        (["status", "-o", "yaml"], "yaml"),
        (["wait", "checkout", "--timeout", "5"], "duration"),
        (["explain", "checkout", "--decision", "0"], "--decision"),
        (["run", "--log-level", "loud"], "--log-level"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be understood is named in one line."""
    code = run(arguments)

    shown = capsys.readouterr()
    assert code == 2
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("headgate: ")
    assert message.lower() in shown.err.lower()


async def imported_by(code: str) -> set[str]:
    """Return the modules that an interpreter has after some code."""
    listing = "import sys; print(*sys.modules, file=sys.stderr)"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{code}\n{listing}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    _, errors = await process.communicate()
    return set(errors.decode().split())


async def test_checking_a_file_waits_for_nothing_else() -> None:
    """`check FILE` is done before typer, rich or aiohttp would be imported."""
    code = "from proxy.cli.entry import run; run(['check', 'config/headgate.yaml'])"
    loaded = await imported_by(code)

    assert "proxy.settings" in loaded
    assert not loaded & {"typer", "rich", "aiohttp", "uvloop"}


async def test_traffic_does_not_wait_for_the_admin_api() -> None:
    """What answers people is imported by control once traffic is served."""
    loaded = await imported_by("import proxy.admin.__main__")

    assert "proxy.control.process" in loaded
    assert "aiohttp" not in loaded


@pytest.mark.parametrize("options", [[], ["--log-level", "info"]])
def test_starting_means_the_same_with_and_without_options(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run FILE` is not read by typer; the defaults are the ones it shows."""
    started: list[tuple[Path, str, str]] = []

    def launch(path: Path, *, log_format: str, log_level: str) -> None:
        started.append((path, log_format, log_level))

    defaults = launching.launch.__kwdefaults__
    monkeypatch.setattr(launch, "__kwdefaults__", defaults)
    monkeypatch.setattr(launching, "launch", launch)
    monkeypatch.setattr(configuration, "check", lambda _path: 0)

    run(["run", str(tmp_path), *options])

    assert started == [(tmp_path, "text", "info")]


async def test_the_file_comes_from_the_environment() -> None:
    """`HEADGATE_CONFIG` is the file where none is named, and loses to one."""
    named = await headgate("check", HEADGATE_CONFIG="/nowhere/a.yaml")
    beaten = await headgate("check", "/nowhere/b.yaml", HEADGATE_CONFIG="/a.yaml")

    assert "/nowhere/a.yaml" in named.err
    assert "/nowhere/b.yaml" in beaten.err


def test_no_command_shows_the_help_and_exits_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bare ``headgate`` teaches, but does not pretend to have done something."""
    code = run([])

    assert code == 2
    assert "Commands:" in capsys.readouterr().out


def test_help_lists_every_command_uncut(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` exits 0 and says of every command what it does."""
    code = run(["--help"])

    shown = capsys.readouterr().out
    assert code == 0
    assert "..." not in shown.partition("Commands:")[2]
    for name in ("run", "check", "schema", "demo", "status", "wait", "split", "skip"):
        assert f"  {name} " in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--watch"],
        ["wait", "checkout"],
        ["abort", "checkout"],
        ["split", "checkout", "canary=5"],
        ["explain", "checkout"],
    ],
)
def test_nobody_there_exits_4(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every client verb tells in one line which address does not answer."""
    address = f"http://127.0.0.1:{free_port()}"
    code = run([*arguments, "--admin", address])

    shown = capsys.readouterr()
    assert code == 4
    assert shown.err == (
        f"headgate: the admin API at {address} cannot be reached: connection refused\n"
    )


@pytest.mark.parametrize("address", ["ftp://x", "nonsense", "http://", "http://h:x"])
def test_an_address_that_is_none_exits_4(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A malformed ``--admin`` says what is expected."""
    code = run(["status", "--admin", address])

    assert code == 4
    assert "is no admin address" in capsys.readouterr().err


async def test_somebody_else_there_exits_4() -> None:
    """A server that is not Headgate is told apart from a refusal."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with started("status", "--admin", f"http://127.0.0.1:{port}") as process:
            peer, _ = await asyncio.to_thread(other.accept)
            with peer:
                await asyncio.to_thread(peer.recv, 65536)
                peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n<html>hello</html>")
            _, err = await process.communicate()

    assert process.returncode == 4
    assert b"not as Headgate does" in err


async def test_the_address_comes_from_the_environment() -> None:
    """``HEADGATE_ADMIN`` is used when ``--admin`` is not given."""
    async with admin_api(StandInController()) as api:
        done = await headgate("status", HEADGATE_ADMIN=api.url)

    assert done.code == 0


async def test_a_refusal_exits_1_with_the_sentence_of_the_api() -> None:
    """What the API refuses is a failure, in its own words."""
    async with admin_api(StandInController()) as api:
        done = await headgate("pause", "nobody", "--admin", api.url)

    assert (done.code, done.out) == (1, "")
    assert done.err == "headgate: there is no service 'nobody'\n"


async def test_a_reader_that_leaves_is_no_error_to_show() -> None:
    """``headgate schema | head -1`` prints nothing on stderr."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "schema",
        stdout=write_end,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    )
    os.close(write_end)
    _, err = await process.communicate()

    assert (process.returncode, err) == (1, b"")


async def test_ctrl_c_exits_130_in_silence() -> None:
    """An interrupted ``wait`` leaves no traceback."""
    async with (
        admin_api(StandInController()) as api,
        started("wait", "checkout", "--admin", api.url) as process,
    ):
        assert process.stdout is not None
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()

    assert (process.returncode, err) == (130, b"")


def test_a_bug_is_one_line_that_names_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even what nobody foresaw is told without a traceback."""

    def broken(_path: Path) -> int:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("proxy.cli.configuration.check", broken)
    code = run(["check"])

    shown = capsys.readouterr().err
    assert code == 1
    assert shown.startswith("headgate: internal error at test_entry.py:")
    assert shown.endswith("ZeroDivisionError: oh\n")
