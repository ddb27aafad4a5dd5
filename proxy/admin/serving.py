"""
What the control process offers to the outside while it runs.

Decides on which inherited listeners which app answers, and under which
conditions: the guard is derived from the addresses that are really bound.
"""

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address

from proxy.admin.app import make_app
from proxy.admin.guard import Guard, host_of
from proxy.admin.listen import listening
from proxy.admin.metrics import make_metrics_app
from proxy.control.controller import Controller, JsonObject
from proxy.control.process import Launch
from proxy.settings import read_secret


@asynccontextmanager
async def serve(controller: Controller, launch: Launch) -> AsyncIterator[None]:
    """Serve the admin API and the metrics of ``controller`` until it is left."""
    admin = [socket.socket(fileno=fd) for fd in launch.admin_fds]
    metrics = socket.socket(fileno=launch.metrics_fd)
    config = controller.config()
    guard = make_guard(config["settings"]["admin"], _bound_hosts(admin))
    async with (
        listening(make_metrics_app(controller), [metrics]),
        listening(make_app(controller, guard), admin),
    ):
        yield


def make_guard(settings: JsonObject, bound: frozenset[str]) -> Guard:
    """
    Return the conditions for the ``admin`` settings and the bound addresses.

    Raises:
        SettingsError: the token file cannot be used.
    """
    named = host_of(settings["listen"])
    token_file = settings.get("token_file")
    read_token = partial(read_secret, token_file) if token_file else None
    if read_token is not None:
        read_token()
    return Guard(
        listen_hosts=bound | {named} if named else bound,
        read_token=read_token,
        any_host=any(ip_address(host).is_unspecified for host in bound),
    )


def _bound_hosts(listeners: Iterable[socket.socket]) -> frozenset[str]:
    """Return the addresses that are bound; a unix socket has none."""
    return frozenset(
        listener.getsockname()[0]
        for listener in listeners
        if listener.family in (socket.AF_INET, socket.AF_INET6)
    )
