"""mlops:ane-report: how much of a model can run on the Apple Neural Engine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli.context import workspace
from mlops.cli.output import Json, ProjectOption, say, table, to_json
from mlops.errors import InvalidInput, MLOpsError, ModelNotFound
from mlops.hardware.ane.report import told_share
from mlops.hardware.ane.wording import percent, printable
from mlops.project import allows_pickle, read_project

if TYPE_CHECKING:
    from mlops.entities import ModelVersion
    from mlops.hardware.ane.report import AneReport, Break
    from mlops.registry.base import ModelRegistry
    from mlops.serving.runtimes.mlmodel import MLModel
    from mlops.workspace import Workspace

_TYPES_SHOWN = 3
_OF_A_PLAN = ("PLANNED", "COST")
_WITHOUT = "`--no-save` reports without keeping anything."
_AGAIN = "Log and register it again."


def ane_report(
    model: Annotated[
        str,
        typer.Argument(
            help="A file (.onnx, .pt2, .mlpackage, .mlmodel) or a registered model: name, name:3, name@alias."
        ),
    ],
    project: ProjectOption = None,
    chart: Annotated[
        Path | None, typer.Option(help="Draw the report into this file (.png, .svg, .pdf).")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Read a .pt2, which may run code: for files you trust.")
    ] = False,
    save: Annotated[bool, typer.Option(help="Keep report and chart beside a registered model.")] = True,
    as_json: Json = False,
) -> None:
    """Tell what of a model Core ML can place on the Apple Neural Engine, what breaks it, and how small the
    model can be made. On a Mac Core ML is asked; elsewhere every line says that it is a heuristic.

    Example: efficientai-toolkit mlops:ane-report model.onnx --chart model.png

    Example: efficientai-toolkit mlops:ane-report keypoints@champion --project drilling --json
    """
    from mlops.cli.main import exit_code
    from mlops.hardware.ane.chart import check_chart, save_chart

    if chart is not None:
        check_chart(chart)
    keep: Callable[[AneReport], None] | None = None
    if _is_file(model):
        report = _examined(Path(model), Path(model).name, allow_pickle)
    else:
        opened = workspace(project)
        version = _find(opened.registry, opened.info.project_name, model)
        report = _examine_version(opened, version)
        keep = partial(_keep, opened.registry, version) if save else None
    print(to_json(report) if as_json else _text(report), flush=True)  # what follows may take long
    try:
        if chart is not None:
            save_chart(report, chart)
        if keep is not None:
            keep(report)
    except MLOpsError as error:  # the answer is out already: it is no error's
        say(f"{printable(error.message)}\n  → {error.remedy or _WITHOUT}")
        raise typer.Exit(exit_code(error)) from error


# -- which model --------------------------------------------------------------------------------


def _is_file(given: str) -> bool:
    """Whether a path is meant: what has a separator, or a model's ending. All else is a registered name."""
    from mlops.hardware.ane.examine import FORMATS, PICKLES

    path = Path(given)
    return "/" in given or len(path.parts) > 1 or path.suffix.lower() in (*FORMATS, *PICKLES)


def _find(registry: ModelRegistry, project: str, given: str) -> ModelVersion:
    from mlops.registry.reference import find_version

    try:
        return find_version(registry, project, given)
    except ModelNotFound as error:
        error.remedy += f" A file is meant by its ending, or as ./{error.fields['name']}."
        raise
    except InvalidInput as error:
        error.remedy = "Give a file, or name, name:version or name@alias."
        raise


# -- reading it ---------------------------------------------------------------------------------


def _examined(path: Path, name: str, allow_pickle: bool) -> AneReport:
    from mlops.hardware.ane.examine import examine_file

    if path.suffix.lower() != ".onnx":
        say(f"reading {printable(name)} by coremltools …")
    return examine_file(path, name, allow_pickle)


def _examine_version(opened: Workspace, version: ModelVersion) -> AneReport:
    """What a version's flavor says goes; its files' endings say nothing, as other hands may have put them."""
    from mlops.hardware.ane.examine import examine_onnx
    from mlops.serving.runtimes.mlmodel import read

    name = f"{version.name}:{version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = opened.registry.download(version.name, version.version, Path(scratch))
        try:
            found = read(folder)
            if "onnx" in found.flavors:
                return examine_onnx(_data(found, str(found.flavors["onnx"].get("data", "model.onnx"))), name)
            if "pytorch" in found.flavors:
                _check_pickles_allowed(opened, name)
                return _examine_torch(found, name)
        except ValueError as error:
            raise InvalidInput("model", name, str(error), remedy=_AGAIN) from error
        except InvalidInput as error:
            if error.fields["value"] == repr(name):
                raise
            raise InvalidInput("model", name, f"holds {error.message}", remedy=error.remedy) from error
        flavors = (
            ", ".join(sorted(str(each) for each in found.flavors if each != "python_function")) or "no flavor"
        )
    raise InvalidInput(
        "model", name, f"is logged as {flavors}, which has no operations to place", remedy="Log it as ONNX."
    )


def _data(found: MLModel, relative: str) -> Path:
    """A file that the MLmodel names; raises `ValueError` where it is not there, or lies outside."""
    path = found.file(relative)
    if not path.is_file():
        raise ValueError(f"MLmodel names {relative!r}, which is not there")
    return path


def _check_pickles_allowed(opened: Workspace, name: str) -> None:
    if not allows_pickle(read_project(opened.info.root).serving.allow_pickle, {"pytorch"}):
        raise InvalidInput(
            "model",
            name,
            "is logged as a torch pickle, and reading one runs its code",
            remedy="Log it as ONNX; or, if you trust it, set `allow_pickle = true` below [serving] in the"
            " project's project.toml.",
        )


def _examine_torch(found: MLModel, name: str) -> AneReport:
    """Of a model whose code may run."""
    from mlops.hardware.ane.examine import examine_pickled

    data = str(found.flavors["pytorch"].get("model_data", "data"))
    exported = found.file(f"{data}/model.pt2")
    if exported.is_file():
        return _examined(exported, name, allow_pickle=True)
    pickled = _data(found, f"{data}/model.pth")
    if found.inputs is None or found.inputs.columns:
        raise InvalidInput(
            "model", name, "has no signature of tensors", remedy="Log it with an `input_example` of arrays."
        )
    say(f"converting {name} by coremltools …")
    return examine_pickled(pickled, [(each.shape, each.dtype) for each in found.inputs.tensors], name)


def _keep(registry: ModelRegistry, version: ModelVersion, report: AneReport) -> None:
    """Put report and chart beside the version, and say where."""
    from mlops.hardware.ane.chart import save_chart

    below = f"ane-report/{version.name}-v{version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        text = Path(scratch, "report.json")
        text.write_text(to_json(report), encoding="utf-8")
        _attach(registry, version, text, below, report.basis)
        picture = save_chart(report, Path(scratch, "chart.png"))
        _attach(registry, version, picture, below, report.basis)


def _attach(registry: ModelRegistry, version: ModelVersion, file: Path, below: str, basis: str) -> None:
    try:
        uri = registry.attach(version.name, version.version, file, below)
    except MLOpsError as error:
        error.message = f"{file.name} was not kept: {error.message}"
        error.remedy = f"{error.remedy} {_WITHOUT}".strip()
        raise
    say(f"{basis}: kept as {uri}")


# -- telling it ---------------------------------------------------------------------------------


def _text(report: AneReport) -> str:
    parts = [_summary(report), _table(_rows(report))]
    if report.breaks:
        parts.append(_breaks(report.breaks))
    parts.append(_table(_sizes(report)))
    parts.append("\n".join(f"{each.basis}: {printable(each.text)}" for each in report.assumptions))
    return "\n\n".join(part for part in parts if part)


def _table(lines: Sequence[Sequence[str]]) -> str:
    return table([[printable(cell) for cell in line] for line in lines])


def _summary(report: AneReport) -> str:
    placed = sum(row.placeable for row in report.rows)
    count = sum(row.count for row in report.rows)
    planned = [row.planned for row in report.rows if row.planned is not None]
    plan = f", {sum(planned)} planned there" if planned else ""
    return (
        f"{printable(report.model)} ({report.format}) on the Neural Engine: {told_share(report)};"
        f" {placed} of {count} operations{plan}  [{report.basis}]"
    )


def _rows(report: AneReport) -> list[list[str]]:
    planned = any(row.planned is not None for row in report.rows)
    lines = [["TYPE", "COUNT", "PLACEABLE", "PLANNED", "MULTIPLY-ADDS", "SHARE", "COST", "BASIS"]]
    for row in report.rows:
        counted = "unknown" if row.uncounted == row.count else f"{row.multiply_adds:,}"
        lines.append(
            [
                row.type,
                str(row.count),
                str(row.placeable),
                "-" if row.planned is None else str(row.planned),
                counted,
                "-" if row.share is None or row.uncounted else f"{percent(row.share)}%",
                "-" if row.cost is None else f"{row.cost:.1%}",
                row.basis,
            ]
        )
    return [
        [cell for title, cell in zip(lines[0], line, strict=True) if planned or title not in _OF_A_PLAN]
        for line in lines
    ]


def _breaks(breaks: Sequence[Break]) -> str:
    """One line for all operations that leave the engine for the same reason, and one for what to do."""
    groups: dict[tuple[str, str, str], list[Break]] = {}
    for each in breaks:
        groups.setdefault((each.reason, each.remedy, each.basis), []).append(each)
    lines = [["LEAVES THE ENGINE", "COUNT", "TYPES", "FOR EXAMPLE", "BASIS"]]
    for (reason, _, basis), found in groups.items():
        types = list(dict.fromkeys(each.type for each in found))
        more = f" and {len(types) - _TYPES_SHOWN} more" if len(types) > _TYPES_SHOWN else ""
        shown = ", ".join(types[:_TYPES_SHOWN]) + more
        lines.append([reason, str(len(found)), shown, found[0].operation, basis])
    remedies = [f"{basis}: {printable(reason)} → {printable(remedy)}" for reason, remedy, basis in groups]
    return "\n".join([_table(lines), "", *remedies])


def _sizes(report: AneReport) -> list[list[str]]:
    sizes: dict[str, Any] = asdict(report.sizes)
    basis = str(sizes.pop("basis"))
    names = {"fp16": "float16", "int8": "int8", "palette4": "4-bit palette"}
    lines = [["WEIGHTS AS", "BYTES", "OF FLOAT16", "BASIS"]]
    for key, size in sizes.items():
        lines.append(
            [names[key], f"{size:,}", f"{size / sizes['fp16']:.0%}" if sizes["fp16"] else "-", basis]
        )
    return lines


COMMANDS = {"mlops:ane-report": ane_report}
