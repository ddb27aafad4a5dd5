"""A real process tree under a test: started, asked, signalled, and ended."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from proxy.telemetry import channel

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_S = 20.0
"""Far above what anything here takes on a busy machine."""
T = TypeVar("T")


def eventually(probe: Callable[[], T], what: str, within_s: float = DEADLINE_S) -> T:
    """Return the first true answer of ``probe``; fail when there is none in time."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < deadline_s, f"not in {within_s} s: {what}"
        pause.wait(0.01)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


class ProcessTree:
    """A supervisor with fake children, and what can be seen of it."""

    def __init__(
        self, directory: Path, *, starter: Sequence[str] = (), **changes: object
    ) -> None:
        self.directory = directory
        self.starter = starter
        self.config = directory / "script.json"
        self.log_path = directory / "log"
        if not self.config.exists():
            self.write_script(table={"name": "first"})
        self.plan: dict[str, Any] = {
            "config": str(self.config),
            "settings": {"from": "plan"},
            "listen": ["127.0.0.1:0"],
            "health": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "workers": 2,
            "state_dir": str(directory / "state"),
            "drain": {"delay": 0.0, "timeout": 30.0},
            "limits": {"connections": 100},
            "log_format": "json",
            "log_level": "debug",
            "modules": {"worker": "fake_child", "control": "fake_child"},
            **changes,
        }
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        fd = channel.sealed_document("plan", self.plan)
        support = str(Path(__file__).resolve().parent)
        path = os.pathsep.join([str(ROOT), support])
        command = [sys.executable, "-P", "-m", "proxy.supervisor"]
        try:
            with self.log_path.open("ab") as log:
                return subprocess.Popen(
                    [*self.starter, *command, str(fd)],
                    pass_fds=[fd],
                    stdin=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, "PYTHONPATH": path},
                )
        finally:
            os.close(fd)

    def write_script(self, **script: object) -> None:
        """Tell control what to do at its next start or reload."""
        draft = self.config.with_suffix(".new")
        draft.write_text(json.dumps(script))
        draft.replace(self.config)

    # --- what is seen ---

    def events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the log lines about an event with these fields, oldest first."""
        return [
            line
            for line in self._lines(self.log_path)
            if line.get("event") == event and fields.items() <= line.items()
        ]

    def trace(self, **fields: object) -> list[dict[str, Any]]:
        """Return what control wrote down with these fields, oldest first."""
        path = Path(f"{self.config}.trace")
        found = self._lines(path) if path.exists() else iter(())
        return [line for line in found if fields.items() <= line.items()]

    def sentence(self) -> str:
        """Return what the supervisor told the user on stderr."""
        lines = self.log_path.read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("{"))

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait until the log has such a line; return the newest."""
        what = f"{event} {fields}"
        return eventually(lambda: self.events(event, **fields), what)[-1]

    def wait_ready(self) -> "ProcessTree":
        """Wait until every worker was ready once."""
        for index in range(self.plan["workers"]):
            self.wait_for("child_ready", child=f"worker-{index}")
        return self

    def wait_replaced(self, child: str, pid: int) -> int:
        """Wait until another process than ``pid`` is ready as that child."""

        def replacement() -> int:
            newest: int = self.events("child_ready", child=child)[-1]["child_pid"]
            return 0 if newest == pid else newest

        return eventually(replacement, f"the replacement of {child}")

    def pid_of(self, child: str) -> int:
        """Return the process id of the newest child with that name."""
        self.wait_for("child_started", child=child)
        pid: int = self.events("child_started", child=child)[-1]["child_pid"]
        return pid

    def child_pids(self) -> list[int]:
        """Return every child that was ever started."""
        return [line["child_pid"] for line in self.events("child_started")]

    @property
    def address(self) -> tuple[str, int]:
        """Return where traffic goes."""
        text = self.wait_for("listening", purpose="traffic")["address"]
        host, _, port = text.rpartition(":")
        return host, int(port)

    @staticmethod
    def _lines(path: Path) -> Iterator[dict[str, Any]]:
        for line in path.read_text().splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                yield json.loads(line)

    # --- what is done ---

    def connect(self, path: str = "/", timeout_s: float = DEADLINE_S) -> socket.socket:
        """Open a connection and ask for a path; the answer is not read."""
        connection = socket.create_connection(self.address, timeout_s)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return connection

    def get(self, path: str = "/", timeout_s: float = DEADLINE_S) -> dict[str, Any]:
        """Ask for a path; return who answered."""
        with self.connect(path, timeout_s) as connection:
            return read_answer(connection)

    def signal(self, number: signal.Signals, child: str | None = None) -> int:
        """Send a signal to the supervisor or to a child; return whom it was sent."""
        pid = self.process.pid if child is None else self.pid_of(child)
        os.kill(pid, number)
        return pid

    def wait(self, within_s: float = DEADLINE_S) -> int:
        """Wait for the supervisor's end; return its exit code."""
        return self.process.wait(within_s)

    def kill(self) -> None:
        """End the tree, whatever state it is in."""
        self.process.kill()
        self.process.wait(DEADLINE_S)
        assert self.process.stdin is not None
        self.process.stdin.close()


def read_answer(connection: socket.socket) -> dict[str, Any]:
    """Read a fake worker's answer to the end; return its body."""
    with connection.makefile("rb") as stream:
        data = stream.read()
    match = re.fullmatch(rb"HTTP/1\.0 200 OK\r\n\r\n(.*)", data, re.DOTALL)
    assert match is not None, data
    body: dict[str, Any] = json.loads(match[1])
    return body


@contextmanager
def running_tree(
    directory: Path, *, starter: Sequence[str] = (), **changes: object
) -> Iterator[ProcessTree]:
    """Run a tree with a changed plan, and leave nothing of it behind."""
    tree = ProcessTree(directory, starter=starter, **changes)
    try:
        yield tree
    finally:
        tree.kill()
