"""From a file to a report: the reader by its ending, and the compute plan where there is one."""

from __future__ import annotations

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
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".joblib")
_EXPORT = "Export it: `torch.export.save(torch.export.export(model, inputs), 'model.pt2')`, or to ONNX."


def examine_file(path: Path, model: str) -> AneReport:
    """Report on a model's file, under the name `model`. Raises `InvalidInput` for a file that is not there,
    is a pickle, or holds no model, and `ConfigError` where coremltools is needed and not installed."""
    kind = path.suffix.lower()
    if not path.exists():
        raise InvalidInput("model", str(path), "there is no such file", remedy="Give the path of a model.")
    if kind in _PICKLES:
        raise InvalidInput("model", path.name, "is a pickle, which runs code when it is read", remedy=_EXPORT)
    if kind not in FORMATS:
        raise InvalidInput(
            "model", path.name, "is not a model's file", remedy=f"Give one that ends in {', '.join(FORMATS)}."
        )
    if kind == ".onnx":
        return make_report(model, read_onnx(path))
    if kind == ".pt2":
        return _converted(model, lambda package: coreml.read_exported(path, package))
    program = coreml.read_coreml(path)
    return make_report(model, program, read_uses(path) if plans_here() else None)


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
        return make_report(model, read(package), read_uses(package))
