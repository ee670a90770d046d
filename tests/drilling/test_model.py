"""Windows, the model's shapes, its scaler, and its ONNX twin."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from drilling.dataset import HoleSet, load_holes
from drilling.depth_window import CHANNELS, LENGTH, stacked, window_of
from drilling.errors import InvalidSignals, LogUnreadable, ParityError
from drilling.export import check_parity, open_session, run_onnx, to_onnx
from drilling.model import KeypointModel, ModelSize, expected_depth

SMALL = ModelSize(d_model=8, layers=1, head_channels=8)


@pytest.fixture(scope="module")
def dataset(synthetic_folder: Path) -> HoleSet:
    return load_holes(synthetic_folder, progress=False)


@pytest.fixture(scope="module")
def model(dataset: HoleSet) -> KeypointModel:
    torch.manual_seed(0)
    model = KeypointModel(SMALL)
    model.fit_scaler(torch.from_numpy(stacked([hole.window for hole in dataset.holes])[0]))
    return model.eval()


@pytest.fixture(scope="module")
def exported(model: KeypointModel) -> onnx.ModelProto:
    return to_onnx(model)


def test_a_window_covers_the_hole_evenly(dataset: HoleSet) -> None:
    for hole in dataset.holes:
        window = hole.window
        assert window.signals.shape == (LENGTH, len(CHANNELS))
        assert np.isfinite(window.signals).all()
        assert np.diff(window.position_mm) == pytest.approx(np.diff(window.position_mm).mean(), rel=1e-2)
        assert window.position_mm[0] < hole.label_mm[0] < hole.label_mm[2] < window.position_mm[-1]


def test_a_window_keeps_the_currents_and_flags_step_changes(dataset: HoleSet) -> None:
    hole = next(hole for hole in dataset.holes if hole.log.signals["step"].n_unique() > 1)
    steady = hole.window.signals[:, CHANNELS.index("net_torque_a")]
    assert steady.max() == pytest.approx(hole.log.signals["torque_a"].max(), rel=0.15)
    assert 0 < hole.window.signals[:, CHANNELS.index("step_change")].mean() < 0.2


def test_too_few_samples_make_no_window(dataset: HoleSet) -> None:
    log = dataset.holes[0].log
    with pytest.raises(LogUnreadable, match="fewer than 16 samples"):
        window_of(dataclasses.replace(log, signals=log.signals.head(5)))


def test_the_scaler_is_saved_with_the_model_and_not_refitted(model: KeypointModel, dataset: HoleSet) -> None:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert {"mean", "scale"} <= set(state)
    signals, position = stacked([dataset.holes[0].window])
    model(torch.from_numpy(signals * 3), torch.from_numpy(position))
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_shapes_and_answers_inside_the_hole(model: KeypointModel, dataset: HoleSet) -> None:
    signals, position = (torch.from_numpy(a) for a in stacked([hole.window for hole in dataset.holes[:4]]))
    assert model.heat_maps(signals).shape == (4, 3, LENGTH)
    depths = model(signals, position)
    assert depths.shape == (4, 3)
    assert (depths > position[:, :1]).all()
    assert (depths < position[:, -1:]).all()


def test_the_soft_argmax_lies_between_samples() -> None:
    maps = torch.full((1, 1, 4), -100.0)
    maps[0, 0, 1:3] = 0.0
    assert expected_depth(maps, torch.tensor([[1.0, 2.0, 3.0, 4.0]])).item() == pytest.approx(2.5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_onnx_answers_like_torch_for_any_batch(
    exported: onnx.ModelProto, model: KeypointModel, dataset: HoleSet, count: int
) -> None:
    signals, position = stacked([hole.window for hole in dataset.holes[:count]])
    assert check_parity(exported, model, signals, position) < 1e-4


def test_onnx_names_its_inputs_and_output(exported: onnx.ModelProto) -> None:
    assert [value.name for value in exported.graph.input] == ["signals", "position_mm"]
    assert [value.name for value in exported.graph.output] == ["keypoints_mm"]


def test_another_model_fails_the_parity_check(exported: onnx.ModelProto, dataset: HoleSet) -> None:
    torch.manual_seed(1)
    signals, position = stacked([hole.window for hole in dataset.holes[:2]])
    with pytest.raises(ParityError, match="ONNX and torch differ by"):
        check_parity(exported, KeypointModel(SMALL), signals, position)


def test_wrong_shapes_are_named(exported: onnx.ModelProto) -> None:
    session = open_session(exported)
    right = np.zeros((1, LENGTH, len(CHANNELS)), np.float32)
    with pytest.raises(InvalidSignals, match=r"signals has shape \(1, 10, 5\)"):
        run_onnx(session, right[:, :10], np.zeros((1, 10), np.float32))
    with pytest.raises(InvalidSignals, match="position_mm has shape"):
        run_onnx(session, right, np.zeros((2, LENGTH), np.float32))
