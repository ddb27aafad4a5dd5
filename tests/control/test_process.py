"""The control process as the supervisor sees it: launched, killed, restarted."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.control.store import FILE_NAME
from proxy.telemetry import layout, pairs
from proxy.telemetry.channel import (
    Channel,
    is_sealed,
    pair,
    read_document,
    sealed_document,
)
from proxy.telemetry.slab import ControlSlab, SupervisorSlab, WorkerRow, create
from tests.support.control_room import BASE, load
from tests.support.eventually import eventually

PROGRAM = """
import sys
from contextlib import asynccontextmanager
from proxy.control.process import main

@asynccontextmanager
async def serve(controller, launch):
    print("serving", controller.rollout("shop")["phase"], flush=True)
    yield

sys.exit(main(sys.argv[1], serve))
"""


class Supervisor:
    """What the supervisor gives to control, and what it gets back."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "headgate.yaml"
        self.file.write_text(BASE)
        self.state_dir = tmp_path / "state"
        self.slab_fd = create(1)
        self.slab = ControlSlab(self.slab_fd)
        rows = SupervisorSlab(self.slab_fd)
        rows.set_started(1)
        rows.set_worker(0, WorkerRow(1, layout.STATE_STARTING, 0))
        self.table_fd = self.settings_fd = -1
        self.pairs_fd = pairs.create(1)
        self.messages: list[dict[str, Any]] = []
        self.channel: Channel | None = None

    def take(self) -> list[dict[str, Any]]:
        """Take what control sent; keep its documents."""
        assert self.channel is not None
        for message, fd in self.channel.receive():
            self.messages.append(message)
            if fd is None:
                continue
            assert is_sealed(fd)
            name = f"{message['type']}_fd"
            setattr(self, name, fd)
        return self.messages

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of one type so far."""
        return [message for message in self.take() if message["type"] == kind]

    @asynccontextmanager
    async def control(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a control process until the end of the block."""
        ours, theirs = pair()
        self.channel = Channel(ours)
        alive_read, alive_write = os.pipe()
        listener = socket.create_server(("127.0.0.1", 0))
        fds = {
            "slab_fd": self.slab_fd,
            "channel_fd": theirs.fileno(),
            "alive_fd": alive_read,
            "table_fd": self.table_fd,
            "settings_fd": self.settings_fd,
            "pairs_fd": self.pairs_fd,
            "metrics_fd": listener.fileno(),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, json.dumps(self.launch(fds))),
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[fd for fd in fds.values() if fd >= 0],
        )
        theirs.close()
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
            listener.close()
            os.close(alive_read)
            os.close(alive_write)
            self.take()
            self.channel.close()

    def launch(self, fds: Mapping[str, int]) -> dict[str, Any]:
        """Return the launch document."""
        return {
            "role": "control",
            "config": str(self.file),
            **fds,
            "admin_fds": [],
            "supervisor_pid": os.getpid(),
            "state_dir": str(self.state_dir),
            "log_format": "text",
            "log_level": "info",
            "cold": self.table_fd < 0,
        }


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """Give a supervisor that has started nothing."""
    return Supervisor(tmp_path)


async def serving(process: asyncio.subprocess.Process) -> str:
    """Return the phase that a process prints once it serves."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().split()[-1]


async def test_cold_start_applies_weights_then_sends_the_table(
    supervisor: Supervisor,
) -> None:
    """Workers get a sealed table only after the store was replayed."""
    async with supervisor.control() as process:
        assert await serving(process) == "Idle"

        assert [m["generation"] for m in supervisor.of_type("table")] == [1]
        table = read_document(supervisor.table_fd)
        assert supervisor.slab.weights(table["services"][0]["slot"]) == [(0, 100_000)]
        assert supervisor.slab.header_word(layout.H_CONTROL_READY) == 1
        settings = read_document(supervisor.settings_fd)
        assert list(settings["services"]) == ["shop"]
        await eventually(
            lambda: supervisor.slab.header_word(layout.H_CONTROL_BEAT_MS) > 0
        )


async def test_sigterm_ends_it_with_0(supervisor: Supervisor) -> None:
    """The last thing of the tree saves and goes."""
    async with supervisor.control() as process:
        await serving(process)

        process.send_signal(signal.SIGTERM)

        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_sighup_reloads_the_file(supervisor: Supervisor) -> None:
    """A changed file is in force, and its table at the workers."""
    async with supervisor.control() as process:
        await serving(process)
        supervisor.file.write_text(BASE.replace("shop:", "store:"))

        process.send_signal(signal.SIGHUP)
        await eventually(lambda: len(supervisor.of_type("table")) == 2)

        services = read_document(supervisor.table_fd)["services"]
        assert [service["name"] for service in services] == ["store"]


async def test_seen_revision_becomes_the_salt(supervisor: Supervisor) -> None:
    """What a worker saw is relayed, recorded, and read from the next table."""
    text = BASE.replace('revision: "2.4.0"', "revision: {header: x-app-version}")
    supervisor.file.write_text(text)
    async with supervisor.control() as process:
        await serving(process)
        assert supervisor.channel is not None

        supervisor.channel.send(
            {
                "type": "revision",
                "service": "shop",
                "version": "canary",
                "value": "2.5.0",
            }
        )
        await eventually(lambda: len(supervisor.of_type("table")) == 2)

        assert read_document(supervisor.table_fd)["services"][0]["salt"] == "2.5.0"


async def test_killed_process_is_replaced_without_a_new_table(
    supervisor: Supervisor,
) -> None:
    """The next one goes on with table, settings, store and weights, bad file or not."""
    async with supervisor.control() as first:
        await serving(first)
        first.kill()
        await first.wait()
    sent = len([m for m in supervisor.messages if m["type"] == "table"])
    supervisor.file.write_text("services: {}")

    async with supervisor.control() as second:
        assert await serving(second) == "Idle"
        await eventually(
            lambda: supervisor.slab.header_word(layout.H_CONTROL_BEAT_MS) > 0
        )

        assert len(supervisor.of_type("table")) == sent
        assert supervisor.slab.header_word(layout.H_GENERATION) == 1


async def test_foreign_store_is_fatal_with_a_sentence(supervisor: Supervisor) -> None:
    """The tree is told why control can never run; the file is left alone."""
    supervisor.state_dir.mkdir()
    (supervisor.state_dir / FILE_NAME).write_text("notes" * 100)

    async with supervisor.control() as process:
        async with asyncio.timeout(30):
            assert await process.wait() == 1

        (fatal,) = supervisor.of_type("fatal")
        assert "is not a Headgate store" in fatal["message"]


async def test_last_good_settings_are_used_on_a_cold_start(
    supervisor: Supervisor,
) -> None:
    """``headgate run`` has read the file already; control need not."""
    document = load(BASE).document
    supervisor.settings_fd = sealed_document("settings", document)
    supervisor.file.unlink()

    async with supervisor.control() as process:
        assert await serving(process) == "Idle"
