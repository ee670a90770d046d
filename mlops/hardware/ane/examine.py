"""From a file to a report: the reader by its ending, and the compute plan where there is one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops.errors import InvalidInput
from mlops.hardware.ane import coreml
from mlops.hardware.ane.onnx import read_onnx
from mlops.hardware.ane.plan import plans_here, read_uses
from mlops.hardware.ane.program import Program
from mlops.hardware.ane.report import AneReport, make_report

FORMATS = (".onnx", ".pt2", ".mlpackage", ".mlmodel")
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".joblib")
"""Endings of files that are models, and are refused with the way to export them."""
_EXPORT = "Export it: `torch.export.save(torch.export.export(model, inputs), 'model.pt2')`, or to ONNX."


def examine_file(path: Path, model: str, allow_pickle: bool = False) -> AneReport:
    """Report on a model's file, under the name `model`. Raises `InvalidInput` for a file that is not there,
    is a pickle, or holds no model, and `ConfigError` where coremltools is needed and not installed.

    A `.pt2` is refused unless `allow_pickle`: torch unpickles parts of it, evaluates its symbolic lengths as
    Python, and calls the functions of torch that its graph names. No way of loading it runs nothing.
    """
    kind = path.suffix.lower()
    if not os.path.exists(path):  # noqa: PTH110 - Path raises for a name that cannot be
        raise InvalidInput(
            "model",
            str(path),
            "there is no such file",
            remedy="Give the path of a model. A registered model is meant by name:version, or name@alias.",
        )
    if kind in PICKLES:
        raise InvalidInput("model", path.name, "is a pickle, which runs code when it is read", remedy=_EXPORT)
    if kind not in FORMATS:
        raise InvalidInput(
            "model", path.name, "is not a model's file", remedy=f"Give one that ends in {', '.join(FORMATS)}."
        )
    if kind == ".onnx":
        return examine_onnx(path, model)
    if kind == ".pt2":
        if not allow_pickle:
            raise InvalidInput(
                "model",
                path.name,
                "is an exported torch program, and reading one may run code that it holds",
                remedy="If you trust it, say `--allow-pickle`; else export the model to ONNX.",
            )
        return _converted(model, lambda package: coreml.read_exported(path, package))
    program = coreml.read_coreml(path)
    return make_report(model, program, read_uses(path, path.name) if plans_here() else None)


def examine_onnx(path: Path, model: str) -> AneReport:
    """Report on an ONNX file, whatever its name ends in; it runs no code. Raises `InvalidInput`."""
    return make_report(model, read_onnx(path))


def examine_pickled(path: Path, examples: Sequence[coreml.Example], model: str) -> AneReport:
    """Report on a pickled torch module, which runs its code, for inputs of these shapes and types. Raises
    what `examine_file` raises."""
    module = coreml.load_pickled(path)
    return _converted(model, lambda package: coreml.module_program(module, examples, package))


def _converted(model: str, read: Callable[[Path | None], Program]) -> AneReport:
    if not plans_here():
        return make_report(model, read(None))
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "model.mlpackage")
        return make_report(model, read(package), read_uses(package, model))
