"""``check`` and ``schema``: the file without a running Headgate."""

import json
import sqlite3
from pathlib import Path

import pytest

from proxy.cli.entry import run
from proxy.control.store import FILE_NAME, Change, SqliteStore
from tests.support.headgate_command import headgate

VALID = """
services:
  shop:
    versions:
      stable: {endpoints: ["http://127.0.0.1:9001"]}
      canary: {endpoints: ["http://127.0.0.1:9002"]}
"""


def test_a_valid_file_is_summed_up_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stdout, exit 0."""
    path = tmp_path / "gate.yaml"
    path.write_text(VALID)
    code = run(["check", str(path)])

    shown = capsys.readouterr()
    assert (code, shown.err) == (0, "")
    assert shown.out.startswith(f"{path}: valid, 1 service, 2 versions, hash ")
    assert shown.out.count("\n") == 1


def test_a_token_that_is_not_here_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is valid, but ``run`` would not start with it on this machine."""
    path = tmp_path / "gate.yaml"
    path.write_text(VALID + "admin: {token_file: /nowhere/token}\n")
    code = run(["check", str(path)])

    shown = capsys.readouterr()
    assert code == 0
    note = f"{path}: note: admin.token_file /nowhere/token cannot be read here"
    assert shown.out.splitlines()[1] == note


def test_every_mistake_is_a_line_on_stderr_and_exits_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All mistakes in one go, each with its place."""
    path = tmp_path / "gate.yaml"
    path.write_text(VALID + "lisen: 1\nworkers: none\n")
    code = run(["check", str(path)])

    shown = capsys.readouterr()
    assert (code, shown.out) == (3, "")
    lines = shown.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}:") for line in lines)
    assert "did you mean" in lines[0]


def test_the_file_comes_from_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``HEADGATE_CONFIG`` is used when no file is named."""
    path = tmp_path / "gate.yaml"
    path.write_text(VALID)
    monkeypatch.setenv("HEADGATE_CONFIG", str(path))

    assert run(["check"]) == 0
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_file_that_cannot_be_read_exits_3(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file and a directory are told in one line."""
    missing = run([command, str(tmp_path / "none.yaml")])
    directory = run([command, str(tmp_path)])

    assert (missing, directory) == (3, 3)
    assert capsys.readouterr().err.count("\n") == 2


async def test_the_schema_is_json() -> None:
    """What editors read is printed and nothing else."""
    done = await headgate("schema")

    assert done.code == 0
    assert "services" in json.loads(done.out)["properties"]


def test_a_store_that_was_edited_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``check --state`` walks the chains of decisions: 0 whole, 1 changed."""
    path = tmp_path / "gate.yaml"
    path.write_text(VALID + f"state_dir: {tmp_path / 'state'}\n")
    store = SqliteStore.open(tmp_path / "state")
    store.save([Change("shop", 0, {}, ({"message": "m"},))])
    store.close()
    codes = [run(["check", str(path), "--state"])]
    with sqlite3.connect(tmp_path / "state" / FILE_NAME) as connection:
        connection.execute('UPDATE decisions SET document = \'{"message": "x"}\'')
    connection.close()
    codes.append(run(["check", str(path), "--state"]))

    shown = capsys.readouterr().out
    assert codes == [0, 1]
    assert "whole, 1 decision in unbroken chains" in shown
    assert "decision 1 of shop has no hash" in shown
