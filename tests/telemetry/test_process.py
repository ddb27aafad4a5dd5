"""Names, parents and signals of the tree's processes, with real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.process import _argument_area
from tests.support.process_tree import ROOT, eventually, is_running


def start(code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Run some Python, with pipes at both ends."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(child: "subprocess.Popen[bytes]") -> None:
    """End a process that was started here."""
    child.kill()
    child.communicate()


TITLE = """
import sys
from proxy.telemetry.process import set_title
set_title(sys.argv[1])
print("named", flush=True)
sys.stdin.read()
"""


def test_ps_shows_the_title() -> None:
    """The command line is the title alone, and so is the name, as far as it fits."""
    child = start(TITLE, "headgate-worker-0")
    assert child.stdout is not None
    child.stdout.readline()

    command = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    name = Path(f"/proc/{child.pid}/comm").read_text()
    finish(child)

    assert command.rstrip(b"\0") == b"headgate-worker-0"
    assert name == "headgate-worker\n"


def test_a_title_longer_than_the_command_line_is_cut() -> None:
    """The environment behind the arguments stays untouched."""
    child = start(TITLE, "x" * 5_000)
    assert child.stdout is not None
    child.stdout.readline()

    command = Path(f"/proc/{child.pid}/cmdline").read_bytes()
    environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    finish(child)

    assert command.rstrip(b"\0") == b"x" * len(command.rstrip(b"\0"))
    assert f"PYTHONPATH={ROOT}".encode() in environment.split(b"\0")


PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())],
    stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""
BUSY_CHILD = """
import sys
from proxy.telemetry.process import die_with_parent
die_with_parent(int(sys.argv[1]))
print("busy", flush=True)
while True: pass
"""


def test_a_busy_child_ends_with_its_parent() -> None:
    """A child that never looks up from its loop does not outlive a killed parent."""
    parent = start(PARENT, BUSY_CHILD)
    assert parent.stdout is not None
    busy = int(parent.stdout.readline())
    assert is_running(busy)

    finish(parent)

    eventually(lambda: not is_running(busy), "the end of the busy child")


def test_a_child_of_a_parent_that_is_gone_ends_at_once() -> None:
    """The parent may end before the child asks to end with it."""
    child = start(BUSY_CHILD, "1")

    assert child.wait(20) == 1
    child.communicate()


PIPE_CHILD = """
import os, selectors, sys
from proxy.telemetry.process import exit_if_orphaned
fd = int(sys.argv[1])
selectors.select.select([fd], [], [])
exit_if_orphaned(fd)
"""


def test_the_end_of_the_pipe_ends_the_child() -> None:
    """The second rope: the write end is closed when the supervisor is gone."""
    reader, writer = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", PIPE_CHILD, str(reader)],
        pass_fds=[reader],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(reader)
    assert child.poll() is None

    os.close(writer)

    assert child.wait(20) == 1


BEGUN_CHILD = """
import os, sys
from proxy.telemetry import process
process.begin_child("headgate-worker-3", os.getppid(), process.WORKER_IGNORES)
print("begun", flush=True)
sys.stdin.read()
"""


def test_a_worker_ignores_what_is_sent_to_the_whole_group() -> None:
    """Ctrl-C, a lost terminal and systemd's SIGTERM reach workers too."""
    child = start(BEGUN_CHILD)
    assert child.stdout is not None
    child.stdout.readline()

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        child.send_signal(number)
    child.communicate(b"", 20)

    assert child.returncode == 0


@given(st.text(max_size=15), st.integers(0, 2**63), st.integers(0, 2**63))
def test_the_argument_area_is_found_behind_any_name(
    name: str, start_address: int, end_address: int
) -> None:
    """A process may be called ``a) R 1 (b``; the fields are counted from the end."""
    between = " ".join(["1"] * 44)
    stat = f"7 ({name}) R {between} {start_address} {end_address} 0 0 0 0\n".encode()

    assert _argument_area(stat) == (start_address, end_address)
