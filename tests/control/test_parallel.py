"""Parallel runs in control: names, accounts, judgements and fair loads."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.compare.store import Change, PairStore
from proxy.control.fairness import Fairness, Loads, without_latency
from proxy.control.governor import Governor
from proxy.control.parallel import Parallel, limit_of, run_name
from proxy.control.recordings import Recorder
from proxy.model.document import encode
from proxy.model.judging import Judgement, Requests, SloJudgement
from proxy.model.vocabulary import (
    MirrorOutcome,
    PairOutcome,
    Phase,
    Reason,
    Verdict,
)
from proxy.parallel.tally import Tally
from proxy.rollout.events import Command, Verb
from proxy.telemetry import layout, pairs
from proxy.telemetry.pairs import Ledger
from proxy.telemetry.slab import ControlSlab
from tests.support.control_room import ControlRoom, load
from tests.support.parallel_run import tally

SHOP = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001], revision: "2.3.0"}
      canary: {endpoints: [http://127.0.0.1:9002], revision: "2.4.0"}
    mirror:
      to: canary
      during: always
      compare: {ignore: [$.ts]}
    rollout:
      start: manual
      strategy: parallel
      steps: [20, 100]
      min_duration: 1s
      min_requests: 20
      warmup: 0s
      slos: [{metric: mismatch_rate, max: 1%}, {metric: error_rate, max: 5%}]
"""


class ParallelRoom(ControlRoom):
    """A control room whose governor reads what a compare process saved."""

    def __init__(self, tmp_path: Path) -> None:
        self.pairs_fd = pairs.create(2)
        self.parallel = Parallel(tmp_path / "state", self.pairs_fd)
        super().__init__(tmp_path / "state")
        self.pair_store = PairStore.open(self.state_dir)

    def make_governor(self) -> Governor:
        """Return a governor that knows nothing yet."""
        return Governor(
            ControlSlab(self.fd),
            self.store,
            self.clock,
            self.take_table,
            self.events.append,
            recorder=Recorder.open(self.state_dir),
            parallel=self.parallel,
        )

    def compared(self, found: Tally) -> None:
        """Let the compare process save a run."""
        name = self.governor.steward("shop").roles.run
        endpoints = {one.name: encode(one) for one in found.endpoints.values()}
        change = Change("shop", name, encode(found.run), endpoints, (), 60.0)
        self.pair_store.save([change], self.clock.now_s)

    def tick(self) -> None:
        """Let a second pass."""
        self.clock.now_s += 1.0
        self.governor.tick(1.0)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[ParallelRoom]:
    """Return a room with a rollout that has begun."""
    made = ParallelRoom(tmp_path)
    made.begin(SHOP)
    made.tick()
    governor = made.governor
    steward = governor.steward("shop")
    steward.health = {"stable": True, "canary": True}
    governor.order(steward, Command(Verb.START, "test"))
    yield made
    made.pair_store.close()


def state(room: ParallelRoom) -> tuple[Phase, Reason, float]:
    """Return phase, reason and weight."""
    found = room.governor.steward("shop").state
    return found.phase, found.reason, found.canary_weight


def test_live_traffic_waits_for_equivalence(room: ParallelRoom) -> None:
    """Nothing, too little, then enough: the first live step."""
    room.tick()
    assert state(room)[1:] == (Reason.MISMATCH, 0.0)
    room.compared(tally(bug=False, pairs=100))
    room.tick()
    assert state(room)[1:] == (Reason.MISMATCH, 0.0)
    assert "more without a difference" in room.governor.steward("shop").state.message
    room.compared(tally(bug=False, pairs=1000))
    room.tick()
    room.tick()
    assert state(room)[2] == 20.0


def test_a_diverging_candidate_is_rolled_back_unseen(room: ParallelRoom) -> None:
    """Reason Mismatch, and not one live request."""
    room.compared(tally(bug=True))
    room.tick()

    assert state(room) == (Phase.ROLLED_BACK, Reason.MISMATCH, 0.0)


def test_pairs_are_judged_on_in_live_steps(room: ParallelRoom) -> None:
    """The objective fails later, too, and is shown beside the others."""
    room.compared(tally(bug=False, pairs=1000))
    room.tick()
    room.tick()
    room.serve("stable", 40)
    room.serve("canary", 10)
    room.tick()
    run = room.governor.steward("shop").state.run
    assert run is not None
    assert run.judgement is not None
    assert [slo.id for slo in run.judgement.slos][-1] == "mismatch_rate-max"
    worse = tally(bug=True, pairs=2000)
    room.compared(worse)
    room.serve("stable", 40)
    room.serve("canary", 10)
    room.tick()
    assert state(room) == (Phase.ROLLED_BACK, Reason.MISMATCH, 0.0)


def test_a_run_is_named_by_revisions_and_rules() -> None:
    """Another revision of either version, or other rules: another run."""
    settings = load(SHOP).settings.services["shop"]
    other = load(SHOP.replace("$.ts", "$.at")).settings.services["shop"]
    none = load(SHOP[: SHOP.index("    mirror:")]).settings.services["shop"]
    revisions = {"stable": "2.3.0", "canary": "2.4.0"}
    name = run_name(settings, "stable", revisions)

    assert name.startswith("canary-2.4.0-")
    assert run_name(settings, "stable", dict(revisions)) == name
    assert run_name(settings, "stable", {**revisions, "canary": "2.5.0"}) != name
    assert run_name(settings, "stable", {**revisions, "stable": "2.3.1"}) != name
    assert run_name(other, "stable", revisions) != name
    assert run_name(none, "stable", revisions) == ""
    assert limit_of(settings) == 0.01
    assert limit_of(none) == 0.005


def test_every_request_is_accounted_for(room: ParallelRoom) -> None:
    """Offered = compared + skipped by reason + pending."""
    governor = room.governor
    wish = governor.steward("shop").wish
    arm = governor.allocation.cell(wish, "=mirror")
    cell = layout.cell_offset(arm)
    words = room.workers[0].words
    words[cell + layout.C_MIRROR + MirrorOutcome.ANSWERED] = 10
    words[cell + layout.C_MIRROR + MirrorOutcome.SKIPPED_METHOD] = 3
    words[cell + layout.C_MIRROR + MirrorOutcome.SKIPPED_MEMORY] = 1
    words[cell + layout.C_PAIRS + PairOutcome.HANDED] = 7
    words[cell + layout.C_PAIRS + PairOutcome.SKIPPED_MEMORY] = 2
    ledger = Ledger(room.pairs_fd)
    slot = governor.allocation.slot(wish)
    for word in (pairs.S_TAKEN, pairs.S_TAKEN, pairs.S_EQUAL, pairs.S_UNUSABLE):
        ledger.add(slot, word)

    totals = room.parallel.totals(governor.slab, governor.allocation, wish)
    shown: dict[str, Any] = totals.as_json()

    assert shown["offered"] == 14
    assert shown["compared"] == 1
    assert shown["skipped"] == {"method": 3, "memory": 3, "live": 1}
    assert shown["pending"] == 14 - 1 - 7
    assert totals.results() == {"equal": 1, "different": 0, "memory": 2, "live": 1}


def test_unequal_copies_make_latencies_incomparable() -> None:
    """Copies skipped on one side much more often than on the other are noticed."""
    fairness = Fairness()
    assert fairness.look("shop", 3, Loads(50, 50, 50, 50)) == ""
    fair = Loads(1050, 250, 250, 1050)
    unfair = Loads(1050, 250, 250, 450)

    assert fairness.look("shop", 3, fair) == ""
    assert "40% of stable's requests" in fairness.look("shop", 3, unfair)
    assert fairness.look("shop", 4, unfair) == ""
    assert Loads(99, 1000, 0, 99).unfair() == ""


def test_only_latencies_become_undecided() -> None:
    """What fails for another reason fails all the same."""
    blank = SloJudgement(
        "", Verdict.FAIL, None, None, None, None, None, Requests(1, 1, 0)
    )
    slow = replace(blank, id="latency-p99-ratio")
    broken = replace(blank, id="error_rate-max")
    judgement = Judgement(
        Verdict.FAIL, Reason.SLO_VIOLATED, "slow", 0, None, (slow, broken)
    )

    both = without_latency(judgement, "unequal")
    alone = without_latency(replace(judgement, slos=(slow,)), "unequal")

    assert both.verdict is Verdict.FAIL
    assert [slo.verdict for slo in both.slos] == [Verdict.UNDECIDED, Verdict.FAIL]
    assert (alone.verdict, alone.reason) == (Verdict.UNDECIDED, Reason.UNDECIDED)
    assert alone.message == "latency cannot be judged: unequal"
    assert without_latency(replace(judgement, slos=(broken,)), "x").message == "slow"
