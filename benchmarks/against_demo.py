"""
Run locustfile.py against the demo, from nothing: ``make load``.

Starts ``headgate demo --serve`` on free ports, runs Locust headless and ends both.
Options are Locust's and go after its defaults: ``against_demo.py -u 50 -t 1m``.
The exit code is Locust's: 1 when any request failed.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

DEFAULTS = ["--users", "200", "--spawn-rate", "100", "--run-time", "30s"]
END_WAIT_S = 20.0
"""The demo ends within 5 s of draining and a moment for its processes."""


def main(options: list[str]) -> int:
    """Start the demo, load it, end it."""
    environ = {**os.environ, **_free_ports()}
    demo = subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo", "--serve", "--plain"],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        if not _is_ready(demo):
            return 1
        return subprocess.run(_locust(environ, options), check=False).returncode
    finally:
        demo.send_signal(signal.SIGTERM)
        try:
            demo.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            demo.kill()
            demo.wait()


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


def _is_ready(demo: subprocess.Popen[str]) -> bool:
    """Pass on what the demo says until it is ready, or has ended."""
    assert demo.stdout is not None
    for line in demo.stdout:
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
