"""A trained model in other formats, each with the scaler and the merging, and the proof that it agrees."""

from drilling.export.onnx_model import INPUTS, OUTPUTS, open_session, run_onnx, to_onnx
from drilling.export.parity import TOLERANCE_MM, check_parity, loss_mm
from drilling.export.precision import to_float16, to_int8

__all__ = [
    "INPUTS",
    "OUTPUTS",
    "TOLERANCE_MM",
    "check_parity",
    "loss_mm",
    "open_session",
    "run_onnx",
    "to_float16",
    "to_int8",
    "to_onnx",
]
