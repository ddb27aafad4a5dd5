"""
``status``: where the services stand, once or for as long as one watches.

Decides what is asked of the API and when; how it looks is ``view``'s.
"""

import json
import time
from datetime import UTC, datetime

from proxy.cli.client import AdminClient
from proxy.cli.screen import is_plain, rich_tree, say, show_table, show_trees
from proxy.cli.view import Document, state_of, status_line, status_table, status_tree
from proxy.errors import AdminUnreachableError

WATCH_EVERY_S = 1.0
"""As often as the controller judges."""


def show_status(client: AdminClient, service: str | None, output: str) -> int:
    """Print one service, or all; return the exit code."""
    states = read_states(client, service)
    if output == "json":
        document = states[0] if service else states
        say(json.dumps(document, indent=2, ensure_ascii=False))
    elif service:
        show_trees([status_tree(states[0])])
    else:
        show_table(status_table(states))
    return 0


def watch_status(client: AdminClient, service: str | None, output: str) -> int:
    """Follow one service, or all, until Ctrl-C; return the exit code."""
    states = read_states(client, service)  # an address that is wrong fails here
    try:
        if output == "json":
            _watch_documents(client, service, states)
        elif is_plain():
            _watch_lines(client, service, states)
        else:
            _watch_trees(client, service, states)
    except KeyboardInterrupt:
        return 0
    return 0


def read_states(client: AdminClient, service: str | None) -> list[Document]:
    """Ask for one service or all, each with its rollout."""
    if service is None:
        services = client.get("services")
        rollouts = client.get("rollouts")
    else:
        services = [client.get("services", service)]
        # The list, because a service without a rollout is no error here.
        rollouts = client.get("rollouts")
    by_service = {rollout["service"]: rollout for rollout in rollouts}
    return [state_of(found, by_service.get(found["name"])) for found in services]


def _watch_lines(
    client: AdminClient, service: str | None, states: list[Document]
) -> None:
    """Print a line, with the time, for each service that stands elsewhere."""
    told: dict[str, str] = {}
    while True:
        for state in states:
            line = status_line(state)
            if told.get(state["service"]) != line:
                told[state["service"]] = line
                say(f"{_clock()} {line}")
        states = _again(client, service) or states


def _watch_documents(
    client: AdminClient, service: str | None, states: list[Document]
) -> None:
    """Print one line of JSON a second."""
    while True:
        say(json.dumps(states[0] if service else states, ensure_ascii=False))
        states = _again(client, service) or states


def _watch_trees(
    client: AdminClient, service: str | None, states: list[Document]
) -> None:
    """Redraw the trees in place."""
    from rich.console import Group  # 0.1 s that pipes need not pay
    from rich.live import Live  # likewise
    from rich.text import Text  # likewise

    with Live(auto_refresh=False, vertical_overflow="visible") as live:
        lost = False
        while True:
            trees = [rich_tree(status_tree(state)) for state in states]
            note = "no answer, showing the last one" if lost else "Ctrl-C ends"
            footer = Text(f"{_clock()}  {note}", style="dim")
            live.update(Group(*trees, footer), refresh=True)
            fresh = _again(client, service)
            lost = fresh is None
            states = fresh or states


def _again(client: AdminClient, service: str | None) -> list[Document] | None:
    """Wait and ask again; ``None`` while the control process is away."""
    time.sleep(WATCH_EVERY_S)
    try:
        return read_states(client, service)
    except AdminUnreachableError:
        return None


def _clock() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
