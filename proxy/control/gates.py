"""
Asking gates, beside the loop: who is due, one call at a time, again after a while.

Whom to ask follows from the saved state (``rollout.gates_due``), so a restart
asks again and loses nothing. An answer goes back as an event; whether it still
means anything is the rollout's to say. A gate that hangs, lies or dies holds up
its own step only.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

from proxy.control.governor import Governor
from proxy.control.steward import Steward
from proxy.control.tasks import Tasks
from proxy.control.webhooks import SUCCESS, post
from proxy.errors import SettingsError
from proxy.model.vocabulary import Phase
from proxy.rollout import Answer, Gate, GateAnswered, RolloutState, gates_due
from proxy.rollout.gates import CHECKS
from proxy.telemetry.log import log

JsonObject = dict[str, Any]

RETRY_S = 1.0
"""Before the first further call; each later one waits twice as long."""

RETRY_S_MAX = 10.0

NAMESPACE = "headgate"
"""Flagger's payload has a Kubernetes namespace, which we have not."""

CALLS_MAX = 1000
"""Questions that are open at once, over all services; the others wait a second."""

FLAGGER_PHASES = {
    Phase.IDLE: "Initialized",
    Phase.WAITING: "Waiting",
    Phase.PROGRESSING: "Progressing",
    Phase.PAUSED: "Progressing",
    Phase.BAKING: "Promoting",
    Phase.PROMOTING: "Promoting",
    Phase.SUCCEEDED: "Succeeded",
    Phase.ROLLING_BACK: "Progressing",
    Phase.ROLLED_BACK: "Failed",
}
"""What gates written for Flagger expect to read in ``phase``."""


@dataclass(frozen=True, slots=True)
class Question:
    """One gate, asked for one step of one run."""

    service: str
    run: str
    step: int
    place: int


class Gates:
    """The questions that are open."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._tasks = Tasks()
        self._asked: dict[Question, float] = {}
        """When a question may be put again; infinite while it is being put."""
        self.calls: Counter[tuple[str, str, str]] = Counter()
        """Answers by service, type and outcome."""

    def look(self) -> None:
        """Ask whoever is due now; forget what nobody waits for any more."""
        now_s = self._governor.clock.monotonic_s()
        due: dict[Question, tuple[Steward, Gate]] = {}
        for steward in self._governor.stewards.values():
            run = steward.state.run
            for place in gates_due(steward.state):
                assert run is not None
                question = Question(steward.name, run.id, run.step, place)
                due[question] = (steward, run.plan.gates[place])
        busy = float("inf")
        self._asked = {
            question: again_s
            for question, again_s in self._asked.items()
            if question in due or again_s == busy
        }
        for question, (steward, gate) in due.items():
            if len(self._tasks) >= CALLS_MAX:
                break
            if self._asked.get(question, 0.0) <= now_s:
                self._asked[question] = busy
                work = self._ask(question, gate, payload(steward.state, gate))
                self._tasks.start(work, name=f"gate {gate.title} of {steward.name}")

    def stop(self) -> None:
        """Ask nobody any more."""
        self._tasks.cancel()

    async def _ask(self, question: Question, gate: Gate, document: JsonObject) -> None:
        answer, detail = Answer.NONE, ""
        for attempt in range(gate.retries + 1):
            if attempt:
                wait_s = RETRY_S * 2 ** (attempt - 1)
                await asyncio.sleep(min(wait_s, RETRY_S_MAX))
            answer, detail = await self._call(gate, document)
            again = answer is Answer.NONE or (
                answer is Answer.CLOSED and gate.type in CHECKS
            )
            if not again:
                break
        self.calls[question.service, gate.type.value, answer.value] += 1
        log(
            "info" if answer is Answer.OPEN else "warning",
            "gate",
            service=question.service,
            gate=gate.title,
            answer=answer.value,
            detail=detail,
        )
        self._asked[question] = self._governor.clock.monotonic_s() + gate.interval_s
        self._governor.hear_gate(
            question.service,
            GateAnswered(question.run, question.place, question.step, answer, detail),
        )

    async def _call(self, gate: Gate, document: JsonObject) -> tuple[Answer, str]:
        """Put the question once; return the answer and what was said."""
        try:
            reply = await post(
                gate.url,
                document,
                timeout_s=gate.timeout_s,
                secret_file=gate.secret_file,
                now_s=self._governor.clock.unix_s(),
            )
        except (OSError, SettingsError) as error:
            return Answer.NONE, str(error)
        said = " ".join(reply.body.decode("utf-8", "replace").split())[:200]
        detail = f"{reply.status} {said}".strip()
        return (Answer.OPEN if reply.status in SUCCESS else Answer.CLOSED), detail


def payload(state: RolloutState, gate: Gate) -> JsonObject:
    """Return a question in the shape of Flagger's webhooks, and what we know more."""
    run = state.run
    assert run is not None
    promotes = run.then > len(run.plan.steps) or gate.type.value == "confirm-promotion"
    phase = FLAGGER_PHASES[state.phase]
    if state.phase is Phase.WAITING and run.then and promotes:
        phase = "WaitingPromotion"
    return {
        "name": state.service,
        "namespace": NAMESPACE,
        "phase": phase,
        "checksum": run.plan_hash,
        "metadata": dict(gate.metadata),
        "type": gate.type.value,
        "rollout": run.id,
        "revision": run.revision,
        "step": run.step,
        "canaryWeight": state.split.get(run.canary, 0.0),
    }
