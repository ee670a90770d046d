"""torch and Core ML models by way of coremltools, which is imported in this file alone."""

from __future__ import annotations

import gc
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import ModelProto
from torch import nn

from drilling.export import to_onnx
from drilling.model import KeypointModel
from mlops.errors import ConfigError, InvalidInput
from mlops.hardware.ane import coreml
from mlops.hardware.ane.examine import examine_file, examine_pickled
from mlops.hardware.ane.onnx import onnx_program
from mlops.hardware.ane.plan import ENGINE, DeviceUse, device_uses, read_uses
from mlops.hardware.ane.program import Program
from mlops.hardware.ane.report import AneReport, make_report
from mlops.hardware.ane.sizes import weight_sizes
from tests.mlops.hardware.ane import nets

# It takes seconds to import: one test process does.
pytestmark = pytest.mark.xdist_group("coremltools")


class ThreeLayers(nn.Module):
    """The net of `nets.three_layers`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.linear = nn.Linear(8 * 16 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.conv(x)).flatten(1))


@contextmanager
def quiet() -> Iterator[None]:
    """torch and coremltools warn of each other, and of folders that they leave to the collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


def exported(module: nn.Module, *inputs: torch.Tensor, open_axis: int | None = None) -> Any:
    shapes = None if open_axis is None else tuple({open_axis: torch.export.Dim.AUTO} for _ in inputs)
    with quiet():
        return torch.export.export(module.eval(), inputs, dynamic_shapes=shapes)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three layers as a Core ML model."""
    path = tmp_path_factory.mktemp("coreml") / "net.mlpackage"
    coreml.exported_program(exported(ThreeLayers(), torch.zeros(1, 3, 16, 16)), path)
    return path


def weighted(program: Program) -> Counter[str]:
    """Multiply-adds by type, without what has none."""
    found: Counter[str] = Counter()
    for operation in program.operations:
        assert operation.multiply_adds is not None
        found[operation.type] += operation.multiply_adds
    return +found


# -- counted by hand, and alike by both ways ----------------------------------------------------


def test_three_layers_are_counted_as_by_hand_and_as_from_onnx(package: Path) -> None:
    program = coreml.read_coreml(package)
    by_hand = {"conv": nets.CONV_MULTIPLY_ADDS, "linear": nets.LINEAR_MULTIPLY_ADDS}
    assert weighted(program) == by_hand == weighted(onnx_program(nets.three_layers()))
    assert sum(weight.elements for weight in program.weights) == nets.PARAMETERS
    assert weight_sizes(program.weights) == weight_sizes(onnx_program(nets.three_layers()).weights)
    assert [each.type for each in program.operations] == ["cast", "conv", "relu", "reshape", "linear"]


def test_the_whole_net_can_be_placed(package: Path) -> None:
    report = examine_file(package, "net")
    assert (report.format, report.basis, report.placeable_share, report.breaks) == (
        "coreml",
        "heuristic",
        1.0,
        (),
    )


@pytest.mark.parametrize("kind", ["matmul", "transposed", "attention"])
def test_other_products_are_counted_as_from_onnx(kind: str) -> None:
    module, inputs, onnx_model, expected = other(kind)
    program = coreml.exported_program(exported(module, *inputs))
    assert weighted(program) == Counter(expected)
    if onnx_model is not None:
        assert weighted(onnx_program(onnx_model)).total() == Counter(expected).total()


class Products(nn.Module):
    """A product of two inputs."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a @ b


class Attention(nn.Module):
    """The fused operation."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(q, k, v)


def other(kind: str) -> tuple[nn.Module, tuple[torch.Tensor, ...], ModelProto | None, dict[str, int]]:
    """A module, its inputs, the same in ONNX if need be, and its multiply-adds by hand."""
    zeros = torch.zeros
    match kind:
        case "matmul":
            built = nets.single("MatMul", [4, 7, 5], [4, 5, 3])
            return Products(), (zeros(4, 7, 5), zeros(4, 5, 3)), built, {"matmul": 4 * 7 * 5 * 3}
        case "transposed":
            layer = nn.ConvTranspose2d(3, 2, 4, stride=2)
            return layer, (zeros(1, 3, 5, 5),), None, {"conv_transpose": 75 * 32}
        case _:
            inputs = (zeros(1, 2, 7, 4), zeros(1, 2, 9, 4), zeros(1, 2, 9, 4))
            return Attention(), inputs, None, {"matmul": 2 * 7 * 9 * 8}


@pytest.mark.parametrize(("kind", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_recurrent_layers_of_core_ml_are_counted(kind: str, gates: int, tmp_path: Path) -> None:
    """Both directions where there are two: 7 steps, a batch of 2, 5 numbers in and 6 in the state."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    first = {"weight_ih": nets.weights(gates * 6, 5), "weight_hh": nets.weights(gates * 6, 6)}
    state = {"initial_h": nets.weights(2, 6)}
    directions = 1
    if kind == "lstm":
        directions = 2
        first |= {f"{name}_back": weight for name, weight in first.items()}
        state = {"initial_h": nets.weights(2, 12), "initial_c": nets.weights(2, 12)}
        first["direction"] = "bidirectional"

    @mb.program(input_specs=[mb.TensorSpec(shape=(7, 2, 5))])
    def program(x: Any) -> Any:
        return getattr(mb, kind)(x=x, **state, **first)

    with quiet():
        ct.convert(program, convert_to="mlprogram", skip_model_load=True).save(str(tmp_path / "r.mlpackage"))
    found = coreml.read_coreml(tmp_path / "r.mlpackage")
    assert weighted(found)[kind] == 7 * 2 * directions * gates * 6 * (5 + 6)


def test_the_drilling_model_is_counted_alike_from_torch_and_from_onnx() -> None:
    network = KeypointModel()
    program = coreml.exported_program(
        exported(network, torch.zeros(1, 1, 512, 4), torch.zeros(1, 1), torch.ones(1, 1))
    )
    from_onnx = onnx_program(nets.with_windows(to_onnx(network), 1))
    # The ONNX model mixes channels by a matrix on the left, which no linear layer of Core ML does.
    counted, as_onnx = weighted(program), weighted(from_onnx)
    assert counted["conv"] == as_onnx["conv"]
    assert counted["linear"] == as_onnx["linear"] + as_onnx["matmul"]
    assert counted.total() == as_onnx.total()
    assert make_report("keypoints", program).placeable_share == 1.0


# -- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "transposed", "channels"),
    [(True, False, 9), (True, True, 8), (False, False, 8), (False, True, 9)],
)
def test_int8_scales_are_those_of_the_matrix_as_it_lies(
    right: bool, transposed: bool, channels: int, tmp_path: Path
) -> None:
    """A matrix of 8 x 9, which coremltools gives a scale for each output of the product."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    length = {(True, False): 8, (True, True): 9, (False, False): 9, (False, True): 8}[right, transposed]

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 5, length) if right else (2, length, 5))])
    def program(x: Any) -> Any:
        matrix = nets.weights(2, 8, 9)
        if right:
            return mb.matmul(x=x, y=matrix, transpose_y=transposed)
        return mb.matmul(x=matrix, y=x, transpose_x=transposed)

    path = tmp_path / "product.mlpackage"
    with quiet():
        ct.convert(program, convert_to="mlprogram", skip_model_load=True).save(str(path))
    (weight,) = coreml.read_coreml(path).weights
    assert (weight.elements, weight.channels) == (2 * 8 * 9, channels)


@pytest.mark.parametrize("form", ["fp16", "int8", "palette4"])
def test_sizes_are_what_coremltools_stores(form: str, package: Path, tmp_path: Path) -> None:
    import coremltools as ct
    from coremltools.optimize import coreml as optimize

    with quiet():
        model = ct.models.MLModel(str(package), skip_model_load=True)
        if form == "int8":
            config = optimize.OptimizationConfig(optimize.OpLinearQuantizerConfig(mode="linear_symmetric"))
            model = optimize.linear_quantize_weights(model, config)
        elif form == "palette4":
            config = optimize.OptimizationConfig(optimize.OpPalettizerConfig(mode="uniform", nbits=4))
            model = optimize.palettize_weights(model, config)
        model.save(str(tmp_path / "stored.mlpackage"))
    (stored,) = (tmp_path / "stored.mlpackage").rglob("weight.bin")
    expected = getattr(weight_sizes(coreml.read_coreml(package).weights), form)
    assert stored.stat().st_size == pytest.approx(expected, rel=0.05)
    # What was compressed is read as the same numbers of weights, and counted alike.
    program = coreml.read_coreml(tmp_path / "stored.mlpackage")
    assert sum(weight.elements for weight in program.weights) == nets.PARAMETERS
    assert weighted(program).total() == nets.MULTIPLY_ADDS


# -- shapes, numbers, blocks --------------------------------------------------------------------


def test_an_open_batch_is_taken_as_one_and_said() -> None:
    program = coreml.exported_program(exported(ThreeLayers(), torch.zeros(2, 3, 16, 16), open_axis=0))
    assert weighted(program).total() == nets.MULTIPLY_ADDS
    assert "the batch dimension is taken as 1" in program.assumptions


def test_another_open_dimension_breaks_and_is_not_counted() -> None:
    layer = nn.Linear(4, 5)
    program = coreml.exported_program(exported(layer, torch.zeros(1, 7, 4), open_axis=1))
    report = make_report("net", program)
    assert (report.placeable_share, report.uncounted) == (None, 1)
    assert {each.reason for each in report.breaks} == {"dynamic shape"}
    assert any("beyond the batch" in each.text for each in report.assumptions)


def test_a_core_ml_model_in_float32_leaves_the_engine(tmp_path: Path) -> None:
    import coremltools as ct

    with quiet():
        plain = exported(ThreeLayers(), torch.zeros(1, 3, 16, 16)).run_decompositions({})
        options = {"compute_precision": ct.precision.FLOAT32, "skip_model_load": True}
        ct.convert(plain, convert_to="mlprogram", **options).save(str(tmp_path / "full.mlpackage"))
    report = examine_file(tmp_path / "full.mlpackage", "full")
    assert report.placeable_share == 0.0
    assert {each.reason for each in report.breaks} == {"computes in float32"}


def test_branches_are_walked(tmp_path: Path) -> None:
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    matrix = nets.weights(4, 4)

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 4)), mb.TensorSpec(shape=(1,))])
    def program(x: Any, choice: Any) -> Any:
        chosen = mb.squeeze(x=mb.greater(x=choice, y=0.0))
        return mb.cond(
            pred=chosen, _true_fn=lambda: mb.linear(x=x, weight=matrix), _false_fn=lambda: mb.relu(x=x)
        )

    with quiet():
        model = ct.convert(program, convert_to="mlprogram", skip_model_load=True)
        model.save(str(tmp_path / "branches.mlpackage"))
    found = coreml.read_coreml(tmp_path / "branches.mlpackage")
    types = [each.type for each in found.operations]
    assert {"cond", "linear", "relu"} <= set(types)
    assert weighted(found) == {"linear": 2 * 4 * 4}
    report = make_report("n", found)
    assert "control flow" in {each.type: each.reason for each in report.breaks}["cond"]
    assert {each.reason for each in report.breaks if each.type in ("linear", "relu")} == {
        "inside control flow"
    }
    assert report.placeable_share == 0


# -- the compute plan, as far as it goes without a Mac ------------------------------------------


class RecordedPlan:
    """Answers as `MLComputePlan` does, with coremltools' own classes."""

    def __init__(self) -> None:
        from coremltools.models import compute_device as devices
        from coremltools.models import compute_plan as plans

        def device(kind: str) -> Any:
            found = getattr(devices, kind)
            return found.__new__(found)  # made by the framework alone

        engine, cpu = device("MLNeuralEngineComputeDevice"), device("MLCPUComputeDevice")

        def operation(name: str, blocks: list[Any]) -> Any:
            output = plans.MLModelStructureProgramNamedValueType(
                name, plans.MLModelStructureProgramValueType()
            )
            return plans.MLModelStructureProgramOperation({}, "op", [output], blocks, None)

        inner = plans.MLModelStructureProgramBlock([], [operation("inside", [])], [])
        outer = [operation("const", []), operation("conv", []), operation("branch", [inner])]
        function = plans.MLModelStructureProgramFunction(
            [], plans.MLModelStructureProgramBlock([], outer, [])
        )
        self.model_structure = plans.MLModelStructure(
            None, plans.MLModelStructureProgram({"main": function}), None
        )
        self._usages = {
            "conv": plans.MLComputePlanDeviceUsage(engine, [cpu, engine]),
            "branch": plans.MLComputePlanDeviceUsage(cpu, [cpu]),
            "inside": plans.MLComputePlanDeviceUsage(cpu, [cpu]),
        }
        self._costs = {"conv": plans.MLComputePlanCost(0.9)}

    def get_compute_device_usage_for_mlprogram_operation(self, operation: Any) -> Any:
        return self._usages.get(operation.outputs[0].name)

    def get_estimated_cost_for_mlprogram_operation(self, operation: Any) -> Any:
        return self._costs.get(operation.outputs[0].name)


def test_a_compute_plan_is_read_by_operation_and_into_blocks() -> None:
    assert device_uses(RecordedPlan()) == {
        "conv": DeviceUse(ENGINE, ("cpu", ENGINE), 0.9),
        "branch": DeviceUse("cpu", ("cpu",), None),
        "inside": DeviceUse("cpu", ("cpu",), None),
    }


# -- files, and what is wrong with them ---------------------------------------------------------


def test_an_exported_file_is_examined(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(exported(ThreeLayers(), torch.zeros(1, 3, 16, 16)), path)
    report = examine_file(path, "net", allow_pickle=True)
    assert (report.format, report.multiply_adds) == ("torch", nets.MULTIPLY_ADDS)


def test_a_pickled_module_is_examined_for_the_shapes_given(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(nn.Linear(4, 5), path)
    report: AneReport = examine_pickled(path, [((-1, 4), "float32")], "net")
    assert report.multiply_adds == 20
    assert "dimensions of any length are taken as 1" in [each.text for each in report.assumptions]


@pytest.mark.parametrize(
    ("shape", "dtype", "problem"),
    [((1, 3), "float32", "cannot be exported"), ((1, 4), "str", "input type")],
)
def test_inputs_that_do_not_fit_are_refused(
    shape: tuple[int, ...], dtype: str, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.pth"
    torch.save(nn.Linear(4, 5), path)
    with pytest.raises(InvalidInput, match=problem) as caught:
        examine_pickled(path, [(shape, dtype)], "net")
    assert "ONNX" in caught.value.remedy


class Fancy(nn.Module):
    """An operation that coremltools does not convert."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


def test_what_coremltools_cannot_convert_is_told_by_its_file_with_another_way(tmp_path: Path) -> None:
    path = tmp_path / "fancy.pt2"
    torch.export.save(exported(Fancy(), torch.zeros(2)), path)
    with pytest.raises(InvalidInput, match="bessel") as caught:
        examine_file(path, "fancy", allow_pickle=True)
    assert "fancy.pt2" in str(caught.value)
    assert "ONNX" in caught.value.remedy


def test_a_model_in_float16_is_converted() -> None:
    program = coreml.exported_program(exported(nn.Linear(4, 5).half(), torch.zeros(1, 4).half()))
    assert weighted(program) == {"linear": 20}


class Keyed(nn.Module):
    """Takes a dictionary and a keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 5)

    def forward(self, given: dict[str, torch.Tensor], *, more: torch.Tensor) -> torch.Tensor:
        return self.linear(given["x"]) + more


def test_an_open_batch_is_1_in_whatever_the_model_takes_it() -> None:
    batch = torch.export.Dim("batch")
    with quiet():
        made = torch.export.export(
            Keyed().eval(),
            ({"x": torch.zeros(3, 4)},),
            {"more": torch.zeros(3, 5)},
            dynamic_shapes={"given": {"x": {0: batch}}, "more": {0: batch}},
        )
    program = coreml.exported_program(made)
    assert weighted(program) == {"linear": 20}
    assert "the batch dimension is taken as 1" in program.assumptions


class Times(nn.Module):
    """Takes a number beside a tensor."""

    def forward(self, x: torch.Tensor, number: int) -> torch.Tensor:
        return x * number


def test_a_number_as_an_input_is_told() -> None:
    batch = torch.export.Dim("batch")
    with quiet():
        made = torch.export.export(Times(), (torch.zeros(3, 4), 3), dynamic_shapes=({0: batch}, None))
    with pytest.raises(InvalidInput, match="must be a tensor"):
        coreml.exported_program(made)


@pytest.mark.parametrize("kind", ["no program", "no function", "no block"])
def test_a_core_ml_file_without_operations_is_refused(kind: str, tmp_path: Path) -> None:
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model()
    spec.specificationVersion = 7
    if kind == "no function":
        spec.mlProgram.SetInParent()
    elif kind == "no block":
        spec.mlProgram.functions["main"].SetInParent()
    path = tmp_path / "empty.mlmodel"
    path.write_bytes(spec.SerializeToString())
    with pytest.raises(InvalidInput, match=r"empty\.mlmodel.*holds (nothing|an empty program)"):
        examine_file(path, "empty")


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac makes plans")
def test_core_mls_own_errors_name_the_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"net:3.*makes no plan"):
        read_uses(tmp_path / "gone.mlpackage", "net:3")


@pytest.mark.parametrize("name", ["net.pt2", "net.mlmodel", "net.mlpackage", "net.pth"])
def test_a_broken_file_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xfebroken")
    read = (
        coreml.load_pickled if name == "net.pth" else lambda path: examine_file(path, name, allow_pickle=True)
    )
    with pytest.raises(InvalidInput) as caught:
        read(path)
    assert caught.value.field == "model"
    assert name in str(caught.value)


def test_an_older_neural_network_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder
    from coremltools.models.utils import save_spec

    builder = NeuralNetworkBuilder([("x", datatypes.Array(4))], [("y", datatypes.Array(4))])
    builder.add_activation("relu", "RELU", "x", "y")
    save_spec(builder.spec, str(tmp_path / "old.mlmodel"))
    with pytest.raises(InvalidInput, match="neuralNetwork") as caught:
        examine_file(tmp_path / "old.mlmodel", "old")
    assert "mlprogram" in caught.value.remedy


@pytest.mark.parametrize("missing", ["coremltools", "torch"])
def test_what_is_not_installed_is_named_with_its_extra(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pt2"
    path.touch()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=missing) as caught:
        examine_file(path, "net", allow_pickle=True)
    assert "pip install" in caught.value.remedy
