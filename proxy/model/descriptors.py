"""
How many open files a worker's connections need; arithmetic only.

Each client may need an origin connection beside its own, but never all at
once: requests in flight are limited for each version, and idle connections for
each endpoint, so the origins' side is a reserve of fixed size.
"""

CONNECTIONS_DEFAULT = 20_000
"""``limits.connections`` where nobody chose it: taken as "as many as may be"."""

BESIDE = 512
"""Descriptors that carry no traffic: listeners, the slab, a few probes."""

UPSTREAMS_RESERVED = 4_096
"""Two versions with 1 024 requests in flight and as many idle connections."""


def descriptors_needed(connections: int) -> int:
    """Return how many open files a worker with that limit may need."""
    return connections + min(connections, UPSTREAMS_RESERVED) + BESIDE


def most_connections(descriptors: int) -> int:
    """Return the largest ``limits.connections`` that so many open files allow."""
    left = max(descriptors - BESIDE, 0)
    if left >= 2 * UPSTREAMS_RESERVED:
        return left - UPSTREAMS_RESERVED
    return left // 2
