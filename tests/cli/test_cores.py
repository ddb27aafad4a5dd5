"""How many workers ``auto`` means."""

import os
from pathlib import Path

import pytest

from proxy.cli.cores import cpu_quota, worker_count


def group(tmp_path: Path, line: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Lay out a control group file system; return its root and ``self/cgroup``."""
    of_self = tmp_path / "self"
    of_self.write_text(line)
    root = tmp_path / "cgroup"
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root, of_self


@pytest.mark.parametrize(
    ("line", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 1"}, 0.5),
        ("0::/host/path\n", {"cpu.max": "200000 100000"}, 2.0),
        (
            "4:memory:/x\n3:cpu:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "25000", "cpu/x/cpu.cfs_period_us": "100000"},
            0.25,
        ),
        (
            "3:cpu,cpuacct:/\n",
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ("0::/\n", {"cpu.max": "100 0"}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("", {}, None),
    ],
)
def test_the_tightest_quota_counts(
    tmp_path: Path, line: str, files: dict[str, str], quota: float | None
) -> None:
    """Both versions of control groups are read, and every group above."""
    root, of_self = group(tmp_path, line, files)

    assert cpu_quota(root, of_self) == quota


def test_a_part_of_a_core_is_one_worker(tmp_path: Path) -> None:
    """The quota is rounded up, and there is always one worker."""
    root, of_self = group(tmp_path, "0::/\n", {"cpu.max": "1000 100000"})

    assert worker_count(root, of_self) == 1


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    """One worker a core that the process may run on."""
    assert worker_count(tmp_path, tmp_path / "none") == len(os.sched_getaffinity(0))
