"""What Core ML itself plans on this Mac: `MLComputePlan`, macOS 14.4 or later."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.errors import InvalidInput
from mlops.hardware.ane.wording import first_line

ENGINE = "neural engine"

_SINCE = (14, 4)
# Classes of coremltools.models.compute_device
_DEVICES = {
    "MLNeuralEngineComputeDevice": ENGINE,
    "MLGPUComputeDevice": "gpu",
    "MLCPUComputeDevice": "cpu",
}


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """Where one operation is to run."""

    preferred: str
    """Where Core ML plans it: `neural engine`, `gpu` or `cpu`."""
    supported: tuple[str, ...]
    """Where it can be placed."""
    cost: float | None
    """Its part of the whole model's work, 0 to 1, as Core ML estimates it."""


def plans_here(system: str = sys.platform, release: str | None = None) -> bool:
    """Whether this machine has compute plans."""
    if system != "darwin":
        return False
    numbers = (platform.mac_ver()[0] if release is None else release).split(".")
    return tuple(int(each) for each in numbers if each.isdigit()) >= _SINCE


def read_uses(model: Path, name: str) -> dict[str, DeviceUse]:
    """The use of each operation of a `.mlpackage` or `.mlmodel`, by the name of its first output. Raises
    `InvalidInput`, which calls it by `name`, where Core ML cannot compile it or makes no plan of it."""
    import coremltools
    from coremltools.models.compute_plan import MLComputePlan

    with tempfile.TemporaryDirectory() as folder:
        try:
            compiled = coremltools.models.utils.compile_model(str(model), str(Path(folder, "model.mlmodelc")))
            plan = MLComputePlan.load_from_path(str(compiled), compute_units=coremltools.ComputeUnit.ALL)
            return device_uses(plan)
        except Exception as error:  # Core ML's own, which come as any class
            raise InvalidInput(
                "model",
                name,
                f"Core ML makes no plan of it: {first_line(error)}",
                remedy="Open it in Xcode, which says more; or report on its ONNX file, without Core ML.",
            ) from error


def device_uses(plan: Any) -> dict[str, DeviceUse]:
    """The uses in an `MLComputePlan`; operations that it does not judge (constants) are left out."""
    found: dict[str, DeviceUse] = {}
    program = plan.model_structure.program
    for operation in _operations(program.functions) if program is not None else ():
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None or not operation.outputs:
            continue
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        found[operation.outputs[0].name] = DeviceUse(
            _device(usage.preferred_compute_device),
            tuple(_device(each) for each in usage.supported_compute_devices),
            cost.weight if cost is not None else None,
        )
    return found


def _operations(functions: Mapping[str, Any]) -> Iterator[Any]:
    function = functions.get("main") or next(iter(functions.values()), None)
    waiting = [function.block] if function is not None else []
    while waiting:
        for operation in waiting.pop().operations:
            yield operation
            waiting.extend(operation.blocks)


def _device(device: object) -> str:
    name = type(device).__name__
    return _DEVICES.get(name, name)
