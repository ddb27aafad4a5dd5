"""
The command line: what a person types, and what they read.

Decides wording, layout and exit codes. Client verbs talk to the admin API and
know nothing else of a running Headgate; ``check``, ``schema`` and ``run`` read
the configuration file. Our own packages are imported inside the commands, so
that each pays only for what it uses.
"""

import os
import sys
from typing import NoReturn

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def main() -> NoReturn:
    """Run ``headgate`` with the process's arguments and exit."""
    # No plugin may change what a configuration file means; not looking for one in
    # every installed distribution also saves `check` 24 ms of 346 (CPU, median of 15).
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    try:
        from proxy.cli.entry import run  # Ctrl-C counts from here on

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)
