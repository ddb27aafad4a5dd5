"""
One check's figures and evidence, as people read them.

Decides nothing of the verdict: it reads a check's state and names what it
shows. An SLO that is judged on several routes shows the worst of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from proxy.analysis.bets import value_of
from proxy.analysis.blocks import FiguresBy
from proxy.analysis.checks import Check
from proxy.analysis.comparison import worse_p
from proxy.analysis.intervals import rate_interval
from proxy.model.judge_state import CheckState
from proxy.model.judging import Requests, SloJudgement
from proxy.model.vocabulary import Verdict

SUSPICION_WORSE = 1.5
SUSPICION_BEYOND = 0.5
"""
Both keys this far open: a step does not pass until more is known.

Waiting at a small weight is cheap, and it ends when the evidence fades: of good
versions at 50 requests/s one in ten waits, by a minute at most in nine of those.
"""

DOUBTS = ((100, 0.10), (300, 0.01))
"""
With fewer than so many requests in a step an exact test at this level holds it.

The first is twice the least evidence that a step should have, the second what
``min_requests: auto`` asks for p99; beyond, the bets say more than the test.
"""

BROKEN_SIGMAS = 2.0
"""An arm breaks an absolute limit *now* when it is this far beyond by chance."""

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Pair:
    """A check with its state."""

    check: Check
    state: CheckState

    @property
    def worse(self) -> float:
        """Key 1's e-value."""
        return value_of(self.state.worse)

    @property
    def beyond(self) -> float:
        """Key 2's e-value."""
        return value_of(self.state.beyond)


def keys_of(pairs: Iterable[Pair]) -> tuple[float, float]:
    """Return both keys: means of e-values, so several SLOs share one alpha."""
    worse = beyond = 0.0
    for pair in pairs:
        worse += pair.check.part_worse * pair.worse
        beyond += pair.check.part * pair.beyond
    return worse, beyond


def strongest(pairs: Iterable[Pair], alpha: float, alpha_tolerance: float) -> Pair:
    """Return the check that opens both keys the most."""
    return max(
        pairs,
        key=lambda pair: (
            pair.check.part * min(pair.worse * alpha, pair.beyond * alpha_tolerance)
        ),
    )


def in_doubt(pair: Pair, requests: int) -> bool:
    """
    Whether the step's own few ``requests`` look worse than the limit.

    Evidence that has to build up says little at first; an exact test of what the
    step has seen says a little more, and only holds.
    """
    k_c, n_c, k_b, n_b, k_t, n_t = pair.state.step
    check = pair.check
    level = next((level for most, level in DOUBTS if requests < most), 0.0)
    if not level or check.counted or n_c <= 0 or n_b <= 0:
        return False
    if check.absolute is not None:
        limit = check.absolute if check.quantile is None else 1.0 - check.quantile
        beyond = k_c > limit * n_c
    elif check.timed:
        beyond = k_t * n_b > k_b * n_t
    else:
        beyond = k_c / n_c > check.ratio * k_b / n_b + check.delta
    return beyond and worse_p(max(k_c, 0), n_c, max(k_b, 0), n_b) <= level


def both_break(pair: Pair) -> bool:
    """Whether both versions break an absolute limit at present."""
    check = pair.check
    if check.absolute is None or not check.judged:
        return False
    limit = check.absolute if check.quantile is None else 1.0 - check.quantile
    k_c, n_c, k_b, n_b = pair.state.lately
    if k_c <= limit * n_c or k_b <= limit * n_b:
        return False
    n = n_c + n_b
    return k_c + k_b - limit * n > BROKEN_SIGMAS * sqrt(limit * n)


def finding_of(
    pairs: list[Pair],
    stable: FiguresBy,
    canary: FiguresBy,
    *,
    suspicious: bool = False,
) -> SloJudgement:
    """Return what is known of one SLO, on the route where it is the worst."""
    pair = max(pairs, key=lambda one: (one.beyond * one.worse, one.state.step[1]))
    check, state = pair.check, pair.state
    shown = _times(check, stable, canary) if check.timed else _rates(check, state)
    return SloJudgement(
        id=check.id,
        verdict=Verdict.UNDECIDED,
        stable=shown.stable,
        canary=shown.canary,
        value=shown.value,
        limit=shown.limit,
        interval=shown.interval,
        requests=Requests(stable=max(state.step[3], 0), canary=max(state.step[1], 0)),
        suspicious=suspicious,
        worse=pair.worse,
        beyond=pair.beyond,
        route=check.route,
        ratio=state.ratio,
        safe=None if state.safe is None else value_of(state.safe),
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    stable: float | None
    canary: float | None
    value: float | None
    limit: float | None
    interval: Interval | None


def _times(check: Check, stable: FiguresBy, canary: FiguresBy) -> _Shown:
    """Return the figures of a quantile."""
    key = check.metric, check.route
    quantile = check.quantile
    assert quantile is not None
    stable_s = stable[key].quantile_s(quantile) if key in stable else None
    canary_s = canary[key].quantile_s(quantile) if key in canary else None
    low, high = canary[key].bounds_s(quantile) if key in canary else (None, None)
    if check.absolute is not None:
        return _Shown(stable_s, canary_s, canary_s, check.absolute, (low, high))
    if check.delta:
        limit = None if stable_s is None else stable_s * check.ratio + check.delta
        return _Shown(stable_s, canary_s, canary_s, limit, (low, high))
    below, above = stable[key].bounds_s(quantile) if key in stable else (None, None)
    return _Shown(
        stable_s,
        canary_s,
        _divide(canary_s, stable_s),
        check.ratio,
        (_divide(low, above), _divide(high, below)),
    )


def _rates(check: Check, state: CheckState) -> _Shown:
    """Return the figures of a rate, over the present step."""
    k_c, n_c, k_b, n_b, _, _ = state.step
    canary = k_c / n_c if n_c else None
    stable = k_b / n_b if n_b else None
    interval = rate_interval(k_c, n_c) if n_c and k_c <= n_c else None
    limit = check.absolute
    if limit is None and stable is not None:
        limit = stable * check.ratio + check.delta
    return _Shown(stable, canary, canary, limit, interval)


def _divide(above: float | None, below: float | None) -> float | None:
    """Return the quotient; ``None`` where it is not known."""
    return None if above is None or not below else above / below
