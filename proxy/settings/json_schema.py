"""
The settings as JSON Schema, for editors and for CI.

pydantic writes the structure; the descriptions are the docstrings of the
settings, read from the source only when somebody asks for the schema.
"""

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from proxy.settings import (
    lifecycle,
    mirror,
    process,
    rollout,
    schema,
    service,
    slo,
    when,
)
from proxy.settings.fields import VARIABLE_PATTERN, Model
from proxy.settings.loading import without_absent
from proxy.settings.schema import Settings
from proxy.settings.service import RevisionSettings

MODULES = (schema, process, when, service, mirror, rollout, slo, lifecycle)
"""Where groups of settings are written."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file."""
    written = Settings.model_json_schema(mode="validation")
    definitions = written.pop("$defs")
    texts = descriptions()
    for group in groups():
        shape = definitions.get(group.__name__, written)
        _describe(shape, texts[group.__name__], defaults(group))
    definitions["RevisionSettings"] = _revision(definitions["RevisionSettings"])
    definitions["StepSettings"] = _or_short(definitions["StepSettings"], "weight")
    definitions["RollbackSettings"] = _or_short(definitions["RollbackSettings"], "mode")
    definitions["FormSettings"] = _or_short(definitions["FormSettings"], "form")
    definitions["ToleranceSettings"] = _or_short(
        definitions["ToleranceSettings"], "abs"
    )
    _make_roles_optional(definitions["RolloutSettings"])
    cleaned = {name: _cleaned(group) for name, group in definitions.items()}
    whole = {"$schema": DIALECT, **_cleaned(written), "title": "Headgate"}
    return {**whole, "$defs": cleaned}


def defaults(group: type[BaseModel]) -> dict[str, Any]:
    """
    Return the defaults of a group's keys, as a file would write them.

    Keys that are required are left out, and so are keys that may be absent.
    """
    found: dict[str, Any] = {}
    for name, setting in group.model_fields.items():
        if setting.is_required():
            continue
        default = setting.get_default(call_default_factory=True, validated_data={})
        written = group.model_construct(**{name: default})
        key = setting.alias or name
        text = written.model_dump(mode="json", include={name}).get(key)
        if text is not None and not isinstance(default, BaseModel):
            found[key] = without_absent(text)
    return found


def groups() -> Iterator[type[BaseModel]]:
    """Yield every group of settings."""
    for module in MODULES:
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, Model)
                and value.__module__ == module.__name__
            ):
                yield value


def keys(group: type[BaseModel]) -> set[str]:
    """Return the keys of a group, as the file writes them."""
    return {setting.alias or name for name, setting in group.model_fields.items()}


def descriptions() -> dict[str, dict[str, str]]:
    """Return the docstring of every setting, inherited ones too, by group and key."""
    found: dict[str, dict[str, str]] = {}
    for module in MODULES:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef):
                words: dict[str, str] = {}
                for base in node.bases:
                    words |= found.get(ast.unparse(base), {})
                found[node.name] = words | dict(_attribute_docstrings(node))
    return found


def _attribute_docstrings(group: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for setting, text in zip(group.body, group.body[1:], strict=False):
        match setting, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                # A trailing underscore keeps a key from being a word of Python.
                yield name.rstrip("_"), " ".join(words.split())
            case _:
                pass


def _describe(
    group: dict[str, Any], texts: dict[str, str], defaults: dict[str, Any]
) -> None:
    for name, setting in group["properties"].items():
        setting.pop("title", None)
        setting.pop("default", None)
        kinds = _take_kind(setting)
        if kinds:
            setting["anyOf"] = kinds
        setting["description"] = texts[name]
        if name in defaults:
            setting["default"] = defaults[name]


def _take_kind(setting: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the type out of a setting; return it beside a variable's text."""
    plain = setting.get("type") in ("integer", "number", "boolean")
    if not plain and "enum" not in setting and "const" not in setting:
        return []
    words = "^(on|off|yes|no)$|" if setting.get("type") == "boolean" else ""
    kind = dict(setting)
    setting.clear()
    return [kind, {"type": "string", "pattern": words + VARIABLE_PATTERN}]


def _make_roles_optional(group: dict[str, Any]) -> None:
    """Forget that roles are required: a service fills them in."""
    roles = {"stable", "canary"}
    group["required"] = [key for key in group.get("required", ()) if key not in roles]
    if not group["required"]:
        del group["required"]


def _revision(group: dict[str, Any]) -> dict[str, Any]:
    """Describe how a revision is written: a text, or where to find it."""
    value = group["properties"].pop("value")
    text = {"type": ["string", "number"], "description": value["description"]}
    assert RevisionSettings.__doc__ is not None
    return {"description": RevisionSettings.__doc__, "anyOf": [text, group]}


def _or_short(group: dict[str, Any], key: str) -> dict[str, Any]:
    """Describe a group that may be written as the value of one of its keys."""
    short = {**group["properties"][key]}
    return {"description": group.pop("description"), "anyOf": [short, group]}


def _cleaned(value: Any) -> Any:  # noqa: ANN401
    """Drop what only Python knows: null for what is absent."""
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if not isinstance(value, dict):
        return value
    options = [part for part in value.get("anyOf", ()) if part != {"type": "null"}]
    kept = {key: _cleaned(item) for key, item in value.items() if key != "anyOf"}
    if len(options) == 1:
        return {**_cleaned(options[0]), **kept}
    return {**kept, "anyOf": _cleaned(options)} if options else kept
