"""What takes an operation off the Neural Engine, each by the smallest model that has it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from mlops.hardware.ane.onnx import onnx_program
from mlops.hardware.ane.onnx_types import MIL_TYPES
from mlops.hardware.ane.program import FOLDED, Operation, Tensor
from mlops.hardware.ane.rules import FAMILIES, PLACEABLE, Objection, objection
from tests.mlops.hardware.ane import nets

INDICES = {"i": np.array([0, 2])}
SCALES, NOTHING = np.array([1, 1, 2, 2], np.float32), np.array([], np.float32)


def judged(built: ModelProto) -> Objection | None:
    (operation,) = onnx_program(built).operations
    return objection(operation)


def node(
    op: str,
    constants: dict[str, np.ndarray],
    *x: int,
    outputs: int = 1,
    dtype: int = TensorProto.FLOAT,
    **attributes: object,
) -> ModelProto:
    names = ["y", "z"][:outputs]
    made = helper.make_node(op, ["x", *constants], names, **attributes)
    return nets.model([made], {"x": x}, names, constants, dtype=dtype)


def conv(x: list[int], weight: tuple[int, ...], **attributes: object) -> ModelProto:
    return node("Conv", {"w": nets.weights(*weight)}, *x, **attributes)


def select(kind: int) -> ModelProto:
    """A choice between numbers of this kind."""
    made = nets.single("Where", [4], [4], [4], dtype=kind)
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.BOOL
    return made


@pytest.mark.parametrize(
    ("built", "reason"),
    [
        (
            node("LSTM", {"w": nets.weights(1, 8, 3), "r": nets.weights(1, 8, 2)}, 4, 1, 3, hidden_size=2),
            "recurrent",
        ),
        (node("Gather", INDICES, 4, 5, axis=1), "gathers by index"),
        (node("GatherND", {"i": np.array([[0, 1]])}, 4, 5), "gathers by index"),
        (node("GatherElements", {"i": np.array([[0, 1]])}, 4, 5), "gathers by index"),
        (node("ScatterND", {"i": np.array([[0]]), "u": nets.weights(1, 5)}, 4, 5), "scatters"),
        (node("TopK", {"k": np.array([2])}, 4, 5, outputs=2), "sorts"),
        (node("CumSum", {"axis": np.array(0)}, 4, 5), "cumulative"),
        (node("NonZero", {}, 4, 5), "makes shapes"),
        (node("Trilu", {}, 4, 5), "makes shapes"),
        (node("RandomNormalLike", {}, 4, 5), "random"),
        (node("ReduceProd", {"axes": np.array([1])}, 4, 5), "arithmetic"),
        (node("Sin", {}, 4), "not on the engine of M1 and M2"),
        (node("GridSample", {"g": nets.weights(1, 2, 2, 2)}, 1, 1, 4, 4), "not on the engine of M1"),
        (node("Det", {}, 4, 4), "unknown to the table"),
        (nets.single("Relu", [1, "length", 4]), "dynamic shape"),
        (nets.single("Relu", [2, 3], dtype=TensorProto.DOUBLE), "computes in fp64"),
        (nets.single("Add", [2, 3], [2, 3], dtype=TensorProto.INT64), "computes in int64"),
        (node("Cast", {}, 2, 3, to=TensorProto.INT32), "casts fp16 to int32"),
        (nets.single("Relu", [1, 1, 2, 2, 2, 2]), "rank 6, above 5"),
        (conv([1, 1, 4, 4, 4], (2, 1, 3, 3, 3)), "a convolution over volumes"),
        (nets.single("Relu", [1, 4, 16_385]), "a dimension of 16385"),
        (nets.single("Relu", [1, 65_537]), "a dimension of 65537"),
        (nets.single("Relu", [1, 65_537, 2, 2]), "a dimension of 65537"),
        (conv([1, 1, 40], (2, 1, 14)), "a kernel of 14, above 13"),
        (node("MaxPool", {}, 1, 1, 40, kernel_shape=[30]), "a kernel of 30, above 29"),
        (node("ArgMax", {}, 1, 2_049, axis=1), "an argument over 2049 numbers"),
        (node("Pad", {"p": np.array([1, 1])}, 4, mode="reflect"), "pads by reflect"),
        (node("Resize", {"": NOTHING, "s": SCALES}, 1, 1, 4, 4, mode="cubic"), "cubic"),
        (select(TensorProto.INT64), "computes in int64"),
        (nets.single("And", [2], [2], dtype=TensorProto.BOOL), "arithmetic"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_leaves_the_engine(built: ModelProto, reason: str) -> None:
    found = judged(built)
    assert found is not None
    assert reason in found.reason
    assert found.remedy


@pytest.mark.parametrize(
    "built",
    [
        conv([1, 1, 40], (2, 1, 13)),
        conv([1, 1, 40], (2, 1, 3), dilations=[4]),
        node("MaxPool", {}, 1, 1, 40, kernel_shape=[29]),
        node("ArgMax", {}, 1, 2_048, axis=1),
        node("Pad", {"p": np.array([1, 1])}, 4),
        node("Cast", {}, 2, 3, to=TensorProto.FLOAT16),
        nets.single("Relu", [1, 65_536, 2, 16_384]),
        nets.single("Relu", [1, 65_536]),
        node("Clip", {}, 4),
        nets.single("Relu", [1, 2, 2, 2, 2]),
        nets.single("Relu", [2, 3], dtype=TensorProto.FLOAT16),
        nets.single("Not", [2], dtype=TensorProto.BOOL),
        select(TensorProto.FLOAT),
        node("Resize", {"": NOTHING, "s": SCALES}, 1, 1, 4, 4, mode="linear"),
        nets.single("QuantizeLinear", [2], [], dtype=TensorProto.FLOAT),
        node("DequantizeLinear", {"s": np.array(0.1, np.float32)}, 2, dtype=TensorProto.INT8),
        nets.single("Einsum", [2, 5], [5, 6], equation="bi,ij->bj"),
        nets.single("Greater", [2], [2]),
    ],
    ids=[
        "conv",
        "dilated",
        "pool",
        "argmax",
        "pad",
        "cast",
        "long",
        "flat",
        "optional",
        "rank 5",
        "half",
        "bool",
        "select",
        "linear",
        "quantize",
        "dequantize",
        "einsum",
        "greater",
    ],
)
def test_at_the_limit_it_stays(built: ModelProto) -> None:
    assert judged(built) is None


def test_what_comes_after_an_unknown_operation_is_of_unknown_shape() -> None:
    nodes = [helper.make_node("Own", ["x"], ["y"], domain="own"), helper.make_node("Relu", ["y"], ["z"])]
    first, second = onnx_program(nets.model(nodes, {"x": [2, 3]}, ["z"])).operations
    reasons = [found.reason for each in (first, second) if (found := objection(each)) is not None]
    assert reasons == ["unknown to the table of operations", "unknown shape"]


def test_a_missing_optional_input_is_no_objection() -> None:
    made = helper.make_node("Clip", ["x", "", "most"], ["y"])
    assert judged(nets.model([made], {"x": [4]}, ["y"], {"most": np.array(1, np.float32)})) is None


def test_float32_of_a_core_ml_program_leaves_the_engine() -> None:
    tensor = Tensor((2, 3), "fp32")
    found = objection(Operation("relu", "r", (tensor,), (tensor,)))
    assert found is not None
    assert "float32" in found.reason


def test_an_unknown_type_of_number_is_no_objection_of_its_own() -> None:
    tensor = Tensor((2, 3), "")
    assert objection(Operation("relu", "r", (tensor,), (tensor,))) is None


def test_each_type_has_one_answer() -> None:
    listed = [kind for family in FAMILIES for kind in family.types]
    assert len(listed) == len(set(listed))
    assert set(listed) & PLACEABLE == set()


def test_onnx_is_called_by_names_that_the_table_knows() -> None:
    known = PLACEABLE | {kind for family in FAMILIES for kind in family.types} | FOLDED
    assert set(MIL_TYPES.values()) - known == {"non_maximum_suppression"}  # on which no source was found
