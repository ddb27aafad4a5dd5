"""
The compare process: takes pairs from the workers' rings and keeps what they say.

::

    rings (telemetry.pairs) --process--> Record --book--> Answers --parallel--> Tally
    once a second: store (parallel.db), which control reads

It is there only while a service compares. It answers to nobody: workers never
wait for it, control reads what it stored. What it had not taken when it died is
still in the rings; what it had not saved yet, a second's worth, is lost and
counted. Its one thread takes turns with everybody else at a lower priority.
"""
