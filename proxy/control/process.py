"""
The life of the control process, from its launch argument to its last save.

``proxy.admin.__main__`` calls ``main(sys.argv[1], serve)``. ``serve(controller,
launch)`` is an async context manager: entering it opens the admin API on
``launch.admin_fds`` and the metrics on ``launch.metrics_fd``; it is entered
after the store was replayed and left before the store is closed.
"""

import asyncio
import gc
import json
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from proxy.control.clock import SystemClock
from proxy.control.configuration import Configuration
from proxy.control.controller import Controller
from proxy.control.figures import Figures
from proxy.control.gates import Gates
from proxy.control.governor import Governor
from proxy.control.loop import Loop
from proxy.control.metrics import Asked
from proxy.control.news import News
from proxy.control.parallel import Parallel
from proxy.control.probes import Probes
from proxy.control.providers import Providers
from proxy.control.recordings import Recorder
from proxy.control.store import SqliteStore, Store
from proxy.control.stream import Stream
from proxy.control.tasks import Tasks, describe
from proxy.errors import HeadgateError
from proxy.telemetry import layout
from proxy.telemetry.channel import Channel, read_document, sealed_document
from proxy.telemetry.log import configure, log
from proxy.telemetry.process import CONTROL_IGNORES, begin_child, exit_if_orphaned
from proxy.telemetry.slab import ControlSlab

JsonObject = dict[str, Any]

TITLE = "headgate-control"
EXIT_FAILED = 1
NO_FD = -1


@dataclass(frozen=True, slots=True)
class Launch:
    """What the supervisor tells a control process when it starts it."""

    config: str
    """Absolute path of the configuration file."""
    slab_fd: int
    channel_fd: int
    alive_fd: int
    """Read end of the pipe that ends with the supervisor."""
    table_fd: int
    """The newest route table; -1 on a cold start."""
    pairs_fd: int
    """Where workers hand over what is to be compared."""
    settings_fd: int
    """The last good settings; -1: read the file."""
    admin_fds: tuple[int, ...]
    metrics_fd: int
    supervisor_pid: int
    state_dir: str
    log_format: str
    log_level: str
    cold: bool
    """No control process was ready before in this tree."""

    @classmethod
    def parse(cls, argument: str) -> "Launch":
        """Read the one argument of the process; keys of others are ignored."""
        document = json.loads(argument)
        known = {field.name: document[field.name] for field in fields(cls)}
        return cls(**{**known, "admin_fds": tuple(known["admin_fds"])})


Serve = Callable[[Controller, Launch], AbstractAsyncContextManager[None]]


def main(argument: str, serve: Serve) -> int:
    """Run the control process until SIGTERM; return its exit code."""
    launch = Launch.parse(argument)
    begin_child(TITLE, launch.supervisor_pid, CONTROL_IGNORES)
    configure("control", launch.log_format, launch.log_level)
    logging.getLogger().addHandler(_Bridge(logging.WARNING))
    channel = Channel.from_fd(launch.channel_fd)
    try:
        asyncio.run(Process(launch, channel).run(serve))
    except HeadgateError as error:
        log("error", "control_cannot_run", why=str(error))
        channel.send({"type": "fatal", "message": str(error)})
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 -- the supervisor starts another one
        log("error", "control_failed", error=describe(error))
        return EXIT_FAILED
    return 0


class Process:
    """One control process: everything that was built for it, wired together."""

    def __init__(self, launch: Launch, channel: Channel) -> None:
        self._launch = launch
        self._channel = channel
        self._ended = asyncio.Event()
        self._stream = Stream()
        self._slab = ControlSlab(launch.slab_fd)
        self._shown: dict[str, JsonObject] = {}

    async def run(self, serve: Serve) -> None:
        """
        Replay, serve and decide until SIGTERM.

        Raises:
            StoreError: the store is torn, foreign or cannot be opened.
            HeadgateError: the settings or the API's addresses cannot be used.
        """
        self._listen()
        store = SqliteStore.open(Path(self._launch.state_dir))
        try:
            await self._run_with(store, serve)
        finally:
            store.close()

    async def _run_with(self, store: Store, serve: Serve) -> None:
        clock = SystemClock()
        # The governor publishes what the news then ask it about.
        news = News(clock, store, lambda name: governor.stewards.get(name))  # noqa: PLW0108

        def publish(event: JsonObject) -> None:
            self._stream.publish(event)
            news.take(event)

        parallel = Parallel(Path(self._launch.state_dir), self._launch.pairs_fd)
        recorder = Recorder.open(Path(self._launch.state_dir))
        governor = Governor(
            self._slab,
            store,
            clock,
            self._send_table,
            publish,
            recorder=recorder,
            parallel=parallel,
        )
        providers = Providers(governor.readings, clock, publish)
        gates = Gates(governor)
        probes = Probes(governor)
        configuration = Configuration(
            self._launch.config,
            governor,
            clock,
            keep=self._keep_settings,
            installed=lambda loaded: probes.follow(loaded.settings.services),
            publish=publish,
        )
        figures = Figures(governor)
        asked = Asked(gates.calls, news.sent)
        controller = Controller(governor, figures, configuration, self._stream, asked)
        governor.replay(_document(self._launch.table_fd))
        configuration.begin(_document(self._launch.settings_fd))
        self._slab.set_header_word(layout.H_CONTROL_READY, 1)
        self._follow_signals(configuration, governor)
        news.resume(governor.stewards)
        afterwards = (
            gates.look,
            news.note,
            lambda: providers.follow(governor.stewards),
            lambda: self._tell(controller),
        )
        loop = Loop(governor, figures, configuration, afterwards)
        tasks = Tasks()
        async with serve(controller, self._launch):
            # What was built so far lives as long as the process.
            gc.collect()
            gc.freeze()
            tasks.start(loop.run(), name="control loop")
            log("info", "ready", generation=governor.generation)
            await self._ended.wait()
            probes.stop()
            gates.stop()
            news.stop()
            providers.stop()
            await tasks.close()
        governor.save(governor.stewards.values())
        recorder.close()

    # --- the supervisor ---

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        os.set_blocking(self._launch.alive_fd, False)
        loop.add_reader(self._launch.alive_fd, exit_if_orphaned, self._launch.alive_fd)

    def _follow_signals(self, configuration: Configuration, governor: Governor) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ended.set)
        loop.add_signal_handler(signal.SIGHUP, configuration.reload_quietly)
        loop.add_reader(self._channel.fileno(), self._hear, governor)

    def _hear(self, governor: Governor) -> None:
        """Take what the supervisor says or relays."""
        for message, fd in self._channel.receive():
            if fd is not None:
                os.close(fd)
            if message["type"] == "revision":
                governor.see_revision(
                    str(message["service"]),
                    str(message["version"]),
                    str(message["value"]),
                )
            elif message["type"] == "worker":
                self._stream.publish(message)
        if self._channel.closed:
            self._ended.set()

    def _send_table(self, document: JsonObject) -> None:
        generation = document["generation"]
        compares = any(
            service["mirror"] is not None and service["mirror"]["compare"] is not None
            for service in document["services"]
        )
        message = {"type": "table", "generation": generation, "compares": compares}
        self._send(message, document)

    def _keep_settings(self, document: JsonObject) -> None:
        self._send({"type": "settings"}, document)

    def _send(self, message: JsonObject, document: JsonObject) -> None:
        fd = sealed_document(f"headgate-{message['type']}", document)
        try:
            if not self._channel.send(message, fd):
                log("error", "supervisor_cannot_be_told", what=message["type"])
        finally:
            os.close(fd)
        if self._channel.waiting:
            loop = asyncio.get_running_loop()
            loop.add_writer(self._channel.fileno(), self._flush)

    def _flush(self) -> None:
        self._channel.flush()
        if not self._channel.waiting:
            asyncio.get_running_loop().remove_writer(self._channel.fileno())

    # --- listeners of the stream ---

    def _tell(self, controller: Controller) -> None:
        """Publish the services each second, and rollouts when they changed."""
        if not len(self._stream):
            return
        services = controller.services()
        self._stream.publish({"type": "services", "services": services})
        for rollout in controller.rollouts():
            if self._shown.get(rollout["service"]) != rollout:
                self._shown[rollout["service"]] = rollout
                self._stream.publish({"type": "rollout", "rollout": rollout})


class _Bridge(logging.Handler):
    """Sends what libraries log to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        log(level, "library", logger=record.name, message=record.getMessage())


def _document(fd: int) -> Any:  # noqa: ANN401 -- JSON is what it is
    return None if fd == NO_FD else read_document(fd)
