"""Compiled route tables for pure tests."""

import json
from typing import Any

from proxy.routing.table import RouteTable, compile_table
from tests.support import table


def service_of(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the document of a service with a stable and a canary version."""
    versions = [
        table.version("stable", [9001], cell=0, seen=0),
        table.version("canary", [9002, 9003], cell=1, seen=1),
    ]
    return table.service(versions, **changes)


def compiled(*services: dict[str, Any], **changes: Any) -> RouteTable:  # noqa: ANN401 - JSON
    """Return the compiled table of services."""
    document = table.table(list(services), **changes)
    return compile_table(json.dumps(document).encode())
