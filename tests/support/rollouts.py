"""A rollout as a conversation: events in, one state that goes on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from proxy.model.judging import Judgement, JudgePlan
from proxy.model.vocabulary import Phase, Reason, Verdict
from proxy.rollout import (
    Bake,
    Command,
    ConfigSeen,
    Event,
    Outcome,
    RevisionSeen,
    RolloutPlan,
    RolloutState,
    Run,
    SplitOrdered,
    Step,
    Tick,
    Verb,
    step,
)

STEPS = (Step(20.0), Step(50.0), Step(100.0))
PLAN = RolloutPlan("stable", "canary", STEPS, JudgePlan((), warmup_s=0.0))

PASS = Judgement(Verdict.PASS, Reason.NONE, "step has passed", 0, 0.0)
FAIL = Judgement(Verdict.FAIL, Reason.SLO_VIOLATED, "p99 is violated", 0, 0.0)
MORE = Judgement(Verdict.UNDECIDED, Reason.UNDECIDED, "needs 9 more", 9, 3.0)


@dataclass
class Story:
    """One service; every method returns the outcome of one event."""

    plan: RolloutPlan | None = PLAN
    split: dict[str, float] = field(
        default_factory=lambda: {"stable": 100.0, "canary": 0.0}
    )
    state: RolloutState = field(default_factory=lambda: RolloutState("shop"))
    now_s: float = 1000.0

    def send(self, event: Event) -> Outcome:
        """Give an event to the machine, and keep the state."""
        self.now_s += 1.0
        outcome = step(self.plan, self.state, event, self.now_s)
        self.state = outcome.state
        return outcome

    def config(self, **split: float) -> Outcome:
        """The file is read, with another split where one is given."""
        self.split = split or self.split
        return self.send(ConfigSeen(self.split))

    def revision(self, version: str, revision: str) -> Outcome:
        """A version reports its revision."""
        return self.send(RevisionSeen(version, revision))

    def tick(self, judgement: Judgement | None = MORE, **more: object) -> Outcome:
        """One second with traffic on both arms."""
        plain = Tick(1.0, 10, 40, judgement=judgement)
        return self.send(replace(plain, **more))  # type: ignore[arg-type]

    def order(self, verb: str, **more: object) -> Outcome:
        """Ann orders something."""
        plain = Command(Verb(verb), "ann", "because")
        return self.send(replace(plain, **more))  # type: ignore[arg-type]

    def by_hand(self, *, force: bool = False, **weights: float) -> Outcome:
        """Ann sets weights."""
        return self.send(SplitOrdered(weights, "ann", "because", force))

    @property
    def run(self) -> Run:
        """The run, which must be there."""
        assert self.state.run is not None
        return self.state.run

    @property
    def weight(self) -> float:
        """The live percent of the version called canary."""
        return self.state.split["canary"]

    def seen(self) -> tuple[Phase, Reason, float]:
        """Phase, reason and the canary's weight."""
        return self.state.phase, self.state.reason, self.weight


End = Callable[[Story], object]
"""Something that ends a story."""


def begun(plan: RolloutPlan = PLAN) -> Story:
    """Return a story whose revision 2 has just been started at its first step."""
    story = Story(plan)
    story.config()
    story.revision("stable", "1")
    story.revision("canary", "1")
    story.revision("canary", "2")
    story.tick(None)
    return story


def promoting() -> Story:
    """Return a story at 100 % that waits for stable to follow."""
    story = begun(replace(PLAN, after=type(PLAN.after)("return")))
    story.order("promote", full=True)
    return story


def baking() -> Story:
    """Return a story whose steps are done and that bakes at 99 %."""
    story = begun(replace(PLAN, bake=Bake(30.0, 1.0)))
    story.order("promote", full=True)
    return story


def retreating() -> Story:
    """Return a story whose rollback waits for a healthy stable."""
    story = begun()
    story.tick(FAIL, stable_healthy=False)
    return story


def waiting() -> Story:
    """Return a story at the pause of its first step."""
    steps = (replace(STEPS[0], pause=True), *STEPS[1:])
    story = begun(replace(PLAN, steps=steps))
    story.tick(PASS)
    return story


def paused() -> Story:
    """Return a story that Ann has paused."""
    story = begun()
    story.order("pause")
    return story


def rolled_back() -> Story:
    """Return a story whose revision 2 broke an SLO."""
    story = begun()
    story.tick(FAIL)
    return story


def succeeded() -> Story:
    """Return a story whose revision 2 took over."""
    story = begun()
    story.tick(PASS)
    story.tick(PASS)
    return story


def idle() -> Story:
    """Return a story before its first run."""
    story = Story()
    story.config()
    story.revision("canary", "1")
    return story


STORIES = {
    Phase.IDLE: idle,
    Phase.SUCCEEDED: succeeded,
    Phase.ROLLED_BACK: rolled_back,
    Phase.PROGRESSING: begun,
    Phase.WAITING: waiting,
    Phase.PAUSED: paused,
    Phase.BAKING: baking,
    Phase.PROMOTING: promoting,
    Phase.ROLLING_BACK: retreating,
}
