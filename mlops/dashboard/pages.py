"""The dashboard's pages. Callers are known by then: the gateway puts `principal` and `csrf` into each
request's state."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response

from mlops.dashboard.actions import action_routes
from mlops.dashboard.assets import Assets
from mlops.dashboard.compare import compare_pages
from mlops.dashboard.data import data_page, data_version_page
from mlops.dashboard.frame import Frame
from mlops.dashboard.hardware import hardware_page
from mlops.dashboard.home import home_page
from mlops.dashboard.monitoring import monitoring_page, report_page
from mlops.dashboard.performance import performance_page
from mlops.dashboard.pipelines import pipelines_page
from mlops.dashboard.rendering import FOLDER, Templates
from mlops.dashboard.run import one_run_pages
from mlops.dashboard.runs import runs_routes
from mlops.dashboard.search import search_page, url_of
from mlops.dashboard.services import services_page
from mlops.dashboard.serving_routes import serving_routes
from mlops.entities import USED_KEY
from mlops.platform import Platform
from mlops.services.names import LOGS

Number = Annotated[int, Path(ge=1, lt=2**63)]


class Pages:
    """Everything a browser is shown."""

    def __init__(self, platform: Platform) -> None:
        self.assets = Assets(FOLDER / "static")
        self._templates = Templates(self.assets)
        self.frame = Frame(platform, self._templates)

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A page without the frame."""
        return self._templates.render(template, status, **values)

    def login(self, problem: str, csrf: str, next: str, status: int = 200) -> HTMLResponse:
        """The form that takes a token."""
        return self.render("login.html", status, problem=problem, csrf=csrf, next=next)


def dashboard_routes(platform: Platform, pages: Pages) -> APIRouter:
    """GET of each page, and what its actions ask and do."""
    routes = APIRouter(include_in_schema=False)
    frame = pages.frame
    home = frame.add(home_page(platform))
    routes.include_router(runs_routes(platform, frame))
    routes.include_router(compare_pages(platform, frame))
    routes.include_router(serving_routes(platform, frame))
    makes = (monitoring_page, data_page, pipelines_page, hardware_page, services_page, search_page)
    monitoring, data, pipelines, hardware, services, search = (frame.add(make(platform)) for make in makes)
    version, performance = data_version_page(platform), performance_page(platform)

    @routes.get("/")
    async def show_home(request: Request) -> Response:
        """Show all projects, or one."""
        return await frame.show(request, home)

    @routes.get("/monitoring")
    async def show_monitoring(request: Request) -> Response:
        """Show alerts, drift, traffic and availability."""
        return await frame.show(request, monitoring)

    @routes.get("/monitoring/performance")
    async def show_performance(request: Request) -> Response:
        """Show how right a model was, by version."""
        return await frame.show(request, performance)

    @routes.get("/monitoring/reports/{number}")
    async def show_report(request: Request, number: Number) -> Response:
        """Show a drift report."""
        return await frame.show(request, report_page(platform, number))

    @routes.get("/data")
    async def show_data(request: Request) -> Response:
        """Show the versions of data."""
        return await frame.show(request, data)

    @routes.get("/data/version")
    async def show_data_version(request: Request) -> Response:
        """Show a version of data, and who uses it."""
        return await frame.show(request, version, used_tag=USED_KEY)

    @routes.get("/pipelines")
    async def show_pipelines(request: Request) -> Response:
        """Show a project's pipeline."""
        return await frame.show(request, pipelines)

    @routes.get("/services")
    async def show_services(request: Request) -> Response:
        """Show the services, and to an admin their logs."""
        return await frame.show(request, services, log_names=LOGS)

    @routes.get("/search")
    async def show_found(request: Request) -> Response:
        """Show what the words of the search field name."""
        return await frame.show(request, search, url_of=url_of)

    @routes.get("/hardware")
    async def show_hardware(request: Request) -> Response:
        """Show this machine."""
        return await frame.show(request, hardware)

    routes.include_router(one_run_pages(platform, frame))
    routes.include_router(action_routes(platform, frame))
    return routes
