"""``workers: auto``: the cores that may be used and are paid for."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import cores


@pytest.mark.parametrize(
    ("affinity", "quota_cores", "workers"),
    [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (2, 16.0, 2), (4, 0.1, 1), (96, None, 48)],
)
def test_auto_is_the_smaller_of_cores_and_quota(
    affinity: int, quota_cores: float | None, workers: int
) -> None:
    """A started core counts as one; there is at least one worker, at most 48."""
    assert cores.worker_count(affinity, quota_cores) == workers


@given(st.integers(1, 4096), st.none() | st.floats(0.001, 5000))
def test_auto_never_exceeds_its_bounds(
    affinity: int, quota_cores: float | None
) -> None:
    """No machine makes zero workers, or more than it has cores."""
    assert 1 <= cores.worker_count(affinity, quota_cores) <= min(affinity, 48)


def test_a_number_in_the_file_wins() -> None:
    """Only ``auto`` looks at the machine."""
    assert cores.resolve_workers(7) == 7
    assert cores.resolve_workers(None) >= 1


def test_the_quota_of_any_group_above_counts_v2(tmp_path: Path) -> None:
    """A pod's limit stands above the container's own group."""
    group = tmp_path / "pod" / "container"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("max 100000\n")
    (group.parent / "cpu.max").write_text("150000 100000\n")
    own = tmp_path / "own"
    own.write_text("0::/pod/container\n")

    assert cores.read_quota_cores(tmp_path, own) == 1.5


def test_the_quota_is_read_from_v1_too(tmp_path: Path) -> None:
    """The ``cpu`` controller may be mounted together with ``cpuacct``."""
    group = tmp_path / "cpu,cpuacct" / "docker"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("50000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    own = tmp_path / "own"
    own.write_text("3:cpuset:/\n2:cpu,cpuacct:/docker\n0::/\n")

    assert cores.read_quota_cores(tmp_path, own) == 0.5


@pytest.mark.parametrize("text", ["max 100000", "", "1", "a b", "0 100000", "1 0"])
def test_what_is_no_quota_is_none(text: str) -> None:
    """``max``, torn and foreign files limit nothing."""
    assert cores.quota_v2(text) is None


def test_v1_without_a_quota_is_none() -> None:
    """-1 is how version 1 says that there is no limit."""
    assert cores.quota_v1("-1\n", "100000\n") is None
    assert cores.quota_v1("200000\n", "100000\n") == 2.0


def test_a_machine_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    """Missing files, and paths out of the mount, are no reason to fail."""
    own = tmp_path / "own"
    assert cores.read_quota_cores(tmp_path, own) is None
    own.write_text("0::/../../x\nnonsense\n")
    assert cores.read_quota_cores(tmp_path, own) is None
