"""
What a run has seen: counts by endpoint, path and kind, and nothing of a value.

A *pair* is stable's answer and the candidate's to the same request; a *triple*
has a second answer of stable too, asked for in the same moment as the
candidate's. A field is one path and kind of an endpoint; it counts once a
request. A field in which stable was seen to differ from itself is *noisy*.

A pair *misses* when the candidate differs in a field that was not noisy before
(or is a proven regression), and in which this pair's second answer agrees. So
what noise does to two copies of stable is nobody's miss, and the rate of misses
is at least the candidate's own: its upper bound holds for that. Pairs of an
endpoint count for the rate once ``NOISE_FIRST`` triples have shown its noise.

Tallies change in place: they are the one thing here that grows with traffic.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.model.buckets import bucket_of
from proxy.parallel import evidence
from proxy.parallel.hints import hint_of
from proxy.parallel.values import OVERFLOW_PATH, Difference, Kind, Outcome

NOISE_FIRST = 30
"""Triples of an endpoint before its pairs count for the rate."""
FIELDS_MAX = 500
"""Paths and kinds of one endpoint; further ones are one field, ``__overflow__``."""
ENDPOINTS_MAX = 200
"""Endpoints of a run; further ones are one endpoint, ``__overflow__``."""
RATIO_STEP = math.log(1.01)
"""Width of a bucket of latency ratios: 1 %."""
RATIO_BUCKETS = 700
"""A thousand times as fast, or as slow; what lies beyond counts at the end."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One request as compared; a leg that was not sent is ``ABSENT``."""

    endpoint: str
    candidate: tuple[Difference, ...]
    """How the candidate differs from stable."""
    noise: tuple[Difference, ...] | None
    """How stable's second answer differs from its first; ``None``: not a triple."""
    outcomes: tuple[Outcome, Outcome, Outcome]
    """Of stable, the candidate, and stable's second answer."""
    latencies_us: tuple[int, int, int]
    at_s: float
    """Unix time."""
    sampled: bool = True
    """Whether triples of this endpoint are to be expected at all."""


@dataclass(slots=True)
class FieldTally:
    """Counts of one path and kind of one endpoint."""

    path: str
    kind: Kind
    raw: int = 0
    """Pairs in which the candidate differs."""
    candidate_only: int = 0
    """Triples in which the candidate differs and stable's second answer does not."""
    noise_only: int = 0
    both: int = 0
    place: int = 0
    """Its place in the order of discovery, see ``evidence``; 0: not discovered yet."""
    log_e: float = 0.0
    """Natural logarithm of the highest e-value so far."""
    regression: bool = False
    first_s: float = 0.0
    last_s: float = 0.0
    hints: dict[str, int] = field(default_factory=dict)

    @property
    def noisy(self) -> bool:
        """Whether stable was seen to differ from itself here."""
        return self.both > 0 or self.noise_only > 0


@dataclass(slots=True)
class EndpointTally:
    """Counts of one endpoint."""

    name: str
    pairs: int = 0
    triples: int = 0
    differing: int = 0
    """Pairs with any difference, noise included."""
    judged: int = 0
    """Pairs that count for the rate."""
    missed: int = 0
    """Those of them that are misses."""
    fields: dict[str, FieldTally] = field(default_factory=dict)
    """By path and kind, ``$.price value``."""


@dataclass(slots=True)
class LegTally:
    """Counts of one leg: how it ended, and how long its answers took."""

    outcomes: dict[int, int] = field(default_factory=dict)
    latencies: dict[int, int] = field(default_factory=dict)
    """By latency bucket (``model.buckets``); answers only."""

    def add(self, outcome: Outcome, latency_us: int) -> None:
        """Count one leg."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome in (Outcome.ANSWERED, Outcome.TOO_LARGE):
            bucket = bucket_of(max(latency_us, 0))
            self.latencies[bucket] = self.latencies.get(bucket, 0) + 1


@dataclass(slots=True)
class RunTally:
    """Counts of a whole run: the sums over its endpoints, and the latencies."""

    alpha: float = 0.01
    """Chance that any field of an equivalent candidate is called a regression."""
    pairs: int = 0
    triples: int = 0
    judged: int = 0
    missed: int = 0
    discovered: int = 0
    """Fields with a triple in which the two second answers disagree, and stable was
    not seen to differ from itself before."""
    discovered_noisy: int = 0
    """Such fields in which it was."""
    regressions: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    stable: LegTally = field(default_factory=LegTally)
    candidate: LegTally = field(default_factory=LegTally)
    second: LegTally = field(default_factory=LegTally)
    ratios: dict[int, int] = field(default_factory=dict)
    """Latency of the candidate over stable's second answer, by ``ratio_bucket``."""


def ratio_bucket(ratio: float) -> int:
    """Return the bucket of a latency ratio: bucket i holds 1.01^i, within half."""
    bucket = round(math.log(ratio) / RATIO_STEP)
    return max(-RATIO_BUCKETS, min(RATIO_BUCKETS, bucket))


def ratio_of(bucket: int) -> float:
    """Return the middle of a bucket of latency ratios."""
    return math.exp(bucket * RATIO_STEP)


class Tally:
    """A run and its endpoints; ``add`` is all that ever changes them."""

    def __init__(self, run: RunTally, endpoints: Iterable[EndpointTally] = ()) -> None:
        self.run = run
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}

    def add(self, seen: Observation) -> tuple[EndpointTally, list[FieldTally]]:
        """Count one request; return its endpoint, and the fields that differ."""
        run = self.run
        endpoint = self._endpoint(seen.endpoint)
        for counts in (run, endpoint):
            counts.pairs += 1
            counts.triples += seen.noise is not None
        endpoint.differing += bool(seen.candidate)
        run.first_s = run.first_s or seen.at_s
        run.last_s = seen.at_s
        legs = (run.stable, run.candidate, run.second)
        for leg, outcome, latency_us in zip(
            legs, seen.outcomes, seen.latencies_us, strict=True
        ):
            leg.add(outcome, latency_us)
        self._ratio(seen)
        self._rate(endpoint, seen)
        return endpoint, self._fields(endpoint, seen)

    def _endpoint(self, name: str) -> EndpointTally:
        known = self.endpoints.get(name)
        if known is None:
            if len(self.endpoints) >= ENDPOINTS_MAX:
                name = OVERFLOW_PATH
            known = self.endpoints.setdefault(name, EndpointTally(name))
        return known

    def _ratio(self, seen: Observation) -> None:
        _, candidate, second = seen.outcomes
        _, candidate_us, second_us = seen.latencies_us
        if candidate is second is Outcome.ANSWERED and min(candidate_us, second_us) > 0:
            bucket = ratio_bucket(candidate_us / second_us)
            self.run.ratios[bucket] = self.run.ratios.get(bucket, 0) + 1

    def _rate(self, endpoint: EndpointTally, seen: Observation) -> None:
        if seen.sampled and endpoint.triples - (seen.noise is not None) < NOISE_FIRST:
            return
        agreed = {(one.path, one.kind) for one in seen.noise or ()}
        missed = any(
            (one.path, one.kind) not in agreed and _counts(endpoint, one)
            for one in seen.candidate
        )
        for counts in (self.run, endpoint):
            counts.judged += 1
            counts.missed += missed

    def _fields(self, endpoint: EndpointTally, seen: Observation) -> list[FieldTally]:
        """Count every field once, whatever how many paths share it."""
        candidate = _by_field(endpoint, seen.candidate)
        noise = _by_field(endpoint, seen.noise or ())
        differing = []
        for key in sorted(candidate.keys() | noise.keys()):
            one = candidate.get(key)
            tally = self._field(endpoint, key, one or noise[key])
            tally.last_s = seen.at_s
            tally.first_s = tally.first_s or seen.at_s
            if one is not None:
                differing.append(tally)
                tally.raw += 1
                hint = hint_of(one)
                if hint:
                    tally.hints[hint] = tally.hints.get(hint, 0) + 1
            if seen.noise is not None:
                self._triple(tally, candidate=one is not None, noise=key in noise)
        return differing

    def _field(
        self, endpoint: EndpointTally, key: str, difference: Difference
    ) -> FieldTally:
        known = endpoint.fields.get(key)
        if known is None:
            path, kind = difference.path, difference.kind
            if key == OVERFLOW_PATH:
                path, kind = OVERFLOW_PATH, Kind.VALUE
            known = endpoint.fields[key] = FieldTally(path, kind)
        return known

    def _triple(self, tally: FieldTally, *, candidate: bool, noise: bool) -> None:
        if candidate and noise:
            tally.both += 1
            return
        if not tally.place:
            tally.place = self._place(noisy=tally.noisy)
        if candidate:
            tally.candidate_only += 1
        else:
            tally.noise_only += 1
        log_e = evidence.log_e_value(tally.candidate_only, tally.noise_only)
        tally.log_e = max(tally.log_e, log_e)
        threshold = evidence.log_threshold(tally.place, self.run.alpha)
        if not tally.regression and log_e >= threshold:
            tally.regression = True
            self.run.regressions += 1

    def _place(self, *, noisy: bool) -> int:
        """Return the place of a field that is discovered now."""
        run = self.run
        if noisy:
            run.discovered_noisy += 1
            return evidence.place_of(run.discovered_noisy, noisy=True)
        run.discovered += 1
        return evidence.place_of(run.discovered, noisy=False)


def field_key(path: str, kind: Kind) -> str:
    """Return the name of a field within its endpoint."""
    return f"{path} {kind.value}"


def _by_field(
    endpoint: EndpointTally, differences: Iterable[Difference]
) -> dict[str, Difference]:
    """Return differences by field; new ones beyond the bound share one field."""
    fields: dict[str, Difference] = {}
    room = FIELDS_MAX - len(endpoint.fields)
    for one in differences:
        key = field_key(one.path, one.kind)
        if key not in endpoint.fields:
            if room <= 0:
                key = OVERFLOW_PATH
            room -= 1
        fields.setdefault(key, one)
    return fields


def _counts(endpoint: EndpointTally, difference: Difference) -> bool:
    """Whether a difference is a miss: nothing that stable does to itself."""
    tally = endpoint.fields.get(field_key(difference.path, difference.kind))
    if tally is None:
        tally = endpoint.fields.get(OVERFLOW_PATH)
    return tally is None or tally.regression or not tally.noisy
