"""mlops:deploy, promote, rollback, canary, undeploy, list-deployments, inferences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli.context import admin_gateway, installation, project_name
from mlops.cli.output import Json, ProjectOption, emit, emit_table, say
from mlops.entities import MAX_REPLICAS, Side
from mlops.errors import InvalidInput

if TYPE_CHECKING:
    from mlops.client import MLOpsClient

Why = Annotated[str, typer.Option(help="The reason, for the audit.")]


def _replicas(text: str) -> int | tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,2})(?:\.\.([0-9]{1,2}))?", text)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most <= MAX_REPLICAS:
        raise typer.BadParameter(
            f"{text!r} is neither a number from 1 to {MAX_REPLICAS} nor two, as in 1..4."
        )
    return least if least == most else (least, most)


def deploy(
    model: Annotated[str, typer.Argument(help="The registered model.")],
    version: Annotated[int, typer.Argument(min=1, help="Its version.")],
    project: ProjectOption = None,
    replicas: Annotated[
        Any, typer.Option(parser=_replicas, metavar="N|N..M", help="How many replicas serve it: 2, or 1..4.")
    ] = "1",
    canary: Annotated[
        int | None, typer.Option(min=0, max=100, help="Answer only that many percent of the callers.")
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Ask it what the champion is asked; drop its answers.")
    ] = False,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Serve a registered version; returns when it answers. What served before serves until then, and stays
    up to roll back to.

    Example: efficientai-toolkit mlops:deploy keypoints 3 --project drilling

    Example: efficientai-toolkit mlops:deploy keypoints 4 --canary 10 --why "new head"

    Example: efficientai-toolkit mlops:deploy keypoints 4 --replicas 1..4
    """
    deployment = _client(project).deploy_model(
        model, version, replicas=replicas, canary=canary, shadow=shadow, why=why,
        on_state=lambda state: say(f"  {model} {version}: {state}"),
    )  # fmt: skip
    part = {Side.CANARY: f" for {canary} % of the callers", Side.SHADOW: " as a shadow"}
    answers = f"{model} {version} answers{part.get(deployment.side, '')} at {deployment.url}"
    emit(deployment, as_json, answers)


def promote(
    model: Annotated[str, typer.Argument(help="The served model.")],
    version: Annotated[
        int | None, typer.Argument(min=1, help="A version that runs; the canary, if not given.")
    ] = None,
    project: ProjectOption = None,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Make a running version the champion at once. The champion stays up to roll back to, and MLflow's alias
    `champion` moves.

    Example: efficientai-toolkit mlops:promote keypoints --why "10 days without a complaint"
    """
    made = _client(project).promote_model(model, version, why=why)
    emit(made, as_json, f"{model} {made.version} is the champion.")


def rollback(
    model: Annotated[str, typer.Argument(help="The served model.")],
    project: ProjectOption = None,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Make the previous champion the champion again, at once.

    Example: efficientai-toolkit mlops:rollback keypoints --why "wrong on lubricated holes"
    """
    made = _client(project).rollback_model(model, why=why)
    emit(made, as_json, f"{model} {made.version} is the champion again.")


def canary(
    model: Annotated[str, typer.Argument(help="The served model.")],
    weight: Annotated[
        int | None, typer.Option(min=0, max=100, help="Percent of the callers that it answers.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="Serve the canary no more.")] = False,
    project: ProjectOption = None,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Change the share of the callers that the canary answers, or end it. `mlops:deploy --canary` begins one.

    A canary that fails more, or is slower, than the champion is withdrawn without a command.

    Example: efficientai-toolkit mlops:canary keypoints --weight 25
    """
    if (weight is None) == (not stop):
        raise InvalidInput("weight", weight, "and --stop: exactly one is needed", remedy="Give one of them.")
    client = _client(project)
    if stop:
        ended = client.end_side(model, Side.CANARY)
        emit(ended, as_json, f"{model} {ended.version} is no canary any more.")
        return
    made = client.weigh_canary(model, weight or 0, why=why)
    emit(made, as_json, f"{model} {made.version} answers {made.weight} % of the callers.")


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
            "SIDE": f"canary {row.weight} %" if row.side is Side.CANARY else row.side.value,
            "STATE": row.state.value,
            "REPLICAS": row.scale,
            "SINCE": row.updated_at,
            "URL": row.url,
        }
        for row in found
    ]
    emit_table(rows, False, "Nothing is deployed: efficientai-toolkit mlops:deploy <model> <version>")
    for row in found:
        if row.error:
            print(f"\n{row.project}/{row.model} {row.version}:\n{row.error if verbose else _last(row.error)}")


def inferences(
    model: Annotated[str, typer.Argument(help="The served model.")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many.")] = 20,
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """List the newest requests that a model answered, from the inference log; in JSON with their features.

    Example: efficientai-toolkit mlops:inferences keypoints --count 5

    Example: efficientai-toolkit mlops:inferences keypoints --json | jq '.[].features.outputs'
    """
    found = _client(project).inferences(model, count)
    if as_json:
        emit(found, True, "")
        return
    rows = [
        {
            "AT": row.at,
            "VERSION": row.version,
            "SIDE": row.side.value,
            "STATUS": row.status,
            "ROWS": row.features.get("rows", ""),
            "MS": f"{1000 * row.latency_s:.1f}",
            "MODEL MS": _ms(row.features.get("model_s")),
            "REQUEST": row.request_id,
        }
        for row in found
    ]
    emit_table(rows, False, f"Nothing is logged of {model!r} yet.")


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.1f}"


def _client(project: str | None) -> MLOpsClient:
    from mlops.client import MLOpsClient

    return MLOpsClient.from_project(project_name(project), config=installation().config)


def _last(traceback: str) -> str:
    return traceback.strip().splitlines()[-1] + "  (all of it with -v)"


COMMANDS = {
    "mlops:deploy": deploy,
    "mlops:promote": promote,
    "mlops:rollback": rollback,
    "mlops:canary": canary,
    "mlops:undeploy": undeploy,
    "mlops:list-deployments": list_deployments,
    "mlops:inferences": inferences,
}
