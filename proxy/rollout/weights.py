"""
Splits: who gets how much; arithmetic in percent, resolution 0.001.

Decides how weights are completed and moved, not whether that is allowed.
A rollout moves weight between stable and canary only.
"""

from collections.abc import Iterable, Mapping

from proxy.errors import NotFoundError, SettingsError
from proxy.rollout.plan import PERCENT_ALL
from proxy.rollout.state import RolloutState

DECIMALS = 3
"""A bucket is 0.001 %."""

ROUNDING_PERCENT = 1e-9
"""What floating point may make of a weight that was written with three decimals."""


def with_canary(state: RolloutState, weight: float) -> dict[str, float]:
    """Return the split with the canary at ``weight``, stable with what is left."""
    canary = min(max(weight, 0.0), state.share)
    moved = dict(state.split)
    moved[state.canary] = round(canary, DECIMALS)
    moved[state.stable] = round(state.share - canary, DECIMALS)
    return moved


def fit(
    split: Mapping[str, float], versions: Iterable[str], heir: str
) -> dict[str, float]:
    """
    Return the split over ``versions``: new ones at 0, removed ones' part to ``heir``.

    The first version inherits where ``heir`` is not among them.
    """
    fitted = {version: split.get(version, 0.0) for version in versions}
    if heir not in fitted:
        heir = next(iter(fitted))
    rest = PERCENT_ALL - sum(fitted.values())
    fitted[heir] = round(fitted[heir] + rest, DECIMALS)
    return fitted


def completed(state: RolloutState, weights: Mapping[str, float]) -> dict[str, float]:
    """
    Return the split that a person means by naming some versions.

    The others keep their weight, but for stable (or, where stable is named or
    there is no rollout, the only version left), which takes the rest.

    Raises:
        NotFoundError: a version that the service does not have.
        SettingsError: a weight outside 0 to 100 or finer than 0.001, or a sum that
            is not 100.
    """
    for version, weight in weights.items():
        if version not in state.split:
            known = ", ".join(state.split)
            raise NotFoundError(
                f"service {state.service} has no version {version}, only {known}"
            )
        if not 0.0 <= weight <= PERCENT_ALL:
            raise SettingsError((f"weight of {version} is {weight:g}, expected 0-100",))
        if abs(round(weight, DECIMALS) - weight) > ROUNDING_PERCENT:
            finer = f"weight of {version} is {weight:g}, finer than 0.001"
            raise SettingsError((finer,))
    target = dict(state.split)
    target.update({v: round(float(w), DECIMALS) for v, w in weights.items()})
    heir = _heir(state, weights)
    if heir:
        others = sum(weight for version, weight in target.items() if version != heir)
        target[heir] = round(PERCENT_ALL - others, DECIMALS)
    total = round(sum(target.values()), DECIMALS)
    if min(target.values()) < 0.0:
        total = round(PERCENT_ALL - target[heir], DECIMALS)
    if total != PERCENT_ALL:
        raise SettingsError((f"weights sum to {total:g}, expected 100",))
    return target


def _heir(state: RolloutState, weights: Mapping[str, float]) -> str:
    """Return the version that takes the rest, or "" when all is said."""
    unnamed = [version for version in state.split if version not in weights]
    if state.stable in unnamed:
        return state.stable
    return unnamed[0] if len(unnamed) == 1 else ""
