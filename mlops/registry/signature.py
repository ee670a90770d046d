"""What a logged model takes and gives, from its examples and, where it is an ONNX graph, from the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops.errors import InvalidInput

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema


def signature_of(model: Any, input_example: Any, output_example: Any) -> ModelSignature | None:
    """MLflow's signature, inferred from the examples; None without an input example.

    MLflow leaves an array's first axis open, and takes the others for fixed. An ONNX graph states which
    axes are open: for its arrays the graph counts. Raises InvalidInput for an example of no use.
    """
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types.schema import AnyType

    if input_example is None:
        return None
    inferred = infer_signature(input_example, output_example)
    if not inferred.inputs.is_tensor_spec() and any(
        isinstance(kind, AnyType) for kind in inferred.inputs.input_types()
    ):
        raise InvalidInput(
            "input_example",
            input_example,
            "gives no signature",
            remedy="Give a numpy array, a data frame, or a dict of numpy arrays by input name.",
        )
    graph = getattr(model, "graph", None)
    if graph is None or not hasattr(graph, "input"):  # as onnx.ModelProto's has
        return inferred
    return ModelSignature(_opened(inferred.inputs, graph.input), _opened(inferred.outputs, graph.output))


def array_names(model: Any, input_example: Any, output_example: Any) -> dict[str, list[str] | None]:
    """What serving calls the arrays that the model takes and gives, by side (`inputs`, `outputs`): an ONNX
    graph's names, or those of the examples; None where neither tells."""
    graph = getattr(model, "graph", None)
    if graph is not None and hasattr(graph, "initializer"):
        constants = {each.name for each in graph.initializer}
        return {
            "inputs": [each.name for each in graph.input if each.name not in constants],
            "outputs": [each.name for each in graph.output],
        }
    examples = {"inputs": input_example, "outputs": output_example}
    return {side: _names(side, example) for side, example in examples.items()}


def _names(side: str, example: Any) -> list[str] | None:
    if isinstance(example, Mapping):
        return [str(name) for name in example]
    if hasattr(example, "columns"):
        return [str(name) for name in example.columns]
    return [side] if hasattr(example, "shape") and not hasattr(example, "name") else None


def _opened(schema: Schema | None, values: Any) -> Schema | None:
    """The schema with the graph's axes where a value of that name and number of axes is in it."""
    from mlflow.types import Schema, TensorSpec

    if schema is None or not schema.is_tensor_spec():
        return schema
    axes = {value.name: value.type.tensor_type.shape.dim for value in values}
    specs = []
    for spec in schema.inputs:
        known = axes.get(spec.name, ())
        if len(known) == len(spec.shape):
            shape = tuple(axis.dim_value if axis.dim_value > 0 else -1 for axis in known)
            spec = TensorSpec(spec.type, shape, spec.name)
        specs.append(spec)
    return Schema(specs)
