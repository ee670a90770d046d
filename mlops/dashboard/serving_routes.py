"""Routes of models and deployments: their pages, what changes them, and the form to try one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from mlops.dashboard.actions import ASKS, OUR_FORM, Field, done
from mlops.dashboard.changes import Answer, Verb, ask, do
from mlops.dashboard.deployments import deployment_page, deployments_page
from mlops.dashboard.frame import Frame
from mlops.dashboard.models import model_page, models_page, version_page
from mlops.dashboard.tryout import Input, inputs_of
from mlops.errors import MLOpsError
from mlops.platform import Platform
from mlops.store.tokens import Principal

_Version = Annotated[int, Path(ge=1, lt=2**31)]
_Chosen = Annotated[str, Query(max_length=20)]
_Why = Annotated[str, Form(max_length=1000)]


def serving_routes(platform: Platform, frame: Frame) -> APIRouter:
    """GET /models, /models/{project}/{model} and …/{version}; GET /deployments and
    /deployments/{project}/{model}; GET and POST of its changes, and GET of its form."""
    routes = APIRouter()
    models, deployments = (frame.add(make(platform)) for make in (models_page, deployments_page))
    one = "/deployments/{project}/{model}"

    @routes.get("/models")
    async def show_models(request: Request) -> Response:
        """Show all registered models."""
        return await frame.show(request, models)

    @routes.get("/models/{project}/{model}")
    async def show_model(request: Request, project: str, model: str) -> Response:
        """Show the versions of a model."""
        return await frame.show(request, model_page(platform, project, model))

    @routes.get("/models/{project}/{model}/{version}")
    async def show_version(request: Request, project: str, model: str, version: _Version) -> Response:
        """Show a version."""
        return await frame.show(request, version_page(platform, project, model, version))

    @routes.get("/deployments")
    async def show_deployments(request: Request) -> Response:
        """Show what serves."""
        return await frame.show(request, deployments)

    @routes.get(one)
    async def show_deployment(request: Request, project: str, model: str) -> Response:
        """Show what serves of a model."""
        return await frame.show(request, deployment_page(platform, project, model))

    @routes.get(one + "/try", dependencies=ASKS)
    async def show_form(request: Request, project: str, model: str) -> Response:
        """Show the form that asks the model, made from what its champion takes."""
        inputs: list[Input] | None = None
        problem: dict[str, Any] = {}
        takes_files = False
        try:
            told = await platform.signature(project, model)
            version = (await run_in_threadpool(platform.deployment, project, model)).version
            stored = await run_in_threadpool(platform.models.example, project, model, version)
            inputs, takes_files = inputs_of(told["inputs"], stored), told["takes_files"]
        except MLOpsError as error:
            problem = {"message": error.message, "remedy": error.remedy}
        return frame.sheet(
            request, "form", "tryout.html", project=project, model=model, inputs=inputs,
            takes_files=takes_files, problem=problem,
        )  # fmt: skip

    @routes.get(one + "/{verb}", dependencies=ASKS)
    def ask_change(
        request: Request, project: str, model: str, verb: Verb, version: _Chosen = "", side: _Chosen = ""
    ) -> Response:
        """Ask whether what serves shall change."""
        question = ask(platform, project, model, verb, version, side)
        return frame.sheet(request, "change", "change.html", question=question)

    @routes.post(one + "/{verb}", dependencies=OUR_FORM)
    def change(
        request: Request, project: str, model: str, verb: Verb, version: Field = "", side: Field = "",
        weight: Field = "", replicas: Field = "", why: _Why = "",
    ) -> Response:  # fmt: skip
        """Change what serves."""
        caller: Principal = request.state.principal
        answer = Answer(version, side, weight, replicas, why)
        return done(do(platform, project, model, verb, answer, caller.name), "deployments")

    return routes
