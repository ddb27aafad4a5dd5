"""
The life of a rollout as a total transition table; pure, standard library only.

``step(plan, state, event, now_s)`` returns an ``Outcome``: save its ``state``,
then perform its ``actions``, then append its ``decision``. The weights to apply
are ``weights_of(state)`` at any time, so a crash in between heals by itself.

::

              start, retry, a new revision that is healthy
      Idle ──────────────► Progressing ◄──────────► Paused   (pause, split / resume)
    Succeeded    gate, pause │   ▲  │
    RolledBack               ▼   │  │ last step passed
                          Waiting   ├─► Baking ─┐
                                    │           ├─► Succeeded            (after: swap)
                                    └───────────┴─► Promoting ─► Succeeded   (return)

    any active phase ── abort, violation, fail-fast ──► RolledBack
    any active phase ── gradual, or stable unhealthy ─► RollingBack ──► RolledBack
    any active phase ── a newer revision ─────────────► Idle (Superseded) ─► Progressing

A freeze is no phase: it keeps what would rise where it is, and nothing else.

The modules: ``plan``, ``state`` and ``events`` (values), ``weights`` (splits),
``moves`` and ``clocks`` (what rules are made of), ``ticks``, ``trips``, ``gates``,
``freezes``, ``commands``, ``changes`` (the rules), ``table`` (which rule applies),
``machine`` (one step), ``view`` (the public JSON).
"""

from proxy.rollout.events import (
    Action,
    Answer,
    CalendarSeen,
    Command,
    ConfigSeen,
    Decision,
    Ended,
    Event,
    GateAnswered,
    Outcome,
    RevisionSeen,
    SetWeights,
    SplitOrdered,
    Tick,
    Tripped,
    Verb,
)
from proxy.rollout.gates import gates_due, told
from proxy.rollout.machine import step
from proxy.rollout.moves import hash_of
from proxy.rollout.plan import (
    After,
    Bake,
    Gate,
    GateType,
    OnNoTraffic,
    OnTimeout,
    OnUndecided,
    Ring,
    Rollback,
    RolloutPlan,
    Start,
    Step,
    Strategy,
)
from proxy.rollout.state import (
    Fate,
    RolloutState,
    Run,
    exposed,
    from_json,
    judge_plan_of,
    to_json,
    weights_of,
)
from proxy.rollout.view import decision_view, public_view

__all__ = [
    "Action",
    "After",
    "Answer",
    "Bake",
    "CalendarSeen",
    "Command",
    "ConfigSeen",
    "Decision",
    "Ended",
    "Event",
    "Fate",
    "Gate",
    "GateAnswered",
    "GateType",
    "OnNoTraffic",
    "OnTimeout",
    "OnUndecided",
    "Outcome",
    "RevisionSeen",
    "Ring",
    "Rollback",
    "RolloutPlan",
    "RolloutState",
    "Run",
    "SetWeights",
    "SplitOrdered",
    "Start",
    "Step",
    "Strategy",
    "Tick",
    "Tripped",
    "Verb",
    "decision_view",
    "exposed",
    "from_json",
    "gates_due",
    "hash_of",
    "judge_plan_of",
    "public_view",
    "step",
    "to_json",
    "told",
    "weights_of",
]
