"""
How one version of the demo shop behaves, and what it saw.

Frozen values only: the service draws its answers from a ``Behaviour``, and a
``Tally`` is its own account of what reached it, which the demo holds against what
Headgate says.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

JsonValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a version does with a request; the latency is drawn from a lognormal."""

    revision: str = "2.0.0"
    median_s: float = 0.050
    """Half of the answers take longer than this, in seconds."""
    sigma: float = 0.2
    """Spread of the latency's logarithm: p99 is ``median_s * exp(2.33 * sigma)``."""
    error_rate: float = 0.0
    """Fraction of requests that are answered 500, at once."""
    hangs: bool = False
    """Whether requests are taken and never answered."""
    lost_orders: float = 0.0
    """Fraction of orders that are sent to another page (303) and never placed."""

    catalogue: bool = False
    """Whether reads are answered by a list of prices instead of who answered."""
    wrong_prices: float = 0.0
    """Fraction of such lists in which one price is 1 % too high."""

    def changed(self, changes: Mapping[str, JsonValue]) -> "Behaviour":
        """
        Return the same with some fields changed.

        Raises:
            ValueError: a field is not known, or its value has another type.
        """
        types = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        checked: dict[str, Any] = {
            name: _as_type(name, types, changes[name]) for name in changes
        }
        return replace(self, **checked)

    def document(self) -> dict[str, JsonValue]:
        """Return every field, as JSON takes it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Tally:
    """
    What reached a version since its behaviour was last set; times are monotonic.

    The clock is CLOCK_MONOTONIC, which all processes of a machine share.
    """

    requests: int = 0
    """Requests of users; health and revision polls are not counted."""
    in_flight_peak: int = 0
    """Most requests that were unanswered at the same time."""
    first_s: float | None = None
    """When the first request arrived; ``None``: there was none."""
    last_s: float | None = None
    """When the last request arrived; ``None``: there was none."""

    def arrived(self, now_s: float, in_flight: int) -> "Tally":
        """Return the tally with one more request, of ``in_flight`` unanswered."""
        return Tally(
            requests=self.requests + 1,
            in_flight_peak=max(self.in_flight_peak, in_flight),
            first_s=now_s if self.first_s is None else self.first_s,
            last_s=now_s,
        )

    def document(self) -> dict[str, JsonValue]:
        """Return every field, as JSON takes it."""
        return asdict(self)


def _as_type(name: str, types: Mapping[str, type], value: JsonValue) -> JsonValue:
    """Return the value as the field's type; an integer may stand for a float."""
    if name not in types:
        raise ValueError(f"{name!r} is not known, expected one of {sorted(types)}")
    if types[name] is float and type(value) is int:
        return float(value)
    if type(value) is not types[name]:
        raise ValueError(f"{name} is {value!r}, expected a {types[name].__name__}")
    return value
