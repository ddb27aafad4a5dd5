"""The control process: ``python -m proxy.admin LAUNCH``, started by the supervisor."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.control.controller import Controller
from proxy.control.process import Launch, main


@asynccontextmanager
async def serve(controller: Controller, launch: Launch) -> AsyncIterator[None]:
    """
    Serve people once traffic is served.

    What answers them, aiohttp above all, takes as long to import as everything
    else; nobody's request has to wait for it. Who asks meanwhile queues.
    """
    from proxy.admin import serving  # noqa: PLC0415 - see above

    async with serving.serve(controller, launch):
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], serve))
