"""What is compared: the shape of the requests, and what is done with each."""

from dataclasses import dataclass
from typing import Final

from peers.base import PLAIN, Duty

SUBJECT: Final = "headgate"
LOGGING: Final = "headgate-log"
TREE: Final = "headgate-tree"
JUDGING: Final = "headgate-tree-50"
SERVICES: Final = 50
"""As many hosts as load.lua asks when its shape is ``services``."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    One kind of traffic; ``shape`` is an argument of load.lua.

    ``subject`` is who is compared with the others. ``only`` names the peers where
    Headgate is compared with itself, and ``shapes`` those that get another shape.
    """

    name: str
    shape: str
    title: str
    duty: Duty = PLAIN
    connections: int = 64
    subject: str = SUBJECT
    only: tuple[str, ...] = ()
    shapes: tuple[tuple[str, str], ...] = ()

    def shape_for(self, peer: str) -> str:
        """Return the shape of the requests that a peer gets."""
        return dict(self.shapes).get(peer, self.shape)


SCENARIOS: Final = (
    Scenario("get", "get", "small GET, varied paths and fields"),
    Scenario("sticky", "get", "sticky by a cookie", Duty(cookie="session")),
    Scenario("post", "post", "4 KiB POST"),
    Scenario("close", "close", "connection a request"),
    Scenario("download", "download", "1 MiB download", connections=16),
    Scenario("upload", "upload", "1 MiB upload", connections=16),
    Scenario("mirror", "get", "100 % mirror", Duty(mirror=True)),
    Scenario(
        "log",
        "get",
        "access log as JSON, every request",
        subject=LOGGING,
        only=(LOGGING, SUBJECT),
    ),
    Scenario(
        "services",
        "get",
        "the whole product, 50 services under judgement against one that is not",
        subject=JUDGING,
        only=(JUDGING, TREE),
        shapes=((JUDGING, "services"),),
    ),
)
