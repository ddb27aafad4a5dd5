"""
The origin behind every peer: nginx on the generator's core, two ports.

Small requests get 180 bytes of JSON, ``/mebibyte.bin`` a file of 1 MiB; to
``/upload`` it listens to the end of the body (that is what its mirror to
nowhere is for: `return` alone answers before it has read anything). It is the
fastest origin at hand, so that the proxy's core is the one that is full.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from peers.base import LOAD_CORE, free_port, process, program

ANSWER_BYTES: Final = 180
FILE_BYTES: Final = 1_048_576
FILE: Final = "mebibyte.bin"
TAKEN: Final = "taken.json"
"""What an upload is answered with."""

CONFIGURATION: Final = """
daemon off;
worker_processes 1;
pid {directory}/origin.pid;
error_log {directory}/origin-error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/origin-body;
    proxy_temp_path {directory}/origin-proxy;
    fastcgi_temp_path {directory}/origin-fastcgi;
    uwsgi_temp_path {directory}/origin-uwsgi;
    scgi_temp_path {directory}/origin-scgi;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    sendfile on;
    server {{
        listen 127.0.0.1:{stable_port} backlog=1024;
        listen 127.0.0.1:{canary_port} backlog=1024;
        root {directory};
        default_type application/json;
        client_max_body_size 0;
        client_body_buffer_size 2m;
        location / {{ return 200 '{answer}'; }}
        location = /{file} {{ }}
        location = /upload {{
            mirror /nowhere;
            error_page 404 405 =200 /{taken};
        }}
        location = /nowhere {{ internal; return 204; }}
        location = /{taken} {{ internal; }}
    }}
}}
"""


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[tuple[int, int]]:
    """Run the origin; give stable's and canary's port."""
    ports = (free_port(), free_port())
    (directory / FILE).write_bytes(bytes(FILE_BYTES))
    (directory / TAKEN).write_text(_answer())
    path = directory / "origin.conf"
    path.write_text(
        CONFIGURATION.format(
            directory=directory,
            stable_port=ports[0],
            canary_port=ports[1],
            answer=_answer(),
            file=FILE,
            taken=TAKEN,
        )
    )
    command = [program("nginx") or "nginx", "-e", "stderr", "-c", str(path)]
    with process(command, directory / "origin.log", core=LOAD_CORE):
        yield ports


def _answer() -> str:
    shape = '{"id":1,"name":"teapot","stock":7,"price":"24.90","note":""}'
    return shape[:-2] + "x" * (ANSWER_BYTES - len(shape)) + shape[-2:]
