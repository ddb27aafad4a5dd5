"""Route table documents for tests: one service, or several, with defaults."""

from typing import Any


def endpoint(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    """Return an endpoint entry."""
    return {"host": host, "port": port, "authority": f"{host}:{port}"}


def version(name: str, ports: list[int], *, cell: int, seen: int = 0) -> dict[str, Any]:
    """Return a version entry."""
    return {
        "name": name,
        "endpoints": [endpoint(port) for port in ports],
        "seen": seen,
        "cell": cell,
        "revision_header": None,
    }


def service(versions: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a service entry; cells 900 and 901 are control and mirror."""
    entry: dict[str, Any] = {
        "name": "shop",
        "slot": 0,
        "match": [],
        "salt": "shop",
        "response_headers": True,
        "unit": [],
        "overrides": [],
        "routes": [],
        "versions": versions,
        "control_cell": 900,
        "mirror_cell": 901,
        "stable": 0,
        "canary": 1 if len(versions) > 1 else None,
        "fail_fast": {
            "consecutive_connect_failures": 5,
            "error_rate": 0.5,
            "requests": 20,
        },
        "host": "preserve",
        "timeouts": {
            "connect": 1.0,
            "attempt": 5.0,
            "first_byte": 15.0,
            "request": None,
            "head": 10.0,
            "stream_idle": 60.0,
            "send": 60.0,
            "keepalive": 75.0,
            "upstream_keepalive": 4.0,
            "tunnel": 3600.0,
        },
        "retries": {
            "attempts": 1,
            "on": ["connect_failure", "reset", "502", "503", "504"],
            "budget": 0.2,
            "shield": True,
        },
        "mirror": None,
    }
    entry.update(changes)
    return entry


def table(
    services: list[dict[str, Any]],
    **changes: Any,  # noqa: ANN401 - JSON
) -> dict[str, Any]:
    """Return a whole document."""
    document: dict[str, Any] = {
        "generation": 1,
        "config_hash": "0",
        "trusted_proxies": [],
        "access_log": {"format": "off", "sample": 0.01, "errors": 1.0},
        "limits": {
            "head": 32768,
            "fields": 100,
            "target": 8192,
            "body": None,
            "connections": 20000,
            "inflight_per_version": 1024,
        },
        "services": services,
    }
    document.update(changes)
    return document
