"""MLX graphs (`.mlxfn`, `mlx.core.import_function`); nothing is unpickled.

A stream of MLX belongs to the thread that made it (since 0.31.2), and an imported graph to the streams of the
thread that imported it. So one thread of the process, for all its MLX models, imports and computes: it has to
be the first that uses MLX there, as it is in a replica and under `bentoml serve`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from .mlmodel import MLModel
from .runtime import Runtime
from .signature import Array, InputProblem, Signature

_CUSTOM = b"CustomKernel"
_THREAD = "mlops_mlx_thread"


def open_mlx(model: MLModel) -> Runtime:
    """Import the model's graph; raises `ValueError` where it is none of ours, or holds a kernel's source, and
    `RuntimeError` where another thread has used MLX."""
    facts = model.flavors["mlx"]
    if model.inputs is None or not isinstance(facts.get("outputs"), list):
        raise ValueError("the model says nothing of its inputs and outputs: log it with `client.log_model`")
    path = model.file(str(facts.get("data", "model.mlxfn")))
    if _CUSTOM in path.read_bytes():
        raise ValueError("the graph holds a kernel of its own, which is code")
    return MlxRuntime(path, model.inputs, model.outputs, facts)


class MlxRuntime(Runtime):
    """A graph for any number of rows, or one for each of some numbers."""

    def __init__(
        self, path: Path, inputs: Signature, outputs: Signature | None, facts: Mapping[str, Any]
    ) -> None:
        super().__init__(inputs, outputs)
        self._names = [str(name) for name in facts["outputs"]]
        self._rows = sorted((int(number) for number in facts.get("rows") or ()), reverse=True)
        self._thread = _thread()
        self._function = self._thread.submit(_imported, path).result()
        self._try_out()

    def check(self, values: Mapping[str, Any]) -> dict[str, Array]:
        """As `Runtime.check`; arrays that are taken by rows have as many of them."""
        arrays = super().check(values)
        if self._rows and len({len(array) for array in arrays.values()}) > 1:
            name = next(reversed(arrays))
            raise InputProblem(name, "has not as many rows as another input", "Send equal lengths.")
        return arrays

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Compute, in the thread that may."""
        return self._thread.submit(self._computed, arrays).result()

    def _try_out(self) -> None:
        """One answer, of zeros: the first is slow, and tells whether this thread may compute."""
        row = {
            tensor.name: np.zeros([max(length, 1) for length in tensor.shape], tensor.dtype)
            for tensor in self.inputs.tensors
        }
        try:
            self.run(row)
        except RuntimeError as error:
            if "no Stream" not in str(error):
                raise
            raise RuntimeError(
                "another thread of this process has used MLX before, and a graph computes in the first alone:"
                " open the model in a process of its own"
            ) from error

    def _computed(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        pieces = [self._asked(piece) for piece in _pieces(arrays, self._rows)]
        outputs = (
            pieces[0] if len(pieces) == 1 else [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
        )
        return dict(zip(self._names, outputs, strict=True))

    def _asked(self, arrays: Mapping[str, Array]) -> list[Array]:
        values = {name: mx.array(array) for name, array in arrays.items()}
        outputs = self._function(**values) if self.inputs.named else self._function(*values.values())
        mx.eval(outputs)
        return [np.array(output) for output in outputs]


def _pieces(arrays: Mapping[str, Array], rows: Sequence[int]) -> list[Mapping[str, Array]]:
    """Slices of the arrays, each of the largest number of `rows` that is left; all at once without `rows`."""
    if not rows:
        return [arrays]
    pieces: list[Mapping[str, Array]] = []
    start, count = 0, len(next(iter(arrays.values())))
    while start < count:
        end = start + next(number for number in rows if number <= count - start)
        pieces.append({name: array[start:end] for name, array in arrays.items()})
        start = end
    return pieces


def _imported(path: Path) -> Any:
    mx.default_stream(mx.default_device())  # makes this thread's
    return mx.import_function(str(path))


def _thread() -> ThreadPoolExecutor:
    """The process's: kept at MLX, since each Bento has a copy of this module."""
    if not hasattr(mx, _THREAD):
        setattr(mx, _THREAD, ThreadPoolExecutor(1, thread_name_prefix="mlx"))
    thread: ThreadPoolExecutor = getattr(mx, _THREAD)
    return thread
