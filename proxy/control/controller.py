"""
What the admin API may ask and change; nothing of HTTP is known here.

Every answer is made of dicts, lists, strings, numbers, booleans and ``None``,
spelt as the contract spells it: weights in percent, rates as fractions, times
in seconds or RFC 3339. Reads never wait; changes are coroutines and are done
when they return: saved in the store and applied to the weights.
"""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from proxy.control import views
from proxy.control.configuration import Configuration
from proxy.control.figures import Figures
from proxy.control.governor import Governor
from proxy.control.metrics import Asked, mirrored, tree_of
from proxy.control.recordings import header
from proxy.control.steward import Steward
from proxy.control.stream import Stream, Subscription
from proxy.control.weights import FLIP_GAP_S
from proxy.errors import NotFoundError
from proxy.rollout.events import Command, SplitOrdered, Verb
from proxy.rollout.moves import is_rolled_back
from proxy.telemetry.cut import read_live
from proxy.telemetry.exposition import render

JsonObject = dict[str, Any]

VERBS = tuple(verb.value for verb in Verb)
"""What ``Controller.command`` understands."""


class Controller:
    """The services, their rollouts and the configuration, as the API sees them."""

    def __init__(
        self,
        governor: Governor,
        figures: Figures,
        configuration: Configuration,
        stream: Stream,
        asked: Asked | None = None,
    ) -> None:
        self._governor = governor
        self._figures = figures
        self._configuration = configuration
        self._stream = stream
        self._asked = asked or Asked()

    def services(self) -> list[JsonObject]:
        """Return every service in the file's order, each as ``service`` does."""
        return [self._service(one) for one in self._governor.stewards.values()]

    def service(self, name: str) -> JsonObject:
        """
        Return one service.

        ``{"name", "match", "split": {version: percent}, "stable", "canary",
        "phase", "reason", "inflight", "rate_per_s", "error_rate",
        "versions": [{"name", "role": "stable|canary|other", "weight", "share",
        "revision", "healthy": bool|None, "endpoints": [str], "ejected": n, "inflight",
        "rate_per_s", "error_rate", "requests", "codes": {code: n},
        "failures": {flag: n}, "latency": {"p50","p90","p99"},
        "ttfb": {"p50","p90","p99"},
        "events": {event: {"count", "rate_per_s", "per_request"}}}],
        "routes": [...], "exposed_requests", "retries", "mirror": {outcome: n},
        "unjudged_revisions", "split_to_commit": {...}|None}``

        Rates, quantiles and ``share`` read the last 10 s; ``None`` is "no data".

        Raises:
            NotFoundError: no such service.
        """
        steward = self._governor.steward(name)
        routes = steward.settings.routes
        return {
            **self._service(steward),
            "routes": [
                self._route(steward, route, place)
                for place, route in enumerate(routes, start=1)
            ],
        }

    def rollouts(self) -> list[JsonObject]:
        """Return the present rollout of every service that has one configured."""
        stewards = self._governor.stewards.values()
        return [self._rollout(one) for one in stewards if one.plan is not None]

    def rollout(self, name: str) -> JsonObject:
        """
        Return the rollout of service ``name`` in the contract's shape.

        Raises:
            NotFoundError: no such service, or it has no rollout.
        """
        return self._rollout(self._with_rollout(name))

    def history(self, name: str) -> list[JsonObject]:
        """
        Return the ended and the present rollouts of a service, newest first.

        ``{"id", "revision", "phase", "reason", "outcome", "started_at",
        "ended_at", "exposed_requests", "message", "stable", "canary"}``

        Raises:
            NotFoundError: no such service, or it has no rollout.
        """
        steward = self._with_rollout(name)
        ended = self._governor.store.runs(name)
        present = [self._present_run(steward)] if steward.state.active else []
        return present + ended

    def decisions(
        self, name: str, *, rollout: str | None = None, after: int = 0
    ) -> list[JsonObject]:
        """
        Return decisions of a service, oldest first, numbered above ``after``.

        ``{"number", "at", "service", "rollout", "who", "note", "rule", "reason",
        "message", "phase_before", "phase", "step_before", "step",
        "weights_before", "weights", "revision", "plan_hash", "verdict",
        "evidence": {...}, "slos": [...], "levels": {"worse": alpha, "beyond":
        alpha_tolerance}}``; at most 500 of them.

        Raises:
            NotFoundError: no such service, or it has no rollout.
        """
        self._governor.steward(name)
        return self._governor.store.decisions(name, rollout=rollout, after=after)

    def recording(self, name: str, *, rollout: str | None = None) -> Iterator[str]:
        """
        Return the lines of a rollout's recording, the header first.

        The header is a JSON object that says what was recorded and what was
        decided then; each line after it is a second (``analysis.recording``).
        ``rollout`` is the present or last one if it is not named.

        Raises:
            NotFoundError: no such service or rollout, or nothing is kept of it.
            StoreError: the recordings cannot be read.
        """
        known = {run["id"]: run for run in self.history(name)}
        wanted = rollout or next(iter(known), "")
        lines = self._governor.chronicle.recorder.lines(name, wanted)
        first = next(lines, None)
        if wanted not in known or first is None:
            raise NotFoundError(f"nothing is recorded of {wanted or 'any rollout'}")
        decisions = self._governor.store.decisions(name, rollout=wanted)
        return chain((header(name, known[wanted], decisions), first), lines)

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
        """
        Let a person act on a rollout; return it as ``rollout`` does.

        Args:
            name: the service.
            verb: one of ``VERBS``.
            reason: why, kept in the decision.
            revision: refuse unless this is the canary's current revision.
            full: ``promote`` to 100 % at once instead of by one step.
            force: ``start`` also a revision that was rolled back.
            override_freeze: why it is done although the service is frozen.
            owner: ``freeze``: whose it is, if not the caller's.
            who: the caller, kept in the decision.

        Raises:
            NotFoundError: no such service, rollout or verb.
            ConflictError: the phase or the revision does not allow it.
            StoreError: it could not be saved (``abort`` is applied regardless).
        """
        if verb not in VERBS:
            raise NotFoundError(f"no verb {verb!r}, expected one of {', '.join(VERBS)}")
        steward = self._with_rollout(name)
        order = Verb(verb)
        if force and order is Verb.START and is_rolled_back(steward.state):
            order = Verb.RETRY
        command = Command(
            order,
            who,
            reason,
            revision,
            full=full,
            override=override_freeze,
            owner=owner,
        )
        self._governor.order(steward, command)
        await self._applied(steward)
        return self._rollout(steward)

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
        """
        Set live shares by hand, in percent; return the service as ``service`` does.

        Versions that are not named keep their share, except stable (without a
        rollout: the first version), which takes or gives the rest.

        Raises:
            NotFoundError: no such service or version.
            ConflictError: a rollout is active and the canary would get more, or
                the revision was rolled back and ``force`` is not given, or the
                weights cannot be made to sum to 100.
            StoreError: it could not be saved.
        """
        steward = self._governor.steward(name)
        order = SplitOrdered(dict(weights), who, reason, force, override_freeze)
        self._governor.order(steward, order)
        await self._applied(steward)
        return self.service(name)

    def push_events(
        self, name: str, *, version: str, event: str, count: int
    ) -> JsonObject:
        """
        Count business events that happened elsewhere, for the version they came of.

        Returns ``{"service", "version", "event", "count"}`` with what was pushed
        of it so far. They are saved with the next second's state.

        Raises:
            NotFoundError: no such service, version or event.
        """
        steward = self._governor.steward(name)
        for what, named, known in (
            ("version", version, steward.wish.versions),
            ("event", event, steward.wish.events),
        ):
            if named not in known:
                there = ", ".join(known) or "none"
                raise NotFoundError(
                    f"service {name} has no {what} {named!r}, there is: {there}"
                )
        total = steward.push(version, event, count)
        return {"service": name, "version": version, "event": event, "count": total}

    def parallel(self, name: str) -> JsonObject:
        """
        Return the report of a service's parallel run.

        ``{"service", "run", "stable", "candidate", "revisions", "verdict",
        "message", "pairs", "triples", "mismatch_rate": {...}, "latency_ratio":
        {...}, "legs": {...}, "endpoints": [{"endpoint", "pairs", "mismatched",
        "fields": [{"path", "kind", "candidate_only", "noise_only", "e_value",
        "verdict", "examples", ...}], "unsampled_fields": [...]}], "mirror":
        {"offered", "compared", "skipped": {reason: n}, "pending", ...}}``

        Raises:
            NotFoundError: no such service, or it compares nothing.
            StoreError: what was compared cannot be read.
        """
        steward = self._governor.steward(name)
        mirror, parallel = steward.settings.mirror, self._governor.parallel
        if parallel is None or mirror is None or mirror.compare is None:
            raise NotFoundError(f"service {name} compares nothing: no mirror.compare")
        return parallel.report(
            name,
            steward.settings,
            steward.roles.run,
            versions=(steward.stable or "", mirror.to),
            revisions=steward.state.revisions,
            totals=parallel.totals(
                self._governor.slab, self._governor.allocation, steward.wish
            ),
        )

    def config(self) -> JsonObject:
        """
        Return the configuration in force, secrets redacted.

        ``{"path", "hash", "settings": {...}, "generation", "loaded_at",
        "last_reload": {"ok": bool, "at", "problems": [str]}}``
        """
        return self._configuration.as_json()

    async def reload(self) -> JsonObject:
        """
        Read the file again now; return ``{"changed": bool, "hash", "generation"}``.

        Raises:
            SettingsError: the file has mistakes; nothing was changed.
            ConflictError: a key changed that needs a restart, by name.
        """
        return self._configuration.reload()

    def subscribe(self) -> Subscription:
        """
        Return an async iterator over what happens, until its ``aclose``.

        Events are ``{"type": "rollout", "rollout": {...}}``,
        ``{"type": "decision", "decision": {...}}``, ``{"type": "services",
        "services": [...]}`` (once a second) and ``{"type": "config", ...}``. A
        reader that falls 256 events behind loses the oldest and gets
        ``{"type": "lost", "count": n}``.
        """
        return self._stream.subscribe()

    def metrics(self, *, openmetrics: bool = False) -> tuple[bytes, str]:
        """Return the metrics and their content type, in either text format."""
        tree = tree_of(
            self._governor, self._figures, self._configuration.last, self._asked
        )
        return render(tree, openmetrics=openmetrics)

    async def _applied(self, steward: Steward) -> None:
        """Write a row that had to wait because another was just written."""
        await asyncio.sleep(FLIP_GAP_S)
        self._governor.apply([steward])

    def _with_rollout(self, name: str) -> Steward:
        steward = self._governor.steward(name)
        if steward.plan is None and steward.state.run is None:
            raise NotFoundError(f"service {name} has no rollout")
        return steward

    def _service(self, steward: Steward) -> JsonObject:
        live = self._figures.read(steward)
        windows = self._figures.windows(steward, live)
        outcomes = mirrored(self._governor, steward)
        words = self._governor.event_words(steward)
        return views.service_json(steward, live, windows, outcomes, words)

    def _route(self, steward: Steward, route: str, place: int) -> JsonObject:
        allocation, slab = self._governor.allocation, self._governor.slab
        live = {
            version: read_live(slab, allocation.cell(steward.wish, version) + place)
            for version in steward.wish.versions
        }
        return views.route_json(route, live)

    def _rollout(self, steward: Steward) -> JsonObject:
        now_s = self._governor.clock.unix_s()
        rates = self._governor.chronicle.rates(steward)
        return views.rollout_json(steward, self._governor.store_error, now_s, rates)

    def _present_run(self, steward: Steward) -> JsonObject:
        shown = self._rollout(steward)
        keys = (
            *("id", "revision", "phase", "reason", "message", "stable", "canary"),
            *("started_at", "ended_at", "step", "weight", "exposed_requests"),
            "plan_hash",
        )
        return {"outcome": None, **{key: shown[key] for key in keys}}
