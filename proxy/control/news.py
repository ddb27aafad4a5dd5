"""
Telling others what was decided, in the background, in order, and never twice.

Takes the decisions that were saved. Each addressee has a bounded queue and one
task that sends; what cannot be delivered is tried again, later each time, then
counted as failed and left. The loop never waits for anybody. The store remembers
up to which decision everybody was told, so that a process that dies on the way is
followed by one that goes on there: a message may then come twice, never not at all.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from proxy.control.clock import Clock
from proxy.control.gates import payload
from proxy.control.shapes import message, news_of
from proxy.control.steward import Steward
from proxy.control.store import Store
from proxy.control.tasks import Tasks
from proxy.control.webhooks import SUCCESS, post
from proxy.errors import SettingsError, StoreError
from proxy.rollout import GateType, told
from proxy.settings.loading import read_secret
from proxy.settings.schema import NotifySettings
from proxy.telemetry.log import log

JsonObject = dict[str, Any]

NOTED = "news/"
"""Before the service's name: where the store remembers what was told."""

QUEUE_MAX = 100
"""Messages that wait for one addressee; the oldest are dropped first."""

REMEMBERED_MAX = 256
"""News that are not told again."""

ADDRESSEES_MAX = 1000
"""Places that are known; beyond it those that have nothing to be told are forgotten,
which are left over from files of long ago."""

RETRY_S = 1.0
"""Before the second attempt; each later one waits twice as long."""

RETRY_S_MAX = 60.0


class Addressee:
    """One place that is told, and what it has still to be told."""

    def __init__(
        self,
        service: str,
        address: Callable[[], str],
        *,
        timeout_s: float,
        retries: int,
        secret_file: str | None,
    ) -> None:
        self.service = service
        self.address = address
        self.timeout_s = timeout_s
        self.retries = retries
        self.secret_file = secret_file
        self.queue: deque[JsonObject] = deque()
        self.sending = False


class News:
    """Everybody who is told."""

    def __init__(
        self,
        clock: Clock,
        store: Store,
        steward_of: Callable[[str], Steward | None],
    ) -> None:
        self._clock = clock
        self._store = store
        self._steward_of = steward_of
        self._tasks = Tasks()
        self._addressees: dict[object, Addressee] = {}
        self._told: deque[object] = deque(maxlen=REMEMBERED_MAX)
        self._taken: dict[str, int] = {}
        """The newest decision of each service that was taken, by number."""
        self._noted: dict[str, int] = {}
        """The same, as the store has it."""
        self.sent: Counter[tuple[str, str]] = Counter()
        """Messages by service and outcome: ``sent``, ``failed``, ``dropped``."""

    def take(self, event: JsonObject) -> None:
        """Take what was published; only saved decisions are news."""
        if event["type"] != "decision":
            return
        self._tidy()
        decision: JsonObject = event["decision"]
        steward = self._steward_of(decision["service"])
        if steward is None:
            return
        number = int(decision["number"])
        self._taken[steward.name] = max(number, self._taken.get(steward.name, 0))
        self._tell_gates(steward, decision)
        kind = news_of(decision)
        rollout = steward.settings.rollout
        told_before = (
            *(decision["service"], decision["rollout"], kind),
            *(decision["step"], decision["message"]),
        )
        if rollout is None or not kind or told_before in self._told:
            return
        self._told.append(told_before)
        for one in rollout.notify:
            if kind in one.on:
                document = message(one.format, kind, decision)
                self._put(self._addressee(steward.name, one), document)

    def resume(self, services: Iterable[str]) -> None:
        """Take what was decided before a restart and not told any more."""
        for service in services:
            noted = self._store.recall(NOTED + service)
            if noted is None:
                continue
            self._noted[service] = int(noted["number"])
            for decision in self._store.decisions(service, after=self._noted[service]):
                self.take({"type": "decision", "decision": decision})

    def note(self) -> None:
        """Remember up to where everybody was told, service by service."""
        busy = {one.service for one in self._addressees.values() if one.sending}
        for service, number in self._taken.items():
            if service in busy or number <= self._noted.get(service, 0):
                continue
            try:
                self._store.remember(NOTED + service, {"number": number})
            except StoreError:
                return  # the governor tells it; until then it is told again
            self._noted[service] = number

    def stop(self) -> None:
        """Tell nobody any more."""
        self._tasks.cancel()

    def _tell_gates(self, steward: Steward, decision: JsonObject) -> None:
        """Tell the gates that are only told: each event, and the end."""
        if steward.state.run is None:
            return
        gates = list(told(steward.state, GateType.EVENT))
        if decision["phase"] != decision["phase_before"] and not steward.state.active:
            gates += told(steward.state, GateType.POST_ROLLOUT)
        for gate in gates:
            document = payload(steward.state, gate)
            document["metadata"] |= {
                "eventMessage": decision["message"],
                "eventType": "Warning" if decision["reason"] else "Normal",
                "timestamp": str(round(self._clock.unix_s() * 1000)),
            }
            key = (steward.name, gate.url, gate.secret_file, gate.type)
            addressee = self._addressees.get(key) or Addressee(
                steward.name,
                lambda url=gate.url: url,  # type: ignore[misc]
                timeout_s=gate.timeout_s,
                retries=gate.retries,
                secret_file=gate.secret_file,
            )
            self._addressees[key] = addressee
            self._put(addressee, document)

    def _addressee(self, service: str, one: NotifySettings) -> Addressee:
        """Return who is meant; whoever was told before keeps the queue."""
        key = (service, one.url, one.url_file, one.secret_file, one.format)
        found = self._addressees.get(key)
        if found is None:
            found = self._addressees[key] = Addressee(
                service,
                lambda: one.url or read_secret(one.url_file or ""),
                timeout_s=one.timeout,
                retries=one.retries,
                secret_file=one.secret_file,
            )
        return found

    def _tidy(self) -> None:
        """Forget places that are no longer told anything, before there are many."""
        if len(self._addressees) >= ADDRESSEES_MAX:
            busy = {key: one for key, one in self._addressees.items() if one.sending}
            self._addressees = busy

    def _put(self, addressee: Addressee, document: JsonObject) -> None:
        if len(addressee.queue) >= QUEUE_MAX:
            addressee.queue.popleft()
            self.sent[addressee.service, "dropped"] += 1
        addressee.queue.append(document)
        if not addressee.sending:
            addressee.sending = True
            work = self._send_all(addressee)
            self._tasks.start(work, name=f"news of {addressee.service}")

    async def _send_all(self, addressee: Addressee) -> None:
        """Send what waits, in order; ends when nothing is left."""
        try:
            while addressee.queue:
                document = addressee.queue.popleft()
                delivered = await self._send(addressee, document)
                outcome = "sent" if delivered else "failed"
                self.sent[addressee.service, outcome] += 1
        finally:
            addressee.sending = False

    async def _send(self, addressee: Addressee, document: JsonObject) -> bool:
        """Send one message, again where that fails; return whether it arrived."""
        why = ""
        for attempt in range(addressee.retries + 1):
            if attempt:
                wait_s = RETRY_S * 2 ** (attempt - 1)
                await asyncio.sleep(min(wait_s, RETRY_S_MAX))
            why = await self._attempt(addressee, document)
            if not why:
                return True
        log("warning", "news_failed", service=addressee.service, why=why)
        return False

    async def _attempt(self, addressee: Addressee, document: JsonObject) -> str:
        """Send once; return why it did not arrive, or ``""``."""
        try:
            url = await asyncio.to_thread(addressee.address)
            reply = await post(
                url,
                document,
                timeout_s=addressee.timeout_s,
                secret_file=addressee.secret_file,
                now_s=self._clock.unix_s(),
            )
        except (OSError, SettingsError) as error:
            return str(error)
        return "" if reply.status in SUCCESS else f"status {reply.status}"
