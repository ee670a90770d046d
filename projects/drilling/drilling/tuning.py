"""A search for better parameters: an Optuna study in the platform's Postgres, in a database of its own.

A study's name says which data and which space it searched: the same call goes on with it, in any number of
processes and on any machine that reaches the database. A trial whose process died is told by its missing
heartbeat, and put to the queue again.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from drilling.config import TrainingConfig
from drilling.cross_validation import FoldData, train_network
from drilling.dataset import HoleSet
from drilling.devices import best_device
from drilling.errors import InvalidConfig
from drilling.folds import grouped_folds
from drilling.parallel import each
from drilling.progress import say, tracked
from mlops import DataVersion, MLOpsClient

_SPACE = 1
_FOLDS, _USED = 4, 2
_HEARTBEAT_S, _GRACE_S = 30, 120
_CHUNK = 1
_DATABASE = "optuna"


@dataclass(frozen=True, slots=True)
class TuningOutcome:
    """What a study says so far: its best parameters and their validation error in mm, both None before a
    trial is complete, and the trials by their state."""

    study: str
    run_id: str
    best_mm: float | None
    best: dict[str, Any] | None
    complete: int
    pruned: int
    failed: int


def tune(
    client: MLOpsClient,
    dataset: HoleSet,
    config: TrainingConfig,
    data: DataVersion,
    *,
    trials: int,
    workers: int = 1,
    timeout_s: float | None = None,
    progress: bool = True,
) -> TuningOutcome:
    """Add trials to the study of this data, and record it as a run with its plots.

    A trial's value is the mean validation error in mm over two grouped folds, after a third of the epochs;
    one worse than the median of the others at the same epoch is pruned. No trial begins after `timeout_s`.
    Ctrl-C keeps what is finished. Raises InvalidConfig for fewer than one trial or no time, SingleComponent,
    ServiceUnavailable.
    """
    if trials < 1:
        raise InvalidConfig("tune", f"{trials} trials")
    if timeout_s is not None and timeout_s <= 0:
        raise InvalidConfig("tune", f"a timeout of {timeout_s:g} s")
    until = None if timeout_s is None else time.time() + timeout_s
    holes = _fold_data(dataset, config.seed)
    name = study_name(client.project.name, data, config)
    storage = client.database_url(_DATABASE)
    study = open_study(storage, name, config.seed)
    with client.start_run(run_name="tune-keypoints", tags={"optuna.study": name}) as run:
        client.log_data(data)
        client.log_params({"study": name, "trials": trials, "workers": workers, "epochs": _epochs(config)})
        work = partial(run_trials, url=storage, name=name, data=holes, config=config, until=until)
        jobs = [config.seed + len(study.trials) + number for number in range(trials)]
        try:
            for _ in tracked(each(work, jobs, workers=workers), "Trials", trials, shown=progress):
                pass
        except KeyboardInterrupt:
            say(f"What is finished is kept in the study {name}: the same command goes on with it.")
            raise
        finally:
            outcome = _outcome(study, run.id)
            _record(client, study, outcome)
    return outcome


def study_name(project: str, data: DataVersion, config: TrainingConfig) -> str:
    """The same for the same data, search space, seed and length of a trial."""
    content = json.dumps([_SPACE, data.path, data.hash, config.seed, _epochs(config)])
    return f"{project}-keypoints-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def open_study(url: str, name: str, seed: int) -> optuna.Study:
    """The study of that name, made where it is missing; trials that died are queued again."""
    from optuna.storages import RDBStorage, RetryFailedTrialCallback

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    address = make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = RDBStorage(
            address,
            engine_kwargs={"poolclass": NullPool},
            heartbeat_interval=_HEARTBEAT_S,
            grace_period=_GRACE_S,
            failed_trial_callback=RetryFailedTrialCallback(max_retry=2),
        )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            load_if_exists=True,
            direction="minimize",
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3),
        )
        optuna.storages.fail_stale_trials(study)
    return study


def run_trials(
    seed: int, *, url: str, name: str, data: FoldData, config: TrainingConfig, until: float | None = None
) -> int:
    """Do one trial of a study, none after the time `until` (s since the epoch); gives the number of trials.

    What a trial raises ends it as failed, and is raised.
    """
    study = open_study(url, name, seed)
    if until is not None and time.time() >= until:
        return len(study.trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(partial(objective, data=data, config=config), n_trials=_CHUNK)
    return len(study.trials)


def objective(trial: optuna.Trial, *, data: FoldData, config: TrainingConfig) -> float:
    """The mean validation error in mm of a trial's parameters; raises TrialPruned."""
    chosen = suggested(trial, config)
    errors: list[float] = []
    for number in range(_USED):
        split = data.split(number, 0.2)

        def told(epoch: int, figures: dict[str, float], earlier: tuple[float, ...] = tuple(errors)) -> None:
            if earlier:
                return
            trial.report(figures["val_mae_mm"], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        _, progress = train_network(
            data, split.train, split.validation, chosen, "mixer", None,
            seed=config.seed + number, device=best_device(), checkpoint=None, on_epoch=told,
        )  # fmt: skip
        errors.append(progress.best_mm)
    return float(np.mean(errors))


def suggested(trial: optuna.Trial, config: TrainingConfig) -> TrainingConfig:
    """The trial's place in the search space, as a configuration that is always valid."""
    choose: Callable[[str, list[int]], int] = lambda name, among: int(  # noqa: E731
        trial.suggest_categorical(name, among)
    )
    return replace(
        config,
        epochs=_epochs(config),
        learning_rate=trial.suggest_float("learning_rate", 1e-3, 2e-2, log=True),
        batch=choose("batch", [8, 16, 32]),
        d_model=choose("d_model", [8, 16, 32]),
        layers=trial.suggest_int("layers", 1, 4),
        patch=choose("patch", [8, 16, 32]),
        head_channels=choose("head_channels", [16, 24, 32]),
        head_layers=trial.suggest_int("head_layers", 4, 6),
        kernel=choose("kernel", [5, 7, 9, 11]),
    )


def _epochs(config: TrainingConfig) -> int:
    return max(1, config.epochs // 3)


def _fold_data(dataset: HoleSet, seed: int) -> FoldData:
    names = [hole.name for hole in dataset.holes]
    plan = grouped_folds([hole.groups for hole in dataset.holes], _FOLDS, seed, names)
    gate: NDArray[np.bool_] = np.zeros(len(names), dtype=bool)
    return FoldData([hole.grid for hole in dataset.holes], names, dataset.labels_mm, plan, gate)


def _outcome(study: optuna.Study, run_id: str) -> TuningOutcome:
    states = [trial.state for trial in study.trials]
    complete = states.count(optuna.trial.TrialState.COMPLETE)
    return TuningOutcome(
        study.study_name,
        run_id,
        study.best_value if complete else None,
        dict(study.best_params) if complete else None,
        complete,
        states.count(optuna.trial.TrialState.PRUNED),
        states.count(optuna.trial.TrialState.FAIL),
    )


def _record(client: MLOpsClient, study: optuna.Study, outcome: TuningOutcome) -> None:
    best = float("inf")
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.COMPLETE and trial.value is not None:
            best = min(best, trial.value)
            client.log_metrics({"trial_mae_mm": trial.value, "best_val_mae_mm": best}, step=trial.number)
    figures = {key: float(value) for key, value in asdict(outcome).items() if isinstance(value, int)}
    client.log_metrics({f"trials_{key}": value for key, value in figures.items()})
    client.log_params(_searched(study))
    if outcome.best is None:
        return
    client.log_params({f"best.{key}": value for key, value in outcome.best.items()})
    client.log_dict({"training": outcome.best}, "best_params.yaml")
    for name, figure in study_figures(study, outcome.complete).items():
        client.log_figure(figure, f"figures/{name}.png")


def _searched(study: optuna.Study) -> dict[str, object]:
    """The space as the study's trials knew it: `space.<parameter>` -> its distribution."""
    return {
        f"space.{key}": str(distribution)
        for trial in study.trials
        for key, distribution in trial.distributions.items()
    }


def study_figures(study: optuna.Study, complete: int) -> dict[str, Any]:
    """The study's own plots, as matplotlib figures that no one else holds."""
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as drawn

    wanted: dict[str, Callable[[optuna.Study], Any]] = {
        "optimization_history": drawn.plot_optimization_history,
        "intermediate_values": drawn.plot_intermediate_values,
        "slice": drawn.plot_slice,
    }
    if complete > 1:
        wanted["param_importances"] = drawn.plot_param_importances
        wanted["parallel_coordinate"] = drawn.plot_parallel_coordinate
    figures = {}
    with warnings.catch_warnings(), plt.rc_context():
        warnings.simplefilter("ignore")
        for name, draw in wanted.items():
            axes = np.ravel(draw(study))[0]
            figures[name] = axes.figure
            plt.close(axes.figure)
    return figures
