"""MLX models as data: the graph of a callable, by `mlx.core.export_function` (`.mlxfn`; nothing is pickled).

The first axis of every input stays open. A model that works row by row is kept as one graph for each of a
few numbers of rows, and a run takes its rows by those. For another, MLX can leave all shapes open
(`shapeless`), but not through what holds a length: a slice, a split, a reshape or a broadcast to a length it
was told. Either is compared with the callable, for further rows, before it is kept: MLX would bake in a
number that the callable took from a shape, and say nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops.errors import ConfigError, InvalidInput
from mlops.registry.own import OwnFolder

Arrays = Mapping[str, NDArray[Any]]

UNNAMED = "inputs"
"""What serving calls an array that the signature has no name for."""
ROWS = (1, 2, 4, 8, 16, 32)
"""Numbers of rows that get a graph each, where the shapes cannot stay open."""

_KINDS = "fiub"
_CUSTOM = b"CustomKernel"
_WRONG_IF_OPEN = b"AddMM"
"""MLX 0.32.4 exports it with the bias of as many rows as the example has, and reads past its end for more."""
_REMEDY = (
    "Compute with MLX's operations alone, on inputs as they come (no `.item()`, `float()`, NumPy, `if` on a"
    " value, or randomness), with `mx.eval` of the weights before; or log it as ONNX."
)


def log_model(
    model: Any,
    name: str,
    *,
    signature: Any,
    pip_requirements: Sequence[str],
    input_example: Any,
    output_example: Any,
) -> Any:
    """Export the callable and store it with the current run; raises as `own_folder`."""
    with tempfile.TemporaryDirectory(prefix="mlx-") as scratch:
        return own_folder(
            model,
            Path(scratch),
            signature=signature,
            input_example=input_example,
            output_example=output_example,
        ).log(name, pip_requirements)


def own_folder(
    model: Any, scratch: Path, *, signature: Any, input_example: Any, output_example: Any = None
) -> OwnFolder:
    """The graph, written into `scratch`, of the callable for inputs like the example's, which are passed by
    their names; an array without a name as the one argument. The outputs are named by the callable's dict,
    else by the output example. Raises `InvalidInput` (model, input_example, output_example), `ConfigError`
    without MLX."""
    named = isinstance(input_example, Mapping)
    given = dict(input_example) if named else {UNNAMED: input_example}
    arrays = {str(key): _array(str(key), value) for key, value in given.items()}
    if not callable(model):
        raise InvalidInput("model", model, "cannot be called", remedy="Give an mlx.nn.Module or a function.")
    with _evaluating(model):
        exported = _Export(model, arrays, named, scratch / "model.mlxfn").made()
    outputs = _named_outputs(exported, output_example)
    facts = {
        "inputs": list(arrays),
        "outputs": list(outputs),
        "rows": list(exported.rows),
        "mlx_version": _mx().__version__,
    }
    return OwnFolder("mlx", exported.path, _signature(signature, outputs), facts)


class _Differs(Exception):
    """What was exported is not the callable."""


_REASONS = (RuntimeError, ValueError, _Differs)


@dataclass(frozen=True, slots=True)
class _Exported:
    path: Path
    outputs: Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]]
    """Of the example: by name where the callable gives a dict."""
    rows: Sequence[int] = ()
    """Numbers of rows that have a graph each; empty where the shapes are open."""


class _Export:
    """The export of one callable."""

    def __init__(self, model: Callable[..., Any], arrays: Arrays, named: bool, path: Path) -> None:
        self._model, self._arrays, self._named, self._path = model, arrays, named, path

    def made(self) -> _Exported:
        """The graphs for some numbers of rows, else one with open shapes; raises `InvalidInput` with the
        reasons against both."""
        outputs = _as_numpy(self._asked(self._model, self._arrays))
        try:
            rows: Sequence[int] = self._by_rows()
        except _REASONS as why:
            try:
                rows = self._with_open_shapes()
            except _REASONS as again:
                raise InvalidInput(
                    "model",
                    self._model,
                    f"cannot be exported by MLX row by row ({why}), nor with open shapes ({again})",
                    remedy=_REMEDY,
                ) from again
        if _CUSTOM in self._path.read_bytes():
            raise InvalidInput(
                "model", self._model, "holds a kernel of its own, which is code", remedy=_REMEDY
            )
        return _Exported(self._path, outputs, rows)

    def _by_rows(self) -> Sequence[int]:
        lengths = {array.shape[:1] for array in self._arrays.values()}
        if len(lengths) > 1 or () in lengths:
            raise _Differs("its inputs have not one number of rows")
        self._write([_resized(self._arrays, number) for number in ROWS], shapeless=False)
        arrays = _more(self._arrays)
        single = [
            self._answer(self._imported(), {key: array[row : row + 1] for key, array in arrays.items()})
            for row in range(len(next(iter(arrays.values()))))
        ]
        if any(part.shape[:1] != (1,) for part in single[0]):
            raise _Differs("an output has not one row for each of the input's")
        joined = [np.concatenate(parts) for parts in zip(*single, strict=True)]
        _same(joined, self._answer(self._model, arrays))
        return ROWS

    def _with_open_shapes(self) -> Sequence[int]:
        self._write([self._arrays], shapeless=True)
        if _WRONG_IF_OPEN in self._path.read_bytes():
            raise _Differs("it holds mx.addmm, as nn.Linear with a bias does")
        for arrays in (self._arrays, _more(self._arrays)):
            _same(self._answer(self._imported(), arrays), self._answer(self._model, arrays))
        return ()

    def _write(self, examples: Sequence[Arrays], *, shapeless: bool) -> None:
        def graph(*args: Any, **kwargs: Any) -> list[Any]:
            result = self._model(*args, **kwargs)
            return list(result.values()) if isinstance(result, Mapping) else _parts(result)

        self._path.unlink(missing_ok=True)
        with _mx().exporter(str(self._path), graph, shapeless=shapeless) as exporter:
            for arrays in examples:
                args, kwargs = self._arguments(arrays)
                exporter(*args, **kwargs)

    def _imported(self) -> Callable[..., Any]:
        imported: Callable[..., Any] = _mx().import_function(str(self._path))
        return imported

    def _answer(self, function: Callable[..., Any], arrays: Arrays) -> list[NDArray[Any]]:
        outputs = _as_numpy(self._asked(function, arrays))
        return list(outputs.values()) if isinstance(outputs, Mapping) else list(outputs)

    def _asked(self, function: Callable[..., Any], arrays: Arrays) -> Any:
        args, kwargs = self._arguments(arrays)
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            raise InvalidInput(
                "model",
                self._model,
                f"does not take the input example: {error}",
                remedy="Name the example's arrays as the callable's parameters.",
            ) from error

    def _arguments(self, arrays: Arrays) -> tuple[list[Any], dict[str, Any]]:
        values = {key: _mx().array(array) for key, array in arrays.items()}
        return ([], values) if self._named else (list(values.values()), {})


def _array(name: str, value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _KINDS or value.size == 0:
        raise InvalidInput(
            "input_example",
            value,
            f"gives no numbers for {name!r}",
            remedy="Give a NumPy array of numbers, or a dict of them by the callable's parameters.",
        )
    return value


def _parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


def _as_numpy(result: Any) -> dict[str, NDArray[Any]] | list[NDArray[Any]]:
    mx = _mx()
    named = result if isinstance(result, Mapping) else None
    values = list(named.values()) if named is not None else _parts(result)
    if not values or not all(isinstance(value, mx.array) for value in values):
        raise InvalidInput(
            "model",
            result,
            "gives something else than arrays",
            remedy="Give an array, or a list or dict of them.",
        )
    if any(value.dtype in (mx.bfloat16, mx.complex64) for value in values):
        raise InvalidInput(
            "model", result, "gives bfloat16 or complex numbers", remedy="Cast its outputs to float32."
        )
    arrays = [np.array(value) for value in values]
    return dict(zip(map(str, named), arrays, strict=True)) if named is not None else arrays


def _named_outputs(exported: _Exported, output_example: Any) -> dict[str, NDArray[Any]]:
    """By the names of the callable's dict, else of the output example."""
    outputs = exported.outputs
    names = [str(name) for name in output_example] if isinstance(output_example, Mapping) else []
    if isinstance(outputs, Mapping):
        if names and set(names) != set(outputs):
            raise InvalidInput(
                "output_example",
                names,
                "names other outputs than the model",
                remedy=f"It gives {list(outputs)}.",
            )
        return dict(outputs)
    if not names:
        names = ["outputs"] if len(outputs) == 1 else [f"output_{number}" for number in range(len(outputs))]
    if len(names) != len(outputs):
        raise InvalidInput(
            "output_example", names, f"names {len(names)} outputs", remedy=f"The model gives {len(outputs)}."
        )
    return dict(zip(names, outputs, strict=True))


def _signature(inferred: Any, outputs: Arrays) -> Any:
    from mlflow.models import ModelSignature, infer_signature

    return ModelSignature(inferred.inputs, infer_signature(dict(outputs), dict(outputs)).outputs)


def _resized(arrays: Arrays, rows: int) -> Arrays:
    return {key: np.resize(array, (rows, *array.shape[1:])) for key, array in arrays.items()}


def _more(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Further rows: the example's, the first at half, which tells rows apart, and the first."""
    return {
        key: array
        if array.ndim == 0
        else np.concatenate(
            [array, array[:1] / 2 if array.dtype.kind == "f" else array[:1], array[:1]]
        ).astype(array.dtype)
        for key, array in arrays.items()
    }


def _same(got: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]]) -> None:
    for one, other in zip(got, wanted, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            raise _Differs(f"it gives {one.shape} where the callable gives {other.shape}")
        if other.dtype.kind != "f":
            same = bool((one == other).all())
        else:
            close = 1e-2 if other.dtype == np.float16 else 1e-4
            scale = np.abs(other[np.isfinite(other)]).max(initial=0.0)
            same = np.allclose(one, other, rtol=close, atol=close * float(scale), equal_nan=True)
        if not same:
            raise _Differs("it gives other numbers than the callable")


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Its weights computed, and without dropout; then as it was."""
    parts = model.modules() if hasattr(model, "modules") and hasattr(model, "parameters") else []
    training = [part for part in parts if part.training]
    if parts:
        _mx().eval(model.parameters())
        model.eval()
    try:
        yield
    finally:
        for part in training:
            part.train()


def _mx() -> Any:
    try:
        import mlx.core as mx
    except ImportError as error:
        raise ConfigError("MLX is not installed", remedy="pip install 'mlx[cpu]' (on a Mac: mlx).") from error
    return mx
