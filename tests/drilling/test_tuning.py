"""The search for parameters: a real study in a real Postgres."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import optuna
import pytest

from drilling.config import TrainingConfig
from drilling.dataset import HoleSet, load_holes
from drilling.errors import InvalidConfig
from drilling.tuning import open_study, study_name, suggested, tune
from mlops.errors import ServiceUnavailable

CONFIG = TrainingConfig(epochs=6, batch=8)
Drawn = optuna.trial.TrialState


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trial is as small as the space allows: the search is tried, not the model."""
    real = suggested

    def smallest(trial: optuna.Trial, config: TrainingConfig) -> TrainingConfig:
        return replace(real(trial, config), d_model=8, layers=1, head_channels=8, head_layers=2, kernel=3)

    monkeypatch.setattr("drilling.tuning.suggested", smallest)


@pytest.fixture
def dataset(synthetic_folder) -> HoleSet:
    return load_holes(synthetic_folder, progress=False)


@pytest.fixture
def searching(client, database_installation):
    client.installation = database_installation
    return client


def test_a_search_is_a_run_with_its_plots_and_goes_on(searching, dataset: HoleSet, small) -> None:
    data = searching.dvc_add("data/raw")
    first = tune(searching, dataset, CONFIG, data, trials=2, progress=False)
    assert first.complete + first.pruned == 2
    assert first.best_mm is not None
    assert searching.metrics["best_val_mae_mm"] == pytest.approx(first.best_mm)
    assert {"figures/optimization_history.png", "figures/intermediate_values.png"} <= set(searching.artifacts)
    kept = json.loads(searching.artifacts["best_params.yaml"])["training"]
    assert TrainingConfig(**kept), "what params.yaml takes"
    second = tune(searching, dataset, CONFIG, data, trials=1, progress=False)
    assert second.study == first.study
    assert second.complete + second.pruned == 3


def test_a_trial_of_a_killed_process_is_queued_again(searching, monkeypatch) -> None:
    monkeypatch.setattr("drilling.tuning._GRACE_S", 1)
    monkeypatch.setattr("drilling.tuning._HEARTBEAT_S", 1)
    url = searching.database_url("optuna")
    study = open_study(url, "killed", 1)
    with pytest.warns(UserWarning, match="Heartbeat"):
        trial = study.ask()
    trial.suggest_float("learning_rate", 1e-3, 2e-2, log=True)
    study._storage.record_heartbeat(trial._trial_id)
    time.sleep(3)
    again = open_study(url, "killed", 1)
    states = [each.state for each in again.get_trials(deepcopy=False)]
    assert states == [Drawn.FAIL, Drawn.WAITING]


def test_other_data_is_another_study(searching) -> None:
    data = searching.dvc_add("data/raw")
    assert study_name("drilling", data, CONFIG) == study_name("drilling", data, CONFIG)
    assert study_name("drilling", replace(data, hash="other"), CONFIG) != study_name("drilling", data, CONFIG)


def test_the_space_holds_only_valid_configurations() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(50):
        config = suggested(study.ask(), CONFIG)
        assert config.epochs == 2
        assert config.size().patch in (8, 16, 32)


def test_what_cannot_be_searched_is_named(searching, dataset: HoleSet, monkeypatch) -> None:
    data = searching.dvc_add("data/raw")
    with pytest.raises(InvalidConfig, match="0 trials"):
        tune(searching, dataset, CONFIG, data, trials=0, progress=False)

    def down(_: str) -> str:
        raise ServiceUnavailable("postgres", "refused")

    monkeypatch.setattr(searching, "database_url", down)
    with pytest.raises(ServiceUnavailable, match="postgres does not answer"):
        tune(searching, dataset, CONFIG, data, trials=1, progress=False)
    assert not any(kind == "start_run" for kind, _ in searching.calls)
