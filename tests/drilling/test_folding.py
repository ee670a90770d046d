"""Folds as runs: nested, resumed after a kill, paused by heat, the same by one process or by Ray."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from drilling.config import TrainingConfig
from drilling.errors import FoldTooSmall, TrainingPaused
from drilling.parallel import each
from drilling.synthetic import write_folder
from drilling.training import IntegratedTrainingPipeline
from drilling.training_work import TrainingOutcome
from mlops.hardware.base import ThermalState
from mlops.hardware.thermal import ScriptedThermal
from tests.drilling.conftest import SEED, RecordingClient

# One process shares the training that runs to its end.
pytestmark = pytest.mark.xdist_group("folding")

HOLES = 24
CONFIG = TrainingConfig(
    epochs=2, batch=8, folds=2, few_folds=0, pretraining_epochs=0, layers=1, d_model=8, head_channels=8,
    head_layers=2, cnn_channels=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def few_holes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    write_folder(folder, holes=HOLES, seed=SEED, progress=False)
    return folder


@pytest.fixture
def client(tmp_path: Path, few_holes: Path) -> RecordingClient:
    """A recording client of the few holes."""
    shutil.copytree(few_holes, tmp_path / "data" / "raw")
    return RecordingClient(tmp_path)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, few_holes: Path
) -> tuple[RecordingClient, TrainingOutcome]:
    """A training that was never stopped, and its client."""
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(few_holes, root / "data" / "raw")
    client = RecordingClient(root)
    return client, trained(client)


def trained(client: RecordingClient, config: TrainingConfig = CONFIG) -> TrainingOutcome:
    return IntegratedTrainingPipeline(client, config, workers=1, progress=False).train(
        client.dvc_add("data/raw")
    )


def test_every_fold_is_a_run_below_one_and_all_is_reported(whole) -> None:
    client, outcome = whole
    names = [name for kind, name in client.calls if kind == "start_run"]
    assert names == ["keypoints-24-holes", "fold-00", "fold-01"]
    assert outcome.run.id == "r1"
    methods = {"mixer", "cnn", "trees", "gradient", "threshold", "combined"}
    assert set(outcome.summary["methods"]) == methods
    assert outcome.summary["ensemble"]["members"] == 2
    assert {"keypoints", "keypoints-ensemble"} == {name for name, _ in client.aliases}
    assert {"report/report.md", "report/out_of_fold.parquet", "figures/reliability.png"} <= set(
        client.artifacts
    )
    assert {"cv_mixer_entry_mae_mm", "ensemble_mae_mm", "seconds_folds"} <= set(client.metrics)
    assert list((client.root / "build" / "training").iterdir()) == [], "nothing is left of what ended well"


def test_a_killed_run_goes_on_in_the_same_run_to_the_same_figures(client, whole, monkeypatch) -> None:
    fits = count_fits(monkeypatch, stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        trained(client)
    begun = len(fits)
    fits.clear()
    monkeypatch.undo()
    fits = count_fits(monkeypatch)
    resumed = trained(client)
    assert resumed.run.id == "r1", "the run that was stopped, not a new one"
    assert len(fits) == 5 - (begun - 1), "two networks and two CNNs and the final one, less those done"
    _, unstopped = whole
    assert resumed.summary["methods"] == unstopped.summary["methods"]
    assert resumed.errors == unstopped.errors


def count_fits(monkeypatch, stop_at: int | None = None) -> list[int]:
    from drilling import cross_validation

    real, fits = cross_validation.fit, []

    def counted(*arguments, **options):
        fits.append(1)
        if len(fits) == stop_at:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(cross_validation, "fit", counted)
    return fits


def test_heat_pauses_and_the_next_call_goes_on(client) -> None:
    hot = [ThermalState.NOMINAL] * 3 + [ThermalState.CRITICAL] * 100
    client.thermal_states = ScriptedThermal(hot)
    with pytest.raises(TrainingPaused, match="too hot") as caught:
        trained(client)
    assert "Run the same command again" in caught.value.remedy
    assert client.run_status == "FAILED"
    kept = next((client.root / "build" / "training").iterdir())
    assert json.loads((kept / "run.json").read_text())["id"] == "r1"
    opened = count_runs(client, lambda: trained(client))
    assert opened == 0, "the run that paused goes on"


def test_another_training_does_not_go_on_with_this_one(client) -> None:
    client.thermal_states = ScriptedThermal([ThermalState.CRITICAL])
    assert count_runs(client, lambda: trained(client)) == 1
    assert count_runs(client, lambda: trained(client, replace(CONFIG, seed=10))) == 1
    assert count_runs(client, lambda: trained(client)) == 0


def count_runs(client: RecordingClient, train: Callable[[], object]) -> int:
    """How many runs a training opens that soon is too hot again."""
    before = client._runs
    client.thermal_states = ScriptedThermal([ThermalState.CRITICAL])
    with pytest.raises(TrainingPaused):
        train()
    return client._runs - before


def test_a_fold_that_the_gate_leaves_nothing_is_refused_before_a_run_begins(tmp_path: Path) -> None:
    write_folder(tmp_path / "data" / "raw", holes=20, seed=SEED, progress=False)
    client = RecordingClient(tmp_path)
    with pytest.raises(FoldTooSmall, match="fold 0 has no hole to validate on") as caught:
        trained(client)
    assert "another number of folds" in caught.value.remedy
    assert client._runs == 0


def test_items_come_with_their_outcomes_and_errors_come_through() -> None:
    assert dict(each(abs, [-1, 2], workers=1)) == {-1: 1, 2: 2}
    with pytest.raises(ZeroDivisionError):
        list(each(_inverse, [0], workers=1))


def test_ray_gives_what_one_process_gives(tmp_path: Path) -> None:
    """In a process of its own: Ray reads its token once, when it is imported."""
    script = tmp_path / "by_ray.py"
    script.write_text(
        "from drilling.parallel import each\n"
        "import os, torch\n"
        "def work(item):\n"
        "    if item == 13: raise ValueError('thirteen')\n"
        "    return item * item, torch.get_num_threads(), os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    found = dict(each(work, [1, 2, 3, 4], workers=2))\n"
        "    assert {item: got[0] for item, got in found.items()} == {1: 1, 2: 4, 3: 9, 4: 16}, found\n"
        "    assert {got[1] for got in found.values()} == {1}\n"
        "    assert os.getpid() not in {got[2] for got in found.values()}\n"
        "    try: list(each(work, [13, 1], workers=2))\n"
        "    except ValueError as error: print('raised', error)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "raised thirteen" in done.stdout


def _inverse(value: int) -> float:
    return 1 / value
