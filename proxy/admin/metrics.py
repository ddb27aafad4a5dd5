"""
``/metrics`` as the workers ask for it, over a unix socket of their own tree.

Decides nothing but the format. The workers answer on the health listener and
pass the scrape on to here.
"""

from aiohttp import web

from proxy.admin.problems import answer_problems
from proxy.control.controller import Controller

OPENMETRICS = "application/openmetrics-text"


def make_metrics_app(controller: Controller) -> web.Application:
    """Return the app that serves the metrics of one controller, and only them."""

    async def metrics(request: web.Request) -> web.Response:
        """Answer in the format that the caller asked for."""
        openmetrics = OPENMETRICS in request.headers.get("Accept", "").lower()
        body, content_type = controller.metrics(openmetrics=openmetrics)
        fields = {"Content-Type": content_type, "Server": "headgate"}
        return web.Response(body=body, headers=fields)

    app = web.Application(middlewares=[answer_problems])
    app.add_routes([web.get("/metrics", metrics)])
    return app
