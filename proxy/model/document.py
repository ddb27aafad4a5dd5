"""
Frozen dataclasses to plain JSON values and back, exactly.

Decides nothing: a dataclass becomes an object with its fields as keys, a tuple
an array, an enum its value. Reading follows the type hints, ignores keys that
nobody declared (a newer version's), and fills fields that have a default.
Floats survive because Python's ``json`` writes the shortest text that reads
back as the same number; infinities and NaN are not allowed.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def encode(value: object) -> object:
    """Return ``value`` as plain JSON values; TypeError for what JSON has no word."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    write = _WRITERS.get(kind)
    if write is None:
        # Saved once a second for every rollout: each class is looked at once.
        write = _WRITERS[kind] = _writer_of(value)
    return write(value)


def _writer_of(value: object) -> Callable[[Any], object]:
    """Return what encodes values of this value's class."""
    if isinstance(value, Enum):
        return lambda one: encode(one.value)
    if isinstance(value, bool | int | float | str):
        return lambda one: one
    if isinstance(value, tuple | list):
        return lambda items: [encode(item) for item in items]
    if isinstance(value, Mapping):
        return lambda items: {str(key): encode(item) for key, item in items.items()}
    if is_dataclass(value):
        names = tuple(field.name for field in fields(value))
        return lambda one: {name: encode(getattr(one, name)) for name in names}
    raise TypeError(f"{type(value).__name__} is no JSON value")


_SCALARS = frozenset({type(None), bool, int, float, str})
_WRITERS: dict[type, Callable[[Any], object]] = {}
"""By class; as many entries as there are classes in saved documents."""


def decode(kind: type[T], document: object) -> T:
    """
    Return the ``kind`` that ``document`` describes.

    Raises:
        ValueError: the document does not have the shape of ``kind``.
    """
    result = _decode(kind, document)
    assert isinstance(result, kind)
    return result


def _decode(hint: object, value: object) -> object:
    """Return ``value`` read as the type hint ``hint``."""
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        return _decode_optional(get_args(hint), value)
    reader = _READERS.get(origin)
    if reader is not None:
        return reader(get_args(hint), value)
    assert isinstance(hint, type)
    if is_dataclass(hint):
        return _decode_dataclass(hint, value)
    if issubclass(hint, Enum):
        return hint(value)
    return _decode_scalar(hint, value)


def _decode_optional(options: tuple[object, ...], value: object) -> object:
    """Return ``None``, or ``value`` read as the one option that is not None."""
    others = [option for option in options if option is not types.NoneType]
    assert len(others) == 1, "only `X | None` can be read back without guessing"
    return None if value is None else _decode(others[0], value)


def _decode_tuple(items: tuple[object, ...], value: object) -> object:
    """Return an array as ``tuple[X, ...]`` or as a tuple of fixed length."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected an array, got {type(value).__name__}")  # noqa: TRY004
    if items[-1] is Ellipsis:
        return tuple(_decode(items[0], item) for item in value)
    return tuple(_decode(h, item) for h, item in zip(items, value, strict=True))


def _decode_dict(items: tuple[object, ...], value: object) -> object:
    """Return an object as a dict; keys are text or whole numbers."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, got {type(value).__name__}")  # noqa: TRY004
    key_of = int if items[0] is int else str
    return {key_of(key): _decode(items[1], item) for key, item in value.items()}


def _decode_scalar(kind: type, value: object) -> object:
    """Return ``value`` if it is a ``kind``; whole numbers may stand for floats."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _decode_dataclass(kind: type, value: object) -> object:
    """Return an object as the dataclass ``kind``."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, got {type(value).__name__}")  # noqa: TRY004
    hints = _hints(kind)
    known = {name: _decode(hints[name], value[name]) for name in hints if name in value}
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from None


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, object]:
    """Return the type hints of a dataclass; there are a dozen such classes."""
    return get_type_hints(kind)


_READERS: dict[object, Callable[[tuple[object, ...], object], object]] = {
    tuple: _decode_tuple,
    dict: _decode_dict,
}
