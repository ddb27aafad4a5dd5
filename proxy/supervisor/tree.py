"""
What follows from what happens in the process tree; pure, but for its own state.

Every method takes the present time in monotonic seconds and returns actions
for ``loop`` to perform, in order. The rules:

- A listener whose worker is not ready is accepted on by every ready worker
  ("adopted"), because nobody else would; it is released when its worker is.
- A child that ends is started again after its back-off, until the tree drains.
- The compare process is there while a table asks for it; nothing waits for it.
- A worker that hangs is killed; its listener is adopted at once.
- A start that never succeeds ends with a sentence: five deaths of one child
  before any worker was ready, or a ``fatal`` message from control before that.
  Afterwards nothing but a signal ends the tree.
"""

import math
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.supervisor.actions import (
    COMPARE,
    CONTROL,
    Action,
    CloseListeners,
    End,
    GiveTable,
    Kill,
    Note,
    ShowControl,
    ShowDraining,
    ShowWorker,
    Spawn,
    Tell,
    name_of,
)
from proxy.supervisor.backoff import Backoff, control_backoff, worker_backoff
from proxy.supervisor.drain import HURRY_S, Draining, Stage
from proxy.supervisor.heartbeat import (
    CONTROL_QUIET_MAX_S,
    START_QUIET_MAX_S,
    WORKER_QUIET_MAX_S,
    Pulse,
)
from proxy.telemetry import layout

EARLY_DEATHS_MAX = 5
"""Deaths of one child before the first ready: with back-off, one to two seconds."""
_FORCED = frozenset({Stage.KILLING_WORKERS, Stage.KILLING_CONTROL})
"""Stages in which something is lost, as the time to finish it is over."""
HANG_UP_S = 2.0
"""From the end of its channel to a child's end: an interpreter that shuts down."""


@dataclass(slots=True)
class Seat:
    """A place in the tree, and who sits there now."""

    child: int
    backoff: Backoff
    pulse: Pulse = field(default_factory=Pulse)
    pid: int = 0
    """0 while nobody sits there."""
    ready: bool = False
    doomed: bool = False
    """It hangs or hung up; its end was not seen yet."""
    kill_s: float | None = None
    """When it is killed, because it hung up and does not end by itself."""
    started_s: float = 0.0
    starts: int = 0
    deaths: int = 0
    respawn_s: float | None = None
    adopted: set[int] = field(default_factory=set)

    @property
    def restarts(self) -> int:
        """How often the child was replaced."""
        return max(0, self.starts - 1)


class Tree:
    """The seats, who of them is ready, and how far the end has come."""

    def __init__(self, workers: int, draining: Draining) -> None:
        self.control = Seat(CONTROL, control_backoff())
        self.compare = Seat(COMPARE, control_backoff())
        self.workers = [Seat(index, worker_backoff()) for index in range(workers)]
        self.draining = draining
        self.complete = False
        """Whether a worker was ready at least once."""
        self.has_table = False
        self.compares = False
        """Whether the newest table has something to compare."""

    @property
    def seats(self) -> list[Seat]:
        """All seats, control first."""
        return [self.control, self.compare, *self.workers]

    def seat(self, child: int) -> Seat:
        """Return the seat of a child."""
        if child < 0:
            return self.control if child == CONTROL else self.compare
        return self.workers[child]

    def next_s(self) -> float:
        """Return when ``tick`` has something to do at the latest, heartbeats aside."""
        respawns = [seat.respawn_s for seat in self.seats if seat.respawn_s is not None]
        return min([self.draining.deadline_s, *respawns])

    # --- events ---

    def start(self) -> list[Action]:
        """Start everybody; control first, because workers need its table."""
        return [_spawn(seat) for seat in (self.control, *self.workers)]

    def started(self, child: int, pid: int, now_s: float) -> list[Action]:
        """Note that a child runs."""
        seat = self.seat(child)
        seat.pid, seat.started_s, seat.starts = pid, now_s, seat.starts + 1
        seat.respawn_s, seat.kill_s, seat.ready, seat.doomed = None, None, False, False
        seat.adopted = set()
        seat.pulse = Pulse()
        actions: list[Action] = [_note("child_started", seat, restarts=seat.restarts)]
        if child == CONTROL:
            return [*actions, ShowControl(seat.restarts)]
        if child == COMPARE:
            return actions
        return [*actions, _show(seat, layout.STATE_STARTING), *self._report(seat)]

    def ended(self, child: int, how: str, now_s: float) -> list[Action]:
        """Note that a child ended (or could not be started), and how."""
        seat = self.seat(child)
        pid, alive_s = seat.pid, now_s - seat.started_s
        seat.deaths += 1
        seat.backoff = seat.backoff.after_death(alive_s if pid else 0.0)
        expected = self.draining.stage is not Stage.SERVING
        unwanted = child == COMPARE and not self.compares
        level = "info" if expected or unwanted else "error"
        actions: list[Action] = [_note("child_ended", seat, level, how=how)]
        seat.pid, seat.ready, seat.adopted, seat.kill_s = 0, False, set(), None
        if child >= 0:
            actions += [*self._adoptions(), _show(seat, layout.STATE_DEAD)]
            actions += self._report(seat, pid=pid)
        if expected:
            return actions + self._drained(now_s)
        if unwanted:
            return actions
        if child != COMPARE and not self.complete and seat.deaths >= EARLY_DEATHS_MAX:
            return [*actions, End(1, _hopeless(seat, how))]
        seat.respawn_s = now_s + seat.backoff.wait_s
        return actions + self._respawns(now_s)

    def heard(
        self, child: int, message: Mapping[str, Any], now_s: float
    ) -> list[Action]:
        """
        Answer a message of a child that carries no document.

        ``now_s`` is when it came. A type that nobody knows is logged: the
        child may be of another build.
        """
        seat = self.seat(child)
        kind = message["type"]
        if child == COMPARE and kind == "ready":
            took_s = round(now_s - seat.started_s, 3)
            return [_note("child_ready", seat, took_s=took_s)]
        if child >= 0 and kind == "ready":
            return self._became_ready(seat, now_s)
        if child >= 0 and kind == "revision":
            return [Tell(CONTROL, message)]
        if child == CONTROL and kind == "fatal":
            text = str(message.get("message"))
            if self.complete:
                return [_note("control_fatal", seat, "error", message=text)]
            return [End(1, text)]
        return [_note("unknown_message", seat, "error", type=kind)]

    def table_came(self, generation: int, *, compares: bool = False) -> list[Action]:
        """
        Pass the new table on; the loop keeps it for those who start later.

        ``compares``: it has something to compare, so somebody has to be there.
        """
        self.has_table = True
        self.compares = compares
        living = [seat for seat in (self.compare, *self.workers) if seat.pid]
        note = Note("debug", "table", {"generation": generation})
        tables = [GiveTable(seat.child) for seat in living]
        return [note, *tables, *self._staff_compare()]

    def _staff_compare(self) -> list[Action]:
        """Start the compare process, or end it, as the newest table has it."""
        seat = self.compare
        if not self.compares:
            seat.respawn_s = None
            return [Kill(COMPARE, signal.SIGTERM)] if seat.pid else []
        serving = self.draining.stage is Stage.SERVING
        absent = not seat.pid and seat.respawn_s is None
        return [_spawn(seat)] if absent and serving else []

    def asked_to_end(self, now_s: float) -> list[Action]:
        """Answer SIGTERM or SIGINT, the first or a further one."""
        before = self.draining
        moved = self._move(before.asked(now_s)) + self._drained(now_s)
        if self.draining.hurried and not before.hurried:
            return [Note("warning", "end_hurried", {"within_s": HURRY_S}), *moved]
        return moved

    def asked_to_reload(self) -> list[Action]:
        """Answer SIGHUP: control reads the file; one that starts does so anyway."""
        if not self.control.pid:
            return []
        return [Note("info", "reload_asked"), Kill(CONTROL, signal.SIGHUP)]

    def tick(
        self, now_s: float, passed_s: float, beats_ms: Mapping[int, int]
    ) -> list[Action]:
        """
        Do what time asks for: heartbeats, respawns, the end's deadlines.

        ``beats_ms`` holds every child's heartbeat word, ``passed_s`` the time
        since the last tick.
        """
        actions = self._stalls(passed_s, beats_ms)
        for seat in self.seats:
            if seat.kill_s is not None and seat.kill_s <= now_s:
                seat.kill_s = None
                actions += self.unreachable(seat.child)
        if self.draining.stage is Stage.SERVING:
            return actions + self._respawns(now_s)
        return actions + self._drained(now_s)

    def hung_up(self, child: int, now_s: float) -> list[Action]:
        """
        Note that a child closed its channel.

        Most likely it ends; somebody else takes its listener already. When it
        does not end, nothing can reach it any more, and it is killed.
        """
        seat = self.seat(child)
        if not seat.pid:
            return []
        seat.doomed, seat.kill_s = True, now_s + HANG_UP_S
        return list(self._adoptions())

    def unreachable(self, child: int) -> list[Action]:
        """Kill a child that does not read its channel, or writes what is no message."""
        seat = self.seat(child)
        if not seat.pid:
            return []
        seat.doomed = True
        return [
            _note("child_unreachable", seat, "error"),
            Kill(child, signal.SIGKILL),
            *self._adoptions(),
        ]

    # --- what follows ---

    def _became_ready(self, seat: Seat, now_s: float) -> list[Action]:
        if not seat.pid or seat.ready:
            return []
        seat.ready = True
        self.complete = True
        took_s = round(now_s - seat.started_s, 3)
        serving = self.draining.stage is Stage.SERVING
        return [
            _note("child_ready", seat, took_s=took_s),
            _show(seat, layout.STATE_READY if serving else layout.STATE_DRAINING),
            *self._report(seat),
            *self._adoptions(),
        ]

    def _adoptions(self) -> Iterator[Action]:
        """Bring every ready worker to accept on exactly the orphaned listeners."""
        if self.draining.stage not in {Stage.SERVING, Stage.ANNOUNCED}:
            return
        orphaned = {seat.child for seat in self.workers if not _serves(seat)}
        for seat in self.workers:
            if not _serves(seat):
                continue
            for listener in sorted(orphaned - seat.adopted):
                yield Tell(seat.child, {"type": "adopt", "listener": listener})
            for listener in sorted(seat.adopted - orphaned):
                yield Tell(seat.child, {"type": "release", "listener": listener})
            seat.adopted = set(orphaned)

    def _stalls(self, passed_s: float, beats_ms: Mapping[int, int]) -> list[Action]:
        actions: list[Action] = []
        for seat in self.seats:
            if not seat.pid or seat.doomed:
                continue
            seat.pulse = seat.pulse.seen(beats_ms[seat.child], passed_s)
            if seat.pulse.quiet_s > self._quiet_max_s(seat):
                seat.doomed = True
                quiet_s = round(seat.pulse.quiet_s, 1)
                actions.append(_note("child_hangs", seat, "error", quiet_s=quiet_s))
                actions.append(Kill(seat.child, signal.SIGKILL))
        return [*actions, *self._adoptions()] if actions else []

    def _quiet_max_s(self, seat: Seat) -> float:
        """Return how long a child may be without a beat."""
        if seat.child < 0:
            return CONTROL_QUIET_MAX_S if seat.pulse.beat_ms else START_QUIET_MAX_S
        if seat.ready:
            return WORKER_QUIET_MAX_S
        # A worker that has no table yet waits for control, for however long.
        return START_QUIET_MAX_S if self.has_table else math.inf

    def _respawns(self, now_s: float) -> list[Action]:
        actions: list[Action] = []
        for seat in self.seats:
            if seat.respawn_s is not None and seat.respawn_s <= now_s:
                seat.respawn_s = None
                actions.append(_spawn(seat))
        return actions

    def _drained(self, now_s: float) -> list[Action]:
        """Go on through the stages of the end as far as they allow."""
        actions: list[Action] = []
        while True:
            following = self.draining.advanced(
                now_s,
                workers_alive=any(seat.pid for seat in self.workers),
                control_alive=bool(self.control.pid or self.compare.pid),
            )
            if following == self.draining:
                return actions
            actions += self._move(following)

    def _move(self, following: Draining) -> list[Action]:
        """Enter the stage of ``following``; nothing when it is the present one."""
        before, self.draining = self.draining.stage, following
        if following.stage is before:
            return []
        for seat in self.seats:
            seat.respawn_s = None
        level = "warning" if following.stage in _FORCED else "info"
        note = Note(level, f"tree_{following.stage.name.lower()}")
        return [note, *self._entered(following.stage)]

    def _entered(self, stage: Stage) -> list[Action]:
        living = [seat for seat in self.workers if seat.pid]
        match stage:
            case Stage.ANNOUNCED:
                shown = [_show(seat, layout.STATE_DRAINING) for seat in living]
                return [ShowDraining(), *shown, *_tell(living, "drain")]
            case Stage.FINISHING:
                return [CloseListeners(), *_tell(living, "stop_accepting")]
            case Stage.KILLING_WORKERS:
                return [Kill(seat.child, signal.SIGKILL) for seat in living]
            case Stage.STOPPING:
                return [Kill(child, signal.SIGTERM) for child in (COMPARE, CONTROL)]
            case Stage.KILLING_CONTROL:
                return [Kill(child, signal.SIGKILL) for child in (COMPARE, CONTROL)]
            case Stage.ENDED:
                return [End(0)]
            case Stage.SERVING:
                raise AssertionError(stage)

    def _report(self, seat: Seat, pid: int | None = None) -> list[Action]:
        """Tell control about a worker."""
        event = "died" if not seat.pid else "ready" if seat.ready else "started"
        message = {
            "type": "worker",
            "index": seat.child,
            "event": event,
            "pid": seat.pid if pid is None else pid,
        }
        return [Tell(CONTROL, message)] if self.control.pid else []


def _serves(seat: Seat) -> bool:
    return seat.ready and not seat.doomed


def _spawn(seat: Seat) -> Action:
    return Spawn(seat.child, restarted=seat.starts > 0)


def _show(seat: Seat, state: int) -> Action:
    return ShowWorker(seat.child, seat.pid, state, seat.restarts)


def _tell(seats: list[Seat], kind: str) -> list[Action]:
    return [Tell(seat.child, {"type": kind}) for seat in seats]


def _note(event: str, seat: Seat, level: str = "info", **fields: object) -> Action:
    shown = {"child": name_of(seat.child), "child_pid": seat.pid, **fields}
    return Note(level, event, shown)


def _hopeless(seat: Seat, how: str) -> str:
    return (
        f"{name_of(seat.child)} ended {seat.deaths} times before the start was"
        f" complete, the last time with {how}"
    )
