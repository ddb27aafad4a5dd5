"""
Small stand-ins for the worker and for control, to test the supervisor alone.

The worker accepts on its listeners and on
the adopted ones, answers ``HTTP/1.0 200`` with who it is, and obeys some paths:
``/spin`` loops for ever, ``/hold`` never answers, ``/revision`` reports one.
Control reads a JSON script from the file that the plan calls ``config``, at
every start anew, and writes down what it is told in ``CONFIG.trace``.
"""

import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from proxy.telemetry import channel, layout, process
from proxy.telemetry.slab import ControlSlab, WorkerSlab

BEAT_EVERY_S = 0.1


class FakeWorker:
    """One worker: a blocking-free accept loop that answers in one go."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self.launch = launch
        self.index: int = launch["index"]
        self.slab = WorkerSlab(launch["slab_fd"], self.index)
        self.channel = channel.Channel.from_fd(launch["channel_fd"])
        self.selector = selectors.DefaultSelector()
        self.listeners = [
            [socket.socket(fileno=fd) for fd in mine] for mine in launch["listeners"]
        ]
        self.shared = [socket.socket(fileno=fd) for fd in launch["shared_listeners"]]
        self.held: list[socket.socket] = []
        self.table: Any = None
        self.running = True

    def run(self) -> None:
        """Serve until told to stop accepting and nothing is held any more."""
        self.selector.register(self.channel, selectors.EVENT_READ, self.obey)
        alive = self.launch["alive_fd"]
        self.selector.register(
            alive, selectors.EVENT_READ, lambda: process.exit_if_orphaned(alive)
        )
        if self.launch["table_fd"] >= 0:
            self.take_table(self.launch["table_fd"])
        while self.running or self.held:
            self.slab.words[layout.R_BEAT_MS] = time.monotonic_ns() // 1_000_000
            for key, _ in self.selector.select(BEAT_EVERY_S):
                key.data()

    def take_table(self, fd: int) -> None:
        """Load a table; the first one makes this worker ready."""
        first, self.table = self.table is None, channel.read_document(fd)
        if first:
            for listener in [*self.listeners[self.index], *self.shared]:
                self.listen_on(listener)
            self.channel.send({"type": "ready"})

    def listen_on(self, listener: socket.socket) -> None:
        """Accept on a listener from now on."""
        listener.setblocking(False)  # noqa: FBT003
        self.selector.register(
            listener, selectors.EVENT_READ, lambda: self.accept(listener)
        )

    def obey(self) -> None:
        """Do what the supervisor says."""
        for message, fd in self.channel.receive():
            match message["type"]:
                case "table":
                    assert fd is not None
                    self.take_table(fd)
                case "adopt":
                    for listener in self.listeners[message["listener"]]:
                        self.listen_on(listener)
                case "release":
                    for listener in self.listeners[message["listener"]]:
                        self.selector.unregister(listener)
                case "stop_accepting":
                    self.stop()
                case _:
                    pass
        if self.channel.closed:
            sys.exit(0)

    def stop(self) -> None:
        """Accept what waits, then close all listeners."""
        for listener in [*sum(self.listeners, self.shared)]:
            if listener in self.selector.get_map():
                while self.accept(listener):
                    pass
                self.selector.unregister(listener)
            listener.close()
        self.running = False

    def accept(self, listener: socket.socket) -> bool:
        """Take one connection and wait for its request; False when there is none."""
        if listener.fileno() < 0:  # closed by an earlier event of the same round
            return False
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return False
        connection.setblocking(False)  # noqa: FBT003
        self.held.append(connection)
        self.selector.register(
            connection, selectors.EVENT_READ, lambda: self.answer(connection)
        )
        return True

    def answer(self, connection: socket.socket) -> None:
        """Answer one request, or what its path asks for instead."""
        try:
            request = connection.recv(4096)
        except ConnectionResetError:
            request = b""
        if b" /hold" in request:
            return
        if b" /spin" in request:
            while True:
                pass
        if b" /revision" in request:
            self.channel.send({"type": "revision", "service": "s", "value": "2"})
        self.selector.unregister(connection)
        self.held.remove(connection)
        if request:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + self.described())
        connection.close()

    def described(self) -> bytes:
        """Return who answers."""
        return json.dumps(
            {"pid": os.getpid(), "worker": self.index, "table": self.table}
        ).encode()


class FakeControl:
    """Control: gives the workers a table, and writes down what it is told."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self.launch = launch
        self.trace = Path(launch["config"] + ".trace")
        self.slab = ControlSlab(launch["slab_fd"])
        self.channel = channel.Channel.from_fd(launch["channel_fd"])
        self.generation = self.slab.header_word(layout.H_GENERATION)

    def run(self) -> None:
        """Follow the script, then listen until SIGTERM."""
        script = self.script()
        self.note(event="start", cold=self.launch["cold"], settings=self.settings())
        if "fatal" in script:
            self.channel.send({"type": "fatal", "message": script["fatal"]})
        if "exit" in script:
            sys.exit(script["exit"])
        signal.signal(signal.SIGHUP, lambda *_: self.publish("reload"))
        signal.signal(signal.SIGTERM, lambda *_: self.end())
        self.publish("start")
        selector = selectors.DefaultSelector()
        selector.register(self.channel, selectors.EVENT_READ)
        while not self.channel.closed:
            self.slab.set_header_word(
                layout.H_CONTROL_BEAT_MS, time.monotonic_ns() // 1_000_000
            )
            if selector.select(BEAT_EVERY_S):
                for message, _ in self.channel.receive():
                    self.note(**message)
            if script.get("hang"):
                signal.pause()

    def script(self) -> dict[str, Any]:
        """Return what the file says now."""
        document: dict[str, Any] = json.loads(Path(self.launch["config"]).read_text())
        return document

    def settings(self) -> Any:  # noqa: ANN401
        """Return the last good settings that the supervisor kept."""
        fd = self.launch["settings_fd"]
        return channel.read_document(fd) if fd >= 0 else None

    def publish(self, why: str) -> None:
        """Send the script's table and settings, under a new generation."""
        script = self.script()
        self.generation += 1
        self.slab.set_header_word(layout.H_GENERATION, self.generation)
        self.note(event="publish", why=why, generation=self.generation)
        if "settings" in script:
            fd = channel.sealed_document("settings", script["settings"])
            self.channel.send({"type": "settings"}, fd)
        if "table" in script:
            fd = channel.sealed_document("table", script["table"])
            self.channel.send({"type": "table", "generation": self.generation}, fd)
        if script.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)

    def end(self) -> None:
        """End as SIGTERM asks."""
        self.note(event="end")
        sys.exit(0)

    def note(self, **fields: object) -> None:
        """Append one line to the trace."""
        with self.trace.open("a") as trace:
            trace.write(json.dumps(fields) + "\n")


def main() -> None:
    """Be what the launch document says."""
    launch = json.loads(sys.argv[1])
    supervisor: int = launch["supervisor_pid"]
    if launch["role"] == "worker":
        title = f"headgate-worker-{launch['index']}"
        process.begin_child(title, supervisor, process.WORKER_IGNORES)
        FakeWorker(launch).run()
    else:
        process.begin_child("headgate-control", supervisor, process.CONTROL_IGNORES)
        FakeControl(launch).run()


if __name__ == "__main__":
    main()
