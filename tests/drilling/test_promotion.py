"""A challenger against the champion on holes that neither knows; and prediction with what was registered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from drilling.answers import Answers
from drilling.dataset import HoleSet, load_holes
from drilling.depth_grid import hole_windows
from drilling.errors import InvalidConfig, LogUnreadable, NoLogs, PromotionRefused
from drilling.exporting import export_all, version_of
from drilling.fitting import predict
from drilling.gate import gate_holes
from drilling.model import KeypointModel
from drilling.model_size import ModelSize
from drilling.predicting import predict_folder, write_csv
from drilling.predictor import KeypointPredictor, points_of
from drilling.promotion import promote
from drilling.registration import MODEL_NAME, TORCH_NAME, export_checked, register, unseen
from drilling.scaling import FeatureScaler

SIZE = ModelSize(d_model=8, layers=1, head_channels=8, head_layers=3)


@pytest.fixture(scope="module")
def dataset(synthetic_folder: Path) -> HoleSet:
    return load_holes(synthetic_folder, progress=False)


@pytest.fixture(scope="module")
def held(dataset: HoleSet):
    return gate_holes([hole.groups for hole in dataset.holes], [hole.name for hole in dataset.holes], 0.5)


@pytest.fixture(scope="module")
def model(dataset: HoleSet) -> KeypointModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = KeypointModel(SIZE)
    made.set_scaler(FeatureScaler.fit((hole.name, hole.grid) for hole in dataset.holes))
    return made.eval()


@pytest.fixture(scope="module")
def exported(dataset: HoleSet, held, model: KeypointModel) -> onnx.ModelProto:
    seen = [hole for hole, out in zip(dataset.holes, held, strict=True) if not out]
    windows = hole_windows([hole.grid for hole, out in zip(dataset.holes, held, strict=True) if out])
    return export_checked(model, windows, seen)[0]


@pytest.fixture
def registered(client, dataset: HoleSet, model: KeypointModel, exported: onnx.ModelProto):
    """Two versions of one model; the second is the challenger."""
    windows = hole_windows([dataset.holes[0].grid])
    for _ in range(2):
        with client.start_run(run_name="training"):
            client.log_model(model, TORCH_NAME, "torch")
            register(client, exported, MODEL_NAME, windows, predict(model, windows), dataset.labels_mm[:1])
    return client


def worse_by(monkeypatch, difference_mm: float) -> None:
    """Let the challenger's answers (asked for first) be off by a constant, the champion's true."""
    asked: list[int] = []

    def answer(_session, windows) -> Answers:
        asked.append(1)
        holes = windows.signals.shape[0]
        depths = np.zeros((holes, 3)) + (difference_mm if len(asked) % 2 else 0.0)
        return Answers(depths, np.ones((holes, 3)), np.ones((holes, 3)))

    monkeypatch.setattr("drilling.promotion.run_onnx", answer)
    monkeypatch.setattr(
        "drilling.promotion.hole_errors",
        lambda found, _truth: np.abs(found).mean(axis=1) + np.linspace(0, 1e-3, len(found)),
    )


class TestUnseen:
    def test_a_model_knows_its_holes_and_their_tools(self, dataset: HoleSet, held, exported) -> None:
        assert (unseen(dataset.holes, [exported]) == held).all()

    def test_a_model_that_does_not_say_knows_all(self, dataset: HoleSet) -> None:
        assert not unseen(dataset.holes, [onnx.ModelProto()]).any()


class TestPromotion:
    def test_the_first_one_needs_no_comparison(self, registered) -> None:
        decision = promote(registered, MODEL_NAME, registered.root / "data/raw", progress=False)
        assert (decision.version, decision.champion, decision.forced) == (2, None, False)
        assert registered.aliases[(MODEL_NAME, "champion")] == 2
        assert registered.tags["promotion"] == "earned"

    def test_an_equal_one_takes_the_champions_place(self, registered) -> None:
        registered.set_alias(MODEL_NAME, "champion", 1)
        decision = promote(registered, MODEL_NAME, registered.root / "data/raw", progress=False)
        assert decision.comparison is not None
        assert decision.comparison.difference_mm.value == pytest.approx(0, abs=1e-6)
        assert registered.aliases[(MODEL_NAME, "champion")] == 2
        assert registered.metrics["difference_high_mm"] >= registered.metrics["difference_low_mm"]

    def test_a_worse_one_is_refused_with_figures(self, registered, monkeypatch) -> None:
        registered.set_alias(MODEL_NAME, "champion", 1)
        worse_by(monkeypatch, 0.05)
        with pytest.raises(PromotionRefused, match=r"\+50\.0 µm from version 1's \(95 % interval") as caught:
            promote(registered, MODEL_NAME, registered.root / "data/raw", progress=False)
        assert "--force" in caught.value.remedy
        assert registered.aliases[(MODEL_NAME, "champion")] == 1

    def test_a_forced_one_is_recorded(self, registered, monkeypatch) -> None:
        registered.set_alias(MODEL_NAME, "champion", 1)
        worse_by(monkeypatch, 0.05)
        decision = promote(registered, MODEL_NAME, registered.root / "data/raw", force=True, progress=False)
        assert decision.forced
        assert registered.aliases[(MODEL_NAME, "champion")] == 2
        assert registered.tags["promotion"] == "forced"
        assert "µm" in registered.tags["reason"]

    def test_too_few_unknown_holes_are_no_ground_to_promote(self, registered, monkeypatch) -> None:
        registered.set_alias(MODEL_NAME, "champion", 1)
        monkeypatch.setattr("drilling.promotion.LEAST_HOLES", 1000)
        with pytest.raises(PromotionRefused, match="unknown to both"):
            promote(registered, MODEL_NAME, registered.root / "data/raw", progress=False)

    def test_the_champion_is_not_promoted_again(self, registered) -> None:
        registered.set_alias(MODEL_NAME, "champion", 2)
        with pytest.raises(PromotionRefused, match="it is the champion already"):
            promote(registered, MODEL_NAME, registered.root / "data/raw", progress=False)

    def test_an_unknown_version_is_named(self, registered) -> None:
        with pytest.raises(PromotionRefused, match=r"version 9 .* there is no such version"):
            promote(registered, MODEL_NAME, registered.root / "data/raw", version=9, progress=False)
        registered.aliases.clear()
        with pytest.raises(PromotionRefused, match="there is no challenger"):
            promote(registered, MODEL_NAME, registered.root / "data/raw", progress=False)


class TestExports:
    def test_every_format_is_written_or_says_why_not(self, registered, tmp_path: Path) -> None:
        data = registered.root / "data/raw"
        rows = {
            row["format"]: row for row in export_all(registered, "challenger", data, tmp_path, progress=False)
        }
        assert list(rows) == ["ONNX float32", "ONNX float16", "ONNX int8", "MLX", "Core ML"]
        assert rows["ONNX float32"]["difference_mm"] == 0
        assert rows["MLX"]["difference_mm"] < 1e-3
        assert rows["ONNX float16"]["difference_mm"] < 1
        for name in ("keypoints.onnx", "keypoints.float16.onnx", "keypoints.int8.onnx"):
            assert (tmp_path / name).is_file()
        assert rows["Core ML"]["difference_mm"] is not None or rows["Core ML"]["problem"]

    def test_an_unknown_version_names_those_there_are(self, registered) -> None:
        assert version_of(registered, "1").version == 1
        with pytest.raises(InvalidConfig, match=r"it has 2 \(challenger\), 1"):
            version_of(registered, "champion")


class TestPrediction:
    def test_a_log_its_bytes_and_its_file_answer_alike(self, dataset: HoleSet, exported) -> None:
        predictor, path = KeypointPredictor(exported), dataset.holes[0].path
        points = predictor.predict(path)
        assert points == predictor.predict(path.read_bytes()) == predictor.predict(dataset.holes[0].log)
        assert set(points) == {"entry_mm", "transition_mm", "exit_mm"}

    def test_a_point_that_is_not_there_is_none(self) -> None:
        answers = Answers(np.ones((1, 3)), np.ones((1, 3)), np.array([[0.9, 0.2, 0.6]]))
        entry, transition, leave = points_of(answers)[0].values()
        assert (entry.depth_mm, transition.depth_mm, leave.depth_mm) == (1.0, None, 1.0)
        assert transition.uncertainty_mm is None
        assert transition.presence == 0.2

    def test_a_folder_gives_a_row_for_each_log_and_names_the_others(
        self, dataset: HoleSet, exported, tmp_path: Path
    ) -> None:
        for hole in dataset.holes[:3]:
            (tmp_path / hole.name).write_bytes(hole.path.read_bytes())
        (tmp_path / "broken.xls").write_bytes(b"nothing")
        rows, failures = predict_folder(KeypointPredictor(exported), tmp_path, progress=False)
        assert len(rows) == 3
        assert [failure["file"] for failure in failures] == ["broken.xls"]
        write_csv(tmp_path / "out" / "answers.csv", rows)
        head = (tmp_path / "out" / "answers.csv").read_text().splitlines()[0]
        assert head.startswith("file,entry_mm,transition_mm,exit_mm,entry_plus_minus_mm")

    def test_what_is_no_log_is_refused(self, exported, tmp_path: Path) -> None:
        predictor = KeypointPredictor(exported)
        (tmp_path / "broken.xls").write_bytes(b"nothing")
        with pytest.raises(LogUnreadable):
            predict_folder(predictor, tmp_path / "broken.xls", progress=False)
        (tmp_path / "empty").mkdir()
        with pytest.raises(NoLogs):
            predict_folder(predictor, tmp_path / "empty", progress=False)
