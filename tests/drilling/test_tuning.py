"""The search for parameters: a real study in a real Postgres."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.pyplot as plt
import optuna
import pytest
import typer
from typer.testing import CliRunner

from drilling.cli import tune as command
from drilling.config import TrainingConfig
from drilling.dataset import HoleSet, load_holes
from drilling.errors import InvalidConfig, NoLogs
from drilling.tuning import objective, open_study, study_name, suggested, tune
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
    params = dict(pair for kind, value in searching.calls if kind == "log_params" for pair in value.items())
    assert "log=True" in params["space.learning_rate"]
    assert params["best.patch"] == kept["patch"]
    assert not plt.get_fignums()
    second = tune(searching, dataset, CONFIG, data, trials=1, progress=False)
    assert second.study == first.study
    assert second.complete + second.pruned == 3


def test_a_trial_of_a_killed_process_is_done_again(searching, dataset: HoleSet, small, monkeypatch) -> None:
    monkeypatch.setattr("drilling.tuning._GRACE_S", 1)
    monkeypatch.setattr("drilling.tuning._HEARTBEAT_S", 1)
    url, data = searching.database_url("optuna"), replace(searching.dvc_add("data/raw"), hash="killed")
    name = study_name("drilling", data, CONFIG)
    study = open_study(url, name, 1)
    with pytest.warns(UserWarning, match="Heartbeat"):
        trial = study.ask()
    rate = trial.suggest_float("learning_rate", 1e-3, 2e-2, log=True)
    study._storage.record_heartbeat(trial._trial_id)
    time.sleep(3)
    found = tune(searching, dataset, CONFIG, data, trials=1, progress=False)
    assert (found.complete, found.failed) == (1, 1)
    done = open_study(url, name, 1).trials
    assert [each.state for each in done] == [Drawn.FAIL, Drawn.COMPLETE]
    assert done[1].params["learning_rate"] == rate, "the same place in the space"


def test_a_trial_worse_than_the_median_is_pruned_and_counted(searching, dataset: HoleSet, small) -> None:
    config, data = replace(CONFIG, epochs=12), replace(searching.dvc_add("data/raw"), hash="pruned")
    study = open_study(searching.database_url("optuna"), study_name("drilling", data, config), 1)
    for _ in range(4):
        study.add_trial(
            optuna.create_trial(
                params={"learning_rate": 5e-3},
                distributions={"learning_rate": optuna.distributions.FloatDistribution(1e-3, 2e-2, log=True)},
                value=1e-6,
                intermediate_values=dict.fromkeys(range(4), 1e-6),
            )
        )
    found = tune(searching, dataset, config, data, trials=1, progress=False)
    assert (found.complete, found.pruned, found.failed) == (4, 1, 0)
    assert found.best_mm == 1e-6


def test_what_is_finished_before_ctrl_c_is_kept(
    searching, dataset: HoleSet, small, monkeypatch, capsys
) -> None:
    real, begun = objective, []

    def interrupted(trial: optuna.Trial, **given) -> float:
        begun.append(trial.number)
        if len(begun) > 1:
            raise KeyboardInterrupt
        return real(trial, **given)

    monkeypatch.setattr("drilling.tuning.objective", interrupted)
    data = replace(searching.dvc_add("data/raw"), hash="interrupted")
    with pytest.raises(KeyboardInterrupt):
        tune(searching, dataset, CONFIG, data, trials=3, progress=False)
    assert begun == [0, 1]
    assert "the same command goes on" in capsys.readouterr().err
    assert searching.metrics["trials_complete"] == 1
    assert "best_params.yaml" in searching.artifacts


def test_no_trial_begins_after_the_time(searching, dataset: HoleSet, small) -> None:
    data = replace(searching.dvc_add("data/raw"), hash="late")
    found = tune(searching, dataset, CONFIG, data, trials=3, timeout_s=1e-6, progress=False)
    assert (found.complete, found.best) == (0, None)
    with pytest.raises(InvalidConfig, match="a timeout of 0 s"):
        tune(searching, dataset, CONFIG, data, trials=1, timeout_s=0, progress=False)


def test_the_command_searches_and_names_missing_data(searching, small, monkeypatch) -> None:
    app = typer.Typer()
    app.command()(command)
    monkeypatch.setattr("mlops.MLOpsClient", SimpleNamespace(from_project=lambda _: searching))
    (searching.root / "params.yaml").write_text("training: {epochs: 3, batch: 8, seed: 11}")
    result = CliRunner().invoke(app, ["--trials", "1", "--workers", "1", "--timeout", "600", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["complete"] == 1
    (searching.root / "nothing").mkdir()
    assert isinstance(CliRunner().invoke(app, ["--data", "nothing"]).exception, NoLogs)
    assert "--timeout" in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120", "TERM": "dumb"}).output


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
