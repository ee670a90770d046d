"""mlops:ane-report: how much of a model can run on the Apple Neural Engine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli.context import workspace
from mlops.cli.output import Json, ProjectOption, say, table, to_json
from mlops.errors import InvalidInput, NotFound
from mlops.project import check_model_name, read_project

if TYPE_CHECKING:
    from mlops.entities import ModelVersion
    from mlops.hardware.ane.report import AneReport, Break
    from mlops.registry.base import ModelRegistry
    from mlops.serving.runtimes.mlmodel import MLModel
    from mlops.workspace import Workspace

_REFERENCE = re.compile(r"(?P<name>[^:@]+)(?::(?P<version>[0-9]{1,9})|@(?P<alias>.+))?")
_FILES = (".onnx", ".pt2", ".mlpackage", ".mlmodel", ".pt", ".pth", ".pkl", ".pickle", ".joblib")
_TYPES_SHOWN = 3


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
    save: Annotated[bool, typer.Option(help="Keep report and chart beside a registered model.")] = True,
    as_json: Json = False,
) -> None:
    """Tell what of a model Core ML can place on the Apple Neural Engine, what breaks it, and how small the
    model can be made. On a Mac Core ML is asked; elsewhere every line says that it is a heuristic.

    Example: efficientai-toolkit mlops:ane-report model.onnx --chart model.png

    Example: efficientai-toolkit mlops:ane-report keypoints@champion --project drilling --json
    """
    from mlops.hardware.ane.chart import check_ending, save_chart

    if chart is not None:
        check_ending(chart)
    saved: tuple[str, ...] = ()
    if _is_file(model):
        report = _examined(Path(model), Path(model).name)
    else:
        opened = workspace(project)
        version = _find(opened.registry, opened.info.project_name, model)
        report = _examine_version(opened, version)
        if save:
            saved = _keep(opened.registry, version, report)
    if chart is not None:
        save_chart(report, chart)
    print(to_json({**asdict(report), "saved": saved}) if as_json else _text(report, saved))


# -- which model --------------------------------------------------------------------------------


def _is_file(given: str) -> bool:
    """Whether a path is meant; a registered model's name has no separator and no model's ending."""
    path = Path(given)
    return "/" in given or len(path.parts) > 1 or path.suffix.lower() in _FILES or path.is_file()


def _find(registry: ModelRegistry, project: str, given: str) -> ModelVersion:
    """The version that `name`, `name:3` or `name@alias` means; of a name alone, the newest."""
    parts = _REFERENCE.fullmatch(given)
    if parts is None:
        raise InvalidInput(
            "model", given, "names no model", remedy="Give a file, or name, name:version or name@alias."
        )
    name = check_model_name(parts["name"])
    if parts["version"]:
        return registry.get_version(name, int(parts["version"]))
    versions = registry.list_versions(name)
    found = [each for each in versions if not parts["alias"] or parts["alias"] in each.aliases]
    if not found:
        aliases = sorted({alias for each in versions for alias in each.aliases})
        raise NotFound(
            f"no version of model {name!r} in project {project!r} has the alias {parts['alias']!r}",
            remedy=f"Its aliases: {', '.join(aliases) or 'none'}. Or give {name}:{versions[0].version}.",
            project=project,
            name=name,
            alias=parts["alias"],
        )
    return found[0]


# -- reading it ---------------------------------------------------------------------------------


def _examined(path: Path, name: str) -> AneReport:
    from mlops.hardware.ane.examine import examine_file

    if path.suffix.lower() == ".pt2":
        say(f"converting {name} by coremltools; a .pt2 is read by pickle: do so for files you trust …")
    elif path.suffix.lower() != ".onnx":
        say(f"reading {name} by coremltools …")
    return examine_file(path, name)


def _examine_version(opened: Workspace, version: ModelVersion) -> AneReport:
    from mlops.serving.runtimes.mlmodel import read

    name = f"{version.name}:{version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = opened.registry.download(version.name, version.version, Path(scratch))
        try:
            found = read(folder)
            if "onnx" in found.flavors:
                path = found.file(str(found.flavors["onnx"].get("data", "model.onnx")))
                return _examined(path, name)
            if "pytorch" in found.flavors:
                return _examine_torch(opened, found, name)
        except ValueError as error:
            raise InvalidInput("model", name, str(error), remedy="Log and register it again.") from error
        flavors = ", ".join(sorted(set(found.flavors) - {"python_function"})) or "no flavor"
    raise InvalidInput(
        "model", name, f"is logged as {flavors}, which has no operations to place", remedy="Log it as ONNX."
    )


def _examine_torch(opened: Workspace, found: MLModel, name: str) -> AneReport:
    from mlops.hardware.ane.examine import examine_pickled

    if not read_project(opened.info.root).serving.allow_pickle:
        raise InvalidInput(
            "model",
            name,
            "is logged as a torch pickle, and reading one runs its code",
            remedy="Log it as ONNX; or, if you trust it, set `allow_pickle = true` below [serving] in the"
            " project's project.toml.",
        )
    data = str(found.flavors["pytorch"].get("model_data", "data"))
    exported, pickled = found.file(f"{data}/model.pt2"), found.file(f"{data}/model.pth")
    if exported.is_file():
        return _examined(exported, name)
    if found.inputs is None or found.inputs.columns:
        raise InvalidInput(
            "model", name, "has no signature of tensors", remedy="Log it with an `input_example` of arrays."
        )
    say(f"converting {name} by coremltools …")
    return examine_pickled(pickled, [(each.shape, each.dtype) for each in found.inputs.tensors], name)


def _keep(registry: ModelRegistry, version: ModelVersion, report: AneReport) -> tuple[str, ...]:
    """Put chart and report beside the version; returns their URIs."""
    from mlops.hardware.ane.chart import save_chart

    below = f"ane-report/{version.name}-v{version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        picture = save_chart(report, Path(scratch, "chart.png"))
        text = Path(scratch, "report.json")
        text.write_text(to_json(report), encoding="utf-8")
        return tuple(registry.attach(version.name, version.version, file, below) for file in (picture, text))


# -- telling it ---------------------------------------------------------------------------------


def _text(report: AneReport, saved: Sequence[str]) -> str:
    parts = [_summary(report), table(_rows(report))]
    if report.breaks:
        parts.append(_breaks(report.breaks))
    parts.append(table(_sizes(report)))
    parts.append("\n".join(f"{report.basis}: {text}" for text in _notes(report)))
    parts.append("\n".join(f"saved: {uri}" for uri in saved))
    return "\n\n".join(part for part in parts if part)


def _summary(report: AneReport) -> str:
    placed = sum(row.placeable for row in report.rows)
    count = sum(row.count for row in report.rows)
    share = (
        "no multiply-adds to share"
        if report.placeable_share is None
        else f"{report.placeable_share:.1%} of {report.multiply_adds:,} multiply-adds"
    )
    return (
        f"{report.model} ({report.format}) on the Neural Engine: {share}, {placed} of {count} operations"
        f"  [{report.basis}]"
    )


def _notes(report: AneReport) -> list[str]:
    unknown = f"operations of which the multiply-adds are unknown, and in no share: {report.uncounted}"
    return [*report.assumptions, *([unknown] if report.uncounted else [])]


def _rows(report: AneReport) -> list[list[str]]:
    planned = any(row.cost is not None for row in report.rows)
    lines = [
        ["TYPE", "COUNT", "PLACEABLE", "MULTIPLY-ADDS", "SHARE", *(["COST"] if planned else []), "BASIS"]
    ]
    for row in report.rows:
        counted = "unknown" if row.uncounted == row.count else f"{row.multiply_adds:,}"
        cost = "-" if row.cost is None else f"{row.cost:.1%}"
        share = "-" if row.share is None or row.uncounted else f"{row.share:.1%}"
        line = [row.type, str(row.count), str(row.placeable), counted, share, cost, row.basis]
        lines.append([cell for place, cell in enumerate(line) if planned or place != 5])
    return lines


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
    remedies = [f"{basis}: {reason} → {remedy}" for reason, remedy, basis in groups]
    return "\n".join([table(lines), "", *remedies])


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
