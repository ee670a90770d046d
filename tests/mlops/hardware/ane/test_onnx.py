"""ONNX graphs as programs: names, multiply-adds, weights, what is folded, what is assumed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from drilling.export import to_onnx
from drilling.model import KeypointModel
from mlops.errors import InvalidInput
from mlops.hardware.ane import onnx as ane_onnx
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
    assert [(weight.name, weight.elements) for weight in program.weights] == [("w", 15)]


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


def test_biases_of_recurrent_layers_are_weights() -> None:
    program = onnx_program(recurrent("LSTM", 4))
    assert sum(weight.elements for weight in program.weights) == 2 * 24 * (5 + 6) + 2 * 48


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


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "net.onnx"
    make(path)
    with pytest.raises(InvalidInput, match="not a regular file"):
        read_onnx(path)


def test_shapes_that_onnx_refuses_are_told_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(nets.single("QLinearConv", [1]), path)  # its weight is missing
    with pytest.raises(InvalidInput, match="QLinearConv") as caught:
        read_onnx(path)
    assert "net.onnx" in str(caught.value)


def test_a_fault_of_our_own_is_not_laid_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(nets.three_layers(), path)
    monkeypatch.setattr(ane_onnx, "counted", None)
    with pytest.raises(TypeError):
        read_onnx(path)


def test_nodes_without_the_inputs_they_need_are_uncounted() -> None:
    assert only(nets.single("Conv", [1])) == ("conv", None)
    assert only(nets.single("Shape")) == ("shape", 0)


# -- the drilling model -------------------------------------------------------------------------


def test_the_drilling_model_is_counted_as_torch_counts_its_layers() -> None:
    import torch
    from torch import nn

    network = KeypointModel().eval()
    with torch.no_grad():  # the exporter keeps equal biases once, as those of a new model are
        for parameter in network.parameters():
            parameter.normal_()
    seen: list[int] = []

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        per_output = layer.weight[0].numel()  # a row of a matrix, or a kernel over all channels
        seen.append(output.numel() * per_output)

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv1d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network(torch.zeros(1, 1, 512, 4), torch.zeros(1, 1), torch.ones(1, 1))
    for hook in hooks:
        hook.remove()
    program = onnx_program(nets.with_windows(to_onnx(network), 1))
    assert sum(each.multiply_adds or 0 for each in program.operations) == sum(seen) > 1_000_000
    kept = Counter(tensor.numel() for tensor in (*network.parameters(), *network.buffers()))
    found = Counter(weight.elements for weight in program.weights)
    assert not kept - found
    # Beside them only what is written out for its shape: the cells' numbers, and the logit behind the end.
    assert set(found - kept) <= {512, 3 * 512}
