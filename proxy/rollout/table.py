"""
The transition table: what happens in each phase at each event. It is total.

The columns are those of ``COLUMNS``. Read a row aloud:
 "pause: refused when idle; pauses while waiting and while
progressing; refused when already paused …". A rule returns the next state or
raises ConflictError with a sentence; a pair that is missing here is a bug.

``Baking`` is a word of the vocabulary that no rule leads to, so it has no column.

======================  ==================================================
active phases           Waiting, Progressing, Paused, Promoting, RollingBack
phases of rest          Idle, Succeeded, RolledBack
leave an active phase   promotion, a rollback, an abort, a newer revision
leave a phase of rest   start, retry, a healthy new revision
======================  ==================================================
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from proxy.model.vocabulary import Phase
from proxy.rollout import changes, commands, ticks
from proxy.rollout.commands import refuse
from proxy.rollout.events import (
    Command,
    ConfigSeen,
    Event,
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
    SPLIT = "split"
    START = Verb.START.value
    PROMOTE = Verb.PROMOTE.value
    PAUSE = Verb.PAUSE.value
    RESUME = Verb.RESUME.value
    ABORT = Verb.ABORT.value
    RETRY = Verb.RETRY.value
    SKIP = Verb.SKIP.value


COLUMNS = (
    Phase.IDLE,
    Phase.SUCCEEDED,
    Phase.ROLLED_BACK,
    Phase.PROGRESSING,
    Phase.WAITING,
    Phase.PAUSED,
    Phase.PROMOTING,
    Phase.ROLLING_BACK,
)

_rest, _step, _watch, _follow, _hold = (
    ticks.rest,
    ticks.progress,
    ticks.watch,
    ticks.follow,
    ticks.retreat,
)
_drop, _trip, _held = ticks.trip_at_rest, ticks.trip, ticks.trip_held
_new, _newer, _later = (
    changes.revision_at_rest,
    changes.revision_while_active,
    changes.revision_while_retreating,
)
_file, _files = changes.config_at_rest, changes.config_while_active
_free, _lower = commands.split, commands.split_while_active
_begin, _again = commands.start, commands.retry
_next, _finish, _skip = commands.promote, commands.finish, commands.skip
_pause, _go = commands.pause, commands.resume
_abort, _clear = commands.abort, commands.abort_at_rest

_idle = refuse("is not active: use start")
_live = refuse("is already active")
_paused = refuse("is paused: resume it first")
_twice = refuse("is already paused")
_runs = refuse("is not paused")
_waits = refuse("is at 100 % and waits for stable: promote moves the traffic back")
_back = refuse("is being rolled back")

# fmt: off
TABLE: dict[Kind, tuple[Rule, ...]] = {
    #                Idle    Succ.   R.back  Progr.   Wait.    Paused   Prom.    R.ing
    Kind.TICK:     (_rest,  _rest,  _rest,  _step,   _watch,  _watch,  _follow, _hold),
    Kind.TRIP:     (_drop,  _drop,  _drop,  _trip,   _trip,   _trip,   _trip,   _held),
    Kind.REVISION: (_new,   _new,   _new,   _newer,  _newer,  _newer,  _newer,  _later),
    Kind.CONFIG:   (_file,  _file,  _file,  _files,  _files,  _files,  _files,  _files),
    Kind.SPLIT:    (_free,  _free,  _free,  _lower,  _lower,  _lower,  _lower,  _lower),
    Kind.START:    (_begin, _begin, _begin, _live,   _live,   _live,   _live,   _live),
    Kind.RETRY:    (_again, _again, _again, _live,   _live,   _live,   _live,   _live),
    Kind.PROMOTE:  (_idle,  _idle,  _idle,  _next,   _next,   _next,   _finish, _back),
    Kind.SKIP:     (_idle,  _idle,  _idle,  _skip,   _skip,   _paused, _waits,  _back),
    Kind.PAUSE:    (_idle,  _idle,  _idle,  _pause,  _pause,  _twice,  _waits,  _back),
    Kind.RESUME:   (_idle,  _idle,  _idle,  _runs,   _next,   _go,     _waits,  _back),
    Kind.ABORT:    (_clear, _clear, _clear, _abort,  _abort,  _abort,  _abort,  _abort),
}
# fmt: on

_KINDS: dict[type, Kind] = {
    Tick: Kind.TICK,
    Tripped: Kind.TRIP,
    RevisionSeen: Kind.REVISION,
    ConfigSeen: Kind.CONFIG,
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
