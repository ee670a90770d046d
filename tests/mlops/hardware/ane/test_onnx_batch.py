"""Open dimensions of ONNX graphs: which one is the batch, and what stays unknown."""

from __future__ import annotations

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from mlops.hardware.ane.onnx import onnx_program
from mlops.hardware.ane.program import Program
from tests.mlops.hardware.ane import nets


def counts(program: Program) -> dict[str, int | None]:
    """Multiply-adds by the operations' names."""
    return {operation.name: operation.multiply_adds for operation in program.operations}


def batch_note(program: Program) -> list[str]:
    return [text for text in program.assumptions if "batch" in text]


@pytest.mark.parametrize("batch", ["n", None, -1])
def test_the_batch_is_taken_as_one_and_said(batch: int | str | None) -> None:
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


def test_an_open_length_leaves_its_operations_uncounted() -> None:
    program = onnx_program(nets.single("MatMul", ["n", "length", 5], ["n", 5, "length"]))
    assert counts(program) == {"the-node": None}


def test_the_symbol_that_leads_the_first_input_is_one_wherever_it_stands() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["state"], ["z"])]
    inputs: nets.Shapes = {"x": ["n", 7, 4], "state": [1, "n", 3]}
    program = onnx_program(nets.model(nodes, inputs, ["y", "z"], {"w": nets.weights(4, 8)}))
    assert counts(program) == {"y": 7 * 32, "z": 0}
    assert program.operations[1].outputs[0].shape == (1, 1, 3)
    assert batch_note(program) == ["the batch dimension of x, state is taken as 1"]


def test_a_symbol_that_stands_twice_in_an_input_is_no_batch() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["mask"], ["z"])]
    inputs: nets.Shapes = {"x": ["n", 4], "mask": ["n", "n"]}
    program = onnx_program(nets.model(nodes, inputs, ["y", "z"], {"w": nets.weights(4, 8)}))
    assert counts(program)["y"] is None
    assert batch_note(program) == []


def test_an_input_that_old_models_list_for_a_weight_is_none() -> None:
    built = nets.three_layers("n")
    built.graph.input.insert(0, helper.make_tensor_value_info("kernel", TensorProto.FLOAT, ["out", 3, 3, 3]))
    assert batch_note(onnx_program(built)) == ["the batch dimension of x is taken as 1"]


def cells(*x: int | str | None, before: str = "", **attributes: object) -> ModelProto:
    """A GRU of 4 numbers in and 3 in the state, on the input as it is or behind another node."""
    node = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=3, name="cells", **attributes)
    nodes = [node]
    if before:
        node.input[0] = "taken"
        perm = {"perm": [1, 0, 2]} if before == "Transpose" else {}
        nodes.insert(0, helper.make_node(before, ["x"], ["taken"], name="before", **perm))
    constants = {"w": nets.weights(1, 9, 4), "r": nets.weights(1, 9, 3)}
    return nets.model(nodes, {"x": x}, ["y"], constants)


ONE_STEP = 9 * (4 + 3)


@pytest.mark.parametrize(
    ("built", "expected", "said"),
    [
        (cells(7, "n", 4), 7 * ONE_STEP, True),
        (cells(7, None, 4), 7 * ONE_STEP, True),
        (cells("n", 7, 4, layout=1), 7 * ONE_STEP, True),
        (cells("n", 7, 4, before="Transpose"), 7 * ONE_STEP, True),
        (cells("steps", 2, 4), None, False),
        (cells("steps", 2, 4, before="Relu"), None, False),
        (cells("steps", "n", 4), None, True),
        (cells(None, 2, 4), None, False),
    ],
    ids=["second", "no name", "layout", "turned", "steps", "steps inside", "both open", "steps, no name"],
)
def test_the_steps_of_a_recurrent_layer_are_no_batch(
    built: ModelProto, expected: int | None, said: bool
) -> None:
    program = onnx_program(built)
    assert counts(program)["cells"] == expected
    assert batch_note(program) == (["the batch dimension of x is taken as 1"] if said else [])


def test_a_recurrent_layer_on_what_has_no_shape_is_uncounted() -> None:
    built = cells(7, 2, 4)
    built.graph.input[0].type.tensor_type.ClearField("shape")
    program = onnx_program(built)
    assert counts(program)["cells"] is None
    assert batch_note(program) == []
