"""
The life of a rollout as a total transition table; pure, standard library only.

``step(plan, state, event, now_s)`` returns an ``Outcome``: save its ``state``,
then perform its ``actions``, then append its ``decision``. The weights to apply
are ``weights_of(state)`` at any time, so a crash in between heals by itself.

::

              start, retry, a new revision that is healthy
      Idle ──────────────► Progressing ◄──────────► Paused   (pause, split / resume)
    Succeeded                │   ▲  │
    RolledBack    step.pause ▼   │  │ last step passed
                          Waiting    ├───────► Succeeded       (after: swap)
                                     └───────► Promoting ────► Succeeded (after: return)

    any active phase ── abort, violation, fail-fast ──► RolledBack
    any active phase ── the same, stable unhealthy ───► RollingBack ──► RolledBack
    any active phase ── a newer revision ─────────────► Idle (Superseded) ─► Progressing

The modules: ``state`` and ``events`` (values), ``weights`` (splits), ``moves``
(what rules are made of), ``ticks``, ``commands``, ``changes`` (the rules),
``table`` (which rule applies), ``machine`` (one step), ``view`` (the public JSON).
"""

from proxy.rollout.events import (
    Action,
    Command,
    ConfigSeen,
    Decision,
    Ended,
    Event,
    Outcome,
    RevisionSeen,
    SetWeights,
    SplitOrdered,
    Tick,
    Tripped,
    Verb,
)
from proxy.rollout.machine import step
from proxy.rollout.moves import hash_of
from proxy.rollout.state import (
    After,
    Fate,
    OnUndecided,
    RolloutPlan,
    RolloutState,
    Run,
    Start,
    Step,
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
    "Command",
    "ConfigSeen",
    "Decision",
    "Ended",
    "Event",
    "Fate",
    "OnUndecided",
    "Outcome",
    "RevisionSeen",
    "RolloutPlan",
    "RolloutState",
    "Run",
    "SetWeights",
    "SplitOrdered",
    "Start",
    "Step",
    "Tick",
    "Tripped",
    "Verb",
    "decision_view",
    "exposed",
    "from_json",
    "hash_of",
    "judge_plan_of",
    "public_view",
    "step",
    "to_json",
    "weights_of",
]
