"""
``$VAR`` and ``${VAR:-default}`` in the scalars of the file.

The rules are the shell's, as far as they go: a default stands in for a
variable that is unset or empty, ``$$`` is one ``$``, and a ``$`` before
anything else (``$.total``) is itself. A default is taken as it is written.
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
    r"|(?P<broken>\{[^}]*\}?))",
    re.ASCII,
)

VALUE_CHARS_MAX = 64 * 1024
"""What one scalar may become: an environment is no place for documents."""


class VariableError(ValueError):
    """A reference that cannot be followed; ``str(error)`` says which and why."""


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """
    Return ``text`` with the variables of ``environ`` in place of references.

    Raises:
        VariableError: a variable is unset and has no default, or a ``${`` is no
            reference that is understood.
    """
    if "$" not in text:
        return text
    result = _REFERENCE.sub(lambda found: _value(found, environ), text)
    if len(result) > VALUE_CHARS_MAX:
        raise VariableError(f"is longer than {VALUE_CHARS_MAX} characters")
    return result


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    if found["broken"]:
        raise VariableError("contains a ${ that is neither ${VAR} nor ${VAR:-default}")
    name = found["name"] or found["braced"]
    default = found["default"]
    value = environ.get(name)
    if default is not None and not value:
        return default
    if value is None:
        raise VariableError(f"the variable {name} is not set and has no default")
    return value
