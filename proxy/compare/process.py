"""
The life of the compare process: take, compare, save, until it is told to end.

One thread in one loop: it looks at the rings, compares for a while, saves once a
second. Nothing waits for it, so it may take its time; the supervisor kills it
when it stands still, as a user's regular expression could make it.
"""

import json
import os
import secrets
import selectors
import signal
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from time import monotonic, time  # noqa: TID251 -- a shell reads the clock
from typing import Any, Final

from proxy.compare.book import Book
from proxy.compare.store import PairStore, Stored
from proxy.errors import ChannelError, HeadgateError, StoreError
from proxy.telemetry.channel import Channel, read_document
from proxy.telemetry.log import configure, log
from proxy.telemetry.pairs import Ledger, RingReader
from proxy.telemetry.process import CONTROL_IGNORES, begin_child, exit_if_orphaned

TITLE: Final = "headgate-compare"
EXIT_FAILED: Final = 1
LOOK_S: Final = 0.05
"""Between two looks at empty rings: a ring holds seconds of traffic."""
ROUND_MAX: Final = 200
"""Records taken of one ring before the next one's turn."""
SAVE_S: Final = 1.0
NICENESS: Final = 5
"""Workers and control come first where cores are few."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What the supervisor tells the compare process when it starts it."""

    workers: int
    channel_fd: int
    alive_fd: int
    table_fd: int
    pairs_fd: int
    supervisor_pid: int
    state_dir: str
    log_format: str
    log_level: str

    @classmethod
    def parse(cls, argument: str) -> "Launch":
        """Read the one argument of the process; keys of others are ignored."""
        document = json.loads(argument)
        return cls(**{field.name: document[field.name] for field in fields(cls)})


def main(argument: str) -> int:
    """Run until SIGTERM; return the exit code."""
    launch = Launch.parse(argument)
    begin_child(TITLE, launch.supervisor_pid, CONTROL_IGNORES)
    configure("compare", launch.log_format, launch.log_level)
    os.nice(NICENESS)
    try:
        Process(launch).run()
    except HeadgateError as error:
        log("error", "compare cannot run", why=str(error))
        return EXIT_FAILED
    return 0


class Process:
    """The loop, and everything that it holds."""

    def __init__(self, launch: Launch) -> None:
        self._ended = False
        signal.signal(signal.SIGTERM, self._end)
        self._channel = Channel.from_fd(launch.channel_fd)
        self._ledger = Ledger(launch.pairs_fd)
        self._ledger.beat(_now_ms())
        self._readers = [
            RingReader(launch.pairs_fd, worker) for worker in range(launch.workers)
        ]
        self._store = PairStore.open(Path(launch.state_dir))
        behind_s = time() - monotonic()
        self._book = Book(
            self._ledger,
            self._load,
            secrets.token_bytes(32),
            lambda monotonic_s: monotonic_s + behind_s,
        )
        self._saved_s = monotonic()
        self._unsaved = ""
        os.set_blocking(launch.alive_fd, False)
        self._alive_fd = launch.alive_fd
        self._selector = selectors.DefaultSelector()
        self._selector.register(launch.alive_fd, selectors.EVENT_READ)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._follow(launch.table_fd)

    def run(self) -> None:
        """Take pairs until SIGTERM or the end of the channel, then save."""
        self._channel.send({"type": "ready"})
        while not self._ended:
            busy = self._take()
            for key, _ in self._selector.select(0 if busy else LOOK_S):
                if key.fileobj is self._channel:
                    self._hear()
                else:
                    exit_if_orphaned(self._alive_fd)
            self._ledger.beat(_now_ms())
            if monotonic() - self._saved_s >= SAVE_S:
                self._save()
        while self._take():
            self._ledger.beat(_now_ms())
        self._save()
        self._store.close()

    def _end(self, _number: int, _frame: object) -> None:
        self._ended = True

    def _hear(self) -> None:
        """Take the tables that the supervisor sends."""
        for message, fd in self._channel.receive():
            if fd is not None:
                try:
                    if message["type"] == "table":
                        self._follow(fd)
                finally:
                    os.close(fd)
        if self._channel.closed:
            self._ended = True

    def _follow(self, fd: int) -> None:
        try:
            table: Mapping[str, Any] = read_document(fd)
            self._book.follow(table)
        except (ChannelError, KeyError, TypeError, ValueError) as error:
            log("error", "table refused", why=repr(error))

    def _take(self) -> bool:
        """Compare what is there, a bounded part of it; return whether any was."""
        busy = False
        for reader in self._readers:
            for _ in range(ROUND_MAX):
                record = reader.take()
                if record is None:
                    break
                busy = True
                try:
                    self._book.take(record)
                except Exception as error:  # noqa: BLE001 -- one request's answers
                    log("error", "pair could not be compared", why=repr(error))
            self._ledger.beat(_now_ms())
        if monotonic() - self._saved_s >= SAVE_S:
            self._save()
        return busy

    def _load(self, service: str, run: str) -> Stored | None:
        try:
            return self._store.load(service, run)
        except sqlite3.Error as error:
            log("error", "run could not be loaded", service=service, why=str(error))
            return None

    def _save(self) -> None:
        self._saved_s = monotonic()
        changes = self._book.changes()
        if not changes:
            return
        try:
            self._store.save(changes, time())
            self._book.saved()
            self._unsaved = ""
        except StoreError as error:
            if not self._unsaved:
                log("error", "parallel runs cannot be saved", why=str(error))
            self._unsaved = str(error)


def _now_ms() -> int:
    return int(monotonic() * 1000)
