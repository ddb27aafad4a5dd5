"""The worker's entry: ``python -m proxy.dataplane '<launch JSON>'``."""

import asyncio
import json
import sys

import uvloop

from proxy.dataplane.worker import Worker
from proxy.telemetry.log import configure
from proxy.telemetry.process import WORKER_IGNORES, begin_child


async def _serve(launch: dict[str, object]) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(launch, loop)
    loop.set_exception_handler(worker.callback_failed)
    await worker.run()


def main() -> None:
    """Run one worker until the supervisor drains it."""
    launch = json.loads(sys.argv[1])
    title = f"headgate-worker-{launch['index']}"
    begin_child(title, launch["supervisor_pid"], WORKER_IGNORES)
    configure(title, launch["log_format"], launch["log_level"])
    uvloop.run(_serve(launch))


if __name__ == "__main__":
    main()
