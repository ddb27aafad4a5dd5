"""
The admin API: who may ask, what was asked, and how the answer is written.

Every decision about a rollout is ``proxy.control``'s; here are HTTP, its
limits and its dangers (DNS rebinding, cross-site requests, tokens, slow
readers) and nothing else. ``python -m proxy.admin`` is the control process.
"""
