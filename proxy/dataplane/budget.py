"""
How many attempts may follow failed ones: a share of the requests, and some a second.

A bucket of tokens, filled by what is counted anyway, and looked at only when an
attempt has failed: an ordinary request does nothing for it. A version's own budget
is a share of its requests; what stable takes for a failing canary is a share of
all the service's requests, because the canary's are few.
"""

from typing import Final

A_SECOND: Final = 10.0
"""The fixed part (Linkerd's)."""
SECONDS: Final = 10.0
"""What was earned in so long is the most that can be had at once (Linkerd's ttl)."""
TOKENS_MIN: Final = A_SECOND * SECONDS
"""What a full budget holds without any request; what each begins with."""


class Budget:
    """``share`` of the requests, which ``earn`` is told the number of so far."""

    __slots__ = ("_most", "_since_s", "_then_requests", "_then_s", "_was", "tokens")

    def __init__(self) -> None:
        self.tokens = TOKENS_MIN
        self._most = TOKENS_MIN
        self._was = -1
        self._since_s = 0.0
        self._then_requests = 0
        self._then_s = 0.0

    def earn(self, requests: int, share: float, now_s: float) -> None:
        """Add what the requests and the time since the last look are worth."""
        if self._was < 0:  # counters outlive a worker: begin with what is there
            self._was = self._then_requests = requests
            self._since_s = self._then_s = now_s
            return
        lately = TOKENS_MIN + share * (requests - self._then_requests)
        most = max(self._most, lately)
        earned = share * (requests - self._was) + A_SECOND * (now_s - self._since_s)
        self.tokens = min(self.tokens + earned, most)
        self._widen(requests, share, now_s)
        self._was = requests
        self._since_s = now_s

    def _widen(self, requests: int, share: float, now_s: float) -> None:
        """Measure once a second what ten seconds are worth at the present rate."""
        passed_s = now_s - self._then_s
        if passed_s < 1.0:
            return
        rate = share * (requests - self._then_requests) / passed_s
        self._most = max(TOKENS_MIN, (rate + A_SECOND) * SECONDS)
        self._then_requests = requests
        self._then_s = now_s

    def spend(self) -> bool:
        """Take a token for one more attempt; False if there is none."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
