"""Claims: one tree a state directory, enough descriptors or a clear refusal."""

import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.errors import StartError
from proxy.supervisor import claims
from tests.support.process_tree import ROOT


def test_a_state_directory_belongs_to_one(tmp_path: Path) -> None:
    """The second is told who holds it; when that ends, the next may have it."""
    state = str(tmp_path / "deep" / "state")
    fd = claims.lock_state(state)

    with pytest.raises(StartError, match=rf"in use by .*\(process {os.getpid()}\)"):
        claims.lock_state(state)
    os.close(fd)
    again = claims.lock_state(state)

    assert not os.get_inheritable(again)
    assert Path(state).stat().st_mode & 0o777 == 0o700
    os.close(again)


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file in the way is a sentence, not a traceback."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StartError, match="cannot be used: "):
        claims.lock_state(str(tmp_path / "file" / "state"))


def run(code: str, hard: int) -> "subprocess.CompletedProcess[str]":
    """Run some Python under a hard limit of open files."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

    return subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=20,
    )


RAISE = """
import resource
from proxy.errors import StartError
from proxy.supervisor.claims import raise_descriptors
try:
    print(raise_descriptors(100), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
except StartError as error:
    print(error)
"""


def test_the_soft_limit_is_raised() -> None:
    """As far as the hard limit goes."""
    assert run(RAISE, 712).stdout == "712 712\n"


def test_a_default_that_cannot_be_kept_is_lowered() -> None:
    """Nobody chose 20 000: fewer is said in the log and no reason to refuse."""
    answer = run(RAISE.replace("100", "20000"), 712)

    assert answer.stdout in ("712 712\n", "24608 24608\n")


def test_a_hard_limit_that_is_too_low_is_raised_or_refused() -> None:
    """A privileged process raises it; the sentence says what would be possible."""
    answer = run(RAISE, 711).stdout

    refusal = (
        "limits.connections 100 needs 712 open files a worker, but the hard limit is"
        " 711: raise it (ulimit -Hn) or set limits.connections to at most 99\n"
    )
    assert answer in {"712 712\n", refusal}


def test_what_the_starter_left_open_is_not_passed_on() -> None:
    """Every descriptor but the standard ones is closed on exec afterwards."""
    code = (
        "import os\n"
        "from proxy.supervisor.claims import close_strangers_on_exec\n"
        "fd = os.dup(0); os.set_inheritable(fd, True)\n"
        "close_strangers_on_exec()\n"
        "print(os.get_inheritable(fd), os.get_inheritable(1))"
    )

    assert run(code, 512).stdout == "False True\n"


def test_the_lock_is_flock(tmp_path: Path) -> None:
    """It ends with the process that holds it, also when that is killed."""
    fd = claims.lock_state(str(tmp_path))
    other = os.open(tmp_path / claims.LOCK_NAME, os.O_RDWR)

    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
