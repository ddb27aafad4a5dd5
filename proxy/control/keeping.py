"""
Saving what changed, and what follows when the store refuses.

Every change of a service is saved in one transaction before it is applied. A
store that cannot be written keeps nothing back that lowers a weight, and lets
nothing rise: that is the steward's ``keep_safe``. Decisions are published when
they are saved and not before.
"""

from collections.abc import Callable, Sequence
from typing import Any

from proxy.control.steward import Steward
from proxy.control.store import Store
from proxy.errors import StoreConflictError, StoreError
from proxy.telemetry.log import log

JsonObject = dict[str, Any]
Publish = Callable[[JsonObject], None]


class Keeper:
    """Saves stewards, and remembers whether that works."""

    def __init__(self, store: Store, publish: Publish) -> None:
        self.store = store
        self.error = ""
        """Why the last save failed; empty while the store works."""
        self._publish = publish

    def save(self, stewards: Sequence[Steward]) -> list[Steward]:
        """
        Save what changed; return the stewards whose change was taken back.

        A store that cannot be written is remembered and shown; what only lowers
        weights stays in force without it.
        """
        dirty = [steward for steward in stewards if steward.dirty]
        if not dirty:
            return []
        try:
            numbers = self.store.save([steward.change() for steward in dirty])
        except StoreConflictError:
            return self._settle_conflicts(dirty)
        except StoreError as error:
            if not self.error:
                log("error", "store_unwritable", error=str(error))
            self.error = str(error)
            return [steward for steward in dirty if not steward.keep_safe()]
        if self.error:
            log("info", "store_writable_again")
        self.error = ""
        for steward, given in zip(dirty, numbers, strict=True):
            self._publish_saved(steward, given)
        return []

    def _settle_conflicts(self, dirty: list[Steward]) -> list[Steward]:
        """Save one by one; who lost takes over what the store has."""
        documents = self.store.load()
        lost = []
        for steward in dirty:
            saved = documents.get(steward.name)
            if saved is None or saved.revision == steward.revision:
                if self.save([steward]):
                    lost.append(steward)
                continue
            log("error", "saved_by_somebody_else", service=steward.name)
            steward.reload(saved)
            lost.append(steward)
        return lost

    def _publish_saved(self, steward: Steward, numbers: list[int]) -> None:
        for decision in steward.saved(numbers):
            log(
                "info",
                "decision",
                service=steward.name,
                rule=decision["rule"],
                message=decision["message"],
                who=decision["who"],
            )
            self._publish({"type": "decision", "decision": decision})
