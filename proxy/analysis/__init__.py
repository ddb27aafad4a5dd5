"""
Judging a canary by the evidence; pure, standard library only.

Construct the question once, and begin with nothing known::

    plan = JudgePlan(
        slos=(
            Slo("latency", quantile=0.99, max=0.5),        # seconds
            Slo("latency", quantile=0.99, max_ratio=1.10),
            Slo("error_rate", max=0.01),                   # fractions
            Slo("error_rate", max_ratio=1.25, max_delta=0.0005),
            DEFAULT_GUARD,
        ),
    )
    state = JudgeState()

and every second show it what that second *added* (deltas, not totals)::

    evidence = Evidence(
        epoch=3,                                   # another one after each new weight
        routes={
            ALL_ROUTES: RouteEvidence(
                stable=Window(codes={200: 949, 500: 1}, latency={bucket: count}),
                canary=Window(codes={200: 50}, latency={bucket: count}),
            )
        },
    )
    state, judgement = judge(plan, state, evidence, step=1, step_age_s=12.0,
                             rollout_age_s=12.0, dt_s=1.0)

``judgement.verdict`` is ``fail`` (roll back: the message says which SLO and why,
``fired`` is its id, and the finding in ``slos`` with that id has the route),
``pass`` (go on to the next step: call with ``step + 1``, ``step_age_s`` from 0,
and a new ``epoch`` from the first second with the new weight on) or
``undecided`` (go on looking). ``step_age_s`` and ``rollout_age_s`` are the
seconds that were judged so far, this one included; ``dt_s`` is how long the
evidence took to come. ``encode(state)`` and ``decode(JudgeState, …)`` of
``proxy.model.document`` save and restore the state at any tick.

``JudgePlan`` has a default for all but the SLOs. ``min_requests`` is 50;
``min_requests_auto(slos)`` says how many it takes for a quantile to mean anything
(299 for p99), as the settings' ``auto`` does. With ``safety`` give each step its
own ``next_share``: what is proven harmless is so at the next weight.
``why_undecidable(slo)`` tells of a limit that nothing could ever break.

What counts as evidence: first attempts that could have gone either way, in the
weight epoch that routed them, and of one unit only what
``proxy.model.witnesses`` lets through. All counts are whole numbers. ``codes``
are statuses, or ``FLAG_CODE_BASE`` plus a ``Flag``; ``latency`` counts answers
that did not fail by ``proxy.model.buckets.bucket_of(int(microseconds))``. A
request that failed is a code and its age (``censored``); one that is still
unanswered shows in ``ages``, by how much the number of requests in flight of
each age changed since the last second. What hangs is seen by its ``ages`` or, once
it was given up, by its code and ``censored``: who feeds neither shows a canary
that hangs as one with little traffic. In a new epoch ``ages`` begin at nothing,
and answers to requests of the old one are left out. Counters with other names
(``counts``) are judged by ``max`` or ``min_ratio`` (lower is worse). The rest of
``Window`` feeds the guards and may be left out. ``ALL_ROUTES`` is in every
evidence; an SLO for a route (or ``each``) reads the entry of that name beside it
and holds the step until there is one.

``fail_fast.decide`` needs no statistics and no state.

The modules, from the bottom: ``bets`` (every formula, E[e^x] ≤ 1), ``checks``
(what is asked), ``samples`` (what a second adds), ``recent`` (fading times,
thresholds), ``intervals`` (for people), ``blocks`` (counting and settling),
``guards`` (whether comparing makes sense), ``findings`` (one SLO's figures),
``planning`` and ``outlook`` (how much it takes), ``verdict`` (one sentence),
``judge`` (one tick).
"""

from proxy.analysis.judge import judge
from proxy.analysis.planning import (
    min_requests_auto,
    needed_requests,
    parts_of,
    why_undecidable,
)
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
    Safety,
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
    "Safety",
    "Slo",
    "SloJudgement",
    "Window",
    "judge",
    "min_requests_auto",
    "needed_requests",
    "parts_of",
    "why_undecidable",
]
