"""drilling:train, drilling:evaluate, drilling:promote."""

import os
from pathlib import Path
from typing import Annotated

import typer

from drilling.cli import answer

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Labels = Annotated[Path | None, typer.Option(help="labels.parquet of drilling:label: people's labels win.")]


def train(
    data: Annotated[str, typer.Option(help="The versioned folder of logs.")] = "data/raw",
    quick: Annotated[bool, typer.Option("--quick", help="No folds, few epochs: a first look.")] = False,
    folds: Annotated[Path | None, typer.Option(help="folds.json of drilling:split.")] = None,
    labels: Labels = None,
    out: Annotated[Path | None, typer.Option(help="Keep the folds' answers and the summary here.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training holes.", min=1)] = None,
    workers: Annotated[int | None, typer.Option(help="Folds to train at once; by cores.", min=1)] = None,
    experiment: Annotated[str | None, typer.Option(help="MLflow experiment.")] = None,
    json: Json = False,
) -> None:
    """Train over grouped folds, compare with the alternatives, and register a challenger.

    A run that was stopped, killed or became too hot goes on where it was when the command is given again.

    \b
    Examples:
        drilling:train
        drilling:train --quick
        drilling:train --folds data/folds.json --labels data/labels/labels.parquet --out data/training
    """
    from dataclasses import replace

    from drilling.config import read_config
    from drilling.training import IntegratedTrainingPipeline
    from mlops import MLOpsClient

    client = MLOpsClient.from_project("drilling")
    root = Path(client.project.root)
    config = read_config(root / "params.yaml")
    config = replace(config, epochs=epochs) if epochs else config
    config = config.quick() if quick else config
    # As a stage of `dvc repro`, which holds DVC's lock, it takes the version that is recorded.
    version = client.data_version(data) if "DVC_STAGE" in os.environ else client.dvc_add(data)
    pipeline = IntegratedTrainingPipeline(
        client, config, folds=folds, labels=labels, out=out, workers=workers
    )
    outcome = pipeline.train(version, experiment)
    values = {
        "run": outcome.run.id,
        "model": f"{outcome.model.name} version {outcome.model.version}, challenger",
        "holes": len(outcome.dataset.holes),
        "held out": int(outcome.held_out.size),
        "synthetic": outcome.dataset.synthetic,
        "labels": outcome.dataset.label_source,
        "held-out MAE, mm": {name: round(error.mae_mm, 4) for name, error in outcome.errors.items()},
        "ONNX parity, mm": outcome.parity_mm,
        "seconds": outcome.summary["seconds"],
        "page": outcome.run.url,
    }
    if "winner" in outcome.summary:
        from drilling.training_report import NAMES

        values["smallest error over folds"] = NAMES[outcome.summary["winner"]]
        values["MAE over folds, mm"] = {
            point: round(figures["mae_mm"], 4)
            for point, figures in outcome.summary["methods"][outcome.summary["registered"]].items()
            if isinstance(figures, dict)
        }
    answer.as_json(values | {"summary": outcome.summary}) if json else answer.as_table("Training", values)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="What drilling:train --out wrote.")] = Path("data/training"),
    figures: Annotated[Path, typer.Option(help="Metrics for dvc.")] = Path("reports/evaluation.json"),
    plots: Annotated[Path, typer.Option(help="Report, tables and figures.")] = Path("reports/evaluation"),
    json: Json = False,
) -> None:
    """Report on the folds' answers: errors by method, wear, recipe and stack, and the labels to look at.

    \b
    Examples:
        drilling:evaluate
        drilling:evaluate data/training --plots /tmp/report
    """
    from drilling.report_files import evaluate as report
    from drilling.training_report import as_markdown

    summary = report(folder, figures, plots)
    if json:
        answer.as_json(summary)
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(as_markdown(summary)))


def promote(
    version: Annotated[int | None, typer.Argument(help="The challenger where none is given.")] = None,
    model: Annotated[str, typer.Option(help="The registered model.")] = "keypoints",
    data: Annotated[Path, typer.Option(help="Labelled logs to compare on.")] = Path("data/raw"),
    labels: Labels = None,
    force: Annotated[bool, typer.Option("--force", help="Also where it is worse; recorded.")] = False,
    json: Json = False,
) -> None:
    """Make a version the champion, unless it is worse than the present one on holes neither has seen.

    \b
    Examples:
        drilling:promote
        drilling:promote 7 --force
    """
    from dataclasses import asdict

    from drilling.promotion import promote as decide
    from mlops import MLOpsClient

    client = MLOpsClient.from_project("drilling")
    found = decide(
        client, model, Path(client.project.root, data), version=version, labels=labels, force=force
    )
    answer.as_json(asdict(found)) if json else answer.as_table(f"{model}: champion", asdict(found))
