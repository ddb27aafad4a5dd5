"""
The proxies that are compared: each with one worker, pinned, as alike as it can be.

Every peer does the same work: keep-alive on both sides, 80 % of the units to
stable and 20 % to canary by the field ``x-user-id``, the version's name in the
answer, X-Forwarded-For, no access log. ``base`` says what a peer is;
the other modules are one peer each.
"""
