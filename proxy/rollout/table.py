"""
The transition table: what happens in each phase at each event. It is total.

The columns are those of ``COLUMNS``. Read a row aloud:
 "pause: refused when idle; pauses while waiting and while
progressing; refused when already paused …". A rule returns the next state or
raises ConflictError with a sentence; a pair that is missing here is a bug.

======================  ==================================================
active phases           Waiting, Progressing, Paused, Baking, Promoting,
                        RollingBack
phases of rest          Idle, Succeeded, RolledBack
leave an active phase   promotion, a rollback, an abort, a newer revision
leave a phase of rest   start, retry, a healthy new revision
======================  ==================================================
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from proxy.model.vocabulary import Phase
from proxy.rollout import changes, commands, freezes, gates, ticks, trips
from proxy.rollout.commands import refuse
from proxy.rollout.events import (
    CalendarSeen,
    Command,
    ConfigSeen,
    Event,
    GateAnswered,
    RevisionSeen,
    SplitOrdered,
    Tick,
    Tripped,
    Verb,
)
from proxy.rollout.moves import Context, Move

Rule: TypeAlias = Callable[[Context], Move]


class Kind(Enum):
    """The rows: events without their contents."""

    TICK = "tick"
    TRIP = "trip"
    REVISION = "revision"
    CONFIG = "config"
    CALENDAR = "calendar"
    GATE = "gate"
    SPLIT = "split"
    START = Verb.START.value
    PROMOTE = Verb.PROMOTE.value
    PAUSE = Verb.PAUSE.value
    RESUME = Verb.RESUME.value
    ABORT = Verb.ABORT.value
    RETRY = Verb.RETRY.value
    SKIP = Verb.SKIP.value
    FREEZE = Verb.FREEZE.value
    UNFREEZE = Verb.UNFREEZE.value


K = Kind

COLUMNS = (
    Phase.IDLE,
    Phase.SUCCEEDED,
    Phase.ROLLED_BACK,
    Phase.PROGRESSING,
    Phase.WAITING,
    Phase.PAUSED,
    Phase.BAKING,
    Phase.PROMOTING,
    Phase.ROLLING_BACK,
)

_rest, _step, _watch, _bake, _ahead, _hold = (
    ticks.rest,
    ticks.progress,
    ticks.watch,
    ticks.bake,
    ticks.follow,
    ticks.retreat,
)
_drop, _trip, _cut = trips.trip_at_rest, trips.trip, trips.trip_retreating
_ask, _said, _mute = gates.answer_while_waiting, gates.answer, gates.answer_ignored
_stop, _thaw, _date = freezes.freeze, freezes.unfreeze, freezes.calendar
_new, _newer, _soon = (
    changes.revision_at_rest,
    changes.revision_while_active,
    changes.revision_while_retreating,
)
_file, _kept = changes.config_at_rest, changes.config_while_active
_free, _down = commands.split, commands.split_while_active
_begin, _again = commands.start, commands.retry
_next, _home, _skip = commands.promote, commands.finish, commands.skip
_pause, _go = commands.pause, commands.resume
_zero, _clear = commands.abort, commands.abort_at_rest

_idle = refuse("is not active: use start")
_live = refuse("is already active")
_halt = refuse("is paused: resume it first")
_twice = refuse("is already paused")
_runs = refuse("is not paused")
_waits = refuse("is at 100 % and waits for stable: promote moves the traffic back")
_back = refuse("is being rolled back")

# fmt: off
TABLE: dict[Kind, tuple[Rule, ...]] = {
    #             Idle    Succ.   R.back  Progr.  Wait.   Paused  Baking  Prom.   R.ing
    K.TICK:     (_rest,  _rest,  _rest,  _step,  _watch, _watch, _bake,  _ahead, _hold),
    K.TRIP:     (_drop,  _drop,  _drop,  _trip,  _trip,  _trip,  _trip,  _trip,  _cut),
    K.REVISION: (_new,   _new,   _new,   _newer, _newer, _newer, _newer, _newer, _soon),
    K.CONFIG:   (_file,  _file,  _file,  _kept,  _kept,  _kept,  _kept,  _kept,  _kept),
    K.CALENDAR: (_date,  _date,  _date,  _date,  _date,  _date,  _date,  _date,  _date),
    K.GATE:     (_mute,  _mute,  _mute,  _said,  _ask,   _said,  _said,  _said,  _mute),
    K.SPLIT:    (_free,  _free,  _free,  _down,  _down,  _down,  _down,  _down,  _down),
    K.START:    (_begin, _begin, _begin, _live,  _live,  _live,  _live,  _live,  _live),
    K.RETRY:    (_again, _again, _again, _live,  _live,  _live,  _live,  _live,  _live),
    K.PROMOTE:  (_idle,  _idle,  _idle,  _next,  _next,  _next,  _next,  _home,  _back),
    K.SKIP:     (_idle,  _idle,  _idle,  _skip,  _skip,  _halt,  _skip,  _waits, _back),
    K.PAUSE:    (_idle,  _idle,  _idle,  _pause, _pause, _twice, _pause, _waits, _back),
    K.RESUME:   (_idle,  _idle,  _idle,  _runs,  _next,  _go,    _runs,  _waits, _back),
    K.ABORT:    (_clear, _clear, _clear, _zero,  _zero,  _zero,  _zero,  _zero,  _zero),
    K.FREEZE:   (_stop,  _stop,  _stop,  _stop,  _stop,  _stop,  _stop,  _stop,  _stop),
    K.UNFREEZE: (_thaw,  _thaw,  _thaw,  _thaw,  _thaw,  _thaw,  _thaw,  _thaw,  _thaw),
}
# fmt: on

_KINDS: dict[type, Kind] = {
    Tick: Kind.TICK,
    Tripped: Kind.TRIP,
    RevisionSeen: Kind.REVISION,
    ConfigSeen: Kind.CONFIG,
    CalendarSeen: Kind.CALENDAR,
    GateAnswered: Kind.GATE,
    SplitOrdered: Kind.SPLIT,
}


def kind_of(event: Event) -> Kind:
    """Return the row of an event."""
    if isinstance(event, Command):
        return Kind(event.verb.value)
    return _KINDS[type(event)]


def rule_for(phase: Phase, event: Event) -> Rule:
    """Return the rule at a phase and an event."""
    return TABLE[kind_of(event)][COLUMNS.index(phase)]
