"""
A controller that stands in for the real one at the admin API's boundary.

It answers with documents of the contract's shape, records what it was asked to
change, and fails on demand with the errors that the real one documents.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy

from proxy.control.controller import Controller, JsonObject
from proxy.control.stream import Stream, Subscription
from proxy.errors import ConflictError, NotFoundError
from tests.support.parallel_run import diverging_report

ROLLOUT: JsonObject = {
    "id": "checkout-7",
    "service": "checkout",
    "phase": "Progressing",
    "reason": "Undecided",
    "strategy": "canary",
    "stable": "stable",
    "canary": "canary",
    "revision": "2.4.0",
    "step": 2,
    "steps": [{"weight": 20}, {"weight": 40}, {"weight": 100}],
    "weight": 40,
    "started_at": "2026-11-22T10:00:00Z",
    "exposed_requests": 4211,
    "plan_hash": "0123abcd",
    "verdict": "undecided",
    "message": "step 2 needs about 110 more canary requests",
    "next": {
        "action": "advance to 100",
        "at": "2026-11-22T10:02:41Z",
        "blocked_by": "min_requests",
    },
    "slos": [
        {
            "id": "latency-p99-ratio",
            "verdict": "undecided",
            "stable": 0.212,
            "canary": 0.221,
            "value": 1.04,
            "limit": 1.10,
            "interval": [0.97, 1.13],
            "requests": {"stable": 620, "canary": 189, "needed": 110},
        }
    ],
}
SERVICE: JsonObject = {
    "name": "checkout",
    "match": [],
    "split": {"stable": 60, "canary": 40},
    "stable": "stable",
    "canary": "canary",
    "phase": "Progressing",
    "reason": "Undecided",
    "inflight": 3,
    "rate_per_s": 41.5,
    "error_rate": 0.001,
    "versions": [
        {
            "name": name,
            "role": name,
            "weight": weight,
            "revision": revision,
            "healthy": True,
            "rate_per_s": rate_per_s,
            "error_rate": 0.001,
            "latency": {"p50": 0.0121, "p90": 0.08, "p99": 0.212},
        }
        for name, weight, revision, rate_per_s in (
            ("stable", 60, "2.3.0", 24.9),
            ("canary", 40, "2.4.0", 16.6),
        )
    ],
}


def decision(number: int) -> JsonObject:
    """Return one decision of the rollout, in the documented shape."""
    return {
        "number": number,
        "rollout": "checkout-7",
        "at": "2026-11-22T10:01:00Z",
        "who": "controller",
        "rule": "step_passed",
        "reason": "",
        "message": f"decision {number}",
        "phase_before": "Progressing",
        "phase": "Progressing",
        "weights_before": {"stable": 80, "canary": 20},
        "weights": {"stable": 60, "canary": 40},
        "step": 2,
        "verdict": "pass",
        "evidence": {"": {"canary": {"requests": 300, "errors": 1}}},
        "slos": ROLLOUT["slos"],
        "plan_hash": "0123abcd",
    }


PARALLEL: JsonObject = {
    "service": "checkout",
    "run": "canary-2.4.0-0a1b",
    "stable": "stable",
    "candidate": "canary",
    "revisions": {"canary": "2.4.0"},
    **diverging_report(),
    "mirror": {
        "offered": 90,
        "compared": 80,
        "equal": 0,
        "different": 80,
        "skipped": {"method": 7, "body": 3},
        "pending": 0,
        "second": 40,
    },
}


class StandInController(Controller):
    """One service, ``checkout``, in the middle of a rollout."""

    def __init__(self, *, config: JsonObject | None = None, decisions: int = 3) -> None:
        self.rollout_document = deepcopy(ROLLOUT)
        self.parallel_document = deepcopy(PARALLEL)
        self.service_document = deepcopy(SERVICE)
        self.decision_documents = [decision(n + 1) for n in range(decisions)]
        self.config_document = config or {
            "path": "/c.yaml",
            "hash": "1",
            "settings": {},
        }
        self.asked: list[JsonObject] = []
        self.fail_with: Exception | None = None
        self.stream = Stream()
        self.recorded = 3
        """Lines of the recording."""

    def services(self) -> list[JsonObject]:
        """Return the one service."""
        self._maybe_fail()
        return [self.service_document]

    def service(self, name: str) -> JsonObject:
        """Return the one service."""
        self._find(name)
        return self.service_document

    def parallel(self, name: str) -> JsonObject:
        """Return the one parallel run."""
        self._find(name)
        return self.parallel_document

    def rollouts(self) -> list[JsonObject]:
        """Return the one rollout."""
        self._maybe_fail()
        return [self.rollout_document]

    def rollout(self, name: str) -> JsonObject:
        """Return the one rollout."""
        self._find(name)
        return self.rollout_document

    def history(self, name: str) -> list[JsonObject]:
        """Return one line of history."""
        self._find(name)
        return [{"id": "checkout-7", "outcome": None}]

    def decisions(
        self, name: str, *, rollout: str | None = None, after: int = 0
    ) -> list[JsonObject]:
        """Return pages of two decisions."""
        self._find(name)
        self.asked.append({"rollout": rollout, "after": after})
        return [found for found in self.decision_documents if found["number"] > after][
            :2
        ]

    def recording(self, name: str, *, rollout: str | None = None) -> Iterator[str]:
        """Return a recording of as many lines as the test wants."""
        self._find(name)
        if rollout not in (None, "checkout-7"):
            raise NotFoundError(f"nothing is recorded of {rollout}")
        return (f'{{"t":{at}}}' for at in range(self.recorded))

    async def command(
        self,
        name: str,
        verb: str,
        *,
        reason: str = "",
        revision: str | None = None,
        full: bool = False,
        force: bool = False,
        override_freeze: str = "",
        owner: str = "",
        who: str = "",
    ) -> JsonObject:
        """Record a command."""
        self._find(name)
        if revision not in (None, self.rollout_document["revision"]):
            raise ConflictError(f"the current revision is 2.4.0, not {revision}")
        self.asked.append(
            {
                "verb": verb,
                "reason": reason,
                "revision": revision,
                "full": full,
                "force": force,
                "who": who,
            }
        )
        if override_freeze or owner:
            self.asked[-1] |= {"override_freeze": override_freeze, "owner": owner}
        return self.rollout_document

    async def set_split(
        self,
        name: str,
        weights: Mapping[str, float],
        *,
        reason: str = "",
        force: bool = False,
        override_freeze: str = "",
        who: str = "",
    ) -> JsonObject:
        """Record a split."""
        self._find(name)
        self.asked.append(
            {"weights": dict(weights), "reason": reason, "force": force, "who": who}
        )
        if override_freeze:
            self.asked[-1]["override_freeze"] = override_freeze
        self.service_document["split"] = {"stable": 95, "canary": 5}
        return self.service_document

    def push_events(
        self, name: str, *, version: str, event: str, count: int
    ) -> JsonObject:
        """Record a push."""
        self._find(name)
        pushed = {"version": version, "event": event, "count": count}
        self.asked.append(pushed)
        return {"service": name, **pushed}

    def config(self) -> JsonObject:
        """Return the given configuration."""
        return self.config_document

    async def reload(self) -> JsonObject:
        """Record a reload."""
        self._maybe_fail()
        self.asked.append({"reload": True})
        return {"changed": False, "hash": "1", "generation": 4}

    def subscribe(self) -> Subscription:
        """Listen to what the test publishes on ``stream``."""
        return self.stream.subscribe()

    def metrics(self, *, openmetrics: bool = False) -> tuple[bytes, str]:
        """Return one metric."""
        kind = "application/openmetrics-text" if openmetrics else "text/plain"
        return b"headgate_build_info 1\n", f"{kind}; charset=utf-8"

    def _find(self, name: str) -> None:
        self._maybe_fail()
        if name != "checkout":
            raise NotFoundError(f"there is no service {name!r}")

    def _maybe_fail(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with
