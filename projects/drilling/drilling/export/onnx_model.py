"""The trained model as ONNX, with any number of holes and of windows."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime

from drilling.answers import Answers
from drilling.depth_grid import CHANNELS, HoleWindows
from drilling.errors import InvalidSignals
from drilling.windows import LENGTH

if TYPE_CHECKING:
    from drilling.model import KeypointEnsemble, KeypointModel

INPUTS = ("signals", "start_mm", "length")
OUTPUTS = ("keypoints_mm", "uncertainty_mm", "presence")


def to_onnx(model: "KeypointModel | KeypointEnsemble") -> onnx.ModelProto:
    """The model with its scaler and its merging: `signals` (h, k, 512, c), `start_mm` (h, k) and `length`
    (h, k) to `keypoints_mm`, `uncertainty_mm` and `presence`, each (h, 3); all float32."""
    import torch

    from drilling.export.layout import laid_out

    still = laid_out(model)
    example = (torch.zeros(2, 3, LENGTH, len(CHANNELS)), torch.ones(2, 3), torch.full((2, 3), float(LENGTH)))
    holes, windows = torch.export.Dim("holes"), torch.export.Dim("windows")
    with _quiet():
        program = torch.onnx.export(
            still,
            example,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=tuple({0: holes, 1: windows} for _ in INPUTS),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return _bare(program.model_proto)


def open_session(model: onnx.ModelProto, threads: int | None = None) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU, with as many threads as cores unless told otherwise."""
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run_onnx(session: onnxruntime.InferenceSession, windows: HoleWindows) -> Answers:
    """The answers for holes. Raises InvalidSignals for arrays of another shape or type, with NaN, or a hole
    without a window."""
    check_windows(windows)
    found = session.run(list(OUTPUTS), windows.as_dict())
    return Answers(*(part.astype(np.float64) for part in found))


def check_windows(windows: HoleWindows) -> None:
    """Raise InvalidSignals, naming the array, where a model cannot take the windows."""
    shape = windows.signals.shape
    if len(shape) != 4 or shape[2:] != (LENGTH, len(CHANNELS)) or 0 in shape:
        raise InvalidSignals("signals", shape, f"(h, k, {LENGTH}, {len(CHANNELS)})")
    for name in INPUTS[1:]:
        array = getattr(windows, name)
        if array.shape != shape[:2]:
            raise InvalidSignals(name, array.shape, str(shape[:2]))
    for name, array in windows.as_dict().items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise InvalidSignals(name, array.shape, f"finite float32 values; it is {array.dtype}")
    if not (windows.length.max(axis=1) > 0).all():
        raise InvalidSignals("length", windows.length.shape, "above 0 in a window of each hole")


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the exporter's notes: they hold the paths and the lines of code of the machine it ran on."""
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    model.graph.ClearField("metadata_props")
    model.graph.ClearField("doc_string")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of its stages and of its own deprecations; neither is news to a user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
