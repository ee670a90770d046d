"""mlops:export."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mlops.cli.context import workspace
from mlops.cli.output import Json, ProjectOption, emit
from mlops.entities import Deployment, DeploymentState, Side
from mlops.errors import DeploymentNotFound, NotFound
from mlops.serving.kubernetes.kind import Kind


def export(
    kind: Annotated[Kind, typer.Argument(help="A RayService, or an InferenceService.")],
    model: Annotated[str, typer.Argument(help="The served model.")],
    project: ProjectOption = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="A version that is deployed; the champion, if not given.")
    ] = None,
    image: Annotated[str, typer.Option(help="The image's name; by default the model's.")] = "",
    memory: Annotated[
        str, typer.Option(help="Memory of a pod, as in 2Gi; by default a replica's and a gigabyte.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder to write; it must be new or empty.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a deployment for Kubernetes: its manifest for KubeRay or KServe, and a Dockerfile with the Bento.
    Nothing is built or applied.

    Example: efficientai-toolkit mlops:export kuberay keypoints --project drilling

    Example: efficientai-toolkit mlops:export kserve keypoints --version 4 --image keypoints:4 --output deploy
    """
    from mlops.project import read_project
    from mlops.serving.base import replica_limits
    from mlops.serving.bento import folder, labels_of
    from mlops.serving.kubernetes.folder import write_export
    from mlops.serving.kubernetes.order import ExportOrder

    space = workspace(project)
    name = space.info.project_name
    row = _chosen(space.gateway.deployments(name), name, model, version)
    bento = folder(space.installation.bentos_dir, row.bento)
    labels, said = labels_of(bento), read_project(space.info.root)
    order = ExportOrder(
        row,
        bento,
        limits=replica_limits(said.quotas, said.serving, model),
        run_id=labels["run"],
        data=json.loads(labels.get("data", "{}")),
        image=image,
        memory=memory,
    )
    made = write_export(kind, order, output or Path(f"{name}-{model}-{row.version}-{kind.value}"))
    emit(made, as_json, "\n".join([f"Written: {made.folder}", "Next:", *(f"  {x}" for x in made.next_steps)]))


def _chosen(rows: Sequence[Deployment], project: str, model: str, version: int | None) -> Deployment:
    """The deployment that is meant; raises `DeploymentNotFound`, and `NotFound` for a version that does not
    serve."""
    serving = [row for row in rows if row.model == model and row.state is DeploymentState.RUNNING]
    if not serving:
        raise DeploymentNotFound(project, model)
    meant = [row for row in serving if row.version == version or (not version and row.side is Side.CHAMPION)]
    if not meant:
        there = ", ".join(f"{row.version} ({row.side.value})" for row in serving)
        what = f"version {version}" if version else "a champion"
        raise NotFound(
            f"model {model!r} of project {project!r} does not serve {what}; it serves {there}",
            remedy=f"Name one with --version, or run `efficientai-toolkit mlops:deploy {model}"
            f" {version or '<version>'} --project {project}`.",
            project=project,
            model=model,
            version=version,
        )
    return max(meant, key=lambda row: row.id)


COMMANDS = {"mlops:export": export}
