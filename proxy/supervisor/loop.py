"""
The supervisor's loop: waits for signals, messages and deadlines, and performs.

Everything that happens is handed to ``tree``, and what it answers is done
here, in order. The loop never blocks on a child: channels queue, processes are
reaped when SIGCHLD says so, and as PID 1 strangers are reaped too.
"""

import contextlib
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from proxy.errors import ChannelError
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
from proxy.supervisor.children import (
    NO_FD,
    Shared,
    compare_launch,
    control_launch,
    spawn,
    worker_launch,
)
from proxy.supervisor.drain import Draining
from proxy.supervisor.heartbeat import LOOK_EVERY_S
from proxy.supervisor.listeners import Listeners
from proxy.supervisor.plan import Plan
from proxy.supervisor.tree import Tree
from proxy.telemetry import channel, pairs, process
from proxy.telemetry.channel import Channel, Message
from proxy.telemetry.log import log
from proxy.telemetry.slab import SupervisorSlab, WorkerRow

END_WAIT_S = 2.0
"""How long killed children are waited for at the very end."""
_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_WAKEUP = "wakeup"


class Supervisor:
    """Holds every descriptor of the tree, and runs it until it ends."""

    def __init__(self, plan: Plan, listeners: Listeners, slab_fd: int) -> None:
        self._plan = plan
        self._listeners = listeners
        self._slab = SupervisorSlab(slab_fd)
        self._tree = Tree(
            plan.workers, Draining(plan.drain.delay_s, plan.drain.timeout_s)
        )
        self._table_fd = NO_FD
        self._table_generation = 0
        self._settings_fd = NO_FD
        if plan.settings is not None:
            self._settings_fd = channel.sealed_document(
                "headgate-settings", plan.settings
            )
        self._pairs_fd = pairs.create(plan.workers)
        self._alive_read, self._alive_write = process.alive_pipe()
        self._channels: dict[int, Channel] = {}
        self._children: dict[int, int] = {}
        """Process id → child, for those that were not reaped yet."""
        self._end: End | None = None
        self._selector = selectors.DefaultSelector()
        self._wakeup_read, self._wakeup_write = socket.socketpair()

    def run(self) -> End:
        """Run the tree; return why it ended. No child is left then."""
        self._watch_signals()
        now = time.clock_gettime(time.CLOCK_REALTIME)
        self._slab.set_started(int(now))
        try:
            self._perform(self._tree.start())
            self._loop()
        finally:
            self._kill_all()
        assert self._end is not None
        return self._end

    def _loop(self) -> None:
        looked_s = time.monotonic()
        while self._end is None:
            now_s = time.monotonic()
            due_s = min(looked_s + LOOK_EVERY_S, self._tree.next_s())
            for key, events in self._selector.select(max(0.0, due_s - now_s)):
                self._handle(key, events)
            now_s = time.monotonic()
            if now_s >= due_s:
                beats_ms = self._beats_ms()
                self._perform(self._tree.tick(now_s, now_s - looked_s, beats_ms))
                looked_s = now_s
            self._watch_channels()

    # --- events ---

    def _watch_signals(self) -> None:
        for end in (self._wakeup_read, self._wakeup_write):
            end.setblocking(False)  # noqa: FBT003 - the name of the method says it
        self._selector.register(self._wakeup_read, selectors.EVENT_READ, _WAKEUP)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, _noted)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _handle(self, key: selectors.SelectorKey, events: int) -> None:
        if key.data == _WAKEUP:
            self._take_signals()
            return
        child = key.data
        peer = self._channels.get(child)
        if peer is None or peer is not key.fileobj:
            return  # replaced by what an earlier event of this round did
        if events & selectors.EVENT_WRITE:
            peer.flush()
        if events & selectors.EVENT_READ:
            self._take_messages(child, peer)
        if peer.closed:
            self._forget(child)
            self._perform(self._tree.hung_up(child, time.monotonic()))

    def _take_signals(self) -> None:
        try:
            numbers = self._wakeup_read.recv(4096)
        except BlockingIOError:
            return
        self._reap()
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._perform(self._tree.asked_to_end(time.monotonic()))
            elif number == signal.SIGHUP:
                self._perform(self._tree.asked_to_reload())

    def _reap(self) -> None:
        for pid, status in _ended():
            child = self._children.pop(pid, None)
            if child is None:
                log("debug", "stranger_reaped", stranger_pid=pid)
                continue
            self._take_last_messages(child)
            self._perform(
                self._tree.ended(child, how_it_ended(status), time.monotonic())
            )

    def _take_last_messages(self, child: int) -> None:
        """Read what a dead child still said: control's last table must not be lost."""
        peer = self._channels.get(child)
        while peer is not None and not peer.closed:
            if not self._take_messages(child, peer):
                break
        self._forget(child)

    def _take_messages(self, child: int, peer: Channel) -> int:
        """Handle what a child sent; return how many messages that were."""
        count = 0
        try:
            for message, fd in peer.receive():
                count += 1
                self._take(child, message, fd)
        except ChannelError as error:
            log("error", "bad_message", child=name_of(child), why=str(error))
            self._perform(self._tree.unreachable(child))
            return 0
        return count

    def _take(self, child: int, message: Message, fd: int | None) -> None:
        kind = message["type"]
        if fd is None:
            self._perform(self._tree.heard(child, message, time.monotonic()))
        elif child == CONTROL and kind == "table" and channel.is_sealed(fd):
            _close(self._table_fd)
            self._table_fd = fd
            self._table_generation = int(message.get("generation", 0))
            compares = bool(message.get("compares"))
            self._perform(
                self._tree.table_came(self._table_generation, compares=compares)
            )
        elif child == CONTROL and kind == "settings" and channel.is_sealed(fd):
            _close(self._settings_fd)
            self._settings_fd = fd
        else:
            os.close(fd)
            log("error", "bad_message", child=name_of(child), type=kind)

    def _beats_ms(self) -> dict[int, int]:
        beats = {worker: self._slab.beat_ms(worker) for worker in self._workers()}
        beats[CONTROL] = self._slab.control_beat_ms()
        beats[COMPARE] = pairs.beat_ms(self._pairs_fd)
        return beats

    def _workers(self) -> Iterable[int]:
        return range(self._plan.workers)

    # --- actions ---

    def _perform(self, actions: Iterable[Action]) -> None:
        waiting = deque(actions)
        while waiting and self._end is None:
            waiting.extend(self._do(waiting.popleft()))

    def _do(self, action: Action) -> list[Action]:
        """Perform one action; return what follows from it."""
        match action:
            case Tell(child, message):
                return self._tell(child, message)
            case GiveTable(child):
                return self._tell(child, {"type": "table"}, self._table_fd)
            case Spawn(child, restarted):
                return self._spawn(child, restarted=restarted)
            case Kill(child, number):
                self._kill(child, number)
            case ShowWorker(worker, pid, state, restarts):
                self._slab.set_worker(worker, WorkerRow(pid, state, restarts))
            case ShowControl(restarts):
                self._slab.set_control_restarts(restarts)
            case ShowDraining():
                self._slab.set_draining()
            case CloseListeners():
                self._listeners.stop_traffic()
            case Note(level, event, fields):
                log(level, event, **fields)
            case End():
                self._end = action
        return []

    def _tell(
        self, child: int, message: Mapping[str, Any], fd: int | None = None
    ) -> list[Action]:
        peer = self._channels.get(child)
        if peer is None or peer.send(message, fd) or child == CONTROL:
            return []  # control misses a note about a worker: the slab tells it too
        return self._tree.unreachable(child)

    def _spawn(self, child: int, *, restarted: bool) -> list[Action]:
        ours, theirs = channel.pair()
        module, launch = self._launch(child, theirs.fileno(), restarted=restarted)
        try:
            pid = spawn(module, launch)
        except OSError as error:
            ours.close()
            how = f"a failed start: {error.strerror}"
            return self._tree.ended(child, how, time.monotonic())
        finally:
            theirs.close()
        self._children[pid] = child
        self._channels[child] = peer = Channel(ours)
        self._selector.register(peer, selectors.EVENT_READ, child)
        return self._tree.started(child, pid, time.monotonic())

    def _launch(
        self, child: int, channel_fd: int, *, restarted: bool
    ) -> tuple[str, dict[str, Any]]:
        """Make ready what a child needs; return its module and launch document."""
        plan, modules = self._plan, self._plan.modules
        shared = Shared(
            self._slab.fd,
            self._alive_read,
            self._table_fd,
            self._settings_fd,
            self._pairs_fd,
        )
        if child == CONTROL:
            self._slab.clear_control_beat()
            launch = control_launch(plan, self._listeners, shared, channel_fd)
            return modules.control, launch
        if child == COMPARE:
            pairs.clear_beat(self._pairs_fd)
            return modules.compare, compare_launch(plan, shared, channel_fd)
        self._slab.prepare_region(child, self._table_generation)
        launch = worker_launch(
            plan,
            self._listeners,
            shared,
            channel_fd,
            index=child,
            restarted=restarted,
        )
        return modules.worker, launch

    def _kill(self, child: int, number: signal.Signals) -> None:
        pid = self._tree.seat(child).pid
        if pid:  # not reaped yet, so the number is still this child's
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _forget(self, child: int) -> None:
        peer = self._channels.pop(child, None)
        if peer is not None:
            self._selector.unregister(peer)
            peer.close()

    def _watch_channels(self) -> None:
        """Ask to be told when a slow child reads again."""
        for child, peer in self._channels.items():
            wanted = selectors.EVENT_READ
            if peer.waiting:
                wanted |= selectors.EVENT_WRITE
            if self._selector.get_key(peer).events != wanted:
                self._selector.modify(peer, wanted, child)

    def _kill_all(self) -> None:
        """Leave no child behind, whatever ended the loop."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline_s = time.monotonic() + END_WAIT_S
        while True:
            for pid, _ in _ended():
                self._children.pop(pid, None)
            left_s = deadline_s - time.monotonic()
            if not self._children or left_s <= 0:
                break
            signal.sigtimedwait({signal.SIGCHLD}, left_s)
        self._listeners.close()


def how_it_ended(status: int) -> str:
    """Return what a wait status says, as the end of a sentence."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"signal {-code}"


def _ended() -> Iterable[tuple[int, int]]:
    """Yield (process id, wait status) of every child that ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the wakeup descriptor has told the loop."""


def _close(fd: int) -> None:
    if fd != NO_FD:
        os.close(fd)
