"""mlops:deploy, undeploy, list-deployments."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops.cli.context import admin_gateway, installation, project_name
from mlops.cli.output import Json, ProjectOption, emit, emit_table, say


def deploy(
    model: Annotated[str, typer.Argument(help="The registered model.")],
    version: Annotated[int, typer.Argument(min=1, help="Its version.")],
    project: ProjectOption = None,
    replicas: Annotated[int, typer.Option(min=1, max=64, help="How many replicas serve it.")] = 1,
    as_json: Json = False,
) -> None:
    """Serve a registered version; returns when it answers. What served before serves until then.

    Example: efficientai-toolkit mlops:deploy keypoints 3 --project drilling
    """
    from mlops.client import MLOpsClient

    client = MLOpsClient.from_project(project_name(project), config=installation().config)
    deployment = client.deploy_model(
        model, version, replicas=replicas, on_state=lambda state: say(f"  {model} {version}: {state}")
    )
    emit(deployment, as_json, f"{model} {version} answers at {deployment.url}")


def undeploy(
    model: Annotated[str, typer.Argument(help="The served model.")],
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Serve a model no more.

    Example: efficientai-toolkit mlops:undeploy keypoints --project drilling
    """
    name = project_name(project)
    admin_gateway().undeploy(name, model)
    emit({"undeployed": model, "project": name}, as_json, f"{model} of {name} is served no more.")


def list_deployments(
    project: Annotated[str | None, typer.Option("--project", "-p", help="One project only.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also the tracebacks.")] = False,
    as_json: Json = False,
) -> None:
    """List what serves, or is on its way, over all projects.

    Example: efficientai-toolkit mlops:list-deployments -v
    """
    found = admin_gateway().deployments(project)
    if as_json:
        emit(found, True, "")
        return
    rows = [
        {
            "PROJECT": row.project,
            "MODEL": row.model,
            "VERSION": row.version,
            "STATE": row.state.value,
            "REPLICAS": row.replicas,
            "SINCE": row.updated_at,
            "URL": row.url,
        }
        for row in found
    ]
    emit_table(rows, False, "Nothing is deployed: efficientai-toolkit mlops:deploy <model> <version>")
    for row in found:
        if row.error:
            print(f"\n{row.project}/{row.model} {row.version}:\n{row.error if verbose else _last(row.error)}")


def _last(traceback: str) -> str:
    return traceback.strip().splitlines()[-1] + "  (all of it with -v)"


COMMANDS = {
    "mlops:deploy": deploy,
    "mlops:undeploy": undeploy,
    "mlops:list-deployments": list_deployments,
}
