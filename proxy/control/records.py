"""
How runs and decisions are written down: the shapes that the store and the API share.

Pure spelling. A decision is never changed once it is written, so what it says
must be complete here: what was seen, which rule fired, what came of it.
"""

from typing import Any

from proxy.model.document import encode
from proxy.model.instants import rfc3339
from proxy.model.judging import Judgement, SloJudgement
from proxy.rollout.events import Decision, Ended
from proxy.rollout.state import RolloutState

JsonObject = dict[str, Any]


def decision_json(decision: Decision) -> JsonObject:
    """Return a decision as it is kept and shown; the store adds its ``number``."""
    evidence = decision.evidence
    return {
        "at": rfc3339(decision.at_s),
        "service": decision.service,
        "rollout": decision.rollout,
        "who": decision.who,
        "note": decision.note,
        "rule": decision.rule,
        "reason": decision.reason.value,
        "message": decision.message,
        "phase_before": decision.phase_before.value,
        "phase": decision.phase_after.value,
        "step_before": decision.step_before,
        "step": decision.step_after,
        "weights_before": dict(decision.weights_before),
        "weights": dict(decision.weights_after),
        "revision": decision.revision,
        "plan_hash": decision.plan_hash,
        "verdict": None if evidence is None else evidence.verdict.value,
        "evidence": None if evidence is None else judgement_json(evidence),
        "slos": [] if evidence is None else slos_json(evidence),
        "levels": {"worse": decision.alpha, "beyond": decision.alpha_tolerance},
    }


def judgement_json(judgement: Judgement) -> JsonObject:
    """Return a judgement without its objectives."""
    return {
        "verdict": judgement.verdict.value,
        "reason": judgement.reason.value,
        "message": judgement.message,
        "needed": judgement.needed,
        "wait_s": judgement.wait_s,
        "worse": judgement.worse,
        "beyond": judgement.beyond,
        "noisy": judgement.noisy,
        "fired": judgement.fired,
    }


def slos_json(judgement: Judgement) -> list[JsonObject]:
    """Return the objectives of a judgement in the contract's shape."""
    return [slo_json(slo) for slo in judgement.slos]


def slo_json(slo: SloJudgement) -> JsonObject:
    """Return one judged objective; numbers that are not known are ``None``."""
    document = encode(slo)
    assert isinstance(document, dict)
    return document


def run_json(ended: Ended, before: RolloutState, after: RolloutState) -> JsonObject:
    """
    Return the history's entry of the run that ended between two states.

    A superseded run has already made room for its successor in ``after``.
    """
    run = next(
        state.run
        for state in (after, before)
        if state.run is not None and state.run.id == ended.run_id
    )
    return {
        "id": run.id,
        "outcome": ended.outcome.value,
        "phase": ended.outcome.value,
        "reason": ended.reason.value,
        "message": after.message,
        "revision": run.revision,
        "stable": run.stable,
        "canary": run.canary,
        "started_at": rfc3339(run.started_at_s),
        "ended_at": None if run.ended_at_s is None else rfc3339(run.ended_at_s),
        "step": run.step,
        "weight": after.split.get(run.canary, 0.0),
        "exposed_requests": run.exposed_requests,
        "plan_hash": run.plan_hash,
    }
