"""``headgate schema``: what an editor knows about the file."""

import json
from typing import Any

from proxy.settings.json_schema import (
    DIALECT,
    descriptions,
    groups,
    json_schema,
    keys,
)

SCHEMA = json_schema()


def properties(name: str) -> dict[str, Any]:
    """Return the described settings of a group."""
    group = SCHEMA["$defs"][name]
    if "anyOf" in group:
        group = group["anyOf"][-1]
    found: dict[str, Any] = group["properties"]
    return found


def test_the_schema_is_plain_json_of_a_known_dialect() -> None:
    """Editors choose their reader by ``$schema``."""
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == DIALECT
    assert SCHEMA["title"] == "Headgate"
    assert SCHEMA["required"] == ["services"]


def test_every_setting_is_described() -> None:
    """The docstring under a setting is what the editor shows."""
    texts = descriptions()
    for group in groups():
        assert set(texts[group.__name__]) >= keys(group), group


def test_unknown_keys_are_marked_in_every_group() -> None:
    """A misspelt key is underlined while it is typed."""
    for name, group in SCHEMA["$defs"].items():
        shape = group["anyOf"][-1] if "anyOf" in group else group
        assert shape["additionalProperties"] is False, name


def test_defaults_are_written_with_their_units() -> None:
    """An editor completes ``30s`` and not 30.0."""
    assert properties("DrainSettings")["timeout"]["default"] == "30s"
    assert properties("LimitsSettings")["head"]["default"] == "32KiB"
    assert properties("LimitsSettings")["body"]["default"] == "off"
    assert properties("RetriesSettings")["budget"]["default"] == "20%"
    assert properties("RolloutSettings")["min_requests"]["default"] == "auto"
    assert SCHEMA["properties"]["workers"]["default"] == "auto"


def test_null_is_nowhere_a_value() -> None:
    """What is absent is left out; what is off says so."""
    assert '"null"' not in json.dumps(SCHEMA)
    assert {"const": "off"} in properties("RolloutSettings")["fail_fast"]["anyOf"]


def test_short_forms_are_known() -> None:
    """A step may be a number, a revision a text, and ``listen`` one address."""
    step, revision = (
        SCHEMA["$defs"][f"{name}Settings"] for name in ("Step", "Revision")
    )
    kinds = {option.get("type") for option in step["anyOf"][0]["anyOf"]}
    assert kinds == {"number", "string"}
    assert revision["anyOf"][0]["type"] == ["string", "number"]
    assert "value" not in properties("RevisionSettings")
    listen = SCHEMA["properties"]["listen"]["anyOf"]
    assert [option["type"] for option in listen] == ["string", "array"]


def test_roles_may_be_left_out() -> None:
    """A rollout fills them in by name or by order."""
    assert "required" not in SCHEMA["$defs"]["RolloutSettings"]


def test_a_variable_may_stand_for_a_number() -> None:
    """``workers: ${WORKERS:-2}`` is not underlined."""
    for setting in (
        SCHEMA["properties"]["workers"],
        properties("LimitsSettings")["fields"],
        properties("ServiceSettings")["response_headers"],
    ):
        patterns = [option.get("pattern", "") for option in setting["anyOf"]]
        assert any(r"\$" in pattern for pattern in patterns)
