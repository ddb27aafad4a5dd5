"""
What is known of every run, and how a record changes it.

A *subject* is one service as a route table has it: its rules, its run, its
routes. A record belongs to the subject of the table that it was routed by, so a
pair that was on its way during a change is never counted for the new run. The
book holds runs in memory; what changed since the last save it gives to the store.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from proxy.compare.store import Change, Example, Stored
from proxy.http1.fields import split_line
from proxy.model.document import encode
from proxy.model.instants import rfc3339
from proxy.parallel.compare import Comparer
from proxy.parallel.endpoints import endpoint_of
from proxy.parallel.reading import read_answer
from proxy.parallel.redaction import Redactor, clean_target
from proxy.parallel.rules import Rules
from proxy.parallel.tally import FieldTally, Observation, RunTally, Tally
from proxy.parallel.values import Answer, Difference, Outcome
from proxy.routing.table import Routes
from proxy.telemetry.pairs import (
    S_DIFFERENT,
    S_EQUAL,
    S_TAKEN,
    S_UNUSABLE,
    Ledger,
    Record,
)

JsonObject = dict[str, Any]

DIFFERENCES_MAX: Final = 20
"""Differences shown with one example."""
LATEST_EVERY_S: Final = 1.0
"""A field's latest example is replaced at most so often."""
SUBJECTS_MAX: Final = 4
"""Subjects of a slot that records on their way may still belong to."""
TTL_OLD_S: Final = 86_400.0
"""How long examples of a run are kept that no table names any more."""
LATIN: Final = "latin-1"


@dataclass(frozen=True, slots=True)
class Subject:
    """One service that compares, as one table has it."""

    service: str
    run: str
    slot: int
    generation: int
    """The first table that has it so."""
    document: JsonObject
    """The service's entry, to tell whether it changed."""
    routes: tuple[str, ...]
    numbers: Routes
    comparer: Comparer
    redactor: Redactor
    candidate_url: str
    examples_max: int
    ttl_s: float
    alpha: float


@dataclass(slots=True)
class Run:
    """A run in memory, and what of it the store does not have yet."""

    tally: Tally
    dirty: set[str] = field(default_factory=set)
    examples: dict[tuple[str, str, str, int], Example] = field(default_factory=dict)
    firsts: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """Examples that a field has had, up to twice ``examples_max``, then round."""
    replaced_s: dict[tuple[str, str, str], float] = field(default_factory=dict)


class Book:
    """All runs; ``load`` finds what was saved of one."""

    def __init__(
        self,
        ledger: Ledger,
        load: Callable[[str, str], Stored | None],
        key: bytes,
        unix_of: Callable[[float], float],
    ) -> None:
        """``unix_of`` turns seconds of the monotonic clock into Unix time."""
        self._ledger = ledger
        self._load = load
        self._key = key
        self._unix_of = unix_of
        self._subjects: dict[int, deque[Subject]] = {}
        self._runs: dict[tuple[str, str], Run] = {}

    def follow(self, table: Mapping[str, Any]) -> None:
        """Take over a route table document."""
        present = []
        for entry in table["services"]:
            mirror = entry["mirror"]
            if mirror is None or mirror.get("compare") is None:
                continue
            subject = self._subject(entry, int(table["generation"]))
            present.append(subject)
            known = self._subjects.setdefault(subject.slot, deque(maxlen=SUBJECTS_MAX))
            if not known or known[-1].document != subject.document:
                known.append(subject)
        self._ledger.adopt((one.slot, owner_of(one.service)) for one in present)
        slots = {one.slot for one in present}
        for slot in [slot for slot in self._subjects if slot not in slots]:
            del self._subjects[slot]

    def _subject(self, entry: Mapping[str, Any], generation: int) -> Subject:
        mirror = entry["mirror"]
        compare = mirror["compare"]
        target = entry["versions"][mirror["to"]]["endpoints"][0]
        return Subject(
            service=entry["name"],
            run=compare["run"],
            slot=entry["slot"],
            generation=generation,
            document=dict(entry),
            routes=tuple(f"{one['method']} {one['path']}" for one in entry["routes"]),
            numbers=Routes(entry["routes"]),
            comparer=Comparer(Rules.from_document(compare)),
            redactor=Redactor(compare["values"], compare["redact"], self._key),
            candidate_url=f"http://{target['authority']}",
            examples_max=compare["examples"],
            ttl_s=compare["ttl"],
            alpha=compare["alpha"],
        )

    # --- records ---

    def take(self, record: Record) -> None:
        """Compare the answers of one record and count what they say."""
        subject = self._subject_of(record)
        if subject is None:
            return
        self._ledger.add(record.slot, S_TAKEN)
        word = S_UNUSABLE
        try:
            word = self._counted(subject, record)
        finally:
            self._ledger.add(record.slot, word)

    def _subject_of(self, record: Record) -> Subject | None:
        for subject in reversed(self._subjects.get(record.slot, ())):
            if subject.generation <= record.generation:
                return subject
        return None

    def _counted(self, subject: Subject, record: Record) -> int:
        """Count a record; return the word of what it came to."""
        start = record.request.partition(b"\r\n")[0]
        method, _, rest = start.partition(b" ")
        target = rest.partition(b" ")[0]
        stable, candidate, second = (
            read_answer(
                Outcome(leg.outcome),
                leg.raw,
                method,
                ended=leg.ended,
                latency_us=leg.latency_us,
            )
            for leg in record.legs
        )
        if not stable.answered:
            return S_UNUSABLE
        found = subject.comparer.compare(stable, candidate)
        noise = None
        if second.outcome is not Outcome.ABSENT:
            noise = subject.comparer.compare(stable, second)
        at_s = self._unix_of(record.monotonic_s)
        run = self._run(subject)
        endpoint, fields = run.tally.add(
            Observation(
                self._endpoint(subject, method, target),
                found,
                noise,
                (stable.outcome, candidate.outcome, second.outcome),
                (stable.latency_us, candidate.latency_us, second.latency_us),
                at_s,
                record.sampled,
            )
        )
        run.dirty.add(endpoint.name)
        seen = _Seen(record, (stable, candidate, second), found, at_s)
        self._illustrate(run, subject, endpoint.name, fields, seen)
        return S_DIFFERENT if found else S_EQUAL

    @staticmethod
    def _endpoint(subject: Subject, method: bytes, target: bytes) -> str:
        path = target.partition(b"?")[0]
        number = subject.numbers.number(method, path) if subject.routes else 0
        if number:
            return subject.routes[number - 1]
        return endpoint_of(method.decode(LATIN), path.decode(LATIN))

    def _run(self, subject: Subject) -> Run:
        key = (subject.service, subject.run)
        run = self._runs.get(key)
        if run is None:
            stored = self._load(*key)
            if stored is None:
                run = Run(Tally(RunTally(alpha=subject.alpha)))
            else:
                run = Run(Tally(stored.run, stored.endpoints))
                run.firsts = dict(stored.examples)
            # One run a service: an older one is in the store if it comes back.
            for other in [one for one in self._runs if one[0] == subject.service]:
                if not self._runs[other].dirty:
                    del self._runs[other]
            self._runs[key] = run
        return run

    def _illustrate(
        self,
        run: Run,
        subject: Subject,
        endpoint: str,
        fields: Iterable[FieldTally],
        seen: "_Seen",
    ) -> None:
        """Keep an example for each field that differs: the first and the latest."""
        document: JsonObject | None = None
        for one in fields:
            key = (endpoint, one.path, one.kind.value)
            had = run.firsts.get(key, 0)
            late = had >= subject.examples_max
            if not subject.examples_max or (
                late and seen.at_s - run.replaced_s.get(key, 0.0) < LATEST_EVERY_S
            ):
                continue
            document = document or _example(subject, seen)
            place = (
                had if not late else subject.examples_max + had % subject.examples_max
            )
            run.examples[*key, place] = Example(*key, place, seen.at_s, document)
            run.firsts[key] = had + 1
            run.replaced_s[key] = seen.at_s

    # --- saving ---

    def changes(self) -> list[Change]:
        """Return what the store does not have yet, until ``saved`` says it has."""
        ttls = {
            (one.service, one.run): one.ttl_s
            for subjects in self._subjects.values()
            for one in subjects
        }
        return [
            Change(
                *key,
                encode(run.tally.run),
                {name: encode(run.tally.endpoints[name]) for name in run.dirty},
                tuple(run.examples.values()),
                ttls.get(key, TTL_OLD_S),
            )
            for key, run in self._runs.items()
            if run.dirty
        ]

    def saved(self) -> None:
        """Note that what ``changes`` returned was saved."""
        for run in self._runs.values():
            run.dirty = set()
            run.examples = {}


def owner_of(service: str) -> int:
    """Return the number that marks a slot as a service's."""
    return int.from_bytes(blake2b(service.encode(), digest_size=7).digest(), "big") + 1


@dataclass(frozen=True, slots=True)
class _Seen:
    """One record as compared, for an example of it."""

    record: Record
    answers: tuple[Answer, Answer, Answer]
    found: tuple[Difference, ...]
    at_s: float


def _example(subject: Subject, seen: _Seen) -> JsonObject:
    """Return what is kept of one request, redacted."""
    start, *lines = seen.record.request.split(b"\r\n")
    method, _, rest = start.decode(LATIN).partition(" ")
    target = rest.rpartition(" ")[0]
    headers = []
    for line in lines:
        named = split_line(line)
        if named is not None and not named[0].startswith(b"x-headgate-"):
            headers.append((named[0].decode(LATIN), named[1].decode(LATIN)))
    redactor = subject.redactor
    request_id = next((one for name, one in headers if name == "x-request-id"), "")
    seal = json.dumps([request_id, seen.at_s, target]).encode()
    return {
        "id": "m-" + blake2b(seal, digest_size=4).hexdigest(),
        "at": rfc3339(seen.at_s),
        "method": method,
        "target": clean_target(target),
        "request_id": request_id,
        "status": [answer.status or None for answer in seen.answers],
        "ms": [round(answer.latency_us / 1000, 2) or None for answer in seen.answers],
        "differences": [
            {
                "path": one.path,
                "kind": one.kind.value,
                "stable": redactor.value(one.path, one.left),
                "candidate": redactor.value(one.path, one.right),
            }
            for one in seen.found[:DIFFERENCES_MAX]
        ],
        "curl": redactor.curl(
            subject.candidate_url, method, target, headers, seen.record.body
        ),
    }
