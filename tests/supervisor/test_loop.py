"""The supervisor with real processes, real signals and real connections."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from proxy.supervisor.loop import how_it_ended
from proxy.telemetry.channel import OUTBOX_MAX
from tests.support.process_tree import (
    DEADLINE_S,
    ProcessTree,
    eventually,
    is_running,
    read_answer,
    running_tree,
)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ProcessTree]:
    """Return a tree of two workers that serve."""
    with running_tree(tmp_path) as tree:
        yield tree.wait_ready()


def command_of(pid: int) -> str:
    """Return what ``ps`` shows as a process's command."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of ``/proc/PID/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (x.partition(":") for x in lines)}


def test_processes_tell_their_role(tree: ProcessTree) -> None:
    """``ps`` shows titles instead of command lines, and names as far as they fit."""
    pids = [
        tree.process.pid,
        *map(tree.pid_of, ("control", "worker-0", "worker-1")),
    ]

    assert [command_of(pid) for pid in pids] == [
        "headgate-supervisor",
        "headgate-control",
        "headgate-worker-0",
        "headgate-worker-1",
    ]
    assert status_of(pids[0])["Name"] == "headgate-superv"
    assert status_of(pids[2])["Name"] == "headgate-worker"


def test_children_inherit_only_what_is_theirs(tmp_path: Path) -> None:
    """A descriptor that was left open by our starter ends with the supervisor."""
    stranger = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(stranger, True)  # noqa: FBT003
    with running_tree(tmp_path, listen=["127.0.0.1:0"], workers=1) as tree:
        tree.wait_ready()
        worker = tree.pid_of("worker-0")
        targets = [str(fd.readlink()) for fd in Path(f"/proc/{worker}/fd").iterdir()]
    os.close(stranger)

    assert str(tmp_path) not in targets
    assert not [target for target in targets if target.endswith("/state/lock")]
    assert not [target for target in targets if "plan" in target]
    # Traffic, health, the channel; admin and /metrics are control's.
    assert sum(target.startswith("socket:") for target in targets) == 3


def test_a_worker_that_is_killed_is_replaced(tree: ProcessTree) -> None:
    """The other accepts on its listener meanwhile; then both serve again."""
    killed = tree.signal(signal.SIGKILL, "worker-1")
    tree.wait_for("child_ended", child="worker-1", how="SIGKILL")

    answers = [tree.get() for _ in range(20)]
    replacement = tree.wait_replaced("worker-1", killed)
    eventually(lambda: tree.get()["pid"] == replacement, "an answer of the new one")

    assert killed not in [answer["pid"] for answer in answers]
    assert tree.trace(type="worker", index=1, event="died", pid=killed)


class Load:
    """Clients that open a connection a request, and what became of each."""

    def __init__(self, tree: ProcessTree, clients: int) -> None:
        self.tree = tree
        self.waits_s: list[float] = []
        self.lost = 0
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self) -> None:
        address = self.tree.address
        while not self._stopped.is_set():
            began_s = time.monotonic()
            try:
                with socket.create_connection(address, DEADLINE_S) as connection:
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    read_answer(connection)
            except (ConnectionError, AssertionError):
                self.lost += 1  # the killed worker held it
            self.waits_s.append(time.monotonic() - began_s)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def test_no_connection_waits_for_a_dead_worker(tmp_path: Path) -> None:
    """
    One of four workers is killed every second; nobody hangs on its listener.

    Without adoption a quarter of the connections would wait for the whole
    start of the replacement. The bound is far above what is measured (some
    milliseconds), because the machine that runs the tests may be busy.
    """
    kills = 5
    with running_tree(tmp_path, workers=4) as tree:
        tree.wait_ready()
        with Load(tree, clients=8) as load:
            for number in range(kills):
                victim = f"worker-{number % 4}"
                tree.wait_replaced(victim, tree.signal(signal.SIGKILL, victim))

    slow = [wait_s for wait_s in load.waits_s if wait_s > 1.0]
    assert len(load.waits_s) > 100
    assert not slow
    assert load.lost <= kills * 8


def test_a_worker_that_hangs_is_killed_and_replaced(tree: ProcessTree) -> None:
    """Its heartbeat stands still for two seconds; then another takes its place."""
    with tree.connect("/spin"):
        hung = tree.wait_for("child_hangs")
        died = tree.wait_for("child_ended", child=hung["child"], how="SIGKILL")

    assert died["child_pid"] == hung["child_pid"]
    tree.wait_replaced(hung["child"], hung["child_pid"])
    assert tree.get()["table"] == {"name": "first"}


def test_a_worker_that_was_stopped_is_replaced(tree: ProcessTree) -> None:
    """A frozen process answers nobody; SIGKILL works on it all the same."""
    stopped = tree.signal(signal.SIGSTOP, "worker-0")

    tree.wait_for("child_ended", child="worker-0", child_pid=stopped, how="SIGKILL")


def test_workers_get_the_table_while_control_is_dead(tree: ProcessTree) -> None:
    """The last table lies with the supervisor; a new worker serves with it."""
    tree.write_script(exit=9)
    tree.signal(signal.SIGKILL, "control")
    tree.wait_for("child_ended", child="control", how="exit code 9")
    killed = {
        child: tree.signal(signal.SIGKILL, child) for child in ("worker-0", "worker-1")
    }

    for child, pid in killed.items():
        tree.wait_replaced(child, pid)

    assert tree.get()["table"] == {"name": "first"}
    assert tree.process.poll() is None


def test_control_that_comes_back_is_given_what_it_left(tree: ProcessTree) -> None:
    """It starts warm, with the last good settings; workers get its new table."""
    tree.write_script(table={"name": "second"}, settings={"from": "control"})
    tree.signal(signal.SIGHUP)
    eventually(
        lambda: tree.get()["table"] == {"name": "second"}, "the table of the reload"
    )
    workers = [tree.pid_of("worker-0"), tree.pid_of("worker-1")]

    tree.write_script(table={"name": "third"})
    tree.signal(signal.SIGKILL, "control")

    eventually(
        lambda: tree.get()["table"] == {"name": "third"}, "the new control's table"
    )
    first, second = tree.trace(event="start")
    assert (first["cold"], first["settings"]) == (True, {"from": "plan"})
    assert (second["cold"], second["settings"]) == (False, {"from": "control"})
    assert [tree.pid_of("worker-0"), tree.pid_of("worker-1")] == workers


def test_the_last_table_of_a_dying_control_is_kept(tree: ProcessTree) -> None:
    """What it sent before it died still reaches the workers."""
    tree.write_script(table={"name": "last words"}, die=True)
    tree.signal(signal.SIGHUP)
    tree.wait_for("child_ended", child="control", how="SIGKILL")

    eventually(
        lambda: tree.get()["table"] == {"name": "last words"}, "the table it sent"
    )


def test_control_that_hangs_is_replaced(tmp_path: Path) -> None:
    """Only control can roll back, so a control that stands still is no use."""
    with running_tree(tmp_path, workers=1) as tree:
        tree.wait_ready()
        stopped = tree.signal(signal.SIGSTOP, "control")

        tree.wait_for("child_ended", child="control", child_pid=stopped)
        eventually(lambda: len(tree.trace(event="start")) == 2, "a new control")


def test_revisions_reach_control(tree: ProcessTree) -> None:
    """A worker's observation is relayed as it is."""
    tree.get("/revision")

    eventually(lambda: tree.trace(type="revision", value="2"), "the revision")


def test_a_control_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    """Messages for it are dropped at a bound, and traffic goes on."""
    with running_tree(tmp_path, workers=1) as tree:
        tree.wait_ready()
        tree.signal(signal.SIGSTOP, "control")

        answers = [tree.get("/revision") for _ in range(OUTBOX_MAX + 300)]

        assert len(answers) == OUTBOX_MAX + 300
        assert tree.process.poll() is None


def test_sighup_reaches_control(tree: ProcessTree) -> None:
    """And nobody else: the workers stay the same."""
    tree.signal(signal.SIGHUP)

    eventually(lambda: tree.trace(event="publish", why="reload"), "the reload")
    assert len(tree.child_pids()) == 3


def test_a_signal_to_the_whole_group_is_a_drain(tree: ProcessTree) -> None:
    """Ctrl-C reaches every process; only the supervisor acts on it."""
    for child in ("control", "worker-0", "worker-1"):
        tree.signal(signal.SIGINT, child)
    tree.signal(signal.SIGINT)

    assert tree.wait() == 0
    hows = [line["how"] for line in tree.events("child_ended")]
    assert hows == ["exit code 0"] * 3


def test_a_drain_finishes_what_is_in_flight(tree: ProcessTree) -> None:
    """Listeners close at once, the held exchange ends, control goes last, exit 0."""
    with socket.create_connection(tree.address) as connection:
        eventually(lambda: accepted(tree), "the connection to be accepted")

        tree.signal(signal.SIGTERM)
        tree.wait_for("tree_finishing")
        eventually(lambda: refused(tree), "refused connections")
        assert tree.process.poll() is None
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = read_answer(connection)

    assert answer["table"] == {"name": "first"}
    assert tree.wait() == 0
    assert [line["child"] for line in tree.events("child_ended")][-1] == "control"
    assert tree.trace(event="end")
    assert tree.sentence() == ""


def accepted(tree: ProcessTree) -> bool:
    """Whether a worker holds a connection from a client."""
    inodes = set()
    port = tree.address[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":
            inodes.add(fields[9])
    return bool(inodes - {"0"})


def refused(tree: ProcessTree) -> bool:
    """Whether nobody listens on the traffic address any more."""
    try:
        socket.create_connection(tree.address, 1).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass
    return False


def test_connections_are_accepted_during_the_delay(tmp_path: Path) -> None:
    """A load balancer that has not noticed yet still gets answers."""
    with running_tree(tmp_path, drain={"delay": 60.0, "timeout": 30.0}) as tree:
        tree.wait_ready()
        tree.signal(signal.SIGTERM)
        tree.wait_for("tree_announced")

        assert tree.get()["table"] == {"name": "first"}
        assert tree.events("tree_finishing") == []
        tree.signal(signal.SIGTERM)
        assert tree.wait() == 0


def test_a_second_sigterm_hurries(tmp_path: Path) -> None:
    """No delay any more and one second to finish, whatever was configured."""
    with running_tree(tmp_path, drain={"delay": 0.0, "timeout": 3600.0}) as tree:
        tree.wait_ready()
        with tree.connect("/hold"):
            eventually(lambda: accepted(tree), "the held connection")
            tree.signal(signal.SIGTERM)
            tree.wait_for("tree_finishing")

            tree.signal(signal.SIGTERM)

            assert tree.wait() == 0
    assert len(tree.events("child_ended", how="SIGKILL")) == 1


def test_exchanges_that_never_finish_are_cut(tmp_path: Path) -> None:
    """After ``drain.timeout`` the workers are killed, and the exit code is 0."""
    with running_tree(tmp_path, drain={"delay": 0.0, "timeout": 0.2}) as tree:
        tree.wait_ready()
        with tree.connect("/hold"):
            eventually(lambda: accepted(tree), "the held connection")
            tree.signal(signal.SIGTERM)

            assert tree.wait() == 0
    assert tree.events("tree_killing_workers")


@pytest.mark.parametrize("path", ["/", "/spin"])
def test_a_killed_supervisor_leaves_no_orphan(tree: ProcessTree, path: str) -> None:
    """Also not a worker that is busy in a loop."""
    with contextlib.suppress(ConnectionResetError), tree.connect(path):
        children = tree.child_pids()
        tree.signal(signal.SIGKILL)

        eventually(lambda: not any(map(is_running, children)), "the end of all")


def test_a_unix_listener_is_shared(tmp_path: Path) -> None:
    """All workers accept on it; it is there while the tree is, and no longer."""
    path = tmp_path / "headgate.sock"
    with running_tree(tmp_path, listen=[f"unix:{path}"]) as tree:
        tree.wait_ready()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = read_answer(connection)
        tree.signal(signal.SIGTERM)

        assert answer["table"] == {"name": "first"}
        assert tree.wait() == 0
        assert not path.exists()


# --- a start that fails ---


def failed(tree: ProcessTree) -> str:
    """Wait for a failed start; return its sentence."""
    assert tree.wait() == 1
    assert "Traceback" not in tree.log_path.read_text()
    for pid in tree.child_pids():
        assert not is_running(pid)
    return tree.sentence()


def test_a_second_instance_on_the_address_is_refused(tree: ProcessTree) -> None:
    """It does not silently take half of the traffic, and the first serves on."""
    host, port = tree.address
    second = tree.directory / "second"
    second.mkdir()

    with running_tree(second, listen=[f"{host}:{port}"]) as other:
        sentence = failed(other)

    assert sentence == f"headgate: cannot listen on {host}:{port}: address in use"
    assert tree.get()["table"] == {"name": "first"}


def test_a_second_instance_on_the_state_is_refused(tree: ProcessTree) -> None:
    """Two controllers would decide about one rollout."""
    second = tree.directory / "second"
    second.mkdir()
    state = tree.plan["state_dir"]

    with running_tree(second, state_dir=state) as other:
        sentence = failed(other)

    holder = tree.process.pid
    assert sentence == (
        f"headgate: state_dir {state} is in use by another headgate (process {holder})"
    )


def test_limits_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    """The sentence says what would be possible."""
    with running_tree(tmp_path, limits={"connections": 10**9}) as tree:
        sentence = failed(tree)

    assert "limits.connections 1000000000 needs 1000004608 open files" in sentence
    assert "set limits.connections to at most" in sentence


CONTROL_GAVE_UP = (
    "control ended 5 times before the start was complete,"
    " the last time with exit code 3"
)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({"exit": 3}, CONTROL_GAVE_UP),
        ({"fatal": "the store is foreign", "table": {}}, "the store is foreign"),
    ],
)
def test_a_start_that_cannot_succeed_ends(
    tmp_path: Path, script: dict[str, Any], expected: str
) -> None:
    """With exit code 1 and a sentence, not with an endless loop."""
    (tmp_path / "script.json").write_text(json.dumps(script))

    with running_tree(tmp_path, workers=1) as tree:
        sentence = failed(tree)

    assert sentence == f"headgate: {expected}"


def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    """The module of the plan does not exist."""
    modules = {"worker": "no_such_module", "control": "fake_child"}
    with running_tree(tmp_path, workers=1, modules=modules) as tree:
        assert tree.wait() == 1
        sentence = tree.sentence()

    assert "headgate: worker-0 ended 5 times before the start was" in sentence


# --- as PID 1 ---


STARTER = """
import os, sys
if (pid := os.fork()) == 0:
    sys.stdin.read()
    os._exit(0)
open(sys.argv[1], "w").write(str(pid))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_strangers_are_reaped(tmp_path: Path) -> None:
    """A child that somebody else started is buried by us, as PID 1 must."""
    note = tmp_path / "stranger"
    starter = [sys.executable, "-c", STARTER, str(note)]
    with running_tree(tmp_path, workers=1, starter=starter) as tree:
        tree.wait_ready()
        stranger = int(note.read_text())
        assert is_running(stranger)

        assert tree.process.stdin is not None
        tree.process.stdin.close()

        tree.wait_for("stranger_reaped", stranger_pid=stranger)
        assert not Path(f"/proc/{stranger}").exists()


def test_an_end_is_told_in_words() -> None:
    """Exit codes and signals, as the end of a sentence."""
    assert how_it_ended(3 << 8) == "exit code 3"
    assert how_it_ended(signal.SIGSEGV) == "SIGSEGV"
    assert how_it_ended(40) == "signal 40"
