"""One rollout: traffic second by second, led by one rule to its end."""

from dataclasses import dataclass

from decisions.rules import RULES
from decisions.scenarios import BY_NAME
from decisions.terms import ADVANCE, ROLLBACK, Moment
from decisions.traffic import Traffic

STEPS = (5.0, 20.0, 40.0, 60.0, 80.0)
"""Percent; leaving the last one is promotion."""
SECONDS_MAX = 900
SECONDS_MAX_SLOW = 1800
SLOW_RATE = 20.0
"""Below so many requests a second a rollout may take half an hour."""

PROMOTED, ROLLED_BACK, HELD = "promoted", "rolled back", "held"


@dataclass(frozen=True, slots=True)
class Job:
    """What to run."""

    scenario: str
    rate: float
    rule: str
    seed: int


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    job: Job
    outcome: str
    seconds: int
    detected_s: int | None
    """From the first faulty second to the rollback; negative: before it."""
    exposed: int
    """Requests that the canary served while it was faulty."""
    harmed: int
    """Faulty answers among them."""


def lead(job: Job) -> Result:
    """Return what the rule makes of the rollout."""
    traffic = Traffic(BY_NAME[job.scenario], job.rate, str(job.seed))
    rule = RULES[job.rule]()
    step, step_s, onset_s = 1, 0, None
    exposed = harmed = 0
    seconds_max = SECONDS_MAX_SLOW if job.rate < SLOW_RATE else SECONDS_MAX
    for second in range(1, seconds_max + 1):
        weight = STEPS[step - 1]
        canary, stable = traffic.second(second - 1, weight)
        if traffic.faulty(second - 1, weight):
            onset_s = second - 1 if onset_s is None else onset_s
            exposed += canary.served
            harmed += canary.harmed
        step_s += 1
        answer = rule.decide(Moment(second, step, step_s), canary, stable)
        if answer == ROLLBACK:
            since = BY_NAME[job.scenario].onset_s if onset_s is None else onset_s
            found_s = second - int(since)
            return Result(job, ROLLED_BACK, second, found_s, exposed, harmed)
        if answer == ADVANCE:
            step, step_s = step + 1, 0
            if step > len(STEPS):
                return Result(job, PROMOTED, second, None, exposed, harmed)
    return Result(job, HELD, seconds_max, None, exposed, harmed)
