"""
Judging a canary by the evidence; pure, standard library only.

``judge(plan, state, evidence, step=, step_age_s=, rollout_age_s=, rate_per_s=)``
returns what to remember and a ``Judgement``. Construct the question once::

    plan = JudgePlan(slos=(Slo("latency", quantile=0.99, max_ratio=1.1),
                           Slo("error_rate", max=0.01), DEFAULT_GUARD),
                     min_requests=min_requests_auto(slos))
    state = JudgeState()

and every second show it everything counted since the weights last changed::

    evidence = Evidence(epoch, {ALL_ROUTES: RouteEvidence(stable=Window(...),
                                                          canary=Window(...))})
    state, judgement = judge(plan, state, evidence, step=1, step_age_s=12.0,
                             rollout_age_s=12.0, rate_per_s=40.0)

A request that failed is an outcome code and an age (``censored``), never a
latency. A new ``epoch`` begins the counting again; the looks already taken
stay spent. ``fail_fast.decide`` needs no statistics and no state.

The modules, from the bottom: ``binomial`` and ``comparison`` (exact
probabilities), ``samples`` (sparse counts), ``checks`` (what is asked),
``findings`` (one check's figures and keys), ``verdict`` (one sentence),
``judge`` (when to look), ``planning`` (how much a plan needs).
"""

from proxy.analysis.judge import judge
from proxy.analysis.planning import min_requests_auto, why_undecidable
from proxy.analysis.values import (
    ALL_ROUTES,
    DEFAULT_GUARD,
    Evidence,
    FailFast,
    Judgement,
    JudgePlan,
    JudgeState,
    Requests,
    RouteEvidence,
    Slo,
    SloJudgement,
    Window,
)

__all__ = [
    "ALL_ROUTES",
    "DEFAULT_GUARD",
    "Evidence",
    "FailFast",
    "JudgePlan",
    "JudgeState",
    "Judgement",
    "Requests",
    "RouteEvidence",
    "Slo",
    "SloJudgement",
    "Window",
    "judge",
    "min_requests_auto",
    "why_undecidable",
]
