"""
The configuration file: what it can say, what is wrong with it, what it means.

``load`` turns a file into ``Loaded`` or raises one ``SettingsError`` with every
mistake. Everything else reads the frozen tree in ``schema``. PyYAML and pydantic's
models stay behind this package.
"""

from proxy.settings.loading import (
    Loaded,
    document_of,
    from_document,
    hash_of,
    load,
    loads,
    located,
    read_secret,
    redacted,
)
from proxy.settings.schema import Settings

__all__ = [
    "Loaded",
    "Settings",
    "document_of",
    "from_document",
    "hash_of",
    "load",
    "loads",
    "located",
    "read_secret",
    "redacted",
]
