"""Blue-green through control: a preview by mirror, one switch, a switch back."""

from pathlib import Path

from proxy.model.vocabulary import MirrorOutcome, Phase, Reason
from proxy.rollout.events import Command, Verb
from proxy.telemetry import layout
from tests.support.control_room import ControlRoom

TEXT = """
services:
  shop:
    versions:
      stable: {endpoints: [http://127.0.0.1:9001]}
      canary: {endpoints: [http://127.0.0.1:9002], revision: "2.4.0"}
    mirror: {to: canary}
    rollout:
      start: manual
      strategy: blue_green
      min_duration: 2s
      min_requests: 30
      warmup: 0s
      slos: [{metric: error_rate, max: 5%}]
      bake: {duration: 2s, holdback: 10}
"""


def started(tmp_path: Path) -> ControlRoom:
    """Return a room whose preview has begun."""
    room = ControlRoom(tmp_path)
    room.begin(TEXT)
    room.clock.now_s += 1.0
    order(room, Verb.START)
    return room


def order(room: ControlRoom, verb: Verb) -> None:
    """Let a person order something."""
    room.governor.order(room.governor.steward("shop"), Command(verb, "ann"))


def mirror(room: ControlRoom, outcome: MirrorOutcome, copies: int) -> None:
    """Count mirrored requests as a worker does."""
    cell = layout.cell_offset(room.mirror_cell())
    room.workers[0].words[cell + layout.C_MIRROR + outcome] += copies


def phase(room: ControlRoom) -> tuple[Phase, Reason, float]:
    """Return where the rollout stands, and the live weight."""
    state = room.governor.steward("shop").state
    return state.phase, state.reason, room.weights().get("canary", 0.0)


def test_the_preview_ends_in_one_switch(tmp_path: Path) -> None:
    """Time and mirrored answers, then all but the holdback, then everything."""
    room = started(tmp_path)
    for _ in range(4):
        room.second()
    assert phase(room) == (Phase.PROGRESSING, Reason.UNDECIDED, 0.0)
    message = room.governor.steward("shop").state.message
    assert message == "preview of canary needs 30 more mirrored answers"

    mirror(room, MirrorOutcome.ANSWERED, 30)
    room.second()
    room.clock.now_s += 1.0
    room.governor.watch()
    assert phase(room) == (Phase.BAKING, Reason.NONE, 90.0)
    for _ in range(4):
        room.serve("stable", 40)
        room.serve("canary", 360)
        room.second()
    assert phase(room) == (Phase.SUCCEEDED, Reason.NONE, 100.0)


def test_copies_that_fail_end_it_before_any_user_sees_it(tmp_path: Path) -> None:
    """Half of twenty is enough, as for live requests."""
    room = started(tmp_path)
    room.second()
    mirror(room, MirrorOutcome.ANSWERED, 10)
    mirror(room, MirrorOutcome.FAILED, 8)
    mirror(room, MirrorOutcome.TIMEOUT, 4)
    room.second()
    assert phase(room) == (Phase.ROLLED_BACK, Reason.FAIL_FAST, 0.0)


def test_the_switch_back_is_one_step(tmp_path: Path) -> None:
    """While the bake keeps the old version, abort gives it everything at once."""
    room = started(tmp_path)
    order(room, Verb.PROMOTE)
    room.clock.now_s += 1.0
    room.governor.watch()
    assert phase(room) == (Phase.BAKING, Reason.NONE, 90.0)
    order(room, Verb.ABORT)
    room.clock.now_s += 1.0
    room.governor.watch()
    assert room.weights() == {"stable": 100.0}
