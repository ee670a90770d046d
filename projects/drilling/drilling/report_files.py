"""A training's report: kept with its run, and as files for DVC and the stage `evaluation`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from drilling.errors import InvalidConfig
from drilling.plots import training as figures
from drilling.stages import write_rows
from drilling.training_report import as_markdown, metrics_of, summarised
from mlops import MLOpsClient

TABLE, SUMMARY, REPORT = "out_of_fold.parquet", "training.json", "report.md"


def write_reports(client: MLOpsClient, folder: Path, summary: Mapping[str, Any]) -> None:
    """Write training.json to `folder`, and keep it, the table, the report and the figures with the run."""
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n")
    client.log_artifact(folder / SUMMARY, "report")
    table = folder / TABLE
    if not table.is_file():
        return
    client.log_artifact(table, "report")
    client.log_text(as_markdown(summary), f"report/{REPORT}")
    client.log_metrics(metrics_of(summary))
    for name, figure in figures.fold_figures(pl.read_parquet(table), summary).items():
        client.log_figure(figure, f"figures/{name}.png")


def evaluate(folder: Path, out: Path, plots: Path) -> dict[str, Any]:
    """Report on a training's folder again: `out` gets evaluation.json's figures, `plots` the report, tables
    and figures. Raises InvalidConfig where the folder holds no out-of-fold table."""
    try:
        table = pl.read_parquet(folder / TABLE)
        kept: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise InvalidConfig(str(folder), "holds no folds' answers: run drilling:train first") from error
    summary = kept | {key: value for key, value in summarised(table).items() if key != "learning_curve"}
    plots.mkdir(parents=True, exist_ok=True)
    (plots / REPORT).write_text(as_markdown(summary))
    errors = [
        {"method": name, "point": point, "mae_mm": figures_of["mae_mm"], "p95_mm": figures_of["p95_mm"]}
        for name, points in summary["methods"].items()
        for point, figures_of in points.items()
        if isinstance(figures_of, dict)
    ]
    write_rows(plots / "errors.csv", errors, ("method", "point", "mae_mm", "p95_mm"))
    suspicious = summary["suspicious"]
    write_rows(plots / "suspicious.csv", suspicious, tuple(suspicious[0]) if suspicious else ("file",))
    for name, figure in figures.fold_figures(table, summary).items():
        figure.savefig(plots / f"{name}.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps({key: round(value, 6) for key, value in metrics_of(summary).items()}, indent=1) + "\n"
    )
    return summary
