"""
Which version of which service a request goes to; pure.

``table`` compiles the document that control publishes into a ``RouteTable``;
``buckets`` maps a unit to one of 100 000 buckets; ``decide`` reads the live
weights out of the slab's words and picks the version. The order is: service
match, overrides, unit bucket, weights.
"""
