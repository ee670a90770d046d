"""drilling:label and drilling:split."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from drilling.cli import answer

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Figures = Annotated[Path | None, typer.Option(help="Write the figures here, for dvc metrics.")]


def label(
    parsed: Annotated[Path, typer.Argument(help="The tables that drilling:parse wrote.")],
    out: Annotated[Path, typer.Argument(help="Where labels.parquet and queue.json go.")],
    annotations: Annotated[
        Path | None, typer.Option(help="People's labels: they stand in place of automatic ones.")
    ] = None,
    take: Annotated[
        Path | None,
        typer.Option(
            "--import", help="First take people's labels from this .json or .csv into --annotations."
        ),
    ] = None,
    method: Annotated[
        Literal["combined", "gradient", "threshold"], typer.Option(help="How key points are found.")
    ] = "combined",
    threshold: Annotated[
        float, typer.Option(help="Holes less sure than this are queued for a person.", min=0, max=1)
    ] = 0.8,
    limit: Annotated[int | None, typer.Option(help="Queue at most so many holes.", min=1)] = None,
    figures: Figures = None,
    plots: Annotated[Path | None, typer.Option(help="Write confidence.csv here, for dvc plots.")] = None,
    json: Json = False,
) -> None:
    """Find key points automatically, and queue the holes that a person should label.

    People's labels win and are never overwritten.

    \b
    Examples:
        drilling:label data/parsed data/labels
        drilling:label data/parsed data/labels --annotations data/annotations --import mine.csv
    """
    from drilling.labeling import LabelStore
    from drilling.stages import label_holes, write_figures, write_rows

    taken = None
    if take:
        if annotations is None:
            raise typer.BadParameter(
                "give the folder of people's labels with --annotations", param_hint="--import"
            )
        store = LabelStore(annotations)
        taken = store.import_csv(take) if take.suffix.lower() == ".csv" else store.import_json(take)
    report, confidences = label_holes(
        parsed,
        out,
        annotations=annotations,
        method=method,
        threshold=threshold,
        limit=limit,
        progress=not json,
    )
    if figures:
        write_figures(figures, report)
    if plots:
        write_rows(plots / "confidence.csv", confidences.to_dicts(), confidences.columns)
    values = asdict(report) | ({"imported": taken.added} if taken else {})
    if json:
        answer.as_json(values)
    else:
        answer.as_table(f"Labels in {out}", values)


def split(
    parsed: Annotated[Path, typer.Argument(help="The tables that drilling:parse wrote.")],
    labels: Annotated[Path, typer.Argument(help="The labels that drilling:label wrote.")],
    out: Annotated[Path, typer.Argument(help="The plan, a JSON file.")],
    folds: Annotated[int, typer.Option(help="How many folds.", min=2)] = 24,
    seed: Annotated[int, typer.Option(help="Decides between folds of equal size.", min=0)] = 7,
    figures: Figures = None,
    plots: Annotated[Path | None, typer.Option(help="Write folds.csv here, for dvc plots.")] = None,
    json: Json = False,
) -> None:
    """Divide labelled holes into folds that share no tool, head or panel.

    \b
    Examples:
        drilling:split data/parsed data/labels data/folds.json
        drilling:split data/parsed data/labels data/folds.json --folds 10
    """
    from drilling.stages import split_holes, write_figures, write_rows

    report, plan = split_holes(parsed, labels, out, folds=folds, seed=seed)
    if figures:
        write_figures(figures, report)
    if plots:
        sizes = [{"fold": fold.number, "holes": fold.held_out.size} for fold in plan.folds]
        write_rows(plots / "folds.csv", sizes, ("fold", "holes"))
    if json:
        answer.as_json(asdict(report))
    else:
        answer.as_table(f"Folds in {out}", asdict(report))
