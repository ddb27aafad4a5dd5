"""What a process holds in memory, as the kernel counts it."""

from pathlib import Path

PRIVATE = ("Private_Clean:", "Private_Dirty:")


def rollup_kib(pid: int) -> dict[str, int]:
    """Return the lines of ``smaps_rollup``, in KiB."""
    out = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        out[name] = int(value)
    return out


def private_kib(pid: int) -> int:
    """Return what would be free if the process ended."""
    lines = rollup_kib(pid)
    return sum(lines[name] for name in PRIVATE)


def proportional_kib(pid: int) -> int:
    """Return the proportional set size."""
    return rollup_kib(pid)["Pss:"]
