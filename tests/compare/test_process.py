"""The compare process as the supervisor starts it: fed, killed, started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.compare.store import FILE_NAME, PairReader
from proxy.telemetry import channel, pairs
from proxy.telemetry.pairs import RingWriter
from tests.compare.test_book import ABSENT, document, leg, record
from tests.support.process_tree import eventually

RUN = "canary-2.4.0-1"


class Compare:
    """What the supervisor gives to a compare process."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.pairs_fd = pairs.create(2)
        self.writers = [RingWriter(self.pairs_fd, worker) for worker in range(2)]
        self.reader = PairReader(state_dir)
        self.peer: channel.Channel

    @contextmanager
    def running(self, table: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
        """Run a process until the end of the block, and wait until it is ready."""
        ours, theirs = channel.pair()
        self.peer = channel.Channel(ours)
        alive_read, alive_write = os.pipe()
        table_fd = channel.sealed_document("table", table)
        fds = {
            "channel_fd": theirs.fileno(),
            "alive_fd": alive_read,
            "table_fd": table_fd,
            "pairs_fd": self.pairs_fd,
        }
        launch = {
            **fds,
            "workers": 2,
            "supervisor_pid": os.getpid(),
            "state_dir": str(self.state_dir),
            "log_format": "json",
            "log_level": "info",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy.compare", json.dumps(launch)],
            pass_fds=list(fds.values()),
        )
        theirs.close()
        try:
            eventually(lambda: [m for m, _ in self.peer.receive()], "ready")
            yield process
        finally:
            process.kill()
            process.wait()
            self.peer.close()
            for fd in (alive_read, alive_write, table_fd):
                os.close(fd)

    def saved(self, run: str = RUN) -> int:
        """Return how many pairs of a run were saved."""
        tally = self.reader.run("shop", run)
        return 0 if tally is None else tally.pairs


@pytest.fixture
def compare(tmp_path: Path) -> Iterator[Compare]:
    """Return what a process is started with."""
    made = Compare(tmp_path / "state")
    yield made
    made.reader.close()
    os.close(made.pairs_fd)


def test_pairs_of_all_workers_are_compared_and_saved(compare: Compare) -> None:
    """Within about a second, without being asked; the heartbeat goes on."""
    with compare.running(document()) as process:
        for n in range(50):
            answers = leg({"a": n}), leg({"a": n + (n == 7)}), ABSENT
            now_s = time.monotonic()
            assert compare.writers[n % 2].put(record(*answers, at_s=now_s))
        eventually(lambda: compare.saved() == 50, "all pairs")
        endpoints, examples = compare.reader.details("shop", RUN)
        beat_ms = pairs.beat_ms(compare.pairs_fd)
        eventually(lambda: pairs.beat_ms(compare.pairs_fd) > beat_ms, "a beat")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

    assert endpoints[0].differing == 1
    assert len(examples) == 1
    assert pairs.service_counts(compare.pairs_fd, 5)[pairs.S_EQUAL] == 49


def test_a_killed_process_loses_a_second_at_most(compare: Compare) -> None:
    """What was saved is there; what was in the rings is compared by the next one."""
    with compare.running(document()):
        for _ in range(20):
            assert compare.writers[0].put(record(leg(1), leg(1)))
        eventually(lambda: compare.saved() == 20, "the first pairs")
    for _ in range(30):
        assert compare.writers[0].put(record(leg(1), leg(1)))

    with compare.running(document()):
        eventually(lambda: compare.saved() == 50, "the pairs meanwhile")

    assert pairs.service_counts(compare.pairs_fd, 5)[pairs.S_LOST] == 0


def test_a_new_table_begins_a_new_run(compare: Compare) -> None:
    """The supervisor sends tables; what is garbage in a ring stops nothing."""
    with compare.running(document()):
        assert compare.writers[0].put(record(leg(1), leg(1)))
        eventually(lambda: compare.saved() == 1, "the first run")
        os.pwrite(compare.pairs_fd, b"\xff" * 100, pairs.HEADER_BYTES)
        fd = channel.sealed_document("table", document(generation=9, run="next"))
        compare.peer.send({"type": "table"}, fd)
        os.close(fd)

        def counted() -> bool:
            compare.writers[1].put(record(leg(1), leg(1), generation=9))
            return compare.saved("next") > 0

        eventually(counted, "the next run")


def test_the_last_pairs_are_saved_at_the_end(compare: Compare) -> None:
    """SIGTERM: what is in the rings is compared first."""
    with compare.running(document()) as process:
        process.send_signal(signal.SIGSTOP)
        for _ in range(300):
            assert compare.writers[0].put(record(leg(1), leg(1)))
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 0

    assert compare.saved() == 300
    assert (compare.state_dir / FILE_NAME).exists()
