"""
Rules of gates: who must agree before a weight rises, and what their answers mean.

Gates are asked by the shell, which finds in ``gates_due`` whom; their answers
come in as events. Only what raises waits for them: no rollback, no abort and no
lowered weight ever does.

=========================  =============================  ======================
type                       asked                          an answer that is not 2xx
=========================  =============================  ======================
confirm-rollout            before the first step          asked again
pre-rollout                after it, still without weight rolled back
confirm-traffic-increase   before every step              asked again
rollout                    all along, with weight         rolled back
confirm-promotion          before 100 %                   asked again
rollback                   all along, with weight         nothing; 2xx rolls back
post-rollout, event        told, never waited for         counted
=========================  =============================  ======================
"""

from dataclasses import replace

from proxy.model.vocabulary import Phase, Reason
from proxy.rollout.events import Answer, GateAnswered
from proxy.rollout.moves import (
    Context,
    Move,
    entered,
    promotes,
    rolled_back,
    rolling_back,
    run_of,
)
from proxy.rollout.plan import Gate, GateType, OnTimeout
from proxy.rollout.state import RolloutState, Run

ORDER = (
    GateType.CONFIRM_ROLLOUT,
    GateType.PRE_ROLLOUT,
    GateType.CONFIRM_TRAFFIC_INCREASE,
    GateType.CONFIRM_PROMOTION,
)
"""Those that are waited for; each is asked when those before it have opened."""

CHECKS = frozenset({GateType.PRE_ROLLOUT, GateType.ROLLOUT})
"""Those whose refusal means that the revision is not good."""

ALONG = frozenset({GateType.ROLLOUT, GateType.ROLLBACK})
"""Those that are asked again and again while the canary has weight."""


def ascend(move: Move, then: int, now_s: float) -> Move:
    """Return the move into step ``then``, or the wait for the gates before it."""
    run = run_of(move.state)
    waits = _before(run, then)
    if not waits:
        return entered(move, then, now_s)
    titles = ", ".join(run.plan.gates[place].title for place in waits)
    state = replace(
        move.state,
        phase=Phase.WAITING,
        reason=Reason.GATE_CLOSED,
        message=f"waits for {titles}",
        run=replace(run, waits=waits, then=then),
    )
    return replace(move, state=state)


def _before(run: Run, then: int) -> tuple[int, ...]:
    """Return the gates that must open before a step, in the order of asking."""
    last = then > len(run.plan.steps) or promotes(run, then)
    types = {GateType.CONFIRM_PROMOTION if last else GateType.CONFIRM_TRAFFIC_INCREASE}
    if not run.step:
        types |= {GateType.CONFIRM_ROLLOUT, GateType.PRE_ROLLOUT}
    gates = run.plan.gates
    asked = [
        place
        for place, gate in enumerate(gates)
        if (gate.step == run.step if gate.step else gate.type in types)
    ]
    return tuple(sorted(asked, key=lambda place: ORDER.index(gates[place].type)))


def gates_due(state: RolloutState) -> tuple[int, ...]:
    """Return the gates of the run's plan that are to be asked now, by their place."""
    run = state.run
    if run is None or not state.active:
        return ()
    gates = run.plan.gates
    due: list[int] = []
    if state.phase is Phase.WAITING and run.waits:
        first = gates[run.waits[0]].type
        due += [place for place in run.waits if gates[place].type is first]
    if state.canary_weight and state.phase is not Phase.ROLLING_BACK:
        due += [place for place, gate in enumerate(gates) if gate.type in ALONG]
    return tuple(due)


def told(state: RolloutState, gate: GateType) -> tuple[Gate, ...]:
    """Return the gates of the last run's plan that are only told."""
    run = state.run
    return () if run is None else tuple(g for g in run.plan.gates if g.type is gate)


def answer_while_waiting(context: Context) -> Move:
    """A gate that is waited for opens, stays closed, fails or is not there."""
    event, run = _answer(context), run_of(context.state)
    if _stale(run, event) or event.gate not in run.waits:
        return answer(context)
    gate = run.plan.gates[event.gate]
    if event.answer is Answer.OPEN:
        return _opened(context, event.gate)
    if event.answer is Answer.CLOSED and gate.type not in CHECKS:
        message = f"{gate.title} is closed: {event.detail}"
        return Move(replace(context.state, message=message))
    if event.answer is Answer.NONE and gate.on_timeout is OnTimeout.HOLD:
        message = f"{gate.title} does not answer: {event.detail}"
        return Move(replace(context.state, message=message))
    return _failed(context, gate, event)


def answer(context: Context) -> Move:
    """A gate that is asked all along: what it refuses, or orders, rolls back."""
    event, run = _answer(context), run_of(context.state)
    if _stale(run, event) or not context.state.canary_weight:
        return Move(context.state)
    gate = run.plan.gates[event.gate]
    if gate.type is GateType.ROLLBACK and event.answer is Answer.OPEN:
        return _failed(context, gate, event)
    refused = event.answer is Answer.CLOSED or gate.on_timeout is OnTimeout.ROLLBACK
    if gate.type is GateType.ROLLOUT and event.answer is not Answer.OPEN and refused:
        return _failed(context, gate, event)
    return Move(context.state)


def answer_ignored(context: Context) -> Move:
    """Nobody waits for a gate any more."""
    return Move(context.state)


def _opened(context: Context, place: int) -> Move:
    """Return what follows a gate that opened: the next gate, or the step."""
    state, run = context.state, run_of(context.state)
    left = tuple(one for one in run.waits if one != place)
    title = run.plan.gates[place].title
    state = replace(state, run=replace(run, waits=left))
    if left:
        titles = ", ".join(run.plan.gates[one].title for one in left)
        message = f"{title} is open, waits for {titles}"
        return Move(replace(state, message=message), "gate-opened")
    if state.frozen:
        message = f"{title} is open; {state.frozen}"
        frozen = replace(state, reason=Reason.FROZEN, message=message)
        return Move(frozen, "gate-opened")
    return entered(Move(state, "gate-opened"), run.then, context.now_s)


def _failed(context: Context, gate: Gate, event: GateAnswered) -> Move:
    """Return the rollback that a gate means."""
    said = "ordered a rollback" if gate.type is GateType.ROLLBACK else "refused"
    if event.answer is Answer.NONE:
        said = "did not answer"
    message = f"{gate.title} {said}: {event.detail}"
    move = Move(context.state, "gate-failed")
    if not context.state.canary_weight:
        return rolled_back(move, Reason.GATE_CLOSED, message, context.now_s)
    return rolling_back(
        move,
        Reason.GATE_CLOSED,
        message,
        context.now_s,
        stable_healthy=event.stable_healthy,
    )


def _stale(run: Run, event: GateAnswered) -> bool:
    """Whether an answer belongs to another run or step."""
    unknown = not 0 <= event.gate < len(run.plan.gates)
    return event.run != run.id or event.step != run.step or unknown


def _answer(context: Context) -> GateAnswered:
    """Return the event as what it must be."""
    assert isinstance(context.event, GateAnswered)
    return context.event
