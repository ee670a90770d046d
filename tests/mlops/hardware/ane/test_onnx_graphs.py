"""ONNX nodes that hold graphs: loops, scans and branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from mlops.hardware.ane.onnx import onnx_program
from mlops.hardware.ane.program import Program
from mlops.hardware.ane.report import make_report
from mlops.hardware.ane.rules import objection
from tests.mlops.hardware.ane import nets

Length = int | str | None


def told(name: str, shape: Sequence[Length] | None, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    **constants: np.ndarray[Any, Any],
) -> GraphProto:
    given = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return helper.make_graph(nodes, "inner", inputs, outputs, given)


def branch(name: str, width: int) -> GraphProto:
    """A product with a matrix to `width`; matrices and outputs are called alike in each."""
    node = helper.make_node("MatMul", ["x", "w"], ["out"], name=name)
    return graph([node], [], [told("out", None)], w=nets.weights(4, width))


def body(state: Sequence[Length] | None, taken: str = "state") -> GraphProto:
    nodes = [
        helper.make_node("MatMul", [taken, "w"], ["next"], name="inside"),
        helper.make_node("Identity", ["more"], ["again"]),
    ]
    return graph(
        nodes,
        [told("step", [], TensorProto.INT64), told("more", [], TensorProto.BOOL), told("state", state)],
        [told("again", [], TensorProto.BOOL), told("next", state)],
        w=nets.weights(4, 4),
    )


def loop(inner: GraphProto, x: Sequence[Length], start: str = "x") -> Program:
    node = helper.make_node("Loop", ["times", "", start], ["y"], name="loop", body=inner)
    constants = {"times": np.array(9), "k": nets.weights(2, 4)}
    return onnx_program(nets.model([node], {"x": x}, ["y"], constants))


def choice(*taken: str) -> Program:
    """An `If` of a branch to 8 numbers and one to 100, on these values."""
    node = helper.make_node(
        "If", list(taken), ["y"], name="if", then_branch=branch("then", 8), else_branch=branch("else", 100)
    )
    built = nets.model([node], {"x": ["n", 4], "c": []}, ["y"], {"always": np.array(True)})
    built.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    return onnx_program(built)


def counts(program: Program) -> dict[str, int | None]:
    return {operation.name: operation.multiply_adds for operation in program.operations}


def test_a_loop_is_walked_and_counts_once() -> None:
    program = loop(body([2, 4]), [2, 4])
    assert [each.type for each in program.operations] == ["while_loop", "linear"]
    assert counts(program) == {"loop": 0, "inside": 2 * 4 * 4}
    assert "the operations inside a loop are counted once" in program.assumptions
    assert not any("branches" in text for text in program.assumptions)


def test_a_loop_over_constants_is_not_folded_away() -> None:
    program = loop(body([2, 4], taken="x"), [2, 4], start="k")
    assert counts(program) == {"loop": 0, "inside": 2 * 4 * 4}
    assert [weight.elements for weight in program.weights] == [8, 16]


def test_a_branch_on_a_constant_is_not_folded_away() -> None:
    assert counts(choice("always")) == {"if": 0, "then": 4 * 8, "else": 4 * 100}


def test_the_branches_are_added_and_their_weights_are_their_own() -> None:
    program = choice("c")
    assert counts(program) == {"if": 0, "then": 4 * 8, "else": 4 * 100}
    assert sorted(weight.elements for weight in program.weights) == [32, 400]
    assert "the operations of both branches of an if are added" in program.assumptions
    assert not any("loop" in text for text in program.assumptions)


def test_a_constant_of_one_branch_is_none_in_the_other() -> None:
    other = graph(
        [
            helper.make_node("Own", ["x"], ["w"], domain="own"),
            helper.make_node("MatMul", ["x", "w"], ["out"], name="own"),
        ],
        [],
        [told("out", None)],
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=other, else_branch=branch("else", 4))
    built = nets.model([node], {"x": [4, 4], "c": []}, ["y"])
    built.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    program = onnx_program(built)
    assert {each.name: each.type for each in program.operations}["own"] == "matmul"
    assert [weight.elements for weight in program.weights] == [16]


def test_what_stands_inside_is_not_placeable() -> None:
    inside = loop(body([2, 4]), [2, 4]).operations[1]
    found = objection(inside)
    assert found is not None
    assert found.reason == "inside control flow"
    assert make_report("net", choice("c")).placeable_share == 0


def test_the_batch_is_one_inside_too() -> None:
    program = loop(body(["n", 4]), ["n", 4])
    assert counts(program)["inside"] == 4 * 4
    assert program.assumptions.count("the batch dimension of x is taken as 1") == 1


def test_notes_of_open_shapes_inside_are_inferred_anew() -> None:
    inner = body(["n", 4], taken="maps")
    inner.node.insert(0, helper.make_node("Relu", ["state"], ["maps"], name="relu"))
    inner.value_info.append(told("maps", ["other", 4]))
    assert counts(loop(inner, ["n", 4]))["inside"] == 4 * 4


def test_a_state_of_a_loop_whose_shape_is_not_told_is_not_guessed() -> None:
    assert counts(loop(body(None), [2, 4]))["inside"] is None  # it may grow from step to step


def test_a_scan_is_counted_once_by_the_slices_it_takes() -> None:
    inner = graph(
        [
            helper.make_node("MatMul", ["slice", "w"], ["part"], name="inside"),
            helper.make_node("Add", ["state", "part"], ["next"]),
            helper.make_node("Identity", ["next"], ["kept"]),
        ],
        [told("state", None), told("slice", None)],
        [told("next", None), told("kept", None)],
        w=nets.weights(4, 4),
    )
    node = helper.make_node("Scan", ["start", "x"], ["y", "z"], num_scan_inputs=1, body=inner)
    program = onnx_program(nets.model([node], {"x": [7, 4], "start": [4]}, ["y", "z"]))
    assert counts(program)["inside"] == 4 * 4
    assert "the operations inside a loop are counted once" in program.assumptions


def test_each_of_several_graphs_in_one_attribute_is_walked() -> None:
    node = helper.make_node("Choose", ["x"], ["y"], domain="own")
    held = onnx.AttributeProto(name="cases", type=onnx.AttributeProto.GRAPHS)
    held.graphs.extend([branch("first", 8), branch("second", 100)])
    node.attribute.append(held)
    program = onnx_program(nets.model([node], {"x": [1, 4]}, ["y"]))
    assert {each.name: len(each.inputs[1].shape or ()) for each in program.operations[1:]} == {
        "first": 2,
        "second": 2,
    }
    assert sorted(weight.elements for weight in program.weights) == [32, 400]
