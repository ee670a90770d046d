"""drilling:parse and drilling:validate."""

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from drilling.cli import answer

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def parse(
    folder: Annotated[Path, typer.Argument(help="A folder of Setitec logs (.xls), or one log.")],
    out: Annotated[
        Path | None, typer.Argument(help="Where to write the Parquet tables; only a report if not given.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Write the figures here, for dvc metrics.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write problems.csv here, for dvc plots.")] = None,
    json: Json = False,
) -> None:
    """Read Setitec logs of any version, and report every problem.

    Files without a signal are named and left out. Writes signals.parquet (a row per sample), holes.parquet
    (a row per file) and problems.parquet.

    \b
    Examples:
        drilling:parse data/raw data/parsed
        drilling:parse hole.xls
    """
    from drilling.stages import parse_folder, write_figures, write_rows

    if folder.is_file():
        _report_file(folder, json)
        return
    with TemporaryDirectory() as nowhere:
        report, checked = parse_folder(folder, out or Path(nowhere), progress=not json)
    if figures:
        write_figures(figures, report)
    if plots:
        counts = [{"check": check, **by_severity} for check, by_severity in checked.counts.items()]
        write_rows(plots / "problems.csv", counts, ("check", "info", "warning", "error"))
    if json:
        answer.as_json(asdict(report))
    else:
        answer.as_table(f"Logs in {folder}", asdict(report))


def validate(
    source: Annotated[Path, typer.Argument(help="A folder of Setitec logs, or one log.")],
    csv: Annotated[Path | None, typer.Option(help="Write a row for each finding to this file.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where a file has an error.")] = False,
    json: Json = False,
) -> None:
    """Check logs as an engineer would: sensors, cycle, counters, clock, wear.

    Each finding has a severity, a sentence and a remedy.

    \b
    Examples:
        drilling:validate data/raw
        drilling:validate hole.xls --json
        drilling:validate data/raw --csv findings.csv --strict
    """
    from rich.console import Console

    from drilling.setitec import read_log, read_logs
    from drilling.validation import render, validate_batch

    if source.is_file():
        report = validate_batch([read_log(source)])
    else:
        stream = read_logs(source, progress=not json)
        report = validate_batch(stream, stream.failures)
    if csv:
        report.as_table().write_csv(csv)
    if json:
        answer.as_json(report.as_dict())
    else:
        render(report, Console())
    if strict and report.passed < len(report.files):
        raise typer.Exit(1)


def _report_file(path: Path, json: bool) -> None:
    from drilling.setitec import read_log

    log = read_log(path)
    values = {
        "file": str(path),
        "version": log.version,
        "recorded_at": log.recorded_at,
        "rows": log.signals.height,
        "columns": log.signals.columns,
        "steps": log.signals["step"].drop_nulls().unique(maintain_order=True).to_list(),
        "deepest_mm": log.signals["position_mm"].max(),
        "results": log.results,
    }
    if json:
        answer.as_json({**values, "problems": [asdict(problem) for problem in log.problems]})
        return
    problems = {
        f"{problem.kind}, row {problem.row or '-'}": f"{problem.section or 'file'}: {problem.detail}"
        for problem in log.problems
    }
    answer.as_table(str(path), {**values, "problem": problems})
