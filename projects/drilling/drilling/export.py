"""The trained model as ONNX, and the proof that it answers alike."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from drilling.depth_window import CHANNELS, LENGTH
from drilling.errors import InvalidSignals, ParityError
from drilling.model import KeypointModel

INPUTS, OUTPUT = ("signals", "position_mm"), "keypoints_mm"
TOLERANCE_MM = 1e-4
"""The most that ONNX and torch may differ by on any key point."""

Signals = NDArray[np.float32]


def to_onnx(model: KeypointModel) -> onnx.ModelProto:
    """The model with its scaler: `signals` (n, 512, 5), `position_mm` (n, 512) -> `keypoints_mm` (n, 3)."""
    still = copy.deepcopy(model).cpu().eval()
    example = (torch.zeros(2, LENGTH, len(CHANNELS)), torch.linspace(1, 12, LENGTH).repeat(2, 1))
    batch = torch.export.Dim("n")
    with _quiet():
        program = torch.onnx.export(
            still,
            example,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_shapes=({0: batch}, {0: batch}),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return program.model_proto


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU."""
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run_onnx(
    session: onnxruntime.InferenceSession, signals: Signals, position_mm: Signals
) -> NDArray[np.float32]:
    """Key points in mm (n, 3). Raises InvalidSignals for arrays of another shape."""
    if signals.ndim != 3 or signals.shape[1:] != (LENGTH, len(CHANNELS)):
        raise InvalidSignals("signals", signals.shape, f"(n, {LENGTH}, {len(CHANNELS)})")
    if position_mm.shape != signals.shape[:2]:
        raise InvalidSignals("position_mm", position_mm.shape, f"({signals.shape[0]}, {LENGTH})")
    found: NDArray[np.float32] = session.run([OUTPUT], {"signals": signals, "position_mm": position_mm})[0]
    return found


def check_parity(
    exported: onnx.ModelProto,
    model: KeypointModel,
    signals: Signals,
    position_mm: Signals,
    tolerance_mm: float = TOLERANCE_MM,
) -> float:
    """The largest difference in mm over the holes given; raises ParityError above the tolerance."""
    still = copy.deepcopy(model).cpu().eval()
    with torch.inference_mode():
        expected = still(torch.from_numpy(signals), torch.from_numpy(position_mm)).numpy()
    found = run_onnx(open_session(exported), signals, position_mm)
    difference = float(np.max(np.abs(found - expected)))
    if not difference <= tolerance_mm:
        raise ParityError(difference, tolerance_mm)
    return difference


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
