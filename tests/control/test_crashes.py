"""
Control may die at any moment: the rollout goes on as if it had not.

Two hundred seeded crash points: before a write to the store is committed, after
it and before anything follows from it, or between two ticks. After each a new
governor starts from the store, the slab and the table, as a new process does.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.control.governor import Governor
from proxy.control.store import Change, JsonObject, Saved, SqliteStore
from proxy.errors import StoreError
from proxy.model.vocabulary import Phase
from proxy.rollout.events import Command, Verb
from proxy.rollout.state import RolloutState
from tests.support.control_room import ControlRoom

TEXT = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002], revision: "2.4.0"}
    rollout:
      start: manual
      steps: [20, 60, 100]
      min_duration: 2s
      min_requests: 50
      warmup: 0s
      slos: [{metric: error_rate, max: 5%}]
      bake: {duration: 2s, holdback: 10}
"""
TICKS_MAX = 200
"""Far more than the rollout needs; evidence may be gathered anew after a crash."""


class CrashError(BaseException):
    """The process dies here; nothing of it may catch that."""


@dataclass(frozen=True)
class Point:
    """Which write, counted from the start, the process dies at, and when."""

    write: int
    committed: bool


class MortalStore(SqliteStore):
    """A store whose process dies at one of its writes."""

    point: Point | None = None
    writes = 0

    def save(self, changes: Sequence[Change]) -> list[list[int]]:
        """Save, unless the process dies first, or right afterwards."""
        self.writes += 1
        dies = self.point is not None and self.writes == self.point.write
        if dies and self.point is not None and not self.point.committed:
            raise CrashError
        numbers = super().save(changes)
        if dies:
            raise CrashError
        return numbers


class Life:
    """One rollout from start to end, with crashes on the way."""

    def __init__(self, state_dir: Path, *, bad_at: float = 1e9) -> None:
        self.room = ControlRoom(state_dir)
        self.bad_at = bad_at
        """From this weight on the canary fails one request in three."""
        self.crashes = 0
        self.dies_between = 0
        """The process dies after so many seconds, beside its store; 0: it does not."""
        self.seen: list[float] = [0.0]
        self.attempt(self.room.begin)

    @property
    def state(self) -> RolloutState:
        """The state in force."""
        return self.room.governor.steward("shop").state

    def arm(self, point: Point | None) -> MortalStore:
        """Let the process die at a write from now on; ``None``: only count them."""
        store = MortalStore.open(self.room.state_dir)
        store.point = point
        self.room.store.close()
        self.room.store = self.room.governor.store = store
        self.room.governor._keeper.store = store
        return store

    def attempt(self, work: object) -> None:
        """Do something that may be the last thing of this process."""
        assert callable(work)
        try:
            work(*([TEXT] if work == self.room.begin else []))
        except CrashError:
            self.crashes += 1
            self.restart()

    def restart(self) -> Governor:
        """Start a new process; downtime passes."""
        saved = self.saved()
        self.room.clock.now_s += 7.0
        governor = self.room.restart(TEXT)
        run = saved.get("run") or {}
        found = self.state.run
        if found is not None:
            assert (found.id, found.step) == (run["id"], run["step"])
            assert found.step_s == run["step_s"]
        return governor

    def saved(self) -> JsonObject:
        """Return the rollout as the store has it."""
        documents: dict[str, Saved] = self.room.store.load()
        found: JsonObject = documents["shop"].document["rollout"]
        return found

    def second(self) -> None:
        """Let users send a second's requests by the weights in force, then judge."""
        weights = self.room.weights()
        canary = weights.get("canary", 0.0)
        bad = canary >= self.bad_at
        for version, share in weights.items():
            requests = round(share * 4)
            failed = requests // 3 if bad and version == "canary" else 0
            self.room.serve(version, requests - failed)
            if failed:
                self.room.serve(version, failed, code=500)
        self.attempt(self.room.second)
        self.dies_between -= 1
        if not self.dies_between:
            self.crashes += 1
            self.restart()
        if self.room.weights().get("canary", 0.0) != self.seen[-1]:
            self.seen.append(self.room.weights().get("canary", 0.0))

    def run(self) -> None:
        """Go from start to end; a person whose order was lost gives it again."""
        self.room.clock.now_s += 1.0
        for _ in range(TICKS_MAX):
            if self.state.phase is Phase.IDLE:
                self.attempt(self.start)
            if self.state.phase in {Phase.SUCCEEDED, Phase.ROLLED_BACK}:
                return
            self.second()
        pytest.fail(f"not ended: {self.state.message}")

    def start(self) -> None:
        """Let a person start."""
        steward = self.room.governor.steward("shop")
        self.room.governor.order(steward, Command(Verb.START, "ann"))

    def record(self) -> list[tuple[str, str, float]]:
        """Return what was decided: rule, phase and the canary's weight."""
        return [
            (one["rule"], one["phase"], one["weights"]["canary"])
            for one in self.room.store.decisions("shop", rollout="shop-1")
        ]


def told(life: Life) -> tuple[list[tuple[str, str, float]], list[float]]:
    """Return what was decided and what the slab showed, step for step."""
    life.second()
    return life.record(), life.seen


@pytest.mark.parametrize("bad_at", [1e9, 60.0])
def test_two_hundred_crash_points_lose_and_double_nothing(
    tmp_path: Path, bad_at: float
) -> None:
    """The same decisions and the same weights, once each, as without a crash."""
    life = Life(tmp_path / "whole", bad_at=bad_at)
    whole = life.arm(None)
    life.run()
    expected = told(life)
    rise = [0.0, 20.0, 60.0]
    assert expected[1] == [*rise, *([90.0, 100.0] if bad_at > 100 else [0.0])]

    chance = random.Random(bad_at)  # noqa: S311 -- the same points in every run
    points = list(itertools.product(range(1, whole.writes + 1), (False, True)))
    for seed in range(100):
        mortal = Life(tmp_path / str(seed), bad_at=bad_at)
        mortal.arm(Point(*points[seed % len(points)]))
        if seed >= len(points):
            mortal.dies_between = chance.randint(1, len(expected[0]) + 2)
        mortal.run()
        assert mortal.crashes >= 1
        assert told(mortal) == expected, f"crash {seed}"
        mortal.room.store.close()


def test_a_rollback_on_a_full_disk_survives_a_restart(tmp_path: Path) -> None:
    """What was lowered without a store is not raised again by the next process."""
    life = Life(tmp_path)
    life.room.clock.now_s += 1.0
    life.start()
    life.second()

    def refuse(changes: Sequence[Change]) -> list[list[int]]:
        raise StoreError(f"{len(changes)} changes: the disk is full")

    vars(life.room.store)["save"] = refuse
    steward = life.room.governor.steward("shop")
    life.room.clock.now_s += 1.0
    life.room.governor.order(steward, Command(Verb.ABORT, "ann"))
    assert life.room.weights() == {"stable": 100.0}

    life.room.restart(TEXT)
    life.room.clock.now_s += 1.0
    life.room.governor.watch()
    assert life.room.weights() == {"stable": 100.0}
    assert life.state.phase is Phase.PAUSED
