"""What runs inside a Bento: this folder is copied into it whole, under the Bento's own name.

It therefore imports nothing of `mlops`, and only relatively from itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .runtime import Runtime
from .signature import InputProblem


def load(folder: Path, threads: int, providers: Sequence[str] = ()) -> Runtime:
    """Open the MLflow model in `folder` by the runtime of its flavor: ONNX Runtime and torch with `threads`
    for one answer, an ONNX graph by those of the execution `providers`, best first, that are installed."""
    from .mlmodel import read

    model = read(folder)
    if model.runtime == "onnx":
        from .onnx import open_onnx

        return open_onnx(model, threads, providers)
    if model.runtime == "mlx":
        from .mlx import open_mlx

        return open_mlx(model)
    if model.runtime == "coreml":
        from .coreml import open_coreml

        return open_coreml(model)
    from .pyfunc import open_pyfunc

    return open_pyfunc(model, threads)


__all__ = ["InputProblem", "Runtime", "load"]
