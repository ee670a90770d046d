"""The trained model for Core ML: written on any machine, run on a Mac."""

import gc
import logging
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drilling.answers import Answers
from drilling.depth_grid import CHANNELS, HoleWindows
from drilling.errors import DrillingError, InvalidSignals
from drilling.export.onnx_model import INPUTS, OUTPUTS, check_windows
from drilling.windows import LENGTH

if TYPE_CHECKING:
    from drilling.model import KeypointModel


class CoreMlMissing(DrillingError):
    """coremltools is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "this format needs coremltools, which is not installed", remedy="pip install coremltools"
        )


class NeedsMac(DrillingError):
    """Core ML answers on macOS alone."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} cannot answer here: Core ML runs on macOS alone",
            remedy="Run it on a Mac; the ONNX model answers anywhere.",
            path=path,
        )


def to_coreml(model: "KeypointModel", path: Path, windows: int = 2) -> Path:
    """Write the model as an .mlpackage for macOS 14, in float32, for one hole of that many windows.

    Inputs and outputs are named as those of the ONNX model. Raises CoreMlMissing.
    """
    ct = _tools()
    import torch

    from drilling.export.layout import laid_out

    still = laid_out(model)
    shapes = ((1, windows, LENGTH, len(CHANNELS)), (1, windows), (1, windows))
    example = tuple(torch.ones(shape) for shape in shapes)
    with _quiet():
        converted = ct.convert(
            _convertible(torch.export.export(still, example).run_decompositions({})),
            inputs=[
                ct.TensorType(name=name, shape=shape) for name, shape in zip(INPUTS, shapes, strict=True)
            ],
            outputs=[ct.TensorType(name=name) for name in OUTPUTS],
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.macOS14,
            skip_model_load=True,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        converted.save(str(path))
    return path


def coreml_answers(path: Path, windows: HoleWindows) -> Answers:
    """The answers of an .mlpackage for holes, one after another.

    Holes with fewer windows than the package takes are padded. Raises NeedsMac on other systems,
    CoreMlMissing, and InvalidSignals for arrays that are no windows or a hole with more of them.
    """
    check_windows(windows)
    if platform.system() != "Darwin":
        raise NeedsMac(path)
    model = _tools().models.MLModel(str(path))
    most = _windows_of(model.get_spec())
    found = [model.predict(_padded(windows, hole, most)) for hole in range(len(windows.signals))]
    return Answers(*(np.concatenate([each[name] for each in found]).astype(np.float64) for name in OUTPUTS))


def _windows_of(spec: Any) -> int:
    """How many windows of a hole the package takes."""
    (shape,) = (each.type.multiArrayType.shape for each in spec.description.input if each.name == "start_mm")
    return int(shape[1])


def _padded(windows: HoleWindows, hole: int, most: int) -> dict[str, Any]:
    """The inputs for one hole, (1, most, ...) each; what is cut off must be padding."""
    if (windows.length[hole, most:] > 0).any():
        raise InvalidSignals("length", windows.length.shape, f"of at most {most} windows, as the package is")
    short = max(0, most - windows.length.shape[1])
    given = {}
    for name, array in windows.as_dict().items():
        part = array[hole : hole + 1, :most]
        given[name] = np.pad(part, [(0, 0), (0, short)] + [(0, 0)] * (part.ndim - 2))
    return given


def _convertible(program: Any) -> Any:
    """The graph without what coremltools 9 does not know: aliases, and cutting into patches, which becomes a
    reshape."""
    import torch

    aten, graph = torch.ops.aten, program.graph
    for node in list(graph.nodes):
        if node.target is aten.alias.default:
            node.replace_all_uses_with(node.args[0])
        elif node.target is aten.unfold.default:
            source, _, size, _ = node.args
            count, _, channels = source.meta["val"].shape
            with graph.inserting_before(node):
                cut = graph.call_function(aten.view.default, (source, [count, -1, size, channels]))
                patches = graph.call_function(aten.permute.default, (cut, [0, 1, 3, 2]))
            patches.meta = node.meta
            node.replace_all_uses_with(patches)
        else:
            continue
        graph.erase_node(node)
    return program


def _tools() -> Any:
    try:
        with _quiet():
            import coremltools
    except ImportError as error:
        raise CoreMlMissing from error
    return coremltools


@contextmanager
def _quiet() -> Iterator[None]:
    """coremltools warns of torch's version and tells of its stages; it leaves folders to the collector."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        logging.disable(level)
