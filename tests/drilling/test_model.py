"""The grid over depth, the network's answers, its training loop, and what MPS could not do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from drilling.dataset import HoleSet, load_holes
from drilling.depth_grid import CHANNELS, SPACING_MM, grid_of, hole_windows
from drilling.errors import LogUnreadable
from drilling.examples import Examples, random_portion
from drilling.fitting import fit, predict
from drilling.model import HeatMaps, KeypointEnsemble, KeypointModel
from drilling.model_size import ModelSize, Schedule
from drilling.pretraining import pretrain
from drilling.scaling import FeatureScaler
from drilling.windows import LENGTH

CPU = torch.device("cpu")
SIZE = ModelSize(d_model=8, layers=1, head_channels=8, head_layers=3)
SCHEDULE = Schedule(epochs=3, learning_rate=5e-3, batch=8, seed=1)


@pytest.fixture(scope="module")
def dataset(synthetic_folder: Path) -> HoleSet:
    return load_holes(synthetic_folder, progress=False)


def fresh_model(dataset: HoleSet, size: ModelSize = SIZE) -> KeypointModel:
    torch.manual_seed(0)
    model = KeypointModel(size)
    model.set_scaler(FeatureScaler.fit((hole.name, hole.grid) for hole in dataset.holes))
    return model


def examples_of(dataset: HoleSet) -> Examples:
    return Examples.of([hole.grid for hole in dataset.holes], dataset.labels_mm, CPU)


def validation_of(dataset: HoleSet):
    return [hole.grid for hole in dataset.holes[:8]], dataset.labels_mm[:8]


class TestGrid:
    def test_it_covers_the_hole_evenly(self, dataset: HoleSet) -> None:
        for hole in dataset.holes:
            assert hole.grid.values.shape == (len(hole.grid), len(CHANNELS))
            assert np.isfinite(hole.grid.values).all()
            assert np.diff(hole.grid.position_mm) == pytest.approx(SPACING_MM)
            assert hole.grid.position_mm[0] < hole.label_mm[0] < hole.label_mm[2] < hole.grid.position_mm[-1]

    def test_a_slow_hole_has_no_more_cells_than_its_depth(self, dataset: HoleSet) -> None:
        slow = max(dataset.holes, key=lambda hole: hole.log.signals.height)
        assert slow.log.signals.height > 5000
        assert len(slow.grid) < 1200

    def test_it_keeps_the_currents_and_flags_step_changes(self, dataset: HoleSet) -> None:
        hole = next(hole for hole in dataset.holes if hole.log.signals["step"].n_unique() > 1)
        highest = (hole.log.signals["torque_a"] + hole.log.signals["torque_empty_a"]).max()
        assert hole.grid.values[:, 0].max() == pytest.approx(highest, rel=0.2)
        assert 0 < hole.grid.values[:, CHANNELS.index("step_change")].mean() < 0.3

    def test_too_few_samples_are_refused(self, dataset: HoleSet) -> None:
        log = dataset.holes[0].log
        with pytest.raises(LogUnreadable, match="too few samples"):
            grid_of(dataclasses.replace(log, signals=log.signals.head(5)))

    def test_windows_of_several_holes_are_padded_and_end_at_the_hole(self, dataset: HoleSet) -> None:
        grids = [hole.grid for hole in dataset.holes]
        windows = hole_windows(grids)
        for place, grid in enumerate(grids):
            count = int((windows.length[place] > 0).sum())
            last = windows.start_mm[place, count - 1] + (windows.length[place, count - 1] - 1) * SPACING_MM
            assert last == pytest.approx(grid.position_mm[-1], abs=1e-3)
            assert (windows.length[place, count:] == 0).all()


class TestAnswers:
    def test_shapes_and_depths_inside_the_hole(self, dataset: HoleSet) -> None:
        windows = hole_windows([hole.grid for hole in dataset.holes[:6]])
        answers = predict(fresh_model(dataset), windows)
        assert answers.keypoints_mm.shape == answers.presence.shape == (6, 3)
        assert (answers.keypoints_mm > windows.start_mm[:, :1]).all()
        assert (answers.uncertainty_mm > 0).all()
        assert ((answers.presence >= 0) & (answers.presence <= 1)).all()

    def test_a_hole_is_answered_alike_alone_and_among_longer_ones(self, dataset: HoleSet) -> None:
        model, grids = fresh_model(dataset), [hole.grid for hole in dataset.holes]
        together = predict(model, hole_windows(grids))
        short = min(range(len(grids)), key=lambda place: len(grids[place]))
        alone = predict(model, hole_windows([grids[short]]))
        assert together.keypoints_mm[short] == pytest.approx(alone.keypoints_mm[0], abs=1e-4)
        assert together.presence[short] == pytest.approx(alone.presence[0], abs=1e-5)

    def test_the_soft_argmax_lies_between_cells(self) -> None:
        model = KeypointModel(SIZE)
        inside = torch.full((1, 3, LENGTH), -100.0)
        inside[..., 7:9] = 50.0
        maps = HeatMaps(inside, torch.zeros_like(inside), torch.zeros(1, 3))
        answer = model.answer_of(maps)
        assert answer.cell.tolist() == [[7.5] * 3]
        assert (answer.presence > 0.99).all()
        away = model.answer_of(maps._replace(absent=torch.full((1, 3), 1000.0)))
        assert (away.presence < 0.01).all()

    def test_windows_are_merged_by_their_uncertainty(self, dataset: HoleSet, monkeypatch) -> None:
        model = fresh_model(dataset)
        inside = torch.full((2, 3, LENGTH), -100.0)
        inside[0, :, 100], inside[1, :, 0] = 50.0, 50.0
        scales = torch.zeros_like(inside)
        scales[0] = -3.0
        maps = HeatMaps(inside, scales, torch.zeros(2, 3))
        monkeypatch.setattr(model, "heat_maps", lambda *_: maps)
        signals, start = torch.zeros(1, 2, LENGTH, len(CHANNELS)), torch.tensor([[1.0, 5.0]])
        answer = model(signals, start, torch.full((1, 2), float(LENGTH)))
        sure, doubtful = np.exp(6.0), 1.0
        expected = (sure * (1.0 + 100 * SPACING_MM) + doubtful * 5.0) / (sure + doubtful)
        assert answer.keypoints_mm[0].tolist() == pytest.approx([expected] * 3, abs=1e-4)

    def test_nothing_is_refitted_at_inference(self, dataset: HoleSet) -> None:
        model = fresh_model(dataset)
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        assert {"mean", "scale", "spread"} <= set(state)
        windows = hole_windows([dataset.holes[0].grid])
        predict(model, dataclasses.replace(windows, signals=windows.signals * 3))
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())

    def test_an_ensemble_answers_the_mean_and_is_less_sure_where_its_members_differ(
        self, dataset: HoleSet
    ) -> None:
        first, second = fresh_model(dataset), fresh_model(dataset)
        with torch.no_grad():
            for weight in second.maps.parameters():
                weight.normal_()
        windows = hole_windows([hole.grid for hole in dataset.holes[:3]])
        one, two = predict(first, windows), predict(second, windows)
        both = predict(KeypointEnsemble([first, second]), windows)
        assert both.keypoints_mm == pytest.approx((one.keypoints_mm + two.keypoints_mm) / 2, abs=1e-4)
        assert (both.uncertainty_mm >= (one.uncertainty_mm + two.uncertainty_mm) / 2 - 1e-6).all()


class TestExamples:
    def test_a_portion_is_the_same_for_the_same_state(self, dataset: HoleSet) -> None:
        examples = examples_of(dataset)
        rows = torch.arange(len(examples))
        one, two = (random_portion(examples, rows, torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one.signals, two.signals)
        assert torch.equal(one.cell, two.cell)

    def test_some_holes_are_blind_and_some_have_one_layer(self, dataset: HoleSet) -> None:
        examples = examples_of(dataset)
        chance = torch.Generator().manual_seed(3)
        portions = [random_portion(examples, torch.arange(len(examples)), chance) for _ in range(20)]
        inside = torch.cat([portion.inside for portion in portions])
        entry, transition, leave = inside.T
        assert (entry & ~transition & leave).any(), "one layer"
        assert (entry & ~leave).any(), "blind, or the window ends before"
        assert (entry & transition & leave).float().mean() > 0.3

    def test_labels_stay_where_the_torque_says(self, dataset: HoleSet) -> None:
        """At the entry the torque begins to rise, also in stretched windows."""
        examples = examples_of(dataset)
        portion = random_portion(examples, torch.arange(len(examples)), torch.Generator().manual_seed(5))
        for signals, cell, inside in zip(
            portion.signals, portion.cell[:, 0], portion.inside[:, 0], strict=True
        ):
            place = int(cell)
            if inside and 60 < place < LENGTH - 120:
                before, after = signals[place - 50 : place - 5, 0], signals[place + 60 : place + 110, 0]
                assert after.mean() > before.mean() + 4 * before.std()


class TestFitting:
    def test_a_killed_training_goes_on_to_the_same_weights(self, dataset: HoleSet, tmp_path: Path) -> None:
        class Killed(Exception):
            pass

        def kill(epoch: int, _: dict[str, float]) -> None:
            if epoch == 1:
                raise Killed

        with torch.random.fork_rng():
            whole = fresh_model(dataset)
            progress = fit(whole, examples_of(dataset), validation_of(dataset), SCHEDULE)
            checkpoint = tmp_path / "fold.checkpoint"
            model = fresh_model(dataset)
            given = examples_of(dataset), validation_of(dataset), SCHEDULE
            with pytest.raises(Killed):
                fit(model, *given, checkpoint=checkpoint, on_epoch=kill)
            resumed = fresh_model(dataset)
            again = fit(resumed, *given, checkpoint=checkpoint)
        assert [figures["train_loss"] for figures in again.history] == [
            figures["train_loss"] for figures in progress.history
        ]
        for one, two in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
            assert torch.equal(one, two)

    def test_a_checkpoint_of_another_training_is_left_alone(self, dataset: HoleSet, tmp_path: Path) -> None:
        checkpoint = tmp_path / "fold.checkpoint"
        with torch.random.fork_rng():
            given = examples_of(dataset), validation_of(dataset)
            fit(fresh_model(dataset), *given, SCHEDULE, checkpoint=checkpoint)
            other = dataclasses.replace(SCHEDULE, seed=2)
            progress = fit(fresh_model(dataset), *given, other, checkpoint=checkpoint)
        assert len(progress.history) == SCHEDULE.epochs

    def test_it_ends_early_and_keeps_the_best_epoch(self, dataset: HoleSet, monkeypatch) -> None:
        errors = iter([0.5, 0.2, 0.3, 0.4, 0.9, 0.9, 0.9])
        real = predict

        def scripted(model, windows):
            answers = real(model, windows)
            return dataclasses.replace(answers, keypoints_mm=dataset.labels_mm[:8] + next(errors, 0.1))

        monkeypatch.setattr("drilling.fitting.predict", scripted)
        schedule = Schedule(epochs=20, learning_rate=1e-3, batch=40, seed=1, patience=2)
        with torch.random.fork_rng():
            progress = fit(fresh_model(dataset), examples_of(dataset), validation_of(dataset), schedule)
        assert (progress.best_epoch, progress.best_mm) == (1, pytest.approx(0.2))
        assert len(progress.history) == 4

    def test_the_uncertainty_covers_the_validation_holes(self, dataset: HoleSet) -> None:
        with torch.random.fork_rng():
            model = fresh_model(dataset)
            grids, labels = [hole.grid for hole in dataset.holes], dataset.labels_mm
            fit(model, examples_of(dataset), (grids, labels), SCHEDULE)
        answers = predict(model, hole_windows(grids))
        covered = np.abs(answers.keypoints_mm - labels) <= answers.uncertainty_mm
        assert 0.85 <= covered.mean() <= 0.99

    def test_pretraining_lowers_its_loss_and_fits_the_encoder(self, dataset: HoleSet) -> None:
        losses: list[float] = []
        with torch.random.fork_rng():
            grids = [hole.grid for hole in dataset.holes]
            encoder = pretrain(grids, SIZE, 80, 1, CPU, lambda _, loss: losses.append(loss))
        assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
        model = fresh_model(dataset)
        assert model.encoder is not None
        model.encoder.load_state_dict(encoder)


class NoDouble(TorchDispatchMode):
    """Refuses what MPS has not: any tensor of float64 or complex128 in an operation of the network's path."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for value in made if isinstance(made, tuple | list) else [made]:
            if isinstance(value, torch.Tensor):
                assert value.dtype not in (torch.float64, torch.complex128), func
        return made


class TestMps:
    def test_training_and_answering_ask_for_no_double(self, dataset: HoleSet) -> None:
        examples, windows = examples_of(dataset), hole_windows([hole.grid for hole in dataset.holes[:4]])
        model = fresh_model(dataset)
        with torch.random.fork_rng(), NoDouble():
            from drilling.fitting import loss_of

            portion = random_portion(examples, torch.arange(8), torch.Generator().manual_seed(1))
            torch.autograd.backward(loss_of(model, portion))
            model(*(torch.from_numpy(array) for array in windows.as_dict().values()))

    def test_the_guard_sees_a_double(self) -> None:
        with NoDouble(), pytest.raises(AssertionError):
            torch.zeros(2).double()
