"""Core ML models as data: a coremltools MLModel, an `.mlpackage` or `.mlmodel`, copied as it is."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlops.errors import ConfigError, InvalidInput
from mlops.registry.own import OwnFolder

# ArrayFeatureType.ArrayDataType of Core ML's FeatureTypes.proto
_TYPES = {"FLOAT32": "float32", "DOUBLE": "float64", "INT32": "int32", "FLOAT16": "float16", "INT8": "int8"}
_SUFFIXES = (".mlpackage", ".mlmodel")


def log_model(
    model: Any,
    name: str,
    *,
    signature: Any,
    pip_requirements: Sequence[str],
    input_example: Any,
    output_example: Any,
) -> Any:
    """Store the model with the current run; raises as `own_folder`. Its own description is the signature."""
    del signature
    with tempfile.TemporaryDirectory(prefix="coreml-") as scratch:
        return own_folder(
            model, Path(scratch), input_example=input_example, output_example=output_example
        ).log(name, pip_requirements)


def own_folder(
    model: Any, scratch: Path, *, input_example: Any = None, output_example: Any = None
) -> OwnFolder:
    """The model's package, written into `scratch` unless it lies somewhere. The model itself says what it
    takes and gives; the examples can only agree. Raises `InvalidInput` (model, input_example,
    output_example), `ConfigError` without coremltools."""
    path = _on_disk(model, scratch)
    try:
        spec = tools().utils.load_spec(str(path))
    except Exception as error:  # protobuf's, coremltools' and the system's own
        raise InvalidInput("model", str(path), f"is no Core ML model: {error}") from error
    inputs = _Features("inputs", spec.description.input)
    outputs = _Features("outputs", spec.description.output)
    inputs.check("input_example", input_example)
    outputs.check("output_example", output_example)
    facts = {
        "inputs": inputs.names,
        "outputs": outputs.names,
        "spec_version": int(spec.specificationVersion),
        "coremltools_version": tools().__version__,
    }
    return OwnFolder("coreml", path, _signature(inputs, outputs), facts)


class _Features:
    """The arrays a model takes or gives, as its description has them."""

    def __init__(self, kind: str, features: Any) -> None:
        self._tensors = {feature.name: self._tensor(kind, feature) for feature in features}
        if not self._tensors:
            raise InvalidInput("model", kind, f"is a Core ML model that names no {kind}")

    @property
    def names(self) -> list[str]:
        return list(self._tensors)

    def schema(self) -> Any:
        """MLflow's; None where the model leaves open how many axes one has, as of outputs of open lengths."""
        from mlflow.types import Schema, TensorSpec

        if not all(shape for _, shape in self._tensors.values()):
            return None
        return Schema(
            [TensorSpec(np.dtype(dtype), shape, name) for name, (dtype, shape) in self._tensors.items()]
        )

    def check(self, field: str, example: Any) -> None:
        """Raises `InvalidInput` where the example has other names or shapes."""
        if example is None:
            return
        given = example if isinstance(example, Mapping) else None
        if given is None or set(given) != set(self._tensors):
            raise InvalidInput(
                field,
                list(given) if given is not None else type(example).__name__,
                "names other arrays than the model",
                remedy=f"Give a dict of arrays by name: {', '.join(self._tensors)}.",
            )
        for name, (_, shape) in self._tensors.items():
            have = tuple(getattr(given[name], "shape", ()))
            if shape and not _fits(shape, have):
                raise InvalidInput(field, have, f"has another shape for {name!r}", remedy=f"It is {shape}.")

    def _tensor(self, kind: str, feature: Any) -> tuple[str, tuple[int, ...]]:
        if feature.type.WhichOneof("Type") != "multiArrayType":
            what = feature.type.WhichOneof("Type") or "nothing"
            raise InvalidInput(
                "model",
                feature.name,
                f"is among its {kind} as {what.removesuffix('Type')}, and arrays are served",
                remedy="Convert it with inputs and outputs of coremltools.TensorType.",
            )
        array = feature.type.multiArrayType
        named = array.ArrayDataType.Name(array.dataType)
        if named not in _TYPES:
            raise InvalidInput("model", feature.name, f"is of type {named}, which is not served")
        return _TYPES[named], _shape(array)


def _shape(array: Any) -> tuple[int, ...]:
    """-1 where lengths may differ: a range, or shapes of which there are several."""
    flexibility = array.WhichOneof("ShapeFlexibility")
    if flexibility == "shapeRange":
        ranges = array.shapeRange.sizeRanges
        return tuple(r.lowerBound if r.lowerBound == r.upperBound else -1 for r in ranges)
    if flexibility == "enumeratedShapes":
        axes = zip(*(each.shape for each in array.enumeratedShapes.shapes), strict=True)
        return tuple(lengths[0] if len(set(lengths)) == 1 else -1 for lengths in axes)
    return tuple(array.shape)


def _fits(shape: tuple[int, ...], have: tuple[int, ...]) -> bool:
    return len(shape) == len(have) and all(
        want in (-1, length) for want, length in zip(shape, have, strict=True)
    )


def _signature(inputs: _Features, outputs: _Features) -> Any:
    from mlflow.models import ModelSignature

    taken = inputs.schema()
    if taken is None:
        raise InvalidInput(
            "model",
            inputs.names,
            "leaves open how many axes an input has",
            remedy="Convert it with shapes of inputs.",
        )
    return ModelSignature(taken, outputs.schema())


def _on_disk(model: Any, scratch: Path) -> Path:
    if isinstance(model, str | Path):
        path = Path(model)
        if path.suffix not in _SUFFIXES or not path.exists():
            raise InvalidInput(
                "model",
                str(path),
                "is no Core ML model",
                remedy="Give an .mlpackage or .mlmodel that is there.",
            )
        return path
    if not isinstance(model, tools().models.MLModel):
        raise InvalidInput(
            "model",
            model,
            "is no Core ML model",
            remedy="Give a coremltools MLModel, or the path of its package.",
        )
    suffix = ".mlpackage" if model.get_spec().WhichOneof("Type") == "mlProgram" else ".mlmodel"
    path = scratch / f"model{suffix}"
    model.save(str(path))
    return path


def tools() -> Any:
    """The package `coremltools`; raises `ConfigError` where it is not installed."""
    try:
        with _quiet():
            import coremltools
    except ImportError as error:
        raise ConfigError("coremltools is not installed", remedy="pip install coremltools") from error
    return coremltools


@contextmanager
def _quiet() -> Iterator[None]:
    """coremltools warns of torch's version and of missing parts of macOS when it is imported."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
