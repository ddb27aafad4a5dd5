"""Shared-memory counters, their cuts, and what is rendered from them."""
