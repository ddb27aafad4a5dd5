"""
The chain of decisions: each carries the hash of the one before it.

Who changes, removes, inserts or reorders a decision afterwards would have to
rewrite every later one and the head that is kept apart; ``headgate check
--state`` tells. The oldest decisions are dropped in time, so the chain is
checked from the oldest that is left. Nothing is stored here.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

JsonObject = dict[str, Any]

HASH = "hash"
PREVIOUS = "previous"
HEADS = "chain/"
"""Before the service's name: where the store remembers the newest link."""


def linked(
    document: Mapping[str, Any], service: str, number: int, previous: str
) -> JsonObject:
    """Return a decision with the hash before it and its own."""
    link = {**document, PREVIOUS: previous}
    return {**link, HASH: hash_of(link, service, number)}


def hash_of(document: Mapping[str, Any], service: str, number: int) -> str:
    """Return the SHA-256 (hexadecimal) of a decision less its own hash."""
    content = {key: value for key, value in document.items() if key != HASH}
    text = json.dumps([service, number, content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def problems(
    service: str,
    decisions: Iterable[tuple[int, Mapping[str, Any]]],
    head: Mapping[str, Any] | None,
) -> Iterator[str]:
    """
    Yield what is wrong with a service's chain, oldest first.

    Args:
        service: the service's name.
        decisions: number and document of every decision, oldest first.
        head: number and hash of the newest as remembered apart; ``None``: none is.
    """
    before: tuple[int, str] | None = None
    for number, document in decisions:
        place = f"decision {number} of {service}"
        if HASH not in document:
            yield f"{place} has no hash"
            before = (number, "")
            continue
        if document[HASH] != hash_of(document, service, number):
            yield f"{place} was changed: its content does not match its hash"
        if before is not None and number != before[0] + 1:
            yield f"{place} follows {before[0]}: decisions between them are missing"
        elif before is not None and document.get(PREVIOUS) != before[1]:
            yield f"{place} does not follow decision {before[0]}"
        elif number == 1 and document.get(PREVIOUS):
            yield f"{place} is the first, yet something was before it"
        before = (number, str(document[HASH]))
    yield from _head_problems(service, before, head)


def _head_problems(
    service: str, newest: tuple[int, str] | None, head: Mapping[str, Any] | None
) -> Iterator[str]:
    """Yield whether the newest decision is the one that was remembered apart."""
    if newest is None and head is None:
        return
    if newest is None:
        yield f"the decisions of {service} are gone"
    elif head is None:
        yield f"the newest decision of {service} is not remembered"
    elif newest != (head.get("number"), head.get(HASH)):
        yield (
            f"the newest decision of {service} is {newest[0]}, but {head.get('number')}"
            " was remembered, or with another content"
        )
