"""A log in, key points out, in a replica of the served model."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drilling.answers import Answers
from drilling.depth_grid import grid_of, hole_windows
from drilling.export.onnx_model import OUTPUTS
from drilling.predictor import points_of
from drilling.setitec import read_log

Infer = Callable[[Mapping[str, Any]], dict[str, NDArray[Any]]]


def answer_log(body: bytes, infer: Infer) -> dict[str, Any]:
    """The key points of a Setitec log's bytes by name: `depth_mm` and `uncertainty_mm` (the half-width of the
    interval that holds 90 % of the true depths), None where the hole has no such point, and `presence`.

    `infer` takes the inputs of an exported model and gives its outputs. Raises LogUnreadable."""
    found = infer(hole_windows([grid_of(read_log(body))]).as_dict())
    answers = Answers(*(found[name].astype(np.float64) for name in OUTPUTS))
    return {name: asdict(point) for name, point in points_of(answers)[0].items()}
