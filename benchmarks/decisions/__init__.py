"""
Decisions on simulated traffic: false rollbacks, misses, time and harm.

``traffic`` makes requests second by second, ``rules`` decide on them (Headgate,
and the usual rules of Flagger, Argo Rollouts and Kayenta as yardsticks),
``trial`` lets one rule lead one rollout, ``__main__`` runs many and prints the
table. Seeds are fixed: the same command prints the same figures.
"""
