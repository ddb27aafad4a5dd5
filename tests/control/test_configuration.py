"""Reloads: a good file is in force as a whole, a bad one changes nothing."""

import os
from pathlib import Path
from typing import Any

import pytest

from proxy.control.configuration import Configuration
from proxy.errors import ConflictError, SettingsError
from tests.support.control_room import BASE, ControlRoom

JsonObject = dict[str, Any]


class Desk:
    """A configuration over a real file and a real governor."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "headgate.yaml"
        self.file.write_text(BASE)
        self.room = ControlRoom(tmp_path / "state")
        self.kept: list[JsonObject] = []
        self.followed: list[str] = []
        self.configuration = self.make()

    def make(self) -> Configuration:
        """Return a configuration that has not begun."""
        return Configuration(
            str(self.file),
            self.room.governor,
            self.room.clock,
            keep=self.kept.append,
            installed=lambda loaded: self.followed.append(loaded.hash),
            publish=self.room.events.append,
        )

    def write(self, text: str) -> None:
        """Replace the file as an editor does: another inode."""
        draft = self.file.with_suffix(".new")
        draft.write_text(text)
        draft.rename(self.file)

    def poll(self) -> None:
        """Look twice, as in two seconds: a change counts when it stands still."""
        self.configuration.look()
        self.configuration.look()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Give a desk whose file is in force."""
    made = Desk(tmp_path)
    made.room.governor.replay(None)
    made.configuration.begin(None)
    return made


def test_begin_reads_the_file(desk: Desk) -> None:
    """A start without last good settings uses the file, and keeps it."""
    shown = desk.configuration.as_json()

    assert shown["last_reload"]["ok"]
    assert list(shown["settings"]["services"]) == ["shop"]
    assert [document["services"].keys() for document in desk.kept] == [{"shop"}]
    assert desk.followed == [shown["hash"]]


def test_begin_prefers_the_last_good_settings(desk: Desk) -> None:
    """A restart with a bad file goes on with what was in force."""
    desk.write("services: {}")
    again = desk.make()

    again.begin(desk.kept[0])

    assert again.loaded.hash == desk.configuration.loaded.hash


def test_begin_with_a_bad_file_says_why(tmp_path: Path) -> None:
    """Without anything good there is nothing to run."""
    desk = Desk(tmp_path)
    desk.write("services: {shop: {}}")

    with pytest.raises(SettingsError, match=r"headgate\.yaml:1:"):
        desk.configuration.begin(None)


def test_changed_file_is_noticed(desk: Desk) -> None:
    """A replaced file is in force after two looks, and a new table is out."""
    desk.poll()
    before = desk.room.governor.generation

    desk.write(BASE.replace("shop:", "store:"))
    desk.poll()

    assert list(desk.room.governor.stewards) == ["store"]
    assert desk.room.governor.generation == before + 1


def test_swapped_symbolic_link_is_noticed(tmp_path: Path) -> None:
    """A ConfigMap mount changes where the link leads, not the link's name."""
    desk = Desk(tmp_path)
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(BASE)
    new.write_text(BASE.replace("shop:", "store:"))
    desk.file.unlink()
    desk.file.symlink_to(old)
    desk.room.governor.replay(None)
    desk.configuration.begin(None)
    link = tmp_path / "link"
    link.symlink_to(new)

    os.replace(link, desk.file)  # noqa: PTH105 -- the call that ConfigMaps are swapped by
    desk.poll()

    assert list(desk.room.governor.stewards) == ["store"]


def test_file_without_a_change_gives_no_table(desk: Desk) -> None:
    """A touched file, or a comment, disturbs nobody."""
    before = desk.room.governor.generation

    desk.write(f"# a comment\n{BASE}")
    desk.poll()

    assert desk.room.governor.generation == before
    assert desk.configuration.reload()["changed"] is False


def test_bad_file_changes_nothing_and_is_reported(desk: Desk) -> None:
    """The mistakes are kept to be shown until a good file comes."""
    desk.write(BASE.replace("endpoints", "endpoint"))
    desk.poll()

    shown = desk.configuration.as_json()
    assert list(desk.room.governor.stewards) == ["shop"]
    assert not shown["last_reload"]["ok"]
    assert any("did you mean" in line for line in shown["last_reload"]["problems"])
    assert desk.room.events[-1]["type"] == "config"

    desk.write(BASE)
    desk.poll()
    assert desk.configuration.as_json()["last_reload"]["ok"]


def test_reload_by_request_raises_its_mistakes(desk: Desk) -> None:
    """A person who asks gets the mistakes as the answer."""
    desk.write("services: {}")

    with pytest.raises(SettingsError):
        desk.configuration.reload()


def test_keys_that_need_a_restart_are_refused_by_name(desk: Desk) -> None:
    """Nothing of such a file is applied, and every key is named."""
    desk.write(f"listen: 127.0.0.1:1\nworkers: 3\n{BASE.replace('shop:', 'store:')}")

    with pytest.raises(ConflictError, match="`listen` and `workers` changed"):
        desk.configuration.reload()

    assert list(desk.room.governor.stewards) == ["shop"]


def test_missing_file_is_waited_for(desk: Desk) -> None:
    """A file that is just being replaced is no mistake."""
    desk.file.unlink()

    desk.poll()

    assert desk.configuration.last.ok
