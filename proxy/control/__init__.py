"""
The control process: what is decided once a second, kept, and told to the workers.

It owns the store, the settings in force, the route table and the weights. It is
never on a request's path: workers go on with the last table and the last
weights when it is away, and it finds the evidence in the slab when it returns.
"""
