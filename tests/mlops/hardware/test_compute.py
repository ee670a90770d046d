"""Which compute is here: what is found out, and what follows from it."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.util import find_spec

import pytest

from mlops.hardware.compute import Compute, which_compute
from mlops.hardware.nvidia import nvidia

CPU = "CPUExecutionProvider"


def on(system: str, machine: str, *, rosetta: bool = False, gpus: tuple[str, ...] = ()) -> Compute:
    return which_compute(system=system, machine=machine, rosetta=rosetta, cuda_gpus=gpus)


def test_this_machine() -> None:
    here = which_compute()
    assert here.system == platform.system()
    assert here.cpu_cores >= 1
    assert here.mlx == (find_spec("mlx") is not None)
    reader = nvidia()
    assert here.cuda_gpus == (() if reader is None else reader.names)
    assert here.onnx_providers()[-1] == CPU


@pytest.mark.parametrize(
    ("compute", "providers"),
    [
        (on("Linux", "x86_64"), (CPU,)),
        (on("Linux", "x86_64", gpus=("NVIDIA H200",)), ("CUDAExecutionProvider", CPU)),
        (on("Linux", "aarch64"), (CPU,)),
        (on("Darwin", "arm64"), ("CoreMLExecutionProvider", CPU)),
        (on("Darwin", "x86_64"), (CPU,)),
        (on("Darwin", "x86_64", rosetta=True), (CPU,)),
    ],
    ids=["linux", "cuda", "linux on arm", "mac", "intel mac", "rosetta"],
)
def test_providers_are_ordered_best_first(compute: Compute, providers: tuple[str, ...]) -> None:
    assert compute.onnx_providers() == providers


def test_an_arm_mac_has_metal_and_core_ml() -> None:
    mac = on("Darwin", "arm64")
    assert (mac.metal, mac.core_ml, mac.rosetta) == (True, True, False)


def test_under_rosetta_the_machine_is_arm_and_its_accelerators_are_out_of_reach() -> None:
    mac = on("Darwin", "x86_64", rosetta=True)
    assert (mac.machine, mac.rosetta, mac.metal, mac.core_ml) == ("arm64", True, False, False)


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac knows whether it translates")
def test_where_nothing_tells_of_a_translation_there_is_none() -> None:
    mac = which_compute(system="Darwin", machine="x86_64")
    assert (mac.machine, mac.rosetta, mac.cuda_gpus) == ("x86_64", False, ())


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_linux_has_neither(machine: str) -> None:
    linux = on("Linux", machine)
    assert (linux.machine, linux.metal, linux.core_ml) == (machine, False, False)


@pytest.mark.parametrize(
    ("system", "machine", "told", "found"),
    [
        ("Darwin", "arm64", None, None),
        ("Darwin", "arm64", True, True),
        ("Darwin", "arm64", False, False),
        ("Darwin", "x86_64", None, False),
        ("Linux", "aarch64", None, False),
    ],
)
def test_a_neural_engine_is_not_guessed(
    system: str, machine: str, told: bool | None, found: bool | None
) -> None:
    compute = which_compute(system=system, machine=machine, rosetta=False, cuda_gpus=(), neural_engine=told)
    assert compute.neural_engine is found


def test_nothing_heavy_is_imported() -> None:
    heavy = ("torch", "mlx", "coremltools", "onnxruntime", "mlflow", "numpy")
    code = (
        "import sys; from mlops.hardware.compute import which_compute; which_compute();"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
