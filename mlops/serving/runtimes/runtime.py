"""What every flavor's runtime is: arrays in, arrays out, checked against the signature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from .signature import Array, InputProblem, Signature, check


class Runtime(ABC):
    """A loaded model. `run` may be called from several threads at once."""

    def __init__(self, inputs: Signature, outputs: Signature | None = None) -> None:
        self.inputs = inputs
        self.outputs = outputs
        """None where the model does not say."""

    @abstractmethod
    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs, by name."""

    def answer(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Nested lists to nested lists, by name; a number that is not finite becomes None. Raises
        `InputProblem` on what the signature does not take."""
        return as_lists(self.run(self.check(values)))

    def check(self, values: Mapping[str, Any]) -> dict[str, Array]:
        """Arrays, or nested lists, as the arrays of the signature, by name. Raises `InputProblem` on what it
        does not take."""
        if not isinstance(values, Mapping):
            raise InputProblem("inputs", "is not an object", 'Send {"inputs": {name: nested lists}}.')
        return check(self.inputs, values)


def as_lists(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Nested lists by name; a number that is not finite becomes None."""
    return {name: _lists(array) for name, array in arrays.items()}


def _lists(array: Array) -> Any:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        objects = array.astype(object)
        objects[~np.isfinite(array)] = None
        return objects.tolist()
    return array.tolist()
