"""Headgate: a reverse proxy that makes releasing a new version of a service safe.

The package is layered; imports point downwards only (import-linter holds it):

- ``cli``: the command line;
- ``supervisor``: the process tree, standard library only;
- ``admin``: the HTTP API;
- ``control`` | ``dataplane``: the control loop | the workers that carry traffic;
- ``telemetry`` | ``settings``: shared-memory counters | the configuration file;
- ``http1`` | ``routing`` | ``analysis`` | ``rollout``: pure decisions;
- ``model``: frozen values; ``errors``: every error of ours.
"""

__version__ = "0.1.0"
