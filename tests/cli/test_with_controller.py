"""A rollout by hand: the commands, the admin API and the real controller."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.cli.entry import run
from proxy.control.configuration import Configuration
from proxy.control.controller import Controller
from proxy.control.figures import Figures
from proxy.control.stream import Stream
from tests.support.admin_api import AdminApi, admin_api
from tests.support.control_room import BASE, ControlRoom


class Desk:
    """A person at a terminal, with a controller behind the API."""

    def __init__(self, room: ControlRoom, api: AdminApi, file: Path) -> None:
        self.room = room
        self.api = api
        self.file = file

    async def types(self, *arguments: str) -> int:
        """Run a command, a second after the last; return its exit code."""
        self.room.clock.now_s += 1
        return await asyncio.to_thread(run, [*arguments, "--admin", self.api.url])


@asynccontextmanager
async def at_desk(directory: Path) -> AsyncIterator[Desk]:
    """Build a controller over a real store and slab, and serve it."""
    file = directory / "headgate.yaml"
    file.write_text(BASE)
    room = ControlRoom(directory / "state")
    room.governor.replay(None)
    stream = Stream()
    configuration = Configuration(
        str(file),
        room.governor,
        room.clock,
        keep=lambda _: None,
        installed=lambda _: None,
        publish=stream.publish,
    )
    configuration.begin(None)
    figures = Figures(room.governor)
    controller = Controller(room.governor, figures, configuration, stream)
    room.clock.now_s += 1
    try:
        async with admin_api(controller) as api:
            yield Desk(room, api, file)
    finally:
        room.store.close()


async def test_start_promote_and_explain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rollout is started, promoted to the end by name, and explained."""
    async with at_desk(tmp_path) as desk:
        assert await desk.types("start", "shop", "--reason", "release day") == 0
        assert desk.room.weights() == {"stable": 80.0, "canary": 20.0}
        assert await desk.types("explain", "shop") == 0
        explained = capsys.readouterr().out
        assert await desk.types("promote", "shop", "--full") == 0
        assert await desk.types("wait", "shop", "--revision", "2.4.0") == 0
        capsys.readouterr()
        assert await desk.types("status", "shop") == 0
        status = capsys.readouterr().out

    assert "release day" in explained
    assert "stable: 100, canary: 0 → stable: 80, canary: 20" in explained
    assert "Succeeded" in status
    assert "commit" in status
    assert "stable: canary" in status


async def test_abort_wins_and_is_idempotent(tmp_path: Path) -> None:
    """Twice aborted is aborted, the weight is 0, and ``wait`` tells a failure."""
    async with at_desk(tmp_path) as desk:
        await desk.types("start", "shop")
        codes = [await desk.types("abort", "shop") for _ in range(2)]
        waited = await desk.types("wait", "shop", "--revision", "2.4.0")

    assert codes == [0, 0]
    assert waited == 1
    assert desk.room.weights()["stable"] == 100.0


async def test_a_split_may_only_lower_an_active_canary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Down is done at once; up is refused in a sentence, and changes nothing."""
    async with at_desk(tmp_path) as desk:
        await desk.types("start", "shop")
        down = await desk.types("split", "shop", "canary=1")
        capsys.readouterr()
        up = await desk.types("split", "shop", "canary=50")
        refused = capsys.readouterr().err
        unknown = await desk.types("split", "shop", "nobody=5")
        capsys.readouterr()
        odd = await desk.types("split", "shop", "stable=1", "canary=1")
        sum_refused = capsys.readouterr().err

    assert (down, up, unknown, odd) == (0, 1, 1, 1)
    assert refused.startswith("headgate: ")
    assert refused.count("\n") == 1
    assert sum_refused.endswith("headgate: weights sum to 2, expected 100\n")
    assert desk.room.weights() == {"stable": 99.0, "canary": 1.0}


async def test_every_read_of_the_api_is_served(tmp_path: Path) -> None:
    """Whatever the real controller answers passes the API as strict JSON."""
    paths = (
        "services",
        "services/shop",
        "rollouts",
        "rollouts/shop",
        "rollouts/shop/history",
        "rollouts/shop/decisions",
        "config",
    )
    async with at_desk(tmp_path) as desk:
        await desk.types("start", "shop")
        desk.room.serve("canary", 60)
        desk.room.serve("stable", 240)
        desk.room.second()
        answers = [(await desk.api.ask("GET", f"/api/v1/{path}")) for path in paths]

    assert [answer.status for answer in answers] == [200] * len(paths)
    assert answers[3].json == answers[2].json[0]


async def test_a_bad_file_is_told_by_reload(tmp_path: Path) -> None:
    """``POST /config/reload`` names every mistake, and changes nothing."""
    async with at_desk(tmp_path) as desk:
        desk.file.write_text(BASE + "lisen: 1\nworkers: none\n")
        answer = await desk.api.ask("POST", "/api/v1/config/reload")

    assert (answer.status, answer.json["reason"]) == (422, "InvalidConfiguration")
    assert len(answer.json["problems"]) == 2
