"""Pages for a caller, without the gateway in front."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.testclient import TestClient

from mlops.dashboard.pages import Pages, dashboard_routes
from mlops.dashboard.parts import Parts
from mlops.errors import MLOpsError
from mlops.platform import Platform
from mlops.store.tokens import Principal, Role

ADMIN = Principal(Role.ADMIN, None)
CSRF = "f" * 64


@pytest.fixture
def browse(platform: Platform, compiled_templates: None) -> Iterator[Callable[..., object]]:
    """Asks for a path as a principal; gives the answer."""
    app = FastAPI()
    caller: dict[str, object] = {}

    @app.middleware("http")
    async def know(request: Request, call_next):
        request.state.principal, request.state.csrf = caller["principal"], caller["csrf"]
        return await call_next(request)

    @app.exception_handler(MLOpsError)
    async def told(request: Request, error: MLOpsError) -> JSONResponse:
        return JSONResponse(error.to_json(), 400)

    pages = Pages(platform)
    pages.frame._parts = Parts(patience_s=30)  # on a busy machine no part is late
    app.include_router(dashboard_routes(platform, pages))
    with TestClient(app) as client:

        def ask(
            path: str = "/",
            principal: Principal = ADMIN,
            *,
            method: str = "GET",
            region: str = "",
            version: str = "",
            csrf: str = CSRF,
            form: dict[str, str] | None = None,
            follow: bool = True,
        ):
            caller.update(principal=principal, csrf=csrf)
            headers = {"HX-Target": region, "X-Region-Version": version} if region else {}
            return client.request(method, path, headers=headers, data=form, follow_redirects=follow)

        yield ask


@pytest.fixture
def page(browse) -> Callable[..., str]:
    """The text of a page that is there."""

    def render(path: str = "/", principal: Principal = ADMIN, region: str = "") -> str:
        answer = browse(path, principal, region=region)
        assert answer.status_code == 200, answer.text
        return answer.text

    return render
