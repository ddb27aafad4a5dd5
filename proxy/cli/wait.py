"""
``wait``: until a rollout has ended, well or badly.

Decides when a rollout counts as ended and by what exit code a script learns it.
"""

import time

from proxy.cli.client import AdminClient
from proxy.cli.screen import say
from proxy.cli.view import ENDED_BADLY, ENDED_WELL, Document, phase_of
from proxy.errors import AdminError, AdminUnreachableError

POLL_EVERY_S = 1.0
"""As often as the controller judges."""

SETTLE_S = 6.0
"""A changed file is noticed within 2 s and a polled revision within 5: a rollout that
had ended before we came is only believed to be the last one after so long."""


def wait_for_end(
    client: AdminClient, service: str, *, timeout_s: float, revision: str | None
) -> int:
    """
    Follow the rollout of ``service`` and print where it stands when it moves on.

    Returns 0 once it succeeded, 1 once it was rolled back. Without ``revision`` a
    rollout that has already ended counts only if no other begins within
    ``SETTLE_S`` and none is waiting to begin.

    Args:
        client: the admin API; it may be away for a while once it has answered.
        service: the service's name.
        timeout_s: seconds until waiting is given up.
        revision: wait for the rollout of this revision, not of an earlier one.

    Raises:
        AdminError: there is no such rollout, or the time is over.
    """
    began_s = time.monotonic()
    give_up_at_s = began_s + timeout_s
    told = ""
    rollout = client.get("rollouts", service)
    earlier = rollout.get("id") if revision is None else None
    while True:
        line = _standing(rollout)
        if line != told:
            say(line)
            told = line
        code = _code_of(rollout, revision)
        if _is_active(rollout) or rollout.get("id") != earlier:
            earlier = None
        settled = time.monotonic() - began_s >= SETTLE_S and not rollout.get("pending")
        if code is not None and (earlier is None or settled):
            return code
        if time.monotonic() >= give_up_at_s:
            raise AdminError(f"timed out after {timeout_s:g} s, still {line}")
        time.sleep(min(POLL_EVERY_S, max(0.0, give_up_at_s - time.monotonic())))
        rollout = _again(client, service, rollout)


def _again(client: AdminClient, service: str, last: Document) -> Document:
    """Ask again; while the control process restarts, the last answer stands."""
    try:
        answer: Document = client.get("rollouts", service)
    except AdminUnreachableError:
        return last
    return answer


def _is_active(rollout: Document) -> bool:
    """Tell whether a rollout is under way."""
    return rollout.get("phase") not in ("Idle", ENDED_WELL, ENDED_BADLY)


def _code_of(rollout: Document, revision: str | None) -> int | None:
    """Return the exit code of a rollout that has ended, ``None`` before."""
    if revision is not None and rollout.get("revision") != revision:
        return None
    return {ENDED_WELL: 0, ENDED_BADLY: 1}.get(str(rollout.get("phase")))


def _standing(rollout: Document) -> str:
    """Return the phase, step and weight: what changes when a rollout moves on."""
    parts = [f"{rollout['service']}: {phase_of(rollout)}"]
    if rollout.get("phase") in (ENDED_WELL, ENDED_BADLY):
        named = [rollout.get("id") or "", f"revision {rollout.get('revision')}"]
        parts.append(f"{' '.join(filter(None, named))}")
    if rollout.get("steps") and rollout.get("step"):
        parts.append(f"step {rollout['step']} of {len(rollout['steps'])}")
    if rollout.get("weight") is not None:
        parts.append(f"canary {rollout['weight']:.6g} %")
    return " · ".join(parts)
