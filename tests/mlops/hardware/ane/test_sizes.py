"""Which constants are weights, and how many scales int8 needs for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from mlops.hardware.ane.onnx import onnx_program
from mlops.hardware.ane.program import Program, Weight
from mlops.hardware.ane.sizes import channels, weight_sizes
from tests.mlops.hardware.ane import nets

Array = np.ndarray[Any, Any]

SCALES: dict[str, Array] = {"s": np.array([0.1], np.float32), "z": np.array([0], np.int8)}


def whole(*shape: int) -> Array:
    return np.zeros(shape, np.int8)


def built(op: str, names: list[str], x: list[int], constants: dict[str, Array], **given: Any) -> ModelProto:
    kind = (
        TensorProto.INT8 if any(array.dtype == np.int8 for array in constants.values()) else TensorProto.FLOAT
    )
    return nets.model([helper.make_node(op, names, ["y"], **given)], {"x": x}, ["y"], constants, dtype=kind)


def weighed(program: Program) -> list[tuple[str, int, int]]:
    return [(weight.name, weight.elements, weight.channels) for weight in program.weights]


# -- weights of integers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "multiply_adds", "expected"),
    [
        (
            built(
                "QLinearConv",
                ["x", "s", "z", "w", "s", "z", "s", "z", "b"],
                [1, 64, 8, 8],
                {**SCALES, "w": whole(32, 64, 3, 3), "b": np.zeros(32, np.int32)},
            ),
            32 * 36 * 64 * 9,
            [("w", 32 * 64 * 9, 32), ("b", 32, 32)],
        ),
        (
            built(
                "QLinearMatMul",
                ["x", "s", "z", "w", "s", "z", "s", "z"],
                [1, 5],
                {**SCALES, "w": whole(5, 3)},
            ),
            15,
            [("w", 15, 3)],
        ),
        (
            built("ConvInteger", ["x", "w"], [1, 2, 5, 5], {"w": whole(4, 2, 3, 3)}),
            4 * 9 * 18,
            [("w", 72, 4)],
        ),
        (
            built("MatMulInteger", ["x", "w", "z", "z"], [1, 5], {"w": whole(5, 3), "z": SCALES["z"]}),
            15,
            [("w", 15, 3)],
        ),
    ],
    ids=["QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"],
)
def test_integer_weights_count_and_scales_do_not(
    model: ModelProto, multiply_adds: int, expected: list[tuple[str, int, int]]
) -> None:
    program = onnx_program(model)
    assert [each.multiply_adds for each in program.operations] == [multiply_adds]
    assert weighed(program) == expected


def test_a_weight_that_is_dequantised_counts_once() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["half"]),
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["small"]),
        helper.make_node("DequantizeLinear", ["small", "s", "z"], ["large"]),
        helper.make_node("Conv", ["large", "half"], ["y"]),
    ]
    scalars = {name: array.reshape(()) for name, array in SCALES.items()}
    program = onnx_program(nets.model(nodes, {"x": [1, 2, 5, 5]}, ["y"], {**scalars, "w": whole(4, 2, 3, 3)}))
    assert [(each.type, each.multiply_adds) for each in program.operations] == [
        ("quantize", 0),
        ("dequantize", 0),
        ("conv", 4 * 9 * 18),
    ]
    assert weighed(program) == [("w", 72, 4)]


def test_a_weight_whose_scale_is_computed_counts() -> None:
    model = nets.model(
        [helper.make_node("DequantizeLinear", ["w", "x"], ["y"])], {"x": [1]}, ["y"], {"w": whole(4, 5)}
    )
    assert weighed(onnx_program(model)) == [("w", 20, 4)]


# -- constants that are no weights --------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "constants", "x"),
    [
        ("Clip", {"least": np.array(0, np.float32), "most": np.array(6, np.float32)}, [1, 4]),
        ("Clip", {"least": nets.weights(1), "most": nets.weights(1)}, [1, 4]),
        ("Resize", {"roi": nets.weights(8), "scales": np.array([1, 1, 2, 2], np.float32)}, [1, 1, 4, 4]),
        ("Mul", {"factor": np.array(2, np.float32)}, [1, 4]),
        ("QuantizeLinear", {"scale": nets.weights(4)}, [1, 4]),
    ],
)
def test_bounds_scales_and_single_numbers_are_no_weights(
    op: str, constants: dict[str, Array], x: list[int]
) -> None:
    assert onnx_program(built(op, ["x", *constants], x, constants)).weights == ()


def test_whole_numbers_elsewhere_are_no_weights() -> None:
    constants = {"i": np.array([0, 2])}
    assert onnx_program(built("Gather", ["x", "i"], [4, 5], constants)).weights == ()


def test_a_weight_that_is_turned_for_another_operation_counts_once() -> None:
    nodes = [
        helper.make_node("Gather", ["w", "i"], ["found"]),
        helper.make_node("Transpose", ["w"], ["turned"]),
        helper.make_node("MatMul", ["found", "turned"], ["y"]),
    ]
    model = nets.model(nodes, {"i": [1, 7]}, ["y"], {"w": nets.weights(100, 32)}, dtype=TensorProto.INT64)
    program = onnx_program(model)
    assert weighed(program) == [("w", 3_200, 100)]
    assert [each.multiply_adds for each in program.operations] == [0, 7 * 32 * 100]


# -- channels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape", "right", "transposed", "expected"),
    [
        ("conv", (8, 3, 5, 5), False, False, 8),
        ("linear", (7, 5), False, False, 7),
        ("conv_transpose", (64, 8, 3, 3), False, False, 8),
        ("matmul", (2, 5, 7), True, False, 7),
        ("matmul", (2, 7, 5), True, True, 7),
        ("matmul", (2, 7, 5), False, False, 7),
        ("matmul", (2, 5, 7), False, True, 7),
        ("conv_transpose", (64,), False, False, 1),
        ("matmul", (64,), False, False, 1),
        ("add", (), False, False, 1),
        ("conv", (None, 3), False, False, 1),
    ],
)
def test_channels_are_those_of_coremltools(
    kind: str, shape: tuple[int | None, ...], right: bool, transposed: bool, expected: int
) -> None:
    assert channels(kind, shape, right, transposed) == expected


@pytest.mark.parametrize(
    ("model", "elements", "expected"),
    [
        # coremltools 9 gave a grouped one of (256, 1, 3, 3) a single scale: groups do not count.
        (built("ConvTranspose", ["x", "w"], [1, 64, 5, 5], {"w": nets.weights(64, 8, 3, 3)}), 4_608, 8),
        (
            built("ConvTranspose", ["x", "w"], [1, 256, 4, 4], {"w": nets.weights(256, 1, 3, 3)}, group=8),
            2_304,
            1,
        ),
        (built("MatMul", ["x", "w"], [2, 5, 64], {"w": nets.weights(2, 64, 20)}), 2_560, 20),
        (built("MatMul", ["x", "w"], [5, 64], {"w": nets.weights(64, 50)}), 3_200, 50),
        (built("MatMul", ["w", "x"], [64, 5], {"w": nets.weights(50, 64)}), 3_200, 50),
        (built("Gemm", ["x", "w"], [5, 64], {"w": nets.weights(50, 64)}, transB=1), 3_200, 50),
        (built("Gemm", ["w", "x"], [64, 5], {"w": nets.weights(64, 50)}, transA=1), 3_200, 50),
        (
            built(
                "GRU",
                ["x", "w", "r"],
                [7, 1, 50],
                {"w": nets.weights(2, 36, 50), "r": whole(0).astype(np.float32)},
                hidden_size=12,
                direction="bidirectional",
            ),
            3_600,
            72,
        ),
    ],
    ids=["transpose", "groups", "batched", "right", "left", "turned right", "turned left", "two ways"],
)
def test_int8_holds_one_scale_a_channel(model: ModelProto, elements: int, expected: int) -> None:
    (weight,) = onnx_program(model).weights
    assert (weight.elements, weight.channels) == (elements, expected)
    assert weight_sizes([weight]).int8 == elements + 2 * expected


def test_the_bias_of_a_matrix_has_its_own_channels() -> None:
    constants = {"w": nets.weights(5, 3), "b": nets.weights(3)}
    program = onnx_program(built("Gemm", ["x", "w", "b"], [2, 5], constants))
    assert program.weights == (Weight("w", 15, 3), Weight("b", 3, 3))
