"""
``python -m proxy.supervisor PLAN_FD``: what ``headgate run`` turns itself into.

Ends with 0 after a drain and with 1, and one sentence on stderr, when the tree
could not start.
"""

import os
import sys
import time

from proxy.errors import HeadgateError, StartError
from proxy.supervisor import claims
from proxy.supervisor.actions import End
from proxy.supervisor.listeners import bind_all
from proxy.supervisor.loop import Supervisor
from proxy.supervisor.plan import Plan, parse_plan
from proxy.telemetry import channel, slab
from proxy.telemetry.log import configure, log
from proxy.telemetry.process import set_title

TITLE = "headgate-supervisor"


def main(arguments: list[str]) -> int:
    """Run the tree that the plan behind the descriptor describes."""
    try:
        end = _run(_read_plan(arguments))
    except HeadgateError as error:
        end = End(1, str(error))
    if end.message:
        sys.stderr.write(f"headgate: {end.message}\n")
    return end.code


def _read_plan(arguments: list[str]) -> Plan:
    if len(arguments) != 1 or not arguments[0].isdigit():
        raise StartError("the supervisor is started by `headgate run`")
    fd = int(arguments[0])
    try:
        document = channel.read_document(fd)
        os.close(fd)
    except OSError as error:
        raise StartError(f"descriptor {fd} holds no plan: {error.strerror}") from None
    return parse_plan(document)


def _run(plan: Plan) -> End:
    set_title(TITLE)
    configure("supervisor", plan.log_format, plan.log_level)
    began_s = time.monotonic()
    claims.close_strangers_on_exec()
    claims.raise_descriptors(int(plan.limits["connections"]))
    claims.lock_state(plan.state_dir)  # held until the process ends
    listeners = bind_all(plan)
    for purpose, address in listeners.described():
        log("info", "listening", purpose=purpose, address=address)
    end = Supervisor(plan, listeners, slab.create(plan.workers)).run()
    log("info", "ended", code=end.code, ran_s=round(time.monotonic() - began_s, 1))
    return end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
