"""
The plan: everything that the supervisor needs to know, as one JSON document.

``headgate run`` has validated the settings before it writes the plan, so a
plan that cannot be read is a bug or a stranger's; it is refused in a sentence.
Nothing here opens or binds anything. The shape (durations in seconds)::

    {"config": "/etc/headgate.yaml",            absolute path of the file
     "settings": {...} | null,                  its canonical document
     "listen": ["0.0.0.0:8080", "[::]:8080", "unix:/run/headgate.sock"],
     "health": "0.0.0.0:9902" | null,
     "admin": "127.0.0.1:9901" | null,
     "workers": 4,
     "state_dir": "/var/lib/headgate",          absolute path
     "drain": {"delay": 0.0, "timeout": 30.0},
     "limits": {"connections": 20000, ...},     a worker; passed on as it is
     "log_format": "text" | "json",
     "log_level": "debug" | "info" | "warning" | "error",
     "modules": {"worker": "proxy.dataplane", "control": "proxy.admin",
                 "compare": "proxy.compare"}}

``modules`` may be left out, in whole or in part; it names what a child runs
(``python -m MODULE LAUNCH_JSON``), for tests and for experiments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import StartError

MODULE_WORKER = "proxy.dataplane"
MODULE_CONTROL = "proxy.admin"
MODULE_COMPARE = "proxy.compare"
PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (name or number, IPv6 without brackets) and a port (0: any free)."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class Drain:
    """How the tree ends; both in seconds, see ``drain`` in the settings."""

    delay_s: float
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Modules:
    """What the children run."""

    worker: str = MODULE_WORKER
    control: str = MODULE_CONTROL
    compare: str = MODULE_COMPARE


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan, parsed."""

    config: str
    settings: Mapping[str, Any] | None
    listen: tuple[Address, ...]
    health: Address | None
    admin: Address | None
    workers: int
    state_dir: str
    drain: Drain
    limits: Mapping[str, Any]
    log_format: str
    log_level: str
    modules: Modules = field(default_factory=Modules)


def parse_plan(document: Any) -> Plan:  # noqa: ANN401 - JSON is what it is
    """
    Return the plan that a JSON document describes.

    Raises:
        StartError: something is missing or has a wrong type.
    """
    try:
        return _plan(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StartError(f"the supervisor's plan cannot be read: {error!r}") from None


def parse_address(text: str) -> Address:
    """
    Return the address that ``HOST:PORT``, ``[HOST]:PORT`` or ``unix:PATH`` means.

    Raises:
        ValueError: it is none of them.
    """
    if text.startswith("unix:"):
        return UnixAddress(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ValueError(f"address {text!r}, expected HOST:PORT or unix:PATH")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return TcpAddress(host, int(port))


def _plan(document: Any) -> Plan:  # noqa: ANN401
    drain = document["drain"]
    return Plan(
        config=str(document["config"]),
        settings=document["settings"],
        listen=tuple(parse_address(text) for text in document["listen"]),
        health=_optional(document["health"]),
        admin=_optional(document["admin"]),
        workers=int(document["workers"]),
        state_dir=str(document["state_dir"]),
        drain=Drain(float(drain["delay"]), float(drain["timeout"])),
        limits=dict(document["limits"]),
        log_format=str(document["log_format"]),
        log_level=str(document["log_level"]),
        modules=Modules(**document.get("modules", {})),
    )


def _optional(text: str | None) -> Address | None:
    return None if text is None else parse_address(text)
