"""The services together: from events to the store, the slab and the table."""

import json
from pathlib import Path

import pytest

from proxy.control.store import Change
from proxy.errors import ConflictError, NotFoundError, StoreError
from proxy.model.vocabulary import FLAG_CODE_BASE, Flag, Phase, Reason
from proxy.rollout.events import Command, RevisionSeen, SplitOrdered, Verb
from proxy.routing.table import compile_table
from proxy.telemetry import layout
from tests.support.control_room import BASE, ControlRoom, load


@pytest.fixture
def room(tmp_path: Path) -> ControlRoom:
    """Give a control room that has begun with ``BASE``."""
    made = ControlRoom(tmp_path)
    made.begin()
    return made


def start(room: ControlRoom) -> None:
    """Start a rollout by command."""
    room.clock.now_s += 1
    order(room, Verb.START)


def order(room: ControlRoom, verb: Verb) -> None:
    """Let a person command something."""
    room.governor.order(room.governor.steward("shop"), Command(verb, "ann"))


def with_extra_version() -> str:
    """Return the file with a third version."""
    extra = "      extra: {endpoints: [http://127.0.0.1:9003]}\n"
    return BASE.replace("    rollout:", f"{extra}    rollout:")


def pass_step(room: ControlRoom) -> None:
    """Serve good traffic until the present step has passed."""
    before = room.governor.steward("shop").state
    for _ in range(10):
        room.serve("stable", 100)
        room.serve("canary", 100)
        room.second()
        if room.governor.steward("shop").state.split != before.split:
            return
    pytest.fail("the step did not pass")


def test_cold_start_gives_the_files_split_and_a_table(room: ControlRoom) -> None:
    """Without a store the split of the file is applied, then the table is sent."""
    assert room.weights() == {"stable": 100.0}
    assert [table["generation"] for table in room.tables] == [1]
    assert room.governor.slab.header_word(layout.H_GENERATION) == 1


def test_table_can_be_compiled(room: ControlRoom) -> None:
    """What control writes is what workers read."""
    table = compile_table(json.dumps(room.tables[-1]).encode())

    service = table.services[0]
    assert (service.name, service.stable, service.canary) == ("shop", 0, 1)
    assert service.salt == b"2.4.0\x00"


def test_start_gives_the_canary_its_first_weight(room: ControlRoom) -> None:
    """A command is saved and applied when it returns."""
    start(room)

    assert room.weights() == {"canary": 20.0, "stable": 80.0}
    saved = room.store.load()["shop"].document["rollout"]
    assert saved["phase"] == "Progressing"


def test_good_canary_is_promoted_step_by_step(room: ControlRoom) -> None:
    """Weights rise on ``pass`` only, and end at 100 with the roles swapped."""
    start(room)
    seen = [room.weights()["canary"]]
    while room.governor.steward("shop").state.active:
        pass_step(room)
        seen.append(room.weights()["canary"])

    assert seen == [20.0, 60.0, 100.0]
    assert room.governor.steward("shop").state.phase is Phase.SUCCEEDED
    assert room.tables[-1]["services"][0]["stable"] == 1
    assert [run["outcome"] for run in room.store.runs("shop")] == ["Succeeded"]


def test_failing_canary_goes_to_zero(room: ControlRoom) -> None:
    """Fail-fast over all workers drops a canary that fails every request."""
    start(room)
    room.serve("stable", 400)
    room.second()
    room.serve("canary", 10, code=500, worker=0)
    room.serve("canary", 12, code=500, worker=1)
    room.serve("stable", 100)
    room.clock.now_s += 0.1
    room.governor.watch()

    state = room.governor.steward("shop").state
    assert (state.phase, state.reason) == (Phase.ROLLED_BACK, Reason.FAIL_FAST)
    assert room.weights() == {"stable": 100.0}


def test_refused_connections_drop_the_canary(room: ControlRoom) -> None:
    """Five failed connects in a row are enough, long before 20 requests."""
    start(room)
    room.governor.watch()
    room.serve("canary", 6, code=FLAG_CODE_BASE + Flag.UF)
    room.serve("stable", 20)
    room.clock.now_s += 0.1
    room.governor.watch()

    assert room.weights() == {"stable": 100.0}


def test_trip_of_one_worker_is_confirmed_everywhere(room: ControlRoom) -> None:
    """A worker's trip becomes a saved rollback within one fast look."""
    start(room)
    room.governor.watch()
    room.serve("stable", 10)
    room.clock.now_s += 0.1
    room.trip(worker=1)
    room.governor.watch()

    assert room.weights() == {"stable": 100.0}
    assert room.store.load()["shop"].document["rollout"]["phase"] == "RolledBack"
    decision = room.store.decisions("shop")[-1]
    assert decision["reason"] == "FailFast"


def test_trip_is_cleared_while_stable_fails_too(room: ControlRoom) -> None:
    """
    A worker sees only its own requests, and stable's over other seconds.

    Where both versions fail together over all workers nobody is blamed: the
    trip is cleared by a new epoch and the rollout holds.
    """
    start(room)
    room.governor.watch()
    before = room.epoch()
    room.serve("canary", 45)
    room.serve("canary", 17, code=500)
    room.serve("stable", 130)
    room.serve("stable", 91, code=500)
    room.trip(worker=1)
    room.clock.now_s += 0.1
    room.governor.watch()

    assert room.weights()["canary"] == 20.0
    assert room.governor.steward("shop").state.phase is Phase.PROGRESSING
    assert room.epoch() == before + 1


def test_trip_before_the_first_reading_waits_for_stable(room: ControlRoom) -> None:
    """Both died as the epoch began: what stable does next tells; the canary holds."""
    start(room)
    before = room.epoch()
    room.trip()
    room.clock.now_s += 0.1
    room.governor.watch()
    assert room.weights()["canary"] == 20.0

    room.serve("stable", 12, code=500)
    room.clock.now_s += 0.1
    room.governor.watch()

    assert room.weights()["canary"] == 20.0
    assert room.epoch() == before + 1


def test_trip_without_stable_traffic_is_believed_soon(room: ControlRoom) -> None:
    """Nothing speaks for a common cause: three looks, then the canary is at zero."""
    start(room)
    room.trip()
    for _ in range(3):
        assert room.weights()["canary"] == 20.0
        room.clock.now_s += 0.1
        room.governor.watch()

    assert room.weights() == {"stable": 100.0}


def test_old_trip_means_nothing(room: ControlRoom) -> None:
    """A trip names an epoch; one of an epoch that has passed is no trip."""
    start(room)
    room.trip()
    room.governor.steward("shop").reflip = True
    room.clock.now_s += 1
    room.governor.apply([room.governor.steward("shop")])
    room.governor.watch()

    assert room.weights()["canary"] == 20.0


def test_abort_takes_the_weight_away_at_once(room: ControlRoom) -> None:
    """Abort needs no tick; it is saved and applied when it returns."""
    start(room)
    room.clock.now_s += 1

    order(room, Verb.ABORT)

    assert room.weights() == {"stable": 100.0}


def test_restart_goes_on_with_step_and_evidence(room: ControlRoom) -> None:
    """A killed control process resumes step, weight, clocks, epoch and evidence."""
    start(room)
    pass_step(room)
    room.serve("stable", 10)
    room.serve("canary", 30)
    room.second()
    before = room.governor.steward("shop").state
    epoch, tables = room.epoch(), len(room.tables)

    room.restart()
    room.second(dt_s=0.0)

    after = room.governor.steward("shop").state
    assert after.run is not None
    assert before.run is not None
    assert (after.run.step, after.split) == (before.run.step, before.split)
    assert after.run.step_s == before.run.step_s
    assert room.epoch() == epoch
    assert len(room.tables) == tables
    assert after.run.judgement is not None
    assert after.run.judgement.needed == 20


def test_restart_heals_weights_that_were_saved_but_not_applied(
    room: ControlRoom,
) -> None:
    """A crash between save and apply is made good by the next start."""
    start(room)
    steward = room.governor.steward("shop")
    steward.offer(Command(Verb.ABORT, "ann"), room.clock.now_s)
    room.store.save([steward.change()])
    assert room.weights()["canary"] == 20.0

    room.clock.now_s += 1
    room.restart()

    assert room.weights() == {"stable": 100.0}


def test_restart_begins_the_epoch_that_was_saved_but_not_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the warm-up moves no weight; its new epoch is made good as well."""
    text = BASE.replace("warmup: 0s", "warmup: 2s")
    room = ControlRoom(tmp_path)
    room.begin(text)
    start(room)
    monkeypatch.setattr(room.governor, "apply", lambda _: None)
    for _ in range(3):
        room.serve("stable", 40)
        room.serve("canary", 10)
        room.second()
    run = room.governor.steward("shop").state.run
    assert run is not None
    assert run.warmed
    before = room.epoch()

    room.clock.now_s += 1
    room.restart(text)

    assert room.epoch() == before + 1
    room.clock.now_s += 1
    room.restart(text)
    assert room.epoch() == before + 1


def test_saved_rollback_outlives_a_cold_start(tmp_path: Path) -> None:
    """The file's split never undoes what the store knows."""
    text = BASE.replace("rollout:", "split: {stable: 80, canary: 20}\n    rollout:")
    first = ControlRoom(tmp_path)
    first.begin(text)
    assert first.weights()["canary"] == 20.0
    first.clock.now_s += 1
    order(first, Verb.ABORT)
    first.store.close()

    second = ControlRoom(tmp_path)
    second.begin(text)

    assert second.weights() == {"stable": 100.0}


def test_saved_state_of_another_shape_is_refused(room: ControlRoom) -> None:
    """What no version of ours wrote is never guessed at, nor overwritten."""
    saved = room.store.load()["shop"]
    room.store.save([Change("shop", saved.revision, {"rollout": 3})])

    with pytest.raises(StoreError, match="saved state of shop cannot be read"):
        room.make_governor().replay(None)


def test_raise_waits_for_the_workers_table(room: ControlRoom) -> None:
    """Weight rises only where every worker has the salt and the roles for it."""
    room.follow_tables = False
    room.governor.see_revision("shop", "canary", "2.5.0")
    assert room.tables[-1]["services"][0]["salt"] == "2.5.0"
    start(room)
    assert room.weights() == {"stable": 100.0}

    room.use_newest_table()
    room.governor.watch()

    assert room.weights()["canary"] == 20.0


def test_salt_stays_while_the_canary_has_weight(room: ControlRoom) -> None:
    """Units are not moved about by a revision that is seen at live weight."""
    room.governor.order(
        room.governor.steward("shop"), SplitOrdered({"canary": 5}, "ann")
    )
    room.governor.see_revision("shop", "canary", "2.5.0")

    assert room.tables[-1]["services"][0]["salt"] == "2.4.0"
    assert room.governor.steward("shop").state.unjudged == {"canary": "2.5.0"}


def test_full_disk_never_lets_weights_rise(room: ControlRoom) -> None:
    """A raise that cannot be saved is taken back, and says why."""
    room.store.close()

    with pytest.raises(StoreError, match="nothing was changed"):
        start(room)

    assert room.weights() == {"stable": 100.0}
    assert room.governor.steward("shop").state.phase is Phase.IDLE
    assert "cannot be written" in room.governor.store_error


def test_full_disk_never_blocks_a_rollback(room: ControlRoom) -> None:
    """What only lowers the canary is applied without a store."""
    start(room)
    room.clock.now_s += 1
    room.store.close()

    order(room, Verb.ABORT)

    assert room.weights() == {"stable": 100.0}


def test_full_disk_holds_the_step_and_heals(
    room: ControlRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that passes meanwhile is not entered until it can be saved."""
    start(room)
    monkeypatch.setattr(room.store, "save", _full)
    for _ in range(6):
        room.serve("stable", 100)
        room.serve("canary", 100)
        room.second()
    assert room.weights()["canary"] == 20.0
    assert room.governor.store_error == "disk full"

    monkeypatch.undo()
    room.second()

    assert room.weights()["canary"] == 60.0
    assert room.governor.store_error == ""


def test_document_saved_by_somebody_else_wins(room: ControlRoom) -> None:
    """A lost compare-and-swap takes over what is saved instead of overwriting it."""
    start(room)
    saved = room.store.load()["shop"]
    document = dict(saved.document)
    rollout = {**document["rollout"], "message": "by another"}
    change = Change("shop", saved.revision, {**document, "rollout": rollout})
    room.store.save([change])

    room.serve("canary", 5)
    room.second()

    assert room.governor.steward("shop").state.message == "by another"


def test_reload_moves_a_service_to_a_new_slot_without_losing_weights(
    room: ControlRoom,
) -> None:
    """A version that is added changes the row's indexes, hence the slot."""
    start(room)
    old = room.slot()
    epoch = room.epoch()
    text = BASE.replace(
        "    rollout:",
        "      extra: {endpoints: [http://127.0.0.1:9003]}\n    rollout:",
    )

    room.clock.now_s += 1
    room.governor.install(load(text))

    assert room.slot() != old
    assert room.weights() == {"canary": 20.0, "stable": 80.0}
    assert (room.epoch() - epoch) & 1 == 1


def test_old_slot_follows_while_a_worker_uses_its_table(room: ControlRoom) -> None:
    """An abort reaches workers that still route by the table before."""
    start(room)
    old = room.slot()
    room.follow_tables = False
    text = BASE.replace(
        "    rollout:",
        "      extra: {endpoints: [http://127.0.0.1:9003]}\n    rollout:",
    )
    room.clock.now_s += 1
    room.governor.install(load(text))
    room.clock.now_s += 1

    order(room, Verb.ABORT)

    assert room.governor.slab.weights(old) == [(0, 100_000)]


def test_removed_service_is_aborted_and_kept(room: ControlRoom) -> None:
    """A reload that removes the service ends its run; the store remembers."""
    start(room)
    other = BASE.replace("shop:", "other:")

    room.governor.install(load(other))

    assert list(room.governor.stewards) == ["other"]
    assert room.store.load()["shop"].document["rollout"]["phase"] == "RolledBack"
    with pytest.raises(NotFoundError, match="no service 'shop'"):
        room.governor.steward("shop")


def test_order_that_the_phase_forbids_changes_nothing(room: ControlRoom) -> None:
    """A refused command leaves state, store and weights alone."""
    before = room.store.load()

    with pytest.raises(ConflictError):
        order(room, Verb.RESUME)

    assert room.store.load() == before


def test_exposed_requests_count_up_to_the_end(room: ControlRoom) -> None:
    """What came since the last second belongs to the run that ends in between."""
    start(room)
    room.second()
    room.serve("canary", 7)
    room.second()
    room.serve("canary", 5)

    order(room, Verb.ABORT)

    run = room.governor.steward("shop").state.run
    assert run is not None
    assert run.exposed_requests == 12
    assert room.governor.steward("shop").memory.exposed == 12


def test_exposed_requests_count_on_over_a_restart(room: ControlRoom) -> None:
    """What was routed while control was away is counted once."""
    start(room)
    room.serve("canary", 7)
    room.second()
    room.serve("canary", 5)

    room.restart()
    room.second(dt_s=0.0)
    room.second()

    assert room.governor.steward("shop").memory.exposed == 12


def test_error_in_one_service_spares_the_others(
    room: ControlRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error is counted, and the next service is judged."""
    steward = room.governor.steward("shop")
    monkeypatch.setattr(steward, "count", _broken)

    room.second()
    monkeypatch.undo()
    room.governor.steward("shop").offer(RevisionSeen("stable", "1"), room.clock.now_s)

    assert room.governor.errors == 1


def _full(*_: object) -> None:
    raise StoreError("disk full")


def _broken(*_: object) -> None:
    raise RuntimeError("broken")
