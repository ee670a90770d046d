"""How large a model's weights are in each of Core ML's compressed forms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlops.hardware.ane.program import Shape, Weight

SMALLEST_COMPRESSED = 2048
"""coremltools leaves weights of at most so many numbers as they are (`weight_threshold`)."""

_HALF = 2
_LUT_ENTRIES = 16


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of all weights together; what else a model's file holds is little."""

    fp16: int
    int8: int
    """Linear and symmetric, one scale a channel (`OpLinearQuantizerConfig`)."""
    palette4: int
    """Four bits a number, and a table of 16 values a tensor (`OpPalettizerConfig(nbits=4)`)."""
    basis: str = "heuristic"
    """Reckoned from the weights' shapes; nothing was compressed."""


def weight_sizes(weights: Iterable[Weight]) -> Sizes:
    """The sizes of these weights, as `coremltools.optimize.coreml` would store them."""
    fp16 = int8 = palette4 = 0
    for weight in weights:
        half = _HALF * weight.elements
        large = weight.elements > SMALLEST_COMPRESSED
        fp16 += half
        int8 += weight.elements + _HALF * weight.channels if large else half
        palette4 += (weight.elements + 1) // 2 + _HALF * _LUT_ENTRIES if large else half
    return Sizes(fp16, int8, palette4)


def channels(kind: str, shape: Shape, right: bool = False, transposed: bool = False) -> int:
    """How many output channels a weight of this shape has for the MIL operation `kind`; for matmul, whether
    it is the right-hand one and whether it is transposed. They are chosen as coremltools 9 chooses them
    (`select_input_output_channel_axis` of `optimize/_utils.py`), which takes no count of groups."""
    axis = 0
    if kind == "conv_transpose":
        axis = 1
    elif kind == "matmul":
        axis = -1 if right is not transposed else -2
    return (shape[axis] or 1) if -len(shape) <= axis < len(shape) else 1
