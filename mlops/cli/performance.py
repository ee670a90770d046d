"""mlops:ground-truth log, load, show; mlops:performance."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from mlops.cli.context import client
from mlops.cli.output import Json, ProjectOption, emit, emit_table, say
from mlops.entities import GroundTruthsLogged, Performance, PerformanceDifference, PerformanceReport
from mlops.errors import InvalidInput

Model = Annotated[str, typer.Option(help="The model, where two were asked under one id.")]

app = typer.Typer(
    help="What turned out to be right, by request.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("log")
def log_one(
    request_id: Annotated[str, typer.Argument(help="As the answer's header X-Request-Id said.")],
    truth: Annotated[list[str], typer.Argument(help="Of each output: depth=3.2; for rows depth=[3.2,3.3].")],
    model: Model = "",
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Log what turned out to be right of a request.

    Example: efficientai-toolkit mlops:ground-truth log hole-17 depth=3.2

    Example: efficientai-toolkit mlops:ground-truth log hole-17 'depth=[3.2, 3.3, null]' grade=good
    """
    stated = dict(_pair(each) for each in truth)
    told = client(project).log_ground_truth(request_id, stated, model=model or None)
    emit(told, as_json, _say(told))


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON lines; - is what is piped in.")],
    model: Model = "",
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Log those of a file. CSV has a column request_id and one for each output; an empty cell is not known,
    and a request of several rows has as many lines, in their order. JSON lines have request_id and truth.

    Example: efficientai-toolkit mlops:ground-truth load inspected.csv

    Example: cat inspected.jsonl | efficientai-toolkit mlops:ground-truth load -
    """
    with _opened(file) as lines, _counted() as count:
        told = client(project).log_ground_truths(count(_items(lines, model)))
    emit(told, as_json, _say(told))


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(help="Of the request.")],
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Show what is known of a request, and what it contradicted.

    Example: efficientai-toolkit mlops:ground-truth show hole-17
    """
    found = client(project).ground_truths(request_id)
    if as_json:
        emit(found, True, "")
        return
    rows = [
        {
            "MODEL": each.model or "any",
            "OUTPUT": each.output,
            "TRUTH": json.dumps(each.truths),
            "LOGGED": each.logged_at,
            "BY": each.logged_by,
            "EARLIER": "; ".join(map(json.dumps, each.earlier)),
        }
        for each in found
    ]
    emit_table(rows, False, f"Nothing is known of {request_id}.")


def performance(
    model: Annotated[str, typer.Argument(help="The served model.")],
    window: Annotated[str, typer.Option(help="How much of the time just gone: 90min, 24h, 30d.")] = "24h",
    every: Annotated[str | None, typer.Option(help="Also over time, in parts so long: 1h, 1d.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Of the model; each if not given.")] = None,
    project: ProjectOption = None,
    as_json: Json = False,
) -> None:
    """Show how right a served model was, by the ground truths that came: each version as champion, canary and
    shadow, with 95 % intervals, and the last two beside the champion.

    Example: efficientai-toolkit mlops:performance keypoints --window 30d --every 1d

    Example: efficientai-toolkit mlops:performance keypoints --version 3 --json
    """
    report = client(project).performance(model, window=window, every=every, version=version)
    if as_json:
        emit(report, True, "")
        return
    hint = f"No labelled inference of {model} in {window}: `mlops:ground-truth load` logs what was right."
    emit_table([_row(each) for each in report.rows], False, hint)
    for part in report.over_time[:1]:
        say(f"Over time, from {part.since:%Y-%m-%d %H:%M} on:")
        emit_table([_row(each, with_time=True) for each in report.over_time], False, "")
    for each in report.differences:
        say(_beside(each))
    _say_what_else(report)


def _row(each: Performance, *, with_time: bool = False) -> dict[str, Any]:
    interval = "" if each.low is None or each.high is None else f"{each.low:.4g} to {each.high:.4g}"
    return ({"FROM": f"{each.since:%Y-%m-%d %H:%M}"} if with_time else {}) | {
        "VERSION": each.version,
        "SIDE": each.side.value,
        "OUTPUT": each.output,
        "METRIC": each.metric,
        "VALUE": f"{each.value:.4g}",
        "95 %": interval,
        "ROWS": each.rows,
        "REQUESTS": each.requests,
    }


def _beside(each: PerformanceDifference) -> str:
    other = each.other
    return (
        f"{other.side.value} {other.version} beside champion {each.champion.version}, {other.metric} of"
        f" {other.output}: {other.value - each.champion.value:+.4g} ({each.low:+.4g} to {each.high:+.4g}):"
        f" {each.verdict.value}"
    )


def _say_what_else(report: PerformanceReport) -> None:
    if report.contradicted:
        say(f"{report.contradicted} have a ground truth that contradicted an earlier one: the last counts.")
    if report.unusable:
        say(f"{report.unusable} rows could not be compared: no prediction of that name, or other rows.")
    for problem in report.problems:
        say(problem)


def _say(told: GroundTruthsLogged) -> str:
    return f"{told.new} new, {told.repeated} known already, {told.contradicted} contradict what was known."


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidInput("truth", text, "is no output with its value", remedy="Write it as depth=3.2.")
    return name, _value(value)


def _value(text: str) -> Any:
    """JSON where it is that, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# -- files --------------------------------------------------------------------------------------


@contextmanager
def _opened(file: Path) -> Iterator[IO[str]]:
    if str(file) == "-":
        yield sys.stdin
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield lines
    except (OSError, UnicodeError) as error:
        remedy = "Give CSV or JSON lines."
        raise InvalidInput("file", file, f"cannot be read: {error}", remedy=remedy) from error


def _items(lines: IO[str], model: str) -> Iterator[dict[str, Any]]:
    first = lines.readline()
    is_json = first.lstrip().startswith("{")
    items = _of_json(first, lines) if is_json else _of_csv(first, lines)
    for item in items:
        yield item if item.get("model") or not model else item | {"model": model}


def _of_json(first: str, lines: IO[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate((first, *lines), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise _wrong_line(number, f"is no JSON: {error}") from None
        if not isinstance(item, dict):
            raise _wrong_line(number, "is no object")
        yield item


def _of_csv(first: str, lines: IO[str]) -> Iterator[dict[str, Any]]:
    header = next(csv.reader([first]), [])
    outputs = [name for name in header if name not in ("request_id", "model")]
    if "request_id" not in header or not outputs:
        raise _wrong_line(1, "is no header with request_id and outputs")
    open_item: dict[str, Any] = {}
    for number, cells in enumerate(csv.reader(lines), 2):
        if not cells:
            continue
        if len(cells) != len(header):
            raise _wrong_line(number, f"has {len(cells)} cells, the header {len(header)}")
        row = dict(zip(header, cells, strict=True))
        if (row["request_id"], row.get("model", "")) != (open_item.get("request_id"), open_item.get("model")):
            if open_item:
                yield open_item
            open_item = {
                "request_id": row["request_id"],
                "model": row.get("model", ""),
                "truth": {name: [] for name in outputs},
            }
        for name in outputs:
            open_item["truth"][name].append(_value(row[name]) if row[name].strip() else None)
    if open_item:
        yield open_item


def _wrong_line(number: int, problem: str) -> InvalidInput:
    return InvalidInput(
        "file", f"line {number}", problem, remedy="Correct it; nothing of its thousand is kept."
    )


@contextmanager
def _counted() -> Iterator[Any]:
    """What passes an iterator through and shows how many came, on a terminal."""
    if not sys.stderr.isatty():
        yield iter
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} requests"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def count(items: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
            for item in items:
                yield item
                bar.advance(task)

        yield count


COMMANDS = {"mlops:ground-truth": app, "mlops:performance": performance}
