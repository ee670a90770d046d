"""Core ML models, and torch models by way of coremltools' converter.

coremltools takes seconds to import, so this happens inside the functions.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from traceback import clear_frames
from typing import Any

from mlops.errors import ConfigError, InvalidInput
from mlops.hardware.ane.mlprogram import Walk
from mlops.hardware.ane.program import Program
from mlops.hardware.ane.wording import first_line

Example = tuple[tuple[int, ...], str]
"""Shape and NumPy type of one input."""

_BY_ONNX = "Export it to ONNX, and report on that file."
_HALVED = "converted by coremltools to an ML program in float16 of iOS 16 or macOS 13"
_PLAIN = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


def read_coreml(path: Path) -> Program:
    """The program of a `.mlpackage` or `.mlmodel`; raises `InvalidInput` for what holds none."""
    tools = _coremltools()
    with _quiet():
        try:
            spec = tools.utils.load_spec(str(path))
        except Exception as error:  # protobuf's, and coremltools' own of any class
            raise InvalidInput("model", path.name, f"is not a Core ML model: {first_line(error)}") from error
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise InvalidInput(
            "model",
            path.name,
            f"holds {kind or 'nothing'}, not an ML program",
            remedy='Convert its source again by `coremltools.convert(…, convert_to="mlprogram")`.',
        )
    functions = spec.mlProgram.functions.values()
    blocks = [block for each in functions for block in each.block_specializations.values()]
    if not any(block.operations for block in blocks):
        raise InvalidInput("model", path.name, "holds an empty program", remedy="Convert its source again.")
    return _program(spec, "coreml", ())


def read_exported(path: Path, save_to: Path | None = None) -> Program:
    """The program of a `.pt2` that `torch.export.save` wrote; raises `InvalidInput`.

    This may run code that the file holds: read files that you trust. The Core ML model is saved as `save_to`
    if given.
    """
    _coremltools()
    torch = _torch()

    with _quiet():
        try:
            exported = torch.export.load(path)
        except Exception as error:  # a zip, a pickle or a version that it cannot read
            raise InvalidInput(
                "model",
                path.name,
                f"is not an exported torch program: {first_line(error)}",
                remedy="Write it by `torch.export.save(torch.export.export(model, inputs), path)`.",
            ) from error
        return exported_program(exported, save_to, path.name)


def module_program(module: Any, examples: Sequence[Example], save_to: Path | None = None) -> Program:
    """The program of a `torch.nn.Module` for inputs like these, -1 in a shape taken as 1."""
    _coremltools()
    torch = _torch()

    inputs = tuple(
        torch.zeros([max(length, 1) for length in shape], dtype=_torch_dtype(dtype))
        for shape, dtype in examples
    )
    with _quiet():
        try:
            exported = torch.export.export(module.eval(), inputs)
        except Exception as error:  # the model's own code may raise anything
            raise InvalidInput(
                "model", type(module).__name__, f"cannot be exported by torch: {first_line(error)}",
                remedy=_BY_ONNX,
            ) from error  # fmt: skip
        program = exported_program(exported, save_to, type(module).__name__)
    open_ones = any(length < 1 for shape, _ in examples for length in shape)
    note = ("dimensions of any length are taken as 1",) if open_ones else ()
    return Program(program.format, program.operations, program.weights, (*program.assumptions, *note))


def exported_program(exported: Any, save_to: Path | None = None, name: str = "torch") -> Program:
    """The program of a `torch.export.ExportedProgram`, its batch dimension taken as 1.

    Raises `InvalidInput`, which calls it by `name`, for what coremltools cannot convert.
    """
    tools = _coremltools()
    with _quiet():
        try:
            exported, assumed = _with_batch_of_one(exported)
            plain = _without_unknown(exported.run_decompositions({}))
            model = tools.convert(
                plain,
                convert_to="mlprogram",
                skip_model_load=True,
                minimum_deployment_target=tools.target.iOS16,  # the first to take float16
            )
        except Exception as error:  # the converter raises whatever it stumbles over
            clear_frames(error.__traceback__)  # they hold its temporary folder
            raise InvalidInput(
                "model", name, f"cannot be converted to Core ML: {first_line(error)}", remedy=_BY_ONNX
            ) from error
        if save_to is not None:
            model.save(str(save_to))
        return _program(model.get_spec(), "torch", (_HALVED, *assumed))


def load_pickled(path: Path) -> Any:
    """The module in a file of `torch.save`. This runs code that the file holds; raises `InvalidInput`."""
    torch = _torch()

    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # its code may raise anything
        raise InvalidInput(
            "model",
            path.name,
            f"cannot be unpickled: {first_line(error)}",
            remedy="Its classes must be importable here. " + _BY_ONNX,
        ) from error


def _program(spec: Any, format: str, assumptions: tuple[str, ...]) -> Program:
    walk = Walk()
    operations = tuple(walk.operations(spec.mlProgram))
    return Program(format, operations, tuple(walk.weights.values()), assumptions)


def _with_batch_of_one(exported: Any) -> tuple[Any, tuple[str, ...]]:
    """Exported anew with a first dimension of 1 where it was open; nothing else can be open then."""
    torch = _torch()

    signature = exported.graph_signature
    names = [each.arg.name for each in signature.input_specs if each.kind.name == "USER_INPUT"]
    given = {node.name: node.meta["val"] for node in exported.graph.nodes if node.op == "placeholder"}
    inputs = [given[name] for name in names]
    shapes = [[length if isinstance(length, int) else None for length in _shape(each)] for each in inputs]
    if any(None in shape[1:] for shape in shapes):
        return exported, ("dimensions beyond the batch are open: their operations cannot be counted",)
    if not any(None in shape for shape in shapes):
        return exported, ()
    examples = [
        torch.zeros([length or 1 for length in shape], dtype=each.dtype) if hasattr(each, "dtype") else each
        for shape, each in zip(shapes, inputs, strict=True)
    ]
    # Lists, dictionaries and keywords as the model takes them.
    args, kwargs = torch.utils._pytree.tree_unflatten(examples, exported.call_spec.in_spec)
    return torch.export.export(exported.module(), args, kwargs), ("the batch dimension is taken as 1",)


def _shape(given: Any) -> Any:
    return getattr(given, "shape", ())  # a number, which may be an input as well, has none


def _without_unknown(exported: Any) -> Any:
    """The graph without what coremltools 9 does not know and torch 2.13 exports: aliases, and unfolding into
    windows that do not overlap, which is a reshape."""
    torch = _torch()

    aten = torch.ops.aten
    rewrites: dict[Any, Callable[[Any, Any], Any]] = {
        aten.alias.default: lambda graph, node: node.args[0],
        aten.unfold.default: _windows,
    }
    graph = exported.graph
    for node in list(graph.nodes):
        rewrite = rewrites.get(node.target)
        replacement = rewrite(graph, node) if rewrite is not None else None
        if replacement is not None:
            node.replace_all_uses_with(replacement)
            graph.erase_node(node)
    return exported


def _windows(graph: Any, node: Any) -> Any:
    torch = _torch()

    source, axis, size, step = node.args
    shape = list(source.meta["val"].shape)
    axis %= len(shape)
    if size != step or not isinstance(shape[axis], int) or shape[axis] % size:
        return None
    parts = [length if isinstance(length, int) else -1 for length in shape]
    parts[axis : axis + 1] = [shape[axis] // size, size]
    order = [*(place for place in range(len(parts)) if place != axis + 1), axis + 1]
    with graph.inserting_before(node):
        view = graph.call_function(torch.ops.aten.view.default, (source, parts))
        moved = graph.call_function(torch.ops.aten.permute.default, (view, order))
    moved.meta = node.meta
    return moved


def _torch_dtype(name: str) -> Any:
    torch = _torch()

    if name not in _PLAIN:
        raise InvalidInput("model", name, "is an input type that torch does not take", remedy=_BY_ONNX)
    return getattr(torch, name)


def _coremltools() -> Any:
    with _quiet():
        try:
            import coremltools
        except ImportError as error:
            raise ConfigError(
                "reading a torch or Core ML model needs coremltools, which is not installed",
                remedy="Install it: `pip install 'efficientai-toolkit[ane]'`. ONNX models do not need it.",
                extra="ane",
            ) from error
    return coremltools


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            "reading a torch model needs torch, which is not installed",
            remedy="Install it: `pip install torch`.",
        ) from error
    return torch


@contextmanager
def _quiet() -> Iterator[None]:
    """coremltools tells of its versions, of what only a Mac has, and of each pass; none of it is news."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
