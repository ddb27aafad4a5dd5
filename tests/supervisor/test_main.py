"""The supervisor's entry: light, and clear about what it was not given."""

import subprocess
import sys

import pytest

from tests.support.process_tree import ROOT

LOADED = """
import sys
import proxy.supervisor.__main__
outside = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(sorted(outside - {"proxy", "__main__", "__mp_main__"}))
print(sorted(n for n in sys.modules if n.startswith(("proxy.", "asyncio"))))
"""


def test_nothing_heavy_is_imported() -> None:
    """The standard library and a few modules of ours; no loop, no third party."""
    run = subprocess.run(
        [sys.executable, "-S", "-c", LOADED],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        cwd=ROOT,
    )
    outside, ours = run.stdout.splitlines()

    assert outside == "[]"
    for module in ("asyncio", "proxy.control", "proxy.dataplane", "proxy.settings"):
        assert f"'{module}'" not in ours


@pytest.mark.parametrize("arguments", [[], ["x"], ["1", "2"], ["99"]])
def test_a_supervisor_without_a_plan_says_how_it_is_started(
    arguments: list[str],
) -> None:
    """One sentence and exit code 1."""
    run = subprocess.run(
        [sys.executable, "-m", "proxy.supervisor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        cwd=ROOT,
    )

    assert run.returncode == 1
    assert run.stderr.startswith("headgate: ")
    assert run.stderr.count("\n") == 1
