"""What follows from what: adoption, replacement, hanging, failing starts, the end."""

import math
import signal
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.supervisor.actions import (
    COMPARE,
    CONTROL,
    Action,
    CloseListeners,
    End,
    GiveTable,
    Kill,
    Note,
    ShowDraining,
    ShowWorker,
    Spawn,
    Tell,
)
from proxy.supervisor.drain import Draining, Stage
from proxy.supervisor.heartbeat import LOOK_EVERY_S
from proxy.supervisor.tree import EARLY_DEATHS_MAX, Tree
from proxy.telemetry import layout

WORKERS = 3


def new_tree(workers: int = WORKERS) -> Tree:
    """Return a tree that nobody started yet."""
    return Tree(workers, Draining(delay_s=5.0, timeout_s=30.0))


def running_tree(workers: int = WORKERS) -> Tree:
    """Return a tree in which everybody runs and every worker is ready."""
    tree = new_tree(workers)
    tree.start()
    for number, seat in enumerate((tree.control, *tree.workers)):
        tree.started(seat.child, 100 + number, 0.0)
    tree.table_came(1)
    for seat in tree.workers:
        tree.heard(seat.child, {"type": "ready"}, 0.0)
    return tree


def told(actions: Iterable[Action], kind: str) -> list[tuple[int, object]]:
    """Return (child, listener or None) for the messages of a type."""
    return [
        (action.child, action.message.get("listener"))
        for action in actions
        if isinstance(action, Tell) and action.message["type"] == kind
    ]


def beats(tree: Tree, beat_ms: int = 0, quiet: Iterable[int] = ()) -> dict[int, int]:
    """Return everybody's heartbeat word; those in ``quiet`` stopped at 1."""
    children = [seat.child for seat in tree.seats]
    return {child: 1 if child in quiet else beat_ms for child in children}


def test_control_is_started_first() -> None:
    """Workers wait for its table."""
    actions = new_tree().start()

    assert actions == [Spawn(child, restarted=False) for child in (CONTROL, 0, 1, 2)]


def test_the_first_ready_worker_adopts_the_others() -> None:
    """At the start, too, no listener is without somebody who accepts."""
    tree = new_tree()
    for child in (CONTROL, 0, 1, 2):
        tree.started(child, 10 + child, 0.0)

    first = tree.heard(1, {"type": "ready"}, 1.0)
    second = tree.heard(0, {"type": "ready"}, 1.0)

    assert told(first, "adopt") == [(1, 0), (1, 2)]
    assert told(second, "adopt") == [(0, 2)]
    assert told(second, "release") == [(1, 0)]


def test_a_death_is_answered_by_adoption_then_replacement() -> None:
    """The living accept on the orphan before the new process is even started."""
    tree = running_tree()

    actions = tree.ended(1, "SIGKILL", 20.0)

    kinds = [type(action) for action in actions if not isinstance(action, Note)]
    assert told(actions, "adopt") == [(0, 1), (2, 1)]
    assert kinds == [Tell, Tell, ShowWorker, Tell, Spawn]
    assert actions[-1] == Spawn(1, restarted=True)
    assert tree.heard(0, {"type": "ready"}, 20.0) == []


def test_a_replacement_that_is_ready_gets_its_listener_back() -> None:
    """The others release what they adopted."""
    tree = running_tree()
    tree.ended(1, "SIGKILL", 20.0)
    tree.started(1, 500, 20.0)

    actions = tree.heard(1, {"type": "ready"}, 20.1)

    assert told(actions, "release") == [(0, 1), (2, 1)]
    assert ShowWorker(1, 500, layout.STATE_READY, 1) in actions


def test_control_is_told_about_workers() -> None:
    """Started, ready and died, each with the process it is about."""
    tree = running_tree()

    died = tree.ended(2, "SIGKILL", 20.0)
    started = tree.started(2, 500, 20.0)
    ready = tree.heard(2, {"type": "ready"}, 20.0)

    reports = [
        action.message
        for action in [*died, *started, *ready]
        if isinstance(action, Tell) and action.child == CONTROL
    ]
    assert [(report["event"], report["pid"]) for report in reports] == [
        ("died", 103),
        ("started", 500),
        ("ready", 500),
    ]


def test_revisions_are_passed_on_to_control() -> None:
    """What a worker sees in an answer reaches control as it is."""
    message = {"type": "revision", "service": "shop", "version": 1, "value": "2.4.0"}

    assert running_tree().heard(0, message, 1.0) == [Tell(CONTROL, message)]


def test_a_table_goes_to_everybody_who_lives() -> None:
    """A dead worker's replacement gets it at its start instead."""
    tree = running_tree()
    tree.ended(1, "SIGKILL", 20.0)

    actions = tree.table_came(7)

    assert [action for action in actions if isinstance(action, GiveTable)] == [
        GiveTable(0),
        GiveTable(2),
    ]


def test_somebody_compares_while_a_table_asks_for_it() -> None:
    """The compare process starts with the first such table and ends with the last."""
    tree = running_tree(1)

    none = tree.table_came(2)
    first = tree.table_came(3, compares=True)
    tree.started(COMPARE, 400, 1.0)
    ready = tree.heard(COMPARE, {"type": "ready"}, 1.5)
    second = tree.table_came(4, compares=True)
    last = tree.table_came(5)
    gone = tree.ended(COMPARE, "exit code 0", 2.0)

    assert not any(isinstance(action, Spawn | Kill) for action in none)
    assert first[-1] == Spawn(COMPARE, restarted=False)
    assert [type(action) for action in ready] == [Note]
    assert [action for action in second if isinstance(action, GiveTable)] == [
        GiveTable(COMPARE),
        GiveTable(0),
    ]
    assert last[-1] == Kill(COMPARE, signal.SIGTERM)
    assert [action for action in gone if not isinstance(action, Note)] == []


def test_a_compare_process_that_dies_harms_nobody() -> None:
    """It comes back after its back-off, also at the start, for however often."""
    tree = running_tree(1)
    tree.table_came(2, compares=True)
    for death in range(EARLY_DEATHS_MAX + 1):
        tree.started(COMPARE, 400 + death, float(death))
        actions = tree.ended(COMPARE, "SIGKILL", float(death))
        assert [type(action) for action in actions] == [Note]
        due_s = tree.compare.respawn_s
        assert due_s is not None
        again = tree.tick(due_s, 0.25, beats(tree, death + 1))
        assert again == [Spawn(COMPARE, restarted=True)]


def test_the_end_waits_for_whoever_compares() -> None:
    """It is told to end with control, when no worker is left, and killed if late."""
    tree = running_tree(1)
    tree.table_came(2, compares=True)
    tree.started(COMPARE, 400, 0.0)
    tree.asked_to_end(0.0)
    tree.tick(5.0, 1.0, beats(tree, 1))

    stopping = tree.ended(0, "exit code 0", 6.0)
    waiting = tree.ended(CONTROL, "exit code 0", 6.1)
    late = tree.tick(20.0, 1.0, beats(tree, 2))

    assert Kill(COMPARE, signal.SIGTERM) in stopping
    assert not any(isinstance(action, End) for action in waiting)
    assert Kill(COMPARE, signal.SIGKILL) in late


def test_control_comes_back_after_its_back_off() -> None:
    """Its death changes nothing for the workers."""
    tree = running_tree()

    actions = tree.ended(CONTROL, "SIGKILL", 20.0)
    early = tree.tick(20.05, 0.05, beats(tree, 1))
    later = tree.tick(20.1, 0.05, beats(tree, 2))

    assert {type(action) for action in actions} == {Note}
    assert early == []
    assert later == [Spawn(CONTROL, restarted=True)]


def test_a_worker_that_hangs_is_adopted_and_killed_at_once() -> None:
    """Nobody waits for the kernel to bury it."""
    tree = running_tree()
    tree.tick(0.0, 0.0, beats(tree, 1))
    actions: list[Action] = []
    for look in range(1, 20):
        now_beats = beats(tree, look + 1, quiet=[1])
        actions += tree.tick(look * LOOK_EVERY_S, LOOK_EVERY_S, now_beats)

    assert [action for action in actions if isinstance(action, Kill)] == [
        Kill(1, signal.SIGKILL)
    ]
    assert told(actions, "adopt") == [(0, 1), (2, 1)]
    assert told(tree.ended(1, "SIGKILL", 6.0), "adopt") == []


def test_a_worker_that_hangs_up_is_given_time_to_end() -> None:
    """Its exit code is worth more than two seconds; its listener is not."""
    tree = running_tree()

    actions = tree.hung_up(1, 10.0)
    early = tree.tick(11.9, 0.1, beats(tree, 1))
    late = tree.tick(12.0, 0.1, beats(tree, 2))

    assert told(actions, "adopt") == [(0, 1), (2, 1)]
    assert early == []
    assert [type(action) for action in late] == [Note, Kill]
    assert tree.tick(13.0, 0.1, beats(tree, 3)) == []


def test_a_worker_without_a_table_may_wait_for_ever() -> None:
    """While control cannot start, workers that wait for it are not to blame."""
    tree = new_tree(1)
    tree.started(CONTROL, 10, 0.0)
    tree.started(0, 11, 0.0)

    for look in range(1000):
        now_beats = {CONTROL: look, 0: 7}
        assert tree.tick(look * LOOK_EVERY_S, LOOK_EVERY_S, now_beats) == []


def silent_start(child: int) -> float:
    """Return after how many seconds a child that starts in silence is killed."""
    tree = new_tree(1)
    tree.started(CONTROL, 10, 0.0)
    tree.started(0, 11, 0.0)
    tree.table_came(1)
    for look in range(1, 1000):
        now_beats = {CONTROL: look, 0: look, child: 0}
        now_s = look * LOOK_EVERY_S
        if Kill(child, signal.SIGKILL) in tree.tick(now_s, LOOK_EVERY_S, now_beats):
            return now_s
    return math.inf


def test_a_start_that_hangs_is_ended() -> None:
    """Half a minute is far more than a start takes, for a worker with its table too."""
    for child in (CONTROL, 0):
        assert 30.0 < silent_start(child) <= 31.0


def test_control_that_hangs_is_killed() -> None:
    """Its beat stands still for more than ten seconds, after it had begun."""
    tree = running_tree(1)
    tree.tick(0.0, 0.0, beats(tree, 1))
    killed_s = [
        look * LOOK_EVERY_S
        for look in range(1, 100)
        if Kill(CONTROL, signal.SIGKILL)
        in tree.tick(
            look * LOOK_EVERY_S, LOOK_EVERY_S, beats(tree, look + 1, quiet=[CONTROL])
        )
    ]

    assert killed_s == [10.25]


def test_a_start_that_never_succeeds_ends_with_a_sentence() -> None:
    """Five deaths of one child before any worker was ready."""
    tree = new_tree()
    tree.started(CONTROL, 10, 0.0)
    ends: list[Action] = []
    for death in range(EARLY_DEATHS_MAX):
        assert ends == []
        actions = tree.ended(CONTROL, "exit code 3", float(death))
        ends = [action for action in actions if isinstance(action, End)]
        tree.started(CONTROL, 11 + death, float(death))

    assert ends == [
        End(
            1,
            "control ended 5 times before the start was complete,"
            " the last time with exit code 3",
        )
    ]


@given(st.integers(1, 100))
def test_a_tree_that_was_ready_never_gives_up(deaths: int) -> None:
    """Afterwards every child is started again, however often it dies."""
    tree = running_tree()
    now_s = 100.0
    for death in range(deaths):
        actions = tree.ended(0, "SIGSEGV", now_s)
        now_s += 5.0
        actions += tree.tick(now_s, 5.0, beats(tree, death + 1))
        assert Spawn(0, restarted=True) in actions
        assert not any(isinstance(action, End) for action in actions)
        tree.started(0, 1000 + death, now_s)


def test_a_fatal_message_counts_before_the_first_ready_only() -> None:
    """A foreign store ends the start with its sentence; later it is an event."""
    message = {"type": "fatal", "message": "the store belongs to another build"}
    fresh, complete = new_tree(), running_tree()

    assert fresh.heard(CONTROL, message, 0.0) == [End(1, message["message"])]
    assert [type(action) for action in complete.heard(CONTROL, message, 0.0)] == [Note]


def test_workers_cannot_end_the_tree() -> None:
    """What only control may say is an unknown message from a worker."""
    actions = new_tree().heard(0, {"type": "fatal", "message": "x"}, 0.0)

    assert [type(action) for action in actions] == [Note]


def test_a_reload_is_for_control() -> None:
    """SIGHUP is forwarded; one that starts now reads the new file anyway."""
    tree = running_tree()

    assert tree.asked_to_reload()[1:] == [Kill(CONTROL, signal.SIGHUP)]
    tree.ended(CONTROL, "SIGKILL", 1.0)
    assert tree.asked_to_reload() == []


def test_the_end_goes_through_its_stages_in_order() -> None:
    """Readiness fails first; listeners close before workers stop; control is last."""
    tree = running_tree(1)

    announced = tree.asked_to_end(0.0)
    finishing = tree.tick(5.0, 1.0, beats(tree, 1))
    stopping = tree.ended(0, "exit code 0", 6.0)
    ended = tree.ended(CONTROL, "exit code 0", 6.1)

    shown = ShowWorker(0, 101, layout.STATE_DRAINING, 0)
    assert announced[1:] == [ShowDraining(), shown, Tell(0, {"type": "drain"})]
    assert finishing[1:] == [CloseListeners(), Tell(0, {"type": "stop_accepting"})]
    assert stopping[-1] == Kill(CONTROL, signal.SIGTERM)
    assert ended[-1] == End(0)


def test_exchanges_that_never_finish_are_cut() -> None:
    """After the timeout the workers are killed."""
    tree = running_tree(2)
    tree.asked_to_end(0.0)
    tree.tick(5.0, 1.0, beats(tree, 1))

    actions = tree.tick(35.0, 30.0, beats(tree, 2))

    assert actions[1:] == [Kill(0, signal.SIGKILL), Kill(1, signal.SIGKILL)]


def test_a_second_signal_hurries_and_says_so() -> None:
    """Who asks twice is told that what is in flight has one second more."""
    tree = running_tree(1)
    tree.asked_to_end(0.0)

    actions = tree.asked_to_end(0.5)
    again = tree.asked_to_end(0.6)
    cut = tree.tick(3.0, 1.0, beats(tree, 1))

    assert actions[0] == Note("warning", "end_hurried", {"within_s": 1.0})
    assert not any(isinstance(one, Note) for one in again)
    assert cut[0] == Note("warning", "tree_killing_workers")
    assert cut[1:] == [Kill(0, signal.SIGKILL)]


def test_a_worker_lost_while_announced_is_adopted_but_not_replaced() -> None:
    """During the delay connections still come, and somebody takes them."""
    tree = running_tree()
    tree.asked_to_end(0.0)

    actions = tree.ended(1, "SIGKILL", 1.0)

    assert told(actions, "adopt") == [(0, 1), (2, 1)]
    assert not any(isinstance(action, Spawn) for action in actions)
    assert tree.workers[1].respawn_s is None


class AnyTree(RuleBasedStateMachine):
    """
    Any order of events; the model believes the actions and nothing else.

    ``accepts`` holds, for each living worker, the listeners that it was told
    to accept on beside its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tree = new_tree()
        self.now_s = 0.0
        self.pids = 1000
        self.living: dict[int, int] = {}
        self.ready: set[int] = set()
        self.accepts: dict[int, set[int]] = {}
        self.doomed: set[int] = set()
        self.ended: list[End] = []
        self.beat_ms = 1
        self.do(self.tree.start())

    def do(self, actions: list[Action]) -> None:
        """Perform actions on the model."""
        for action in actions:
            match action:
                case Spawn(child, _):
                    assert child not in self.living
                    assert self.tree.draining.stage is Stage.SERVING
                    self.pids += 1
                    self.living[child] = self.pids
                    self.accepts[child] = set()
                    self.do(self.tree.started(child, self.pids, self.now_s))
                case Tell(child, {"type": "adopt", "listener": int(listener)}):
                    assert listener not in self.accepts[child] | {child}
                    self.accepts[child].add(listener)
                case Tell(child, {"type": "release", "listener": int(listener)}):
                    self.accepts[child].remove(listener)
                case Kill(child, signal.SIGKILL):
                    self.doomed.add(child)
                case End():
                    self.ended.append(action)
                case _:
                    pass

    def serving(self) -> bool:
        """Whether the machine may go on."""
        return not self.ended

    @precondition(serving)
    @rule(passed_s=st.floats(0, 8), quiet=st.sets(st.integers(COMPARE, WORKERS - 1)))
    def time_passes(self, passed_s: float, quiet: set[int]) -> None:
        """Look once, after some time."""
        self.now_s += passed_s
        self.beat_ms += 1
        self.do(
            self.tree.tick(self.now_s, passed_s, beats(self.tree, self.beat_ms, quiet))
        )

    @precondition(serving)
    @rule(child=st.integers(COMPARE, WORKERS - 1))
    def a_child_dies(self, child: int) -> None:
        """Bury a child, if it lives."""
        if child in self.living:
            del self.living[child]
            self.ready.discard(child)
            self.doomed.discard(child)
            self.do(self.tree.ended(child, "SIGKILL", self.now_s))

    @precondition(serving)
    @rule(worker=st.integers(0, WORKERS - 1))
    def a_worker_is_ready(self, worker: int) -> None:
        """Let a worker say that it is ready, perhaps again."""
        if worker in self.living:
            self.ready.add(worker)
            self.do(self.tree.heard(worker, {"type": "ready"}, self.now_s))

    @precondition(serving)
    @rule(worker=st.integers(0, WORKERS - 1), hung_up=st.booleans())
    def a_worker_cannot_be_reached(self, worker: int, *, hung_up: bool) -> None:
        """Let a channel close, or its peer stop reading."""
        if worker in self.living:
            self.doomed.add(worker)
            if hung_up:
                self.do(self.tree.hung_up(worker, self.now_s))
            else:
                self.do(self.tree.unreachable(worker))

    @precondition(serving)
    @rule(compares=st.booleans())
    def a_table_comes(self, *, compares: bool) -> None:
        """Let control publish a table, with something to compare or without."""
        self.do(self.tree.table_came(1, compares=compares))

    @precondition(serving)
    @rule(really=st.integers(0, 9))
    def a_signal_comes(self, really: int) -> None:
        """Ask the tree to end, now and then."""
        if really == 0:
            self.do(self.tree.asked_to_end(self.now_s))

    @precondition(lambda self: bool(self.ended))
    @rule()
    def nothing_follows(self) -> None:
        """After the end the machine has nothing to do."""

    @invariant()
    def every_listener_has_somebody(self) -> None:
        """Each orphaned listener is accepted on by all who serve; no other is."""
        if self.ended or self.tree.draining.stage not in {
            Stage.SERVING,
            Stage.ANNOUNCED,
        }:
            return
        serving = self.ready - self.doomed
        orphaned = set(range(WORKERS)) - serving
        for worker in serving:
            assert self.accepts[worker] == orphaned

    @invariant()
    def everybody_missing_is_awaited(self) -> None:
        """A seat that is empty while the tree serves has a time for its next start."""
        if self.ended or self.tree.draining.stage is not Stage.SERVING:
            return
        for seat in self.tree.seats:
            wanted = seat.child != COMPARE or self.tree.compares
            missing = wanted and seat.child not in self.living
            assert (seat.respawn_s is not None) == missing
            assert seat.pid == self.living.get(seat.child, 0)

    @invariant()
    def a_tree_that_was_ready_ends_by_signal_only(self) -> None:
        """Exit code 1 is for a start that failed."""
        if self.ended and self.tree.complete:
            assert self.ended == [End(0)]


TestAnyTree = AnyTree.TestCase
TestAnyTree.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
