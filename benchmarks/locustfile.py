"""
Users of the demo shop for Locust: they browse, and some of them order.

Every user keeps one ``x-user-id`` and must be answered by one version: an answer of
another version counts as a failure, because nothing is rolled out meanwhile. See
README.md here for the one command that starts the shop, Headgate and these users.
"""

import itertools
import os
import random
from typing import Any, Protocol

from locust import FastHttpUser, between, task
from locust.contrib.fasthttp import FastHttpSession

ITEMS = 100

DIRECT = os.environ.get("HEADGATE_WAY") == "direct"
"""Nobody names a version on the way straight to the shop (journeys.py)."""

_numbers = itertools.count(1)


class Answer(Protocol):
    """What is looked at of Locust's response, which has no types of its own."""

    status_code: int
    headers: Any

    def failure(self, exc: str) -> None:
        """Count the request as failed."""


class Shopper(FastHttpUser):
    """Looks at items, nine times as often as it orders one."""

    weight = 9
    wait_time = between(0.1, 0.5)
    client: FastHttpSession

    def on_start(self) -> None:
        """Get a name that stays."""
        name = f"user-{next(_numbers)}"
        self.headers = {"x-user-id": name}
        self.version: str | None = None
        # The same walk through the shop at each run; nothing here is secret.
        self.chance = random.Random(name)  # noqa: S311

    @task(9)
    def browse(self) -> None:
        """Look at an item."""
        item = self.chance.randrange(ITEMS)
        with self.client.get(
            f"/items/{item}",
            name="/items/{id}",
            headers=self.headers,
            catch_response=True,
        ) as response:
            self.judge(response)

    @task(1)
    def order(self) -> None:
        """Order an item."""
        document = {"item": self.chance.randrange(ITEMS)}
        with self.client.post(
            "/orders", json=document, headers=self.headers, catch_response=True
        ) as response:
            self.judge(response)

    def judge(self, response: Answer) -> None:
        """Fail an answer that is an error, or another version's than before."""
        version = (response.headers or {}).get("x-headgate-version")
        if response.status_code != 200:
            response.failure(f"status {response.status_code}")
        elif DIRECT:
            assert version is None, "somebody stands in between"
        elif version is None:
            response.failure("no x-headgate-version")
        elif self.version not in {None, version}:
            response.failure(f"{version} after {self.version}")
        self.version = self.version or version


class Tester(Shopper):
    """Moves through the shop without a pause."""

    weight = 1
    wait_time = between(0.0, 0.02)
