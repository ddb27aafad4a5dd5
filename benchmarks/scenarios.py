"""What is compared: the shape of the requests, and whether each is mirrored."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of traffic; ``shape`` is an argument of load.lua."""

    name: str
    shape: str
    title: str
    mirror: bool = False
    connections: int = 64


SCENARIOS: Final = (
    Scenario("get", "get", "small GET"),
    Scenario("post", "post", "4 KiB POST"),
    Scenario("close", "close", "connection a request"),
    Scenario("download", "download", "1 MiB download", connections=16),
    Scenario("upload", "upload", "1 MiB upload", connections=16),
    Scenario("mirror", "get", "100 % mirror", mirror=True),
)
