"""What a request is counted under where no route of the file names it."""

import re
from typing import Final

from proxy.parallel.matching import UUID

ID: Final = "{id}"
PATH_CHARS_MAX: Final = 256
_NUMBER: Final = re.compile(r"[0-9]+")
_HEX: Final = re.compile(r"(?=.*[0-9])[0-9a-fA-F]{8,}")


def endpoint_of(method: str, path: str) -> str:
    """Return method and path with every segment that is an id as ``{id}``."""
    segments = path[:PATH_CHARS_MAX].split("/")
    return f"{method} " + "/".join(ID if is_id(part) else part for part in segments)


def is_id(segment: str) -> bool:
    """Whether a path segment is a number, a UUID or a hexadecimal id."""
    return (
        _NUMBER.fullmatch(segment) is not None
        or UUID.fullmatch(segment) is not None
        or _HEX.fullmatch(segment) is not None
    )
