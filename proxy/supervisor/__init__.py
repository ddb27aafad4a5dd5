"""
The supervisor: owns the listening sockets, starts and replaces the children.

It carries no traffic and decides nothing about a rollout. ``headgate run``
turns itself into it (``python -m proxy.supervisor PLAN_FD``), and everything
it needs stands in the plan (``plan``). What follows from which event is pure
and lies in ``tree`` (with ``drain``, ``backoff`` and ``heartbeat``); ``loop``
waits for the events and performs what follows; ``listeners``, ``claims`` and
``children`` are the system calls. Standard library only, so that it stays
small and starts at once.
"""
