"""Errors, intervals, comparisons, the gate, doubted labels, and the report of a training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drilling.answers import Answers
from drilling.dataset import HoleSet, load_holes
from drilling.errors import InvalidConfig, TooFewHoles
from drilling.evaluation import UNANSWERED_MM, compare, depth_errors, errors_by, hole_errors, over_folds
from drilling.gate import gate_holes
from drilling.out_of_fold import calibrated_on_other_folds, out_of_fold_table, suspicious_labels
from drilling.report_files import evaluate
from drilling.training_report import as_markdown, gains, metrics_of, summarised

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def dataset(synthetic_folder: Path) -> HoleSet:
    return load_holes(synthetic_folder, progress=False)


def answers_at(labels, sd: float, rng=None) -> Answers:
    rng = rng or np.random.default_rng(1)
    found = labels + rng.laplace(0, sd, labels.shape)
    return Answers(found, np.full_like(labels, sd), np.ones_like(labels))


class TestErrors:
    def test_shares_count_unanswered_points_as_missed(self) -> None:
        labels = np.array([[1.0, 2.0, 3.0]] * 4)
        found = labels + np.array([[0.05], [0.15], [0.3], [np.nan]])
        error = depth_errors(found, labels)["entry"]
        assert error.within == {"0.1": 0.25, "0.2": 0.5, "0.4": 0.75}
        assert error.answered == 0.75
        assert error.mae_mm == pytest.approx((0.05 + 0.15 + 0.3) / 3)
        assert np.isnan(error.coverage)

    def test_coverage_is_the_share_inside_the_stated_interval(self) -> None:
        labels = np.zeros((4, 3))
        error = depth_errors(np.full((4, 3), 0.1), labels, np.array([[0.2] * 3] * 3 + [[0.05] * 3]))
        assert error["exit"].coverage == 0.75

    def test_holes_are_told_apart_by_group(self) -> None:
        labels = np.zeros((4, 3))
        found = np.array([0.1, 0.1, 0.3, 0.3])[:, None] + labels
        by = errors_by(["new", "new", "worn", "worn"], found, labels)
        assert by["worn"]["entry"].mae_mm == pytest.approx(0.3)
        assert list(by) == ["new", "worn"]

    def test_a_hole_counts_its_unanswered_points(self) -> None:
        labels = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
        found = np.array([[1.1, np.nan, 3.1], [np.nan, 2.0, 9.0]])
        assert hole_errors(found, labels) == pytest.approx([0.1, 2 * UNANSWERED_MM / 3])

    def test_the_interval_over_folds_holds_the_mean(self) -> None:
        away = np.abs(RNG.normal(0, 0.1, (120, 3)))
        for place, interval in enumerate(over_folds(away, np.arange(120) % 24)):
            assert interval.value == pytest.approx(away[:, place].mean())
            assert interval.low < interval.value < interval.high


class TestComparison:
    def test_a_clear_difference_is_told(self) -> None:
        theirs = np.abs(RNG.normal(0.1, 0.02, 200))
        units = np.arange(200) // 5
        assert compare(theirs - 0.02, theirs, units).verdict == "better"
        assert compare(theirs + 0.02, theirs, units).verdict == "worse"
        assert compare(theirs + RNG.normal(0, 0.01, 200) * 0.0, theirs, units).verdict == "even"

    def test_holes_of_one_tool_are_not_counted_as_independent(self) -> None:
        """Two components that differ in opposite directions decide nothing, however many holes they have."""
        ours = np.repeat([0.1, 0.2], 500)
        theirs = np.repeat([0.2, 0.12], 500)
        assert compare(ours, theirs, np.repeat([0, 1], 500)).verdict == "even"
        assert compare(ours, theirs, np.arange(1000)).verdict == "better"


GROUPS = [(f"T{number // 4}", f"H{number // 4}", "") for number in range(200)]
NAMES = [f"{number}.xls" for number in range(200)]
CURVE = [
    {"fold": fold, "holes": holes, "pretrained": ready, "mae_mm": error}
    for fold in (0, 1)
    for holes, ready, error in (
        (30, True, 0.1),
        (30, False, 0.3),
        (228 + fold, True, 0.02),
        (228 + fold, False, 0.025),
    )
]


class TestGate:
    def test_whole_components_are_held_out_about_as_asked(self) -> None:
        held = gate_holes(GROUPS, NAMES, 0.2)
        assert 0.08 < held.mean() < 0.35
        assert all(len({*held[start : start + 4].tolist()}) == 1 for start in range(0, 200, 4))

    def test_a_hole_stays_on_its_side_when_data_is_added(self) -> None:
        few = gate_holes(GROUPS[:120], NAMES[:120], 0.2)
        assert (gate_holes(GROUPS, NAMES, 0.2)[:120] == few).all()

    def test_one_component_is_divided_by_hole(self) -> None:
        held = gate_holes([("T", "H", "")] * 50, NAMES[:50], 0.2)
        assert 0 < held.sum() < 50

    def test_two_holes_are_one_and_one(self) -> None:
        assert gate_holes([("A", "", ""), ("B", "", "")], ["a", "b"], 0.5).sum() == 1

    def test_unusable_input_is_named(self) -> None:
        with pytest.raises(InvalidConfig, match=r"held-out share 1\.5"):
            gate_holes(GROUPS, NAMES, 1.5)
        with pytest.raises(TooFewHoles):
            gate_holes([("A", "", "")], ["a"], 0.2)


class TestOutOfFold:
    def test_the_uncertainty_of_a_fold_comes_from_the_others(self) -> None:
        labels = np.zeros((400, 3))
        answers = answers_at(labels, 0.05)
        fold = np.arange(400) % 8
        calibrated = calibrated_on_other_folds(answers, labels, fold)
        covered = np.abs(calibrated.keypoints_mm) <= calibrated.uncertainty_mm
        assert covered.mean() == pytest.approx(0.9, abs=0.03)
        worse = answers.keypoints_mm.copy()
        worse[fold == 0] *= 100
        again = calibrated_on_other_folds(
            Answers(worse, answers.uncertainty_mm, answers.presence), labels, fold
        )
        assert again.uncertainty_mm[fold == 0] == pytest.approx(calibrated.uncertainty_mm[fold == 0])

    def test_moved_labels_are_doubted_first(self, dataset: HoleSet) -> None:
        labels = dataset.labels_mm.copy()
        answers = answers_at(labels, 0.02)
        wrong = [3, 11, 30]
        import dataclasses

        holes = list(dataset.holes)
        for place in wrong:
            moved = labels[place].copy()
            moved[place % 3] += 0.5
            holes[place] = dataclasses.replace(holes[place], label_mm=moved)
        fold = np.arange(len(holes)) % 4
        table = out_of_fold_table(holes, fold, fold, {"mixer": answers})
        doubted = suspicious_labels(table, "mixer", 0.1)
        assert doubted.height == 4
        assert {holes[place].name for place in wrong} <= set(doubted["file"])
        assert doubted["doubt"].is_sorted(descending=True)

    def test_an_unanswered_label_is_doubted_most(self, dataset: HoleSet) -> None:
        answers = answers_at(dataset.labels_mm, 0.02)
        answers.presence[5, 1] = 0.1
        fold = np.arange(len(dataset.holes)) % 4
        table = out_of_fold_table(dataset.holes, fold, fold, {"mixer": answers})
        first = suspicious_labels(table, "mixer").row(0, named=True)
        assert (first["file"], first["point"], first["found_mm"]) == (
            dataset.holes[5].name,
            "transition",
            None,
        )


@pytest.fixture(scope="module")
def table(dataset: HoleSet) -> pl.DataFrame:
    labels, fold = dataset.labels_mm, np.arange(len(dataset.holes)) % 5
    methods = {
        "mixer": answers_at(labels, 0.02),
        "cnn": answers_at(labels, 0.05, np.random.default_rng(2)),
        "gradient": answers_at(labels, 0.1, np.random.default_rng(4)),
    }
    methods["gradient"].uncertainty_mm[:] = np.nan
    return out_of_fold_table(dataset.holes, fold, fold, methods)


class TestReport:
    def test_it_says_who_wins_and_by_how_much(self, table: pl.DataFrame) -> None:
        summary = summarised(table, CURVE)
        assert summary["winner"] == "mixer"
        assert summary["comparisons"]["gradient"]["verdict"] == "better"
        assert summary["methods"]["mixer"]["entry"]["mae_mm"] == pytest.approx(0.02, abs=0.01)
        assert set(summary["by"]) == {"wear", "recipe", "stack"}
        metrics = metrics_of(summary)
        assert metrics["cv_mixer_less_gradient_mm"] < 0
        assert metrics["pretraining_gain_mm_30_holes"] == pytest.approx(0.2)
        assert all(np.isfinite(value) for value in metrics.values())

    def test_it_says_that_the_network_does_not_win(self, table: pl.DataFrame) -> None:
        renamed = {"mixer": "cnn", "cnn": "mixer", "gradient": "gradient"}
        swapped = table.with_columns(pl.col("method").replace(renamed))
        summary = summarised(swapped) | {"registered": "cnn", "synthetic": True, "labels": "truth"}
        text = as_markdown(summary)
        assert "The smallest mean error per hole is that of the small CNN: PatchTSMixer does not win" in text
        assert "Registered: the small CNN" in text
        assert "synthetic holes (generated, not measured)" in text

    def test_gains_are_paired_by_the_number_of_holes(self) -> None:
        rows = gains(CURVE)
        assert [(row["holes"], row["folds"]) for row in rows] == [(30, 2), (229, 2)]
        assert rows[1]["gain_mm"] == pytest.approx(0.005)

    def test_the_stage_writes_metrics_report_tables_and_figures(
        self, table: pl.DataFrame, tmp_path: Path
    ) -> None:
        folder = tmp_path / "training"
        folder.mkdir()
        table.write_parquet(folder / "out_of_fold.parquet")
        kept = summarised(table, CURVE) | {"registered": "mixer", "synthetic": True, "labels": "truth"}
        (folder / "training.json").write_text(json.dumps(kept))
        evaluate(folder, tmp_path / "evaluation.json", tmp_path / "plots")
        metrics = json.loads((tmp_path / "evaluation.json").read_text())
        assert metrics["cv_mixer_entry_mae_mm"] == pytest.approx(0.02, abs=0.01)
        assert metrics["pretraining_gain_mm_30_holes"] == pytest.approx(0.2)
        written = {path.name for path in (tmp_path / "plots").iterdir()}
        assert {"report.md", "errors.csv", "suspicious.csv", "reliability.png", "methods.png"} <= written
        assert pl.read_csv(tmp_path / "plots" / "errors.csv").columns == [
            "method",
            "point",
            "mae_mm",
            "p95_mm",
        ]

    def test_a_folder_without_answers_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidConfig, match="run drilling:train first"):
            evaluate(tmp_path, tmp_path / "a.json", tmp_path / "plots")
        assert list(tmp_path.iterdir()) == []
