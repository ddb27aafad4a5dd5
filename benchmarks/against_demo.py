"""
Run locustfile.py against the demo, from nothing: ``make load``.

Starts ``headgate demo --serve`` on free ports, runs Locust headless and ends both.
Options are Locust's and go after its defaults: ``against_demo.py -u 50 -t 1m``.
The exit code is Locust's: 1 when any request failed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DEFAULTS = ["--users", "200", "--spawn-rate", "100", "--run-time", "30s"]
END_WAIT_S = 20.0
"""The demo ends within 5 s of draining and a moment for its processes."""


def main(options: list[str]) -> int:
    """Start the demo, load it, end it."""
    with demo() as environ:
        if environ is None:
            return 1
        return subprocess.run(_locust(environ, options), check=False).returncode


@contextlib.contextmanager
def demo() -> Iterator[dict[str, str] | None]:
    """Run the demo; give the environment with its ports, None if it failed."""
    environ = {**os.environ, **_free_ports()}
    child = subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo", "--serve", "--plain"],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        yield environ if _is_ready(child) else None
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _free_ports() -> dict[str, str]:
    """Return the variables of config/demo.yaml with ports that are free now."""
    names = (
        "HEADGATE_DEMO_PORT",
        "HEADGATE_DEMO_ADMIN_PORT",
        "HEADGATE_DEMO_HEALTH_PORT",
    )
    listeners = [socket.create_server(("127.0.0.1", 0)) for _name in names]
    ports = [str(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return dict(zip(names, ports, strict=True))


def _is_ready(child: subprocess.Popen[str]) -> bool:
    """Pass on what the demo says until it is ready, or has ended."""
    assert child.stdout is not None
    for line in child.stdout:
        print(line, end="", flush=True)
        if line.startswith("ready"):
            return True
    return False


def _locust(environ: dict[str, str], options: list[str]) -> list[str]:
    """Return the command that loads the demo."""
    return [
        sys.executable,
        "-m",
        "locust",
        "--locustfile",
        str(Path(__file__).with_name("locustfile.py")),
        "--host",
        f"http://127.0.0.1:{environ['HEADGATE_DEMO_PORT']}",
        "--headless",
        "--only-summary",
        *DEFAULTS,
        *options,
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
