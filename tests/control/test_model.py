"""
The real control loop against a small model: four services, anything at any time.

hypothesis chooses what users, people, gates, probes, the store and the process
do, second by second on a fake clock. What the contract promises on every path is
checked after each of them, on the slab that workers read.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from proxy.control.gates import payload
from proxy.control.steward import Steward
from proxy.control.store import Change
from proxy.control.weights import rings_of
from proxy.errors import HeadgateError, StoreError
from proxy.model.vocabulary import Phase, Reason
from proxy.rollout import Answer, GateAnswered, gates_due
from proxy.rollout.events import Command, SplitOrdered, Verb
from tests.support.control_room import ControlRoom, load

PLANS = {
    "steps": "{steps: [20, 60, 100]",
    "bake": "{steps: [10, 50, 100], rollback: {mode: gradual, interval: 2s},"
    " bake: {duration: 3s, holdback: 5}",
    "rings": "{steps: [{weight: 100, only: {header: {x-env: eu}}}, 30, 100]",
    "gates": "{steps: [25, 100], after: return, gates:"
    " [{type: confirm-rollout, url: 'http://127.0.0.1:1/'},"
    " {type: confirm-promotion, url: 'http://127.0.0.1:1/', on_timeout: rollback}]",
}
COMMON = (
    ", start: manual, min_duration: 1s, min_requests: 20, warmup: 0s,"
    " slos: [{metric: error_rate, max: 5%}]}"
)
TEXT = "services:\n" + "".join(
    f"""
  {name}:
    match: [{{path_prefix: /{name}}}]
    versions:
      stable: {{endpoints: [http://127.0.0.1:9001], revision: "1"}}
      canary: {{endpoints: [http://127.0.0.1:9002], revision: {{header: x-v}}}}
    rollout: {plan}{COMMON}
"""
    for name, plan in PLANS.items()
).replace('revision: "1"', "revision: {path: /v}")

SERVICES = st.sampled_from(sorted(PLANS))


class Life(RuleBasedStateMachine):
    """One control process after another, over one slab and one store."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="headgate-model-"))
        self.room = ControlRoom(self.directory, workers=1)
        self.room.begin(TEXT)
        self.full = False
        """The store cannot be written."""
        self.named: set[str] = set()
        """Services for which the last thing that happened was a person's word."""
        self.before = self.shown()
        for name in PLANS:
            self.room.governor.see_revision(name, "canary", "1")
        self.settle()

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.room.store.close()
        shutil.rmtree(self.directory)

    def steward(self, name: str) -> Steward:
        """Return a service's steward."""
        return self.room.governor.steward(name)

    def shown(self) -> dict[str, dict[str, float]]:
        """Return what workers read, by service."""
        return {name: self.room.weights(name) for name in PLANS}

    def settle(self) -> None:
        """Let what had to wait for an older row be written."""
        self.room.clock.now_s += 0.1
        self.room.governor.watch()

    @rule(name=SERVICES, bad=st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0]))
    def serve(self, name: str, bad: float) -> None:
        """Users send requests by the weights; the canary fails some."""
        for version, share in self.room.weights(name).items():
            requests = round(share * 2)
            failed = round(requests * bad) if version == "canary" else 0
            self.room.serve(version, requests - failed, service=name)
            if failed:
                self.room.serve(version, failed, service=name, code=500)

    @rule(seconds=st.integers(1, 4))
    def second(self, seconds: int) -> None:
        """Time passes, and the loop turns."""
        self.named.clear()
        for _ in range(seconds):
            self.room.second()

    @rule(
        name=SERVICES,
        verb=st.sampled_from([*Verb, Verb.START, Verb.RETRY, Verb.PROMOTE]),
        override=st.sampled_from(["", "", "", "hotfix"]),
    )
    def order(self, name: str, verb: Verb, override: str) -> None:
        """A person orders something; a refusal has a sentence."""
        self.named.add(name)
        command = Command(verb, "ann", "why", override=override)
        try:
            self.room.governor.order(self.steward(name), command)
        except HeadgateError as refusal:
            self.refused(refusal)
            assert verb is not Verb.ABORT
        self.settle()
        if verb is Verb.ABORT:
            assert self.room.weights(name).get(self.canary(name), 0.0) == 0.0

    def refused(self, refusal: HeadgateError) -> None:
        """Every refusal says why."""
        assert len(str(refusal)) > len("no")

    def canary(self, name: str) -> str:
        """Return who is canary now."""
        return self.steward(name).state.canary

    @rule(name=SERVICES, weight=st.sampled_from([0.0, 3.0, 30.0, 100.0]))
    def split(self, name: str, weight: float) -> None:
        """A person sets a weight by hand."""
        self.named.add(name)
        order = SplitOrdered({self.canary(name): weight}, "ann", force=True)
        try:
            self.room.governor.order(self.steward(name), order)
        except HeadgateError as refusal:
            self.refused(refusal)
        self.settle()

    @rule(
        name=SERVICES,
        version=st.sampled_from(["stable", "canary"]),
        revision=st.sampled_from("1234"),
    )
    def deploy(self, name: str, version: str, revision: str) -> None:
        """A version reports another revision."""
        self.room.governor.see_revision(name, version, revision)
        self.settle()

    @rule(
        name=SERVICES,
        version=st.sampled_from(["stable", "canary"]),
        part=st.sampled_from([0.0, 0.5, 1.0, 1.0]),
    )
    def probe(self, name: str, version: str, part: float) -> None:
        """Probes find some of the endpoints healthy."""
        steward = self.steward(name)
        steward.health[version], steward.capacity[version] = part > 0.0, part

    @rule(name=SERVICES, answer=st.sampled_from(Answer), stale=st.booleans())
    def gate(self, name: str, answer: Answer, *, stale: bool) -> None:
        """A gate answers, or the answer of another run comes late."""
        state = self.steward(name).state
        run = state.run
        for place in gates_due(state):
            assert run is not None
            assert payload(state, run.plan.gates[place])["name"] == name
            event = GateAnswered(run.id, place, run.step, answer)
            event = replace(event, run="other-1") if stale else event
            self.room.governor.hear_gate(name, event)
        self.settle()

    @rule(name=SERVICES)
    def trip(self, name: str) -> None:
        """A worker trips fail-fast."""
        self.room.trip(name)
        self.room.serve("stable", 20, service=name)
        self.settle()
        self.settle()

    @rule()
    def disk_full(self) -> None:
        """The store cannot be written for a while."""
        self.full = True

        def refuse(changes: Sequence[Change]) -> list[list[int]]:
            raise StoreError(f"{len(changes)} changes: the disk is full")

        vars(self.room.store)["save"] = refuse

    @precondition(lambda self: self.full)
    @rule()
    def disk_empty(self) -> None:
        """There is room again."""
        self.full = False
        del vars(self.room.store)["save"]

    @rule()
    def kill(self) -> None:
        """The process dies and another one starts; no weight rises by that."""
        before = {name: self.steward(name) for name in PLANS}
        weights = self.shown()
        self.full = False
        self.room.restart(TEXT)
        self.settle()
        for name, steward in before.items():
            canary = steward.state.canary
            after = self.room.weights(name).get(canary, 0.0)
            assert after <= weights[name].get(canary, 0.0), name
            if not steward.dirty:
                assert self.steward(name).state == steward.state

    @rule()
    def reload(self) -> None:
        """The file is read again, and says the same."""
        self.room.governor.install(load(TEXT))
        self.settle()

    @invariant()
    def weights_are_whole(self) -> None:
        """What workers read sums to 100 and belongs to known versions."""
        for name, weights in self.shown().items():
            assert abs(sum(weights.values()) - 100.0) < 1e-6, name
            assert set(weights) <= {"stable", "canary"}

    @invariant()
    def weights_are_the_states(self) -> None:
        """The slab shows what the state says, but for a raise that waits."""
        self.settle()
        for name, weights in self.shown().items():
            state = self.steward(name).state
            assert weights.get("canary", 0.0) == state.split["canary"], name

    @invariant()
    def rings_are_the_states(self) -> None:
        """Nobody but its ring sees a canary that is meant for a ring."""
        for name in PLANS:
            steward = self.steward(name)
            found = self.room.governor.slab.rings(self.room.slot(name))
            assert found == rings_of(steward), name

    @invariant()
    def nothing_rises_without_a_store(self) -> None:
        """While nothing can be saved, no version but stable gains."""
        after = self.shown()
        for name, weights in after.items():
            stable = self.steward(name).state.stable
            for version, share in weights.items():
                if self.full and version != stable:
                    assert share <= self.before[name].get(version, 0.0) + 1e-9
        self.before = after

    @invariant()
    def nothing_fails_unseen(self) -> None:
        """No step of the loop raised anything that nobody expected."""
        assert self.room.governor.errors == 0

    @invariant()
    def frozen_rests_rest(self) -> None:
        """No run begins in a frozen service but by an override."""
        for name in PLANS:
            state = self.steward(name).state
            run = state.run
            if state.reason is Reason.FROZEN:
                assert state.standstill
            if state.phase is Phase.ROLLED_BACK and run is not None:
                assert run.ended_at_s is not None


def test_what_is_promised_holds_on_every_path() -> None:
    """Random lives of four rollouts in one process."""
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            phases=(Stage.explicit, Stage.generate, Stage.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
