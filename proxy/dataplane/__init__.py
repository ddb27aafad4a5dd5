"""
The data plane: protocols, pools and relays that carry traffic, and no more.

A request's life::

    Downstream (a client's connection) cuts the head, http1 parses it
      → routing.decide picks the version, Exchange starts
      → Pool gives a warm Upstream (an origin's connection) or opens one
      → bytes are relayed both ways with back-pressure
      → recorder adds outcome and latency to the slab
      → both connections are reused or closed

Everything on that path is synchronous: no task, no future, no await, no lock,
no exception, no log call for an ordinary request on warm connections. A task
exists only where waiting does: connecting. Time-outs are found by one sweep.

- ``worker``: the process: table, channel, listeners, sweep, drain;
- ``bound``: the table tied to this worker's pools and slab words;
- ``downstream``, ``exchange``, ``upstream``, ``pool``: the path above;
- ``route``: which version a request goes to, and what it is evidence of;
- ``upload``, ``answer``: a body's way up, an answer's way down;
- ``retry``, ``expiry``: what follows a failure, and a passed deadline;
- ``heads``: what is added to heads on the way through;
- ``recorder``: counters, evidence, and the fail-fast trip;
- ``mirror``, ``mirror_leg``, ``guard``: bounded copies to another version;
- ``pairing``: answers kept side by side for the compare process;
- ``replies``: answers that the proxy makes itself;
- ``health``: /livez, /readyz and the way to /metrics.
"""
