"""What the image promises, as far as it can be read from the Dockerfile."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from proxy import __version__

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    """Return the arguments of every instruction of a kind, in order."""
    return [line.split(maxsplit=1)[1] for line in LINES if line.startswith(f"{name} ")]


def test_hadolint_has_nothing_to_say() -> None:
    """The linter of Dockerfiles finds nothing."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], check=False, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_runs_as_a_number_that_is_not_root() -> None:
    """Kubernetes can tell from a number alone that it is not root."""
    [user] = instructions("USER")

    assert all(part.isdecimal() and int(part) > 0 for part in user.split(":"))


def test_every_base_is_pinned_to_a_patch_release() -> None:
    """No base image moves by itself, and both stages have the same one."""
    bases = {base.split()[0] for base in instructions("FROM")}

    assert len(bases) == 1
    assert bases.pop().split(":")[1].split("-")[0].count(".") == 2


def test_starts_without_a_shell_and_has_a_health_check() -> None:
    """Signals reach Headgate itself: entry point and command are in exec form."""
    [entry], [command] = instructions("ENTRYPOINT"), instructions("CMD")
    [health] = instructions("HEALTHCHECK")

    assert json.loads(entry) == ["headgate"]
    assert json.loads(command) == ["run"]
    assert json.loads(health.split("CMD", 1)[1]) == ["headgate", "health"]


def test_says_the_version_it_holds() -> None:
    """The image's label is the package's version."""
    [labels] = instructions("LABEL")

    assert f'org.opencontainers.image.version="{__version__}"' in labels


def test_the_context_holds_what_is_copied() -> None:
    """Everything the Dockerfile copies is let through by .dockerignore."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:].split("/")[0] for line in ignore if line.startswith("!")}
    copied = [
        name
        for line in instructions("COPY")
        if "--from" not in line
        for name in line.split()[:-1]
    ]
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert set(copied) <= kept
    assert packages["project"]["readme"] in copied
