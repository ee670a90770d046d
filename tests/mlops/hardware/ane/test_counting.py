"""Multiply-adds where a shape says it in a roundabout way, and where nobody can say."""

from __future__ import annotations

import pytest
from onnx import ModelProto, TensorProto, helper

from mlops.hardware.ane.counting import counted
from mlops.hardware.ane.onnx import onnx_program
from mlops.hardware.ane.program import Operation, Tensor
from mlops.hardware.ane.rules import objection
from tests.mlops.hardware.ane import nets

Lengths = list[int | str | None]


def only(built: ModelProto) -> tuple[str, int | None]:
    (operation,) = onnx_program(built).operations
    return operation.type, operation.multiply_adds


def attention(
    q: Lengths, k: Lengths, v: Lengths, past: Lengths | None = None, **attributes: int
) -> ModelProto:
    inputs: nets.Shapes = {"q": q, "k": k, "v": v}
    names, outputs = list(inputs), ["y"]
    if past is not None:
        inputs |= {"past_k": past, "past_v": past}
        names, outputs = [*names, "", "past_k", "past_v"], ["y", "present_k", "present_v"]
    node = helper.make_node("Attention", names, outputs, **attributes)
    return nets.model([node], inputs, outputs, opset=23)


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (attention([1, 2, 7, 4], [1, 2, 9, 4], [1, 2, 9, 6]), 2 * (7 * 9 * 4 + 7 * 9 * 6)),
        # 8 heads of queries share 2 of keys.
        (attention([1, 8, 7, 4], [1, 2, 9, 4], [1, 2, 9, 4]), 4_032),
        # One step after 15: 2 heads x 16 keys x (4 + 4).
        (attention([1, 2, 1, 4], [1, 2, 1, 4], [1, 2, 1, 4], [1, 2, 15, 4]), 256),
        (attention([1, 2, 1, 4], [1, 2, 1, 4], [1, 2, 1, 4], [1, 2, "past", 4]), None),
        # Heads side by side in the last dimension: 4 of width 4, on 2 of keys.
        (attention([1, 7, 16], [1, 9, 8], [1, 9, 8], q_num_heads=4, kv_num_heads=2), 2_016),
        (attention([1, 7, 8], [1, 9, 8], [1, 9, 12], q_num_heads=2, kv_num_heads=2), 7 * 9 * (8 + 12)),
    ],
    ids=["heads", "grouped", "past", "open past", "flat grouped", "flat"],
)
def test_attention_is_counted_as_its_two_products(built: ModelProto, expected: int | None) -> None:
    assert only(built) == ("scaled_dot_product_attention", expected)


def test_keys_of_more_groups_than_queries_are_not_counted_as_less() -> None:
    shapes = ((1, 2, 7, 4), (1, 8, 9, 4), (1, 8, 9, 4))
    inputs = tuple(Tensor(shape, "fp16") for shape in shapes)
    made = counted(Operation("scaled_dot_product_attention", "a", inputs, inputs[:1]))
    assert made.multiply_adds is None


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("bhqd,bhkd->bhqk", [[1, 2, 7, 4], [1, 2, 9, 4]], 2 * 7 * 9 * 4),
        ("bi,bi->b", [[2, 5], [1, 5]], 10),  # a length of 1 is as long as the other's
        ("bi,bi->b", [[1, 5], [2, 5]], 10),
        ("ij,jk", [[7, 4], [4, 5]], 7 * 4 * 5),  # what stands once is kept
        ("i,i", [[5], [5]], 5),
        ("i,j", [[5], [4]], 0),
        ("ij->ji", [[5, 7]], 0),
        ("ii->i", [[5, 5]], 0),
        ("ij->i", [[5, 7]], 0),  # a sum alone
        ("bi,bi->bi", [[2, 5], [2, 5]], 0),  # a product by elements
        ("...d,dk->...k", [[2, 7, 5], [5, 3]], None),
        ("bi,ij,jk->bk", [[2, 5], [5, 6], [6, 7]], None),
        ("bij,jk->bik", [[2, "n", 5], [5, 3]], None),
    ],
)
def test_einsum(equation: str, shapes: list[Lengths], expected: int | None) -> None:
    assert only(nets.single("Einsum", *shapes, equation=equation)) == ("einsum", expected)


def test_an_einsum_whose_labels_and_shapes_differ_is_unknown() -> None:
    tensors = (Tensor((2, 3), "fp16"), Tensor((3, 4), "fp16"))
    made = counted(Operation("einsum", "e", tensors, tensors[:1], {"equation": "bij,jk->bik"}))
    assert made.multiply_adds is None


def test_an_einsum_of_three_leaves_the_engine() -> None:
    (operation,) = onnx_program(
        nets.single("Einsum", [2, 5], [5, 6], [6, 7], equation="bi,ij,jk->bk")
    ).operations
    found = objection(operation)
    assert found is not None
    assert "3 inputs" in found.reason


@pytest.mark.parametrize(("shapes", "expected"), [(([7], [7]), 7), (([7], [7, 3]), 21), (([3, 7], [7]), 21)])
def test_products_of_vectors(shapes: tuple[Lengths, Lengths], expected: int) -> None:
    assert only(nets.single("MatMul", *shapes)) == ("matmul", expected)


def test_a_vector_cannot_be_transposed() -> None:
    inputs = (Tensor((7,), "fp16"), Tensor((7, 3), "fp16"))
    made = counted(Operation("matmul", "m", inputs, (Tensor((3,), "fp16"),), {"transpose_x": True}))
    assert made.multiply_adds == 21


ORDINARY = """
    BitwiseNot Celu EyeLike GlobalLpPool Hardmax IsInf IsNaN Mean MeanVarianceNormalization Mish Selu
    SequenceConstruct Shrink Sum
"""


@pytest.mark.parametrize("op", ORDINARY.split())
def test_what_multiplies_no_matrices_counts_nothing(op: str) -> None:
    kind = TensorProto.INT32 if op == "BitwiseNot" else TensorProto.FLOAT
    shape: Lengths = [2, 5] if op == "EyeLike" else [1, 4, 5, 5]
    assert only(nets.single(op, shape, dtype=kind))[1] == 0


@pytest.mark.parametrize(("op", "inputs"), [("GroupNormalization", 3), ("RMSNormalization", 2)])
def test_norms_count_nothing(op: str, inputs: int) -> None:
    shapes: list[Lengths] = [[1, 4, 5], [4], [4]]
    attributes = {"num_groups": 2} if op == "GroupNormalization" else {}
    (operation,) = onnx_program(nets.single(op, *shapes[:inputs], **attributes)).operations
    assert operation.multiply_adds == 0


def test_the_size_of_a_fixed_shape_is_folded() -> None:
    assert onnx_program(nets.single("Size", [2, 5])).operations == ()


@pytest.mark.parametrize(
    ("op", "domain"),
    [
        ("Det", ""),
        ("NoSuchOperator", ""),
        ("FusedMatMul", "own"),
        ("Relu", "own"),
        ("Hardmax", "own"),
        ("EyeLike", "own"),
    ],
)
def test_what_nobody_knows_is_not_counted_as_nothing(op: str, domain: str) -> None:
    node = helper.make_node(op, ["x"], ["y"], domain=domain)
    assert only(nets.model([node], {"x": [4, 4]}, ["y"]))[1] is None
