"""Which requests are meant: a condition that overrides, rings and events share."""

from pydantic import Field

from proxy.settings.fields import CookieName, HeaderName, Method, Model, Path, Text


class WhenSettings(Model):
    """A condition on a request; everything named must hold."""

    header: dict[HeaderName, Text] = Field(default_factory=dict)
    """Values of request fields by name; ``"*"``: the field is present."""

    cookie: dict[CookieName, Text] = Field(default_factory=dict)
    """Values of cookies by name; ``"*"``: the cookie is present."""

    method: Method | None = None
    """The request's method. None: any."""

    path_prefix: Path | None = None
    """Start of the path, by whole segments. None: any path."""
