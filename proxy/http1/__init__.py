"""
HTTP/1.1 as pure functions of bytes (RFC 9110, RFC 9112).

A head is cut at CRLFCRLF by the caller and parsed here, strictly: what is not
understood is refused, never guessed. Heads are not rebuilt field by field but
line by line; a line that was seen before costs one dictionary look-up. Bodies
are counted here (``framing``), never stored.

- ``fields``: what a field line is, and which lines matter to a proxy;
- ``request``, ``response``: heads as values, or the refusal they deserve
  (``refusals``);
- ``forward``: the head for the next hop;
- ``framing``: where a body ends.

No sockets, no clock, no chance.
"""
