"""A minimal proxy on aiohttp: what one gets in Python without effort."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from peers.base import Duty, Site, process


class AiohttpProxy:
    """See the module; the program is ``aiohttp_program.py``."""

    name = "aiohttp"
    mirrors = False

    def missing(self) -> str | None:
        """Aiohttp is one of Headgate's own dependencies."""
        return None

    @contextlib.contextmanager
    def serving(self, site: Site, duty: Duty) -> Iterator[int]:
        """Run it for the length of the context."""
        assert not duty.mirror
        program = Path(__file__).with_name("aiohttp_program.py")
        ports = (site.port, site.stable_port, site.canary_port)
        command = [sys.executable, str(program), *map(str, ports), duty.cookie]
        with process(command, site.directory / "aiohttp.log") as child:
            yield child.pid
