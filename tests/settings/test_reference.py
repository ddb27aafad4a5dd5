"""``config/``: the reference is complete and true, the smallest file works."""

import re
from collections.abc import Iterator
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import yaml

from proxy.settings import load, loads
from proxy.settings.json_schema import defaults, groups, keys
from proxy.settings.problems import group_at

REFERENCE = Path("config/headgate.yaml")

EXAMPLES = {
    "ServiceSettings": {"match", "split", "unit", "overrides", "routes", "events"},
    "EventWhenSettings": {"header", "cookie"},
    "SloSettings": {"windows"},
    "UnitSettings": {"issue", "client_address"},
    "RolloutSettings": {"slos", "gates", "notify", "freeze"},
    "MirrorSettings": {"routes", "compare"},
    "MirrorRouteSettings": {"never"},
    "CompareSettings": {
        *("ignore", "skip", "match", "tolerance", "order", "headers", "redact")
    },
    "ToleranceSettings": {"rel"},
    "WhenSettings": {"header", "cookie"},
    "GateSettings": {"type", "metadata"},
    "FreezeSettings": {"days", "from", "timezone"},
}
"""What the reference shows by example, because the default is to have none."""

IMPLICIT = {("RevisionSettings", "value")}
"""Keys that are written without their name."""


def uncommented() -> str:
    """Return the reference with every setting that is off switched on."""
    text = REFERENCE.read_text("utf-8")
    shown = re.sub(r"(?m)^( *)#(\S+:(?: .*)?|- .*)$", r"\1\2", text)
    return re.sub(
        r"(?m)^( *)#( +(?:- )?(?:[a-z_]+|\$[^: ]+):(?: .*)?)$", r"\1\2", shown
    )


def alternatives(text: str) -> list[str]:
    """Split a file with keys that are written twice into two files without."""
    first: list[str] = []
    second: list[str] = []
    seen: dict[str, int] = {}
    skip_deeper_than: int | None = None
    target = first
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if skip_deeper_than is not None and depth <= skip_deeper_than:
            skip_deeper_than = None
        key = line.split(":")[0]
        if skip_deeper_than is None and key.strip() in ("steps", "revision"):
            seen[key] = seen.get(key, 0) + 1
            skip_deeper_than = depth
            target = second if seen[key] > 1 else first
        if skip_deeper_than is None:
            first.append(line)
            second.append(line)
        else:
            target.append(line)
    return ["\n".join(first) + "\n", "\n".join(second) + "\n"]


Place = tuple[str | int, ...]


def written(value: object, loc: Place = ()) -> Iterator[tuple[str, Place]]:
    """Yield the group and the place of every setting that a file says."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from written(item, (*loc, index))
    if isinstance(value, dict):
        group = group_at(loc)
        for key, item in value.items():
            if group is not None:
                yield group.__name__, (*loc, key)
            yield from written(item, (*loc, key))


def read_texts(text: str) -> object:
    """Return plain data of a file; ``on`` is a key like any other."""
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506 (it makes texts only)


def switched_on() -> list[str]:
    """Return the two files that the reference becomes with everything on."""
    texts = alternatives(uncommented())
    return [text.replace("          path: /version", "          #") for text in texts]


def test_the_reference_loads_and_can_be_run() -> None:
    """As it stands, it fronts two local URLs, and everything goes to stable."""
    found = load(REFERENCE, {}).settings

    service = found.services["checkout"]
    assert service.versions["stable"].endpoints == ("http://127.0.0.1:9001",)
    assert service.versions["canary"].endpoints == ("http://127.0.0.1:9002",)
    assert service.split == {"stable": 100.0, "canary": 0.0}
    assert service.match == ()


@pytest.mark.parametrize("number", [0, 1])
def test_every_setting_of_the_reference_may_be_switched_on(number: int) -> None:
    """What stands behind a ``#`` is no less valid."""
    text = switched_on()[number]

    assert loads(text.encode(), "reference", {}).settings.services["checkout"].match


def test_the_reference_names_every_setting_and_no_other() -> None:
    """A setting that is added to the schema is added to the reference."""
    in_file = {
        (group, loc[-1])
        for text in alternatives(uncommented())
        for group, loc in written(read_texts(text))
    }
    in_schema = {(group.__name__, key) for group in groups() for key in keys(group)}

    assert in_schema - in_file == IMPLICIT
    assert in_file - in_schema == set()


@pytest.mark.parametrize("number", [0, 1])
def test_the_reference_shows_the_true_defaults(number: int) -> None:
    """What is written equals what is meant if it is left out."""
    text = switched_on()[number]
    document = loads(text.encode(), "reference", {}).document
    true = {group.__name__: defaults(group) for group in groups()}
    shown = {
        (group, loc[-1]): reduce(getitem, loc, document)  # type: ignore[arg-type]
        for group, loc in written(read_texts(text))
        if loc[-1] in true[group] and loc[-1] not in EXAMPLES.get(group, ())
    }
    if number == 1:
        del shown["RolloutSettings", "steps"]

    assert shown == {(group, key): true[group][key] for group, key in shown}
    assert len(shown) > 50


def test_the_smallest_file_is_small_and_works() -> None:
    """One service and two URLs are all that it takes."""
    path = Path("config/minimal.yaml")
    found = load(path, {}).settings

    code = [line for line in path.read_text().splitlines() if line[:1] != "#"]
    assert len(code) <= 6
    assert list(found.services["web"].versions) == ["stable", "canary"]
