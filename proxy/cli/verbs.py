"""
The commands that change something: rollout verbs and ``split``.

Decides how a change is asked for and how its outcome reads; whether it is
allowed is the controller's.
"""

from collections.abc import Mapping
from typing import Any

from proxy.cli.client import AdminClient
from proxy.cli.screen import say
from proxy.cli.view import split_text, state_of, status_line


def command(
    client: AdminClient,
    service: str,
    verb: str,
    options: Mapping[str, str | bool | None],
) -> int:
    """
    Ask for one verb on a rollout and print where the rollout stands then.

    Options that are empty are not sent.
    """
    body = {name: value for name, value in options.items() if value}
    rollout = client.post("rollouts", service, verb, body=body)
    say(status_line(state_of(client.get("services", service), rollout)))
    return 0


def split(
    client: AdminClient,
    service: str,
    weights: dict[str, float],
    *,
    reason: str = "",
    force: bool = False,
    override_freeze: str = "",
) -> int:
    """Set live shares by hand and print the split that holds then."""
    body: dict[str, Any] = dict(weights)
    if reason:
        body["reason"] = reason
    if force:
        body["force"] = True
    if override_freeze:
        body["override_freeze"] = override_freeze
    document = client.put("services", service, "split", body=body)
    say(f"{service}: split {{{split_text(document['split'])}}}")
    return 0


def parse_weights(assignments: list[str]) -> dict[str, float]:
    """
    Read ``canary=5`` or ``canary=5%``, one a version.

    Raises:
        ValueError: one is no such assignment; the text says which.
    """
    weights: dict[str, float] = {}
    for assignment in assignments:
        name, equals, share = assignment.partition("=")
        if not name or not equals:
            raise ValueError(f"{assignment!r} is no share, expected such as canary=5")
        if name in weights:
            raise ValueError(f"{name} is given twice")
        try:
            weights[name] = float(share.removesuffix("%"))
        except ValueError:
            raise ValueError(
                f"{share!r} is no percentage, expected such as {name}=5"
            ) from None
        if not 0 <= weights[name] <= 100:  # noqa: PLR2004 - percent
            raise ValueError(f"{assignment} is out of range, expected 0 to 100")
    return weights
