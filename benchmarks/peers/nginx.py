"""Nginx: ``split_clients`` for the shares, a keep-alive pool per upstream."""

import contextlib
from collections.abc import Iterator
from typing import Final

from peers.base import (
    CANARY_PERCENT,
    PROXY_CORE,
    UNIT_FIELD,
    VERSION_FIELD,
    Duty,
    Site,
    process,
    program,
)

IDLE_MAX: Final = 128
"""Idle connections an upstream keeps: more than the generator opens."""

CONFIGURATION: Final = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000000;
    client_body_buffer_size 64k;
    client_max_body_size 0;
    proxy_request_buffering off;
    split_clients "${unit}" $arm {{ {canary}% canary; * stable; }}
    upstream stable {{
        server 127.0.0.1:{stable_port}; keepalive {idle}; keepalive_requests 100000000;
    }}
    upstream canary {{
        server 127.0.0.1:{canary_port}; keepalive {idle}; keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Request-Id $request_id;
        add_header {version} $arm always;
        location / {{ {mirror} proxy_pass http://$arm; }}
        location = /mirrored {{ internal; proxy_pass http://canary$request_uri; }}
    }}
}}
"""


class Nginx:
    """See the module."""

    name = "nginx"
    mirrors = True

    def missing(self) -> str | None:
        """Nginx is a Debian package."""
        return None if program("nginx") else "no nginx (apt-get install nginx-light)"

    @contextlib.contextmanager
    def serving(self, site: Site, duty: Duty) -> Iterator[int]:
        """Run it for the length of the context."""
        path = site.directory / "nginx.conf"
        path.write_text(
            CONFIGURATION.format(
                directory=site.directory,
                unit=f"cookie_{duty.cookie}"
                if duty.cookie
                else "http_" + UNIT_FIELD.replace("-", "_"),
                canary=CANARY_PERCENT,
                stable_port=site.stable_port,
                canary_port=site.canary_port,
                idle=IDLE_MAX,
                port=site.port,
                version=VERSION_FIELD,
                mirror="mirror /mirrored;" if duty.mirror else "",
            )
        )
        command = [program("nginx") or "nginx", "-e", "stderr", "-c", str(path)]
        with process(command, site.directory / "nginx.log", core=PROXY_CORE) as child:
            yield child.pid
