"""drilling:export and drilling:predict."""

from pathlib import Path
from typing import Annotated, Any

import typer

from drilling.cli import answer

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Version = Annotated[
    str, typer.Option(help="A registered version, or an alias such as champion or challenger.")
]


def export(
    out: Annotated[Path, typer.Argument(help="A folder for the models.")] = Path("build/export"),
    version: Version = "challenger",
    data: Annotated[Path, typer.Option(help="Labelled logs to judge the variants by.")] = Path("data/raw"),
    json: Json = False,
) -> None:
    """Write a registered model as ONNX in float32, float16 and int8, for MLX and for Core ML.

    Every variant answers for the held-out holes and is told apart from torch by millimetres.

    \b
    Examples:
        drilling:export
        drilling:export build/export --version 3 --json
    """
    from drilling.exporting import export_all
    from mlops import MLOpsClient

    client = MLOpsClient.from_project("drilling")
    rows = export_all(client, version, Path(client.project.root, data), out)
    if json:
        answer.as_json({"variants": rows})
    else:
        shown = [{**row, "file": Path(row["file"] or "").name or None} for row in rows]
        problems = {row["format"]: row.pop("problem") for row in shown}
        answer.as_rows(f"Variants of keypoints, {version}, in {out}", shown)
        for name, problem in problems.items():
            if problem:
                typer.echo(f"{name}: {problem}", err=True)


def predict(
    logs: Annotated[Path, typer.Argument(help="A log, or a folder of logs.")],
    version: Version = "champion",
    model: Annotated[
        Path | None, typer.Option(help="An .onnx file in place of a registered version.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the answers here too.")] = None,
    json: Json = False,
) -> None:
    """Key points of logs, with the half-width of their 90 % interval.

    A point that a hole has not, such as the transition of one layer or the exit of a blind hole, is empty.

    \b
    Examples:
        drilling:predict data/raw
        drilling:predict hole.xls --model build/export/keypoints.onnx --json
    """
    from drilling.exporting import predictor_of
    from drilling.predicting import predict_folder, write_csv

    predictor = predictor_of(model, version)
    rows, failures = predict_folder(predictor, logs)
    if csv is not None:
        write_csv(csv, rows)
    if json:
        answer.as_json({"holes": rows, "failures": failures})
    else:
        answer.as_rows(f"Key points of {len(rows)} holes, mm", [_for_people(row) for row in rows])
        for failure in failures:
            typer.echo(f"{failure['file']}: {failure['problem']}", err=True)
    if failures and not rows:
        raise typer.Exit(1)


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    """A depth with its interval for each point; how unlikely it is, where there is probably none."""
    from drilling.labeling import KEY_POINTS

    told: dict[str, Any] = {"file": row["file"]}
    for key in KEY_POINTS:
        name = key.removesuffix("_mm")
        depth, wide = row[key], row[f"{name}_plus_minus_mm"]
        none = f"none (a chance of {100 * row[f'{name}_presence']:.0f} %)"
        told[name] = none if depth is None else f"{depth:.3f} ± {wide:.3f}"
    return told
