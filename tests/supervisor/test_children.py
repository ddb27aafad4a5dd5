"""Starting children: what they are told, and what they inherit."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.supervisor.children import child_environment, descriptors

fds = st.integers(3, 1000)


@given(fds, fds, st.lists(fds, max_size=3), st.lists(st.lists(fds, max_size=2)))
def test_exactly_the_named_descriptors_are_passed_on(
    slab: int, channel: int, health: list[int], listeners: list[list[int]]
) -> None:
    """Every descriptor of the document, no other number, and none that is absent."""
    launch = {
        "role": "worker",
        "index": 4,
        "workers": 7,
        "supervisor_pid": 99_999,
        "slab_fd": slab,
        "channel_fd": channel,
        "table_fd": -1,
        "health_fds": health,
        "listeners": listeners,
    }

    named = [slab, channel, *health, *(fd for mine in listeners for fd in mine)]
    assert sorted(descriptors(launch)) == sorted(named)


def test_a_checkout_is_put_on_the_path() -> None:
    """The package is found wherever the child runs, before what was there."""
    root = Path("/src/headgate")

    assert child_environment({}, root)["PYTHONPATH"] == "/src/headgate"
    assert child_environment({"PYTHONPATH": "/a"}, root)["PYTHONPATH"] == (
        f"/src/headgate{os.pathsep}/a"
    )
    present = {"PYTHONPATH": f"/a{os.pathsep}/src/headgate", "HOME": "/"}
    assert child_environment(present, root) == present


def test_an_installed_package_needs_no_path() -> None:
    """site-packages on PYTHONPATH would come before the standard library."""
    root = Path("/usr/lib/python3/site-packages")

    assert child_environment({"HOME": "/"}, root) == {"HOME": "/"}
