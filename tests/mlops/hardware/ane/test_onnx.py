"""ONNX graphs as programs: names, multiply-adds, weights, what is folded, what is assumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from drilling.export import to_onnx
from drilling.model import KeypointModel
from mlops.errors import InvalidInput
from mlops.hardware.ane.onnx import onnx_program, read_onnx
from mlops.hardware.ane.program import Program, Weight
from mlops.hardware.ane.sizes import Sizes, weight_sizes
from tests.mlops.hardware.ane import nets


def counts(program: Program) -> dict[str, int | None]:
    """Multiply-adds by the operations' names."""
    return {operation.name: operation.multiply_adds for operation in program.operations}


def only(built: ModelProto) -> tuple[str, int | None]:
    (operation,) = onnx_program(built).operations
    return operation.type, operation.multiply_adds


# -- a net counted by hand ----------------------------------------------------------------------


def test_three_layers_are_counted_as_by_hand() -> None:
    program = onnx_program(nets.three_layers())
    assert [(each.type, each.multiply_adds) for each in program.operations] == [
        ("conv", nets.CONV_MULTIPLY_ADDS),
        ("relu", 0),
        ("reshape", 0),
        ("linear", nets.LINEAR_MULTIPLY_ADDS),
    ]
    assert (nets.CONV_MULTIPLY_ADDS, nets.LINEAR_MULTIPLY_ADDS) == (55_296, 20_480)
    assert sum(weight.elements for weight in program.weights) == nets.PARAMETERS == 20_714


def test_sizes_of_the_three_layers_are_as_by_hand() -> None:
    # Only the matrix (20,480 numbers) is above the threshold; kernel and biases (234 numbers) stay float16.
    assert weight_sizes(onnx_program(nets.three_layers()).weights) == Sizes(
        fp16=2 * 20_714,
        int8=20_480 + 2 * 10 + 2 * 234,
        palette4=20_480 // 2 + 2 * 16 + 2 * 234,
    )


def test_a_weight_at_the_threshold_is_not_compressed() -> None:
    assert weight_sizes([Weight("w", 2048, 8)]) == Sizes(4096, 4096, 4096)
    assert weight_sizes([Weight("w", 2049, 3)]) == Sizes(4098, 2049 + 6, 1025 + 32)


# -- each way to multiply -----------------------------------------------------------------------


def conv(kind: str, x: list[int], weight: tuple[int, ...], **attributes: object) -> ModelProto:
    node = helper.make_node(kind, ["x", "w"], ["y"], **attributes)
    return nets.model([node], {"x": x}, ["y"], {"w": nets.weights(*weight)})


def recurrent(kind: str, gates: int) -> ModelProto:
    """Two directions over 7 steps, a batch of 2, 5 numbers in and 6 in the state."""
    node = helper.make_node(
        kind, ["x", "w", "r", "b"], ["y"], direction="bidirectional", hidden_size=6, name="cells"
    )
    constants = {
        "w": nets.weights(2, gates * 6, 5),
        "r": nets.weights(2, gates * 6, 6),
        "b": nets.weights(2, 2 * gates * 6),
    }
    return nets.model([node], {"x": [7, 2, 5]}, ["y"], constants)


def matmul(x: list[int], w: tuple[int, ...]) -> ModelProto:
    return nets.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": x}, ["y"], {"w": nets.weights(*w)}
    )


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        # 2 groups: each of 6 x 8 x 8 outputs sums over 2 channels of 3 x 3.
        (conv("Conv", [1, 4, 10, 10], (6, 2, 3, 3), group=2), ("conv", 6 * 64 * 18)),
        # Dilation and stride change only how many outputs there are: 4 of them.
        (conv("Conv", [1, 1, 12], (1, 1, 3), dilations=[2], strides=[2]), ("conv", 4 * 3)),
        # Each of 3 x 5 x 5 inputs is spread over 2 channels of 4 x 4.
        (conv("ConvTranspose", [1, 3, 5, 5], (3, 2, 4, 4), strides=[2, 2]), ("conv_transpose", 75 * 32)),
        (matmul([2, 7, 5], (5, 3)), ("linear", 2 * 7 * 5 * 3)),
        (matmul([5], (5, 3)), ("linear", 15)),
        (nets.single("MatMul", [4, 7, 5], [4, 5, 3]), ("matmul", 4 * 7 * 5 * 3)),
        (nets.single("Gemm", [5, 7], [5, 3], transA=1), ("matmul", 7 * 5 * 3)),
        (nets.single("Einsum", [2, 7, 5], [2, 3, 5], equation="bid,bjd->bij"), ("einsum", 2 * 7 * 3 * 5)),
        (recurrent("LSTM", 4), ("lstm", 7 * 2 * 2 * 24 * (5 + 6))),
        (recurrent("GRU", 3), ("gru", 7 * 2 * 2 * 18 * (5 + 6))),
        (recurrent("RNN", 1), ("rnn", 7 * 2 * 2 * 6 * (5 + 6))),
        (nets.single("MatMulInteger", [2, 5], [5, 3], dtype=TensorProto.INT8), ("matmul", 30)),
        (nets.single("Softmax", [2, 5]), ("softmax", 0)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_multiply_adds(built: ModelProto, expected: tuple[str, int]) -> None:
    assert only(built) == expected


def test_attention_is_counted_as_its_two_products() -> None:
    q, k, v = [1, 2, 7, 4], [1, 2, 9, 4], [1, 2, 9, 6]
    inputs = {"q": q, "k": k, "v": v}
    node = helper.make_node("Attention", list(inputs), ["y"])
    built = nets.model([node], inputs, ["y"], opset=23)
    assert only(built) == ("scaled_dot_product_attention", 2 * (7 * 9 * 4 + 7 * 9 * 6))


def test_an_ellipsis_in_an_einsum_is_not_guessed() -> None:
    assert only(nets.single("Einsum", [2, 7, 5], [5, 3], equation="...d,dk->...k")) == ("einsum", None)


# -- what is not computed by the model ----------------------------------------------------------


def test_what_constants_give_is_folded() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["length"]),
        helper.make_node("Transpose", ["w"], ["turned"]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
        helper.make_node("Identity", ["y"], ["z"]),
    ]
    built = nets.model(
        nodes, {"x": [2, 5]}, ["z", "length"], {"w": nets.weights(3, 5), "first": np.array([0])}
    )
    program = onnx_program(built)
    assert [(each.type, each.multiply_adds) for each in program.operations] == [("linear", 30)]
    assert [(weight.name, weight.elements) for weight in program.weights] == [("turned", 15)]


def test_random_numbers_are_not_folded() -> None:
    node = helper.make_node("Bernoulli", ["p"], ["y"])
    built = nets.model([node], {"x": [1]}, ["y"], {"p": nets.weights(4)})
    assert only(built) == ("random_bernoulli", 0)


def test_a_weight_that_two_operations_share_counts_once() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("MatMul", ["y", "w"], ["z"]),
    ]
    program = onnx_program(nets.model(nodes, {"x": [1, 4]}, ["z"], {"w": nets.weights(4, 4)}))
    assert [weight.elements for weight in program.weights] == [16]


def test_a_function_is_looked_into() -> None:
    inner = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 20)],
    )
    node = helper.make_node("Twice", ["x"], ["y"], domain="own")
    assert only(nets.model([node], {"x": [4]}, ["y"], functions=[inner])) == ("add", 0)


def test_blocks_inside_are_walked_and_a_loop_counts_once() -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"], name="inside"),
            helper.make_node("Identity", ["more"], ["again"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2, 4]),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [2, 4]),
        ],
    )
    node = helper.make_node("Loop", ["times", "", "x"], ["y"], name="loop", body=body)
    constants = {"times": np.array(9), "w": nets.weights(4, 4)}
    program = onnx_program(nets.model([node], {"x": [2, 4]}, ["y"], constants))
    assert [each.type for each in program.operations] == ["while_loop", "linear"]
    assert counts(program)["inside"] == 2 * 4 * 4
    assert any("counted once" in text for text in program.assumptions)


# -- shapes that are open -----------------------------------------------------------------------


@pytest.mark.parametrize("batch", ["n", None])
def test_the_batch_is_taken_as_one_and_said(batch: str | None) -> None:
    program = onnx_program(nets.three_layers(batch))
    assert sum(count or 0 for count in counts(program).values()) == nets.MULTIPLY_ADDS
    assert "the batch dimension of x is taken as 1" in program.assumptions


def test_a_fixed_batch_is_kept_and_nothing_said_of_it() -> None:
    program = onnx_program(nets.three_layers(4))
    assert sum(count or 0 for count in counts(program).values()) == 4 * nets.MULTIPLY_ADDS
    assert not any("batch" in text for text in program.assumptions)


def test_shapes_that_the_exporter_noted_do_not_hold_the_batch_open() -> None:
    built = onnx.shape_inference.infer_shapes(nets.three_layers("n"))
    assert sum(count or 0 for count in counts(onnx_program(built)).values()) == nets.MULTIPLY_ADDS


def test_a_length_that_stands_first_elsewhere_is_no_batch() -> None:
    nodes = [helper.make_node("Add", ["x", "positions"], ["y"])]
    program = onnx_program(nets.model(nodes, {"x": ["n", "length"], "positions": ["length"]}, ["y"]))
    assert program.operations[0].outputs[0].shape == (1, None)
    assert "the batch dimension of x is taken as 1" in program.assumptions


def test_shapes_that_the_exporter_noted_help_where_none_can_be_inferred() -> None:
    nodes = [
        helper.make_node("Own", ["x"], ["y"], domain="own"),
        helper.make_node("MatMul", ["y", "w"], ["z"]),
    ]
    built = nets.model(nodes, {"x": ["n", 4]}, ["z"], {"w": nets.weights(4, 3)})
    built.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4]))
    assert [each.multiply_adds for each in onnx_program(built).operations] == [None, 12]


def test_biases_of_recurrent_layers_are_weights() -> None:
    program = onnx_program(recurrent("LSTM", 4))
    assert sum(weight.elements for weight in program.weights) == 2 * 24 * (5 + 6) + 2 * 48


def test_an_open_length_leaves_its_operations_uncounted() -> None:
    program = onnx_program(nets.single("MatMul", ["n", "length", 5], ["n", 5, "length"]))
    assert counts(program) == {"the-node": None}


def test_the_model_itself_is_left_as_it_was() -> None:
    built = nets.three_layers("n")
    before = built.SerializeToString()
    onnx_program(built)
    assert built.SerializeToString() == before


# -- files --------------------------------------------------------------------------------------


def test_a_file_is_read_without_its_external_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(nets.three_layers(), path, save_as_external_data=True, location="net.data", size_threshold=0)
    (tmp_path / "net.data").unlink()
    assert sum(weight.elements for weight in read_onnx(path).weights) == nets.PARAMETERS


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x0a\x12\xff"])
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="ONNX") as caught:
        read_onnx(path)
    assert caught.value.field == "model"
    assert caught.value.remedy


# -- the drilling model -------------------------------------------------------------------------


def test_the_drilling_model_is_counted_as_torch_counts_its_layers() -> None:
    import torch
    from torch import nn

    network = KeypointModel().eval()
    seen: list[int] = []

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        per_output = layer.weight[0].numel()  # a row of a matrix, or a kernel over all channels
        seen.append(output.numel() * per_output)

    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 512, 5), torch.zeros(1, 512))
    program = onnx_program(to_onnx(KeypointModel()))
    assert sum(each.multiply_adds or 0 for each in program.operations) == sum(seen) > 1_000_000
    parameters = sum(parameter.numel() for parameter in network.parameters())
    found = sum(weight.elements for weight in program.weights)
    assert found == pytest.approx(parameters, rel=0.02)  # equal biases of a new model are exported once
