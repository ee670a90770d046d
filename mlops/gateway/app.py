"""The gateway as an ASGI app over a platform that is handed in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from mlops.dashboard.pages import Pages, dashboard_routes
from mlops.gateway.auth import Authentication, project_within_reach
from mlops.gateway.bodies import BodyLimit
from mlops.gateway.door import Door
from mlops.gateway.errors import add_error_handlers
from mlops.gateway.evidently.origin import EvidentlyOrigin
from mlops.gateway.origins import OriginCheck
from mlops.gateway.responses import Responses
from mlops.gateway.roles import ViewersRead
from mlops.gateway.routes.alerts import alert_routes
from mlops.gateway.routes.board import board_routes
from mlops.gateway.routes.comparison import comparison_routes
from mlops.gateway.routes.data import data_routes
from mlops.gateway.routes.deployments import deployment_routes
from mlops.gateway.routes.drift import drift_routes
from mlops.gateway.routes.events import event_routes
from mlops.gateway.routes.evidently import evidently_routes
from mlops.gateway.routes.inference import inference_routes, schema_routes
from mlops.gateway.routes.login import login_routes
from mlops.gateway.routes.logs import log_routes
from mlops.gateway.routes.metrics import metrics_routes
from mlops.gateway.routes.models import model_routes
from mlops.gateway.routes.one_run import one_run_routes
from mlops.gateway.routes.performance import performance_routes
from mlops.gateway.routes.projects import project_routes
from mlops.gateway.routes.protocols import scoring_routes, v2_routes
from mlops.gateway.routes.run_changes import run_change_routes
from mlops.gateway.routes.runs import run_routes
from mlops.gateway.routes.search import search_routes
from mlops.gateway.routes.status import status_routes
from mlops.gateway.routes.views import view_routes
from mlops.gateway.sessions import Sessions
from mlops.gateway.streams import Streams
from mlops.gateway.tickets import Tickets
from mlops.platform import Platform


def create_app(platform: Platform) -> FastAPI:
    """The gateway and dashboard of `platform`, which is started and stopped with the app."""
    pages = Pages(platform)
    sessions = Sessions(platform.session_key, platform.addresses.gateway)
    streams = Streams(platform.marks)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await platform.start()
        try:
            yield
        finally:
            await platform.stop()

    app = FastAPI(
        title="efficientai-toolkit",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(project_within_reach)],
        middleware=[
            Middleware(Responses),
            Middleware(Door),
            Middleware(OriginCheck, host=urlsplit(platform.addresses.gateway).hostname or ""),
            Middleware(Authentication, platform=platform, sessions=sessions),
            Middleware(BodyLimit),
            Middleware(
                EvidentlyOrigin,
                url=platform.addresses.evidently,
                gateway=platform.addresses.gateway,
                client=platform.evidently,
            ),
            Middleware(ViewersRead),  # last: Evidently's origin shows only, and reads by POST
        ],
    )
    app.state.streams = streams
    add_error_handlers(app, pages.frame)
    for routes in (
        inference_routes(platform),  # first, as routes are tried in order
        v2_routes(platform),
        scoring_routes(platform),
        schema_routes(platform),
        status_routes(platform),
        project_routes(platform),
        run_routes(platform),
        run_change_routes(platform),
        view_routes(platform),
        search_routes(platform),
        one_run_routes(platform),
        comparison_routes(platform),
        data_routes(platform),
        deployment_routes(platform),
        model_routes(platform),
        alert_routes(platform),
        log_routes(platform),
        drift_routes(platform),
        evidently_routes(platform, pages),
        performance_routes(platform),
        metrics_routes(platform),
        board_routes(platform),
        event_routes(streams, sessions),
        login_routes(platform, pages, sessions, Tickets(), streams),
        dashboard_routes(platform, pages),
    ):
        app.include_router(routes)
    app.mount("/static", pages.assets)
    return app
