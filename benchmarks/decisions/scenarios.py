"""
What may be wrong with a canary, or look wrong though nothing is.

Values only. A scenario says how both versions answer in the second ``t`` of a
rollout; ``traffic`` draws the requests.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """How the versions differ, and what happens around them."""

    name: str
    bad: bool = False
    """Detecting it is right; otherwise a rollback is false."""
    boundary: bool = False
    """Worse exactly at the tolerance: neither good nor bad."""
    errors: float = 0.001
    """Stable's error rate."""
    canary_errors: float | None = None
    """The canary's; ``None``: as stable's."""
    slower: float = 1.0
    """The canary's times are so many times stable's."""
    tail: float = 1.0
    """Those above p90 are so many times longer."""
    stuck: float = 0.0
    """Part of the canary's answers that take a second longer."""
    heavy: bool = False
    """A heavy tail: 3 % of all times follow Pareto's law."""
    onset_s: float = 0.0
    """When the fault begins."""
    onset_weight: float = 0.0
    """The canary's weight in percent from which on it shows."""
    drift: float = 0.0
    """Both versions get up to this much slower, and back, in five minutes."""
    surge: bool = False
    """Traffic × 3 and everything × 1.6, from 90 to 150 s."""
    cold_s: float = 0.0
    """The canary's first seconds: four times slower, fading."""
    stalls: bool = False
    """Instances stall by themselves: a second of one arm takes 0.8 s longer."""
    users: int = 0
    """So many users with times and luck of their own; 0: independent requests."""
    client: str = ""
    """A client with 1 % of the traffic that is ``failing`` or ``slow`` anywhere."""


GOOD = (
    Scenario("aa"),
    Scenario("aa_heavy_tail", heavy=True),
    Scenario("aa_drift", drift=0.5),
    Scenario("aa_surge", surge=True),
    Scenario("cold_start", cold_s=15.0),
    Scenario("aa_stalls", stalls=True),
    Scenario("aa_sticky", users=2000),
    Scenario("aa_client_fails", client="failing"),
    Scenario("aa_client_slow", client="slow"),
)
"""A canary that is no worse than stable, in an environment that is not always fair."""

BOUNDARY = (Scenario("tolerated_x1.1", boundary=True, slower=1.10),)

BAD = (
    Scenario("lat_x1.2", bad=True, slower=1.2),
    Scenario("lat_x1.5", bad=True, slower=1.5),
    Scenario("tail_x1.5", bad=True, tail=1.5),
    Scenario("slow_1pct", bad=True, stuck=0.01),
    Scenario("slow_2pct", bad=True, stuck=0.02),
    Scenario("err_.1_.3", bad=True, canary_errors=0.003),
    Scenario("err_.1_1", bad=True, canary_errors=0.01),
    Scenario("err_1_3", bad=True, errors=0.01, canary_errors=0.03),
    Scenario("err_.1_5", bad=True, canary_errors=0.05),
    Scenario("err_0_100", bad=True, errors=0.0, canary_errors=1.0),
    Scenario("late_time", bad=True, canary_errors=0.03, onset_s=170.0),
    Scenario("late_load", bad=True, slower=1.6, onset_weight=40.0),
)

ALL = (*GOOD, *BOUNDARY, *BAD)
BY_NAME = {scenario.name: scenario for scenario in ALL}
