"""When things happen: on a clock that the test turns."""

from pathlib import Path

import pytest

from proxy.control.configuration import Configuration
from proxy.control.figures import Figures
from proxy.control.loop import Loop
from proxy.telemetry import layout
from tests.support.control_room import BASE, ControlRoom


class Works:
    """A loop over a control room, with what it called."""

    def __init__(self, tmp_path: Path) -> None:
        file = tmp_path / "headgate.yaml"
        file.write_text(BASE)
        self.room = ControlRoom(tmp_path / "state")
        self.room.begin()
        self.published = 0
        configuration = Configuration(
            str(file),
            self.room.governor,
            self.room.clock,
            keep=lambda _: None,
            installed=lambda _: None,
            publish=lambda _: None,
        )
        configuration.begin(None)
        figures = Figures(self.room.governor)
        self.loop = Loop(self.room.governor, figures, configuration, (self.publish,))
        self.ticks: list[float] = []

    def publish(self) -> None:
        """Count a second's publication."""
        self.published += 1

    def run(self, seconds: float, step_s: float = 0.1) -> None:
        """Let time pass in steps."""
        for _ in range(round(seconds / step_s)):
            self.loop.step()
            self.room.clock.now_s += step_s


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """Give a loop that has not stepped."""
    return Works(tmp_path)


def count_ticks(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note every tick's length instead of judging."""
    monkeypatch.setattr(works.room.governor, "tick", works.ticks.append)


def test_heart_beats_ten_times_a_second(works: Works) -> None:
    """The word that tells the supervisor that control turns is fresh."""
    works.run(0.3)

    beat_ms = works.room.governor.slab.header_word(layout.H_CONTROL_BEAT_MS)
    assert abs(beat_ms / 1000 - works.room.clock.now_s) < 0.2


def test_judges_once_a_second(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps make one tick, and its length is what passed."""
    count_ticks(works, monkeypatch)

    works.run(3.05)

    assert works.ticks == pytest.approx([1.0, 1.0])
    assert works.published == 2


def test_pause_of_the_machine_is_one_tick(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missed seconds are not made up for; the judge is told how long it was."""
    count_ticks(works, monkeypatch)
    works.run(0.1)

    works.room.clock.now_s += 60
    works.loop.step()
    works.loop.step()

    assert works.ticks == pytest.approx([60.1])


def test_step_that_raises_does_not_end_the_loop(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is counted, and everything else of the second is done."""
    monkeypatch.setattr(works.room.governor, "tick", _broken)

    works.run(2.15)

    assert works.loop.errors == 2
    assert works.published == 2


def _broken(_dt_s: float) -> None:
    raise RuntimeError("broken")
