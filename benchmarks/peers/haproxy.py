"""HAProxy: a hash of the unit for the shares, pooled connections (``reuse``)."""

import contextlib
from collections.abc import Iterator
from typing import Final

from peers.base import (
    CANARY_PERCENT,
    UNIT_FIELD,
    VERSION_FIELD,
    Duty,
    Site,
    process,
    program,
)

CONFIGURATION: Final = """
global
    nbthread 1
    maxconn 8192
    log 127.0.0.1:9 local0 emerg
defaults
    mode http
    timeout connect 1s
    timeout client 75s
    timeout server 15s
    timeout http-keep-alive 75s
    option forwardfor
    http-reuse always
    unique-id-format %[uuid]
    unique-id-header x-request-id
frontend shop
    bind 127.0.0.1:{port} backlog 1024
    http-request set-header X-Forwarded-Proto http
    http-request set-var(txn.share) {unit},xxh32,mod(100)
    use_backend canary if {{ var(txn.share) -m int lt {canary} }}
    default_backend stable
backend stable
    http-response set-header {version} stable
    server stable 127.0.0.1:{stable_port}
backend canary
    http-response set-header {version} canary
    server canary 127.0.0.1:{canary_port}
"""


class Haproxy:
    """See the module; it has no mirroring of its own."""

    name = "haproxy"
    mirrors = False

    def missing(self) -> str | None:
        """HAProxy is a Debian package."""
        return None if program("haproxy") else "no haproxy (apt-get install haproxy)"

    @contextlib.contextmanager
    def serving(self, site: Site, duty: Duty) -> Iterator[int]:
        """Run it for the length of the context."""
        assert not duty.mirror
        path = site.directory / "haproxy.cfg"
        path.write_text(
            CONFIGURATION.format(
                port=site.port,
                unit=f"req.cook({duty.cookie})"
                if duty.cookie
                else f"req.hdr({UNIT_FIELD})",
                canary=CANARY_PERCENT,
                version=VERSION_FIELD,
                stable_port=site.stable_port,
                canary_port=site.canary_port,
            )
        )
        command = [program("haproxy") or "haproxy", "-db", "-f", str(path)]
        with process(command, site.directory / "haproxy.log") as child:
            yield child.pid
