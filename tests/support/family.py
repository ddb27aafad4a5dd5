"""Find every process that a test started, however deep: by a mark they inherit."""

import os
import secrets
from pathlib import Path

_NAME = "HEADGATE_TEST_FAMILY"


class Family:
    """The processes that run with the mark in their environment."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(8)

    @property
    def environ(self) -> dict[str, str]:
        """The environment to start the first of them with."""
        return {**os.environ, _NAME: self._mark}

    def living(self) -> list[str]:
        """Return the command lines of those that run now."""
        wanted = f"{_NAME}={self._mark}".encode()
        return [
            command.decode(errors="replace").replace("\0", " ")
            for environ, command in _processes()
            if wanted in environ.split(b"\0")
        ]


def _processes() -> list[tuple[bytes, bytes]]:
    """Return environment and command line of every process that may be read."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            found.append(
                ((entry / "environ").read_bytes(), (entry / "cmdline").read_bytes())
            )
        except OSError:  # it ended just now, or is somebody else's
            continue
    return found
