"""A trained model in other formats: they answer alike, for any number of holes and windows."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from drilling.answers import Answers
from drilling.depth_grid import CHANNELS, HoleWindows, grid_of, hole_windows
from drilling.errors import InvalidSignals, ParityError
from drilling.examples import Examples
from drilling.export import (
    INPUTS,
    OUTPUTS,
    TOLERANCE_MM,
    check_parity,
    coreml,
    loss_mm,
    mlx_model,
    open_session,
    run_onnx,
    to_float16,
    to_int8,
    to_onnx,
)
from drilling.export.coreml import CoreMlMissing, NeedsMac, coreml_answers, to_coreml
from drilling.export.layout import laid_out
from drilling.export.mlx_model import MlxKeypointModel, MlxMissing, NotOurWeights, to_mlx
from drilling.export.onnx_model import check_windows
from drilling.export.precision import tail_nodes
from drilling.fitting import fit, predict
from drilling.labeling import KEY_POINTS
from drilling.model import KeypointEnsemble, KeypointModel
from drilling.model_size import ModelSize, Schedule
from drilling.scaling import FeatureScaler
from drilling.setitec import read_log
from drilling.synthetic import make_hole
from drilling.windows import LENGTH, FeatureTable

# Core ML takes seconds to import: one test process does.
pytestmark = pytest.mark.xdist_group("coremltools")

SMALL = ModelSize(d_model=8, layers=1, head_channels=8)
HOLES = range(4, 16)

Holes = tuple[list[FeatureTable], np.ndarray]


@pytest.fixture(scope="module")
def holes() -> Holes:
    """Twelve holes of one to three windows, with their labels."""
    made = [make_hole(number, holes=60, seed=7) for number in HOLES]
    grids = [grid_of(read_log(hole.content), file_name=hole.file) for hole in made]
    return grids, np.array([[hole.truth[name] for name in KEY_POINTS] for hole in made], dtype=float)


@pytest.fixture(scope="module")
def windows(holes: Holes) -> HoleWindows:
    return hole_windows(holes[0])


def trained(holes: Holes, size: ModelSize, seed: int = 0) -> KeypointModel:
    """A model after a few epochs, so that its heat maps are not flat."""
    grids, labels = holes
    torch.manual_seed(seed)
    model = KeypointModel(size)
    model.set_scaler(FeatureScaler.fit((str(number), grid) for number, grid in enumerate(grids)))
    fit(model, Examples.of(grids, labels, torch.device("cpu")), (grids, labels), Schedule(40, 1e-2, 6, seed))
    return model.eval()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make a small network slow where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(holes: Holes, one_thread: None) -> KeypointModel:
    return trained(holes, SMALL)


@pytest.fixture(scope="module")
def without_encoder(holes: Holes, one_thread: None) -> KeypointModel:
    return trained(holes, dataclasses.replace(SMALL, encoder="none"))


@pytest.fixture(scope="module")
def expected(model: KeypointModel, windows: HoleWindows) -> Answers:
    return predict(model, windows)


@pytest.fixture(scope="module")
def exported(model: KeypointModel) -> onnx.ModelProto:
    return to_onnx(model)


@pytest.fixture(scope="module")
def session(exported: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return open_session(exported, threads=1)


def only(windows: HoleWindows, hole: int) -> HoleWindows:
    """One hole, without its padding."""
    count = int((windows.length[hole] > 0).sum())
    return HoleWindows(*(array[hole : hole + 1, :count] for array in windows.as_dict().values()))


def of_hole(answers: Answers, hole: int) -> Answers:
    return Answers(*(getattr(answers, name)[hole : hole + 1] for name in OUTPUTS))


def changed(windows: HoleWindows, name: str, array: np.ndarray) -> HoleWindows:
    return dataclasses.replace(windows, **{name: array})


# -- ONNX ---------------------------------------------------------------------------------------


def test_the_holes_have_one_to_three_windows(windows: HoleWindows) -> None:
    assert {1, 2, 3} == set((windows.length > 0).sum(axis=1))


def test_the_heat_maps_are_not_flat(model: KeypointModel, windows: HoleWindows, expected: Answers) -> None:
    maps = model.heat_maps(torch.from_numpy(windows.signals[:, 0]), torch.from_numpy(windows.length[:, 0]))
    assert maps.inside.detach().softmax(dim=-1).max() > 20 / LENGTH
    assert np.ptp(expected.keypoints_mm, axis=0).min() > 0.01


def test_onnx_answers_like_torch(
    session: onnxruntime.InferenceSession, windows: HoleWindows, expected: Answers
) -> None:
    found = run_onnx(session, windows)
    assert check_parity(found, expected) <= TOLERANCE_MM == 1e-4
    assert found.presence == pytest.approx(expected.presence, abs=1e-5)


def test_onnx_answers_alike_for_one_hole_of_any_number_of_windows(
    session: onnxruntime.InferenceSession, windows: HoleWindows, expected: Answers
) -> None:
    for hole in range(len(HOLES)):
        check_parity(run_onnx(session, only(windows, hole)), of_hole(expected, hole))


def test_onnx_without_an_encoder_and_of_an_ensemble_answers_alike(
    model: KeypointModel, without_encoder: KeypointModel, windows: HoleWindows
) -> None:
    for other in (without_encoder, KeypointEnsemble([model, without_encoder])):
        check_parity(run_onnx(open_session(to_onnx(other)), windows), predict(other, windows))


def test_onnx_names_its_inputs_and_outputs(exported: onnx.ModelProto) -> None:
    assert [value.name for value in exported.graph.input] == list(INPUTS)
    assert [value.name for value in exported.graph.output] == list(OUTPUTS)


def test_onnx_tells_nothing_of_the_machine_it_was_made_on(exported: onnx.ModelProto) -> None:
    content = exported.SerializeToString()
    for told in (b".py", b"File ", str(Path(torch.__file__).parent.parent).encode()):
        assert told not in content


def test_the_layout_for_a_cpu_leaves_the_model_as_it_was(model: KeypointModel, windows: HoleWindows) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    answered = predict(laid_out(model), windows)
    check_parity(answered, predict(model, windows), name="layout")
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_running_model_needs_no_torch() -> None:
    code = "import sys, drilling.export; sys.exit(bool({'torch', 'mlx', 'coremltools'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        (
            "signals",
            np.zeros((2, 10, 4), np.float32),
            r"signals has shape \(2, 10, 4\), not \(h, k, 512, 4\)",
        ),
        ("signals", np.zeros((2, 1, 512, 5), np.float32), "signals has shape"),
        ("signals", np.zeros((0, 1, 512, 4), np.float32), "signals has shape"),
        ("start_mm", np.zeros((2, 2), np.float32), r"start_mm has shape \(2, 2\), not \(2, 1\)"),
        ("length", np.ones(2, np.float32), r"length has shape \(2,\), not \(2, 1\)"),
        ("start_mm", np.zeros((2, 1)), "start_mm .*finite float32 values; it is float64"),
        ("start_mm", np.full((2, 1), np.nan, np.float32), "start_mm .*finite float32"),
        ("length", np.array([[5.0], [0.0]], np.float32), "length .*above 0 in a window of each hole"),
    ],
)
def test_arrays_that_are_no_windows_are_named(name: str, array: np.ndarray, told: str) -> None:
    right = HoleWindows(
        np.zeros((2, 1, LENGTH, len(CHANNELS)), np.float32), np.zeros((2, 1), np.float32),
        np.full((2, 1), 9, np.float32),
    )  # fmt: skip
    check_windows(right)
    with pytest.raises(InvalidSignals, match=told) as caught:
        check_windows(changed(right, name, array))
    assert caught.value.remedy


def test_every_format_refuses_what_is_no_window(
    session: onnxruntime.InferenceSession, model: KeypointModel, windows: HoleWindows, tmp_path: Path
) -> None:
    wrong = changed(windows, "signals", np.full_like(windows.signals, np.nan))
    for answer in (
        lambda: run_onnx(session, wrong),
        lambda: to_mlx(model).answer(wrong),
        lambda: coreml_answers(tmp_path / "none.mlpackage", wrong),
    ):
        with pytest.raises(InvalidSignals, match="signals"):
            answer()


# -- parity -------------------------------------------------------------------------------------


def moved(answers: Answers, name: str, by: float) -> Answers:
    array = getattr(answers, name).copy()
    array[0, 0] += by
    return dataclasses.replace(answers, **{name: array})


@pytest.mark.parametrize("name", ["keypoints_mm", "uncertainty_mm"])
@pytest.mark.parametrize("by", [0.2, math.nan])
def test_what_differs_is_refused_by_its_format(expected: Answers, name: str, by: float) -> None:
    given = dataclasses.replace(expected, uncertainty_mm=np.minimum(expected.uncertainty_mm, 0.5))
    with pytest.raises(ParityError, match="MLX and torch differ by") as caught:
        check_parity(moved(given, name, by), given, name="MLX")
    assert caught.value.remedy
    assert not caught.value.difference_mm < 0.19


def test_wide_uncertainties_are_compared_by_their_share(expected: Answers) -> None:
    wide = dataclasses.replace(expected, uncertainty_mm=np.full_like(expected.uncertainty_mm, 10.0))
    assert check_parity(moved(wide, "uncertainty_mm", 5e-4), wide) == pytest.approx(5e-5)


def test_another_model_fails_the_parity_check(
    without_encoder: KeypointModel, windows: HoleWindows, expected: Answers
) -> None:
    with pytest.raises(ParityError, match="ONNX and torch differ by"):
        check_parity(predict(without_encoder, windows), expected)


def test_the_loss_is_told_by_key_point(expected: Answers) -> None:
    labels = expected.keypoints_mm - 1
    labels[:, 1] = np.nan
    loss = loss_mm(moved(expected, "keypoints_mm", 0.12), expected, labels)
    assert list(loss) == list(KEY_POINTS)
    assert loss[KEY_POINTS[0]] == pytest.approx({"mean": 0.01, "largest": 0.12, "error": 0.01})
    assert loss[KEY_POINTS[2]] == {"mean": 0, "largest": 0, "error": 0}
    assert math.isnan(loss[KEY_POINTS[1]]["error"])
    assert "error" not in loss_mm(expected, expected)[KEY_POINTS[0]]


# -- fewer bits ---------------------------------------------------------------------------------


def test_float16_costs_little_and_keeps_its_interface(
    exported: onnx.ModelProto, windows: HoleWindows, expected: Answers
) -> None:
    half = to_float16(exported)
    for value in (*half.graph.input, *half.graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert any(each.data_type == onnx.TensorProto.FLOAT16 for each in half.graph.initializer)
    loss = loss_mm(run_onnx(open_session(half), windows), expected)
    assert max(point["mean"] for point in loss.values()) < 0.01


def test_float16_does_not_overflow_where_a_window_is_very_sure(
    model: KeypointModel, windows: HoleWindows
) -> None:
    sure = copy.deepcopy(model)
    with torch.no_grad():
        sure.maps.bias[len(KEY_POINTS) :] = -9.0  # clamped to a scale of exp(-6) mm: a weight over 65,504
    loss = loss_mm(run_onnx(open_session(to_float16(to_onnx(sure))), windows), predict(sure, windows))
    assert max(point["mean"] for point in loss.values()) < 0.01
    assert max(point["largest"] for point in loss.values()) < 0.1


def casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(each.name == "to" and each.i == kind for each in node.attribute)


def test_float16_rounds_nothing_within_the_tail(exported: onnx.ModelProto) -> None:
    half, tail = to_float16(exported), set(tail_nodes(exported))
    written = {output: node for node in half.graph.node for output in node.output}
    for node in half.graph.node:
        if node.name not in tail:
            continue
        for name in node.input:
            source = written.get(name)
            if source is not None and casts_to(source, onnx.TensorProto.FLOAT):
                before = written.get(source.input[0])
                assert before is None or not casts_to(before, onnx.TensorProto.FLOAT16)


def test_the_tail_that_stays_in_float32_is_what_follows_the_logits(exported: onnx.ModelProto) -> None:
    tail = set(tail_nodes(exported))
    kinds = {node.op_type: node.name in tail for node in exported.graph.node}
    assert kinds["ReduceLogSumExp"]
    assert kinds["Sigmoid"]
    assert not kinds["Conv"]
    assert not kinds["LayerNormalization"]


def test_int8_costs_little_and_leaves_the_first_and_last_convolution(
    exported: onnx.ModelProto, windows: HoleWindows, expected: Answers
) -> None:
    onnx.helper.set_model_props(exported, {"drilling.note": "kept"})
    small = to_int8(exported, windows)
    assert {prop.key: prop.value for prop in small.metadata_props}["drilling.note"] == "kept"
    dequantized = {node.output[0] for node in small.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in small.graph.node if node.op_type == "Conv"]
    quantized = [node.input[1] in dequantized for node in convolutions]
    assert quantized == [False, *[True] * (SMALL.head_layers - 1), False]
    loss = loss_mm(run_onnx(open_session(small), windows), expected)
    assert max(point["mean"] for point in loss.values()) < 0.05


# -- MLX ----------------------------------------------------------------------------------------


def test_mlx_answers_like_torch_and_after_a_file(
    model: KeypointModel, windows: HoleWindows, expected: Answers, tmp_path: Path
) -> None:
    written = to_mlx(model).save(tmp_path / "deep" / "keypoints.mlx.safetensors")
    assert [path.name for path in written.parent.iterdir()] == ["keypoints.mlx.safetensors"]
    loaded = MlxKeypointModel.load(written)
    assert loaded.size == SMALL
    for answers in (to_mlx(model).answer(windows), loaded.answer(windows)):
        check_parity(answers, expected, name="MLX")
        assert answers.presence == pytest.approx(expected.presence, abs=1e-5)


def test_mlx_without_an_encoder_and_of_more_layers_answers_alike(
    without_encoder: KeypointModel, windows: HoleWindows
) -> None:
    torch.manual_seed(3)
    for other in (without_encoder, KeypointModel(ModelSize(patch=8, layers=3, head_layers=2, kernel=5))):
        check_parity(to_mlx(other).answer(windows), predict(other, windows), name="MLX")


def test_the_file_for_mlx_says_its_size_and_its_scaler(model: KeypointModel, tmp_path: Path) -> None:
    import mlx.core as mx

    path = to_mlx(model).save(tmp_path / "k.safetensors")
    _, said = mx.load(str(path), return_metadata=True)
    assert json.loads(said["size"]) == dataclasses.asdict(SMALL)
    assert json.loads(said["scaler"])["mean"] == pytest.approx(model.mean.tolist())


@pytest.mark.parametrize("content", [None, b"not weights", "other"])
def test_a_file_that_is_no_model_for_mlx_is_named(content: bytes | str | None, tmp_path: Path) -> None:
    import mlx.core as mx

    path = tmp_path / "k.safetensors"
    if content == "other":
        mx.save_safetensors(str(path), {"w": mx.zeros(3)}, {"format": "pt"})
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(NotOurWeights, match=r"k\.safetensors holds no key point model") as caught:
        MlxKeypointModel.load(path)
    assert caught.value.remedy


def test_without_mlx_its_remedy_is_told(
    model: KeypointModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlx_model, "mx", None)
    for use in (lambda: to_mlx(model), lambda: MlxKeypointModel.load(tmp_path / "k.safetensors")):
        with pytest.raises(MlxMissing, match="MLX") as caught:
            use()
        assert caught.value.remedy == "pip install mlx"


# -- Core ML ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def package(model: KeypointModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_coreml(model, tmp_path_factory.mktemp("coreml") / "keypoints.mlpackage", windows=3)


def test_a_core_ml_package_has_the_inputs_and_outputs_of_the_onnx_model(package: Path) -> None:
    import coremltools as ct

    spec = ct.models.MLModel(str(package), skip_model_load=True).get_spec()
    shapes = {
        each.name: tuple(each.type.multiArrayType.shape)
        for each in (*spec.description.input, *spec.description.output)
    }
    assert shapes == {
        "signals": (1, 3, LENGTH, len(CHANNELS)),
        "start_mm": (1, 3),
        "length": (1, 3),
        **dict.fromkeys(OUTPUTS, (1, 3)),
    }
    assert spec.specificationVersion == ct.target.macOS14
    assert coreml._windows_of(spec) == 3


def test_the_graph_that_core_ml_is_given_answers_like_torch(
    model: KeypointModel, windows: HoleWindows, expected: Answers
) -> None:
    given = tuple(torch.from_numpy(array[:1]) for array in windows.as_dict().values())
    with torch.no_grad(), coreml._quiet():
        program = torch.export.export(laid_out(model), given).run_decompositions({})
        found = coreml._convertible(program).module()(*given)
    answers = Answers(*(part.detach().numpy().astype(np.float64) for part in found))
    check_parity(answers, of_hole(expected, 0), name="Core ML")


@pytest.mark.skipif(sys.platform != "darwin", reason="Core ML answers on macOS alone")
def test_core_ml_answers_like_torch(package: Path, windows: HoleWindows, expected: Answers) -> None:
    check_parity(coreml_answers(package, windows), expected, tolerance_mm=1e-3, name="Core ML")


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac answers")
def test_core_ml_elsewhere_says_where_it_runs(package: Path, windows: HoleWindows) -> None:
    with pytest.raises(NeedsMac, match="macOS") as caught:
        coreml_answers(package, windows)
    assert "Mac" in caught.value.remedy


def test_a_hole_is_padded_to_the_windows_of_the_package(windows: HoleWindows) -> None:
    most = windows.length.shape[1]
    given = coreml._padded(windows, 0, most + 2)
    assert given["signals"].shape == (1, most + 2, LENGTH, len(CHANNELS))
    assert given["length"][0, most:].tolist() == [0, 0]
    long = int(np.argmax((windows.length > 0).sum(axis=1)))
    with pytest.raises(InvalidSignals, match="at most 2 windows"):
        coreml._padded(windows, long, 2)


def test_without_coremltools_its_remedy_is_told(
    model: KeypointModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(CoreMlMissing) as caught:
        to_coreml(model, tmp_path / "k.mlpackage")
    assert caught.value.remedy == "pip install coremltools"
