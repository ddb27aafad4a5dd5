"""
Parallel runs, the pure part: what two answers say about two versions.

::

    bytes of a leg --reading--> Answer
    two Answers --compare--> Differences       (rules, walk, bodies, matching)
    Differences of a request --tally--> counts by endpoint, path and kind
    counts --evidence, verdict--> regression? equivalent?
    counts and examples --report--> what people and programs read

Stable's answer is the left side everywhere. Noise is learned from a second
answer of stable, asked for in the same moment as the candidate's, so that both
are exchangeable if the versions are equivalent. Nothing here reads a clock,
draws a number or touches a file; values are redacted before they leave.
"""
