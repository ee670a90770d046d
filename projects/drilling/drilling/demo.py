"""The whole path once: data, labels, training, registration, deployment, one answer."""

import filecmp
import shlex
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drilling.config import TrainingConfig
from drilling.errors import LogUnreadable, NoLogs
from drilling.evaluation import DepthError
from drilling.progress import staged
from drilling.registration import MODEL_NAME
from drilling.setitec import read_log
from drilling.setitec.folder import log_paths
from drilling.synthetic import MARKER, TRUTH, write_folder
from drilling.training import IntegratedTrainingPipeline, TrainingOutcome
from mlops import Deployment, MLOpsClient

SYNTHETIC_DATA, USER_DATA = "data/raw", "data/user"


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo did, in figures and addresses. Errors are of the held-out holes, in mm."""

    synthetic: bool
    labels: str
    data_path: str
    data_hash: str
    holes: int
    trained_on: int
    held_out: int
    files_left_out: int
    holes_unlabelled: int
    grouped_split: bool
    errors: dict[str, DepthError]
    automatic_errors: dict[str, DepthError]
    parity_mm: float
    train_seconds: float
    run_id: str
    run_url: str
    mlflow_login: str
    model: str
    model_version: int
    endpoint_url: str
    asked_hole: str
    answer_mm: dict[str, float | None]
    """None where the model finds no such point; so are the half-widths."""
    answer_plus_minus_mm: dict[str, float | None]
    curl: str
    dashboard_url: str

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON takes it."""
        return asdict(self)


def run_demo(
    client: MLOpsClient, config: TrainingConfig, *, logs: Path | None = None, progress: bool = True
) -> DemoReport:
    """Train on synthetic holes, or on a user's logs, and serve the model.

    Raises NoLogs or TooFewHoles where the user's folder cannot be trained on.
    """
    root = Path(client.project.root)
    path = _user_data(root, logs) if logs else _synthetic_data(root, config, progress)
    data = client.dvc_add(path)
    client.dvc_push()
    outcome = IntegratedTrainingPipeline(client, config, progress=progress).train(data)
    with staged(f"Deploying {MODEL_NAME}", shown=progress) as show:
        deployment: Deployment = client.deploy_model(
            MODEL_NAME, version=outcome.model.version, on_state=lambda state: show(state)
        )
    answer = client.predict_file(MODEL_NAME, outcome.example.path)
    return _report(client, outcome, deployment, answer, path, data.hash)


def mirror_logs(source: Path, target: Path) -> int:
    """Make `target` hold the logs of `source` and nothing else; returns how many files changed.

    The generator's truth comes along where its marker does. Files are unlinked before they are
    written: a data store may share their blocks. Raises NoLogs where there is no log that can be read;
    `target` is then as it was.
    """
    paths = log_paths(source) if source.is_dir() else []
    if not any(_is_readable(path) for path in paths):
        raise NoLogs(source, len(paths))
    if (source / MARKER).is_file():
        paths += [source / name for name in (MARKER, TRUTH) if (source / name).is_file()]
    wanted = {path.relative_to(source): path for path in paths}
    changed = _remove_others(target, set(wanted))
    for relative, path in wanted.items():
        copy = target / relative
        if copy.is_file() and filecmp.cmp(path, copy, shallow=False):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        shutil.copyfile(path, copy)
        changed += 1
    return changed


def _is_readable(path: Path) -> bool:
    try:
        read_log(path)
    except LogUnreadable:
        return False
    return True


def _remove_others(target: Path, wanted: set[Path]) -> int:
    others = [path for path in target.rglob("*") if path.is_file() and path.relative_to(target) not in wanted]
    for path in others:
        path.unlink()
    return len(others)


def _user_data(root: Path, logs: Path) -> str:
    target = root / USER_DATA
    if logs.resolve() != target.resolve():
        mirror_logs(logs, target)
    return USER_DATA


def _synthetic_data(root: Path, config: TrainingConfig, progress: bool) -> str:
    write_folder(root / SYNTHETIC_DATA, holes=config.holes, seed=config.seed, progress=progress)
    return SYNTHETIC_DATA


def _curl(client: MLOpsClient, deployment: Deployment, log: Path) -> str:
    """A line for a shell that asks the endpoint for a log.

    The token goes through a pipe: other users can read a program's arguments. printf is the shell's own.
    """
    token = shlex.quote(str(client.token_file))
    return (
        f"""printf 'header = "Authorization: Bearer %s"\\n' "$(cat {token})" | """
        "curl -sS -K - -H 'Content-Type: application/octet-stream' "
        f"--data-binary @{shlex.quote(str(log.resolve()))} {shlex.quote(deployment.url)}"
    )


def _report(
    client: MLOpsClient,
    outcome: TrainingOutcome,
    deployment: Deployment,
    answer: dict[str, Any],
    path: str,
    data_hash: str,
) -> DemoReport:
    return DemoReport(
        synthetic=outcome.dataset.synthetic,
        labels=outcome.dataset.label_source,
        data_path=path,
        data_hash=data_hash,
        holes=len(outcome.dataset.holes),
        trained_on=len(outcome.dataset.holes) - int(outcome.held_out.size),
        held_out=int(outcome.held_out.size),
        files_left_out=len(outcome.dataset.failures),
        holes_unlabelled=len(outcome.dataset.unlabelled),
        grouped_split=outcome.grouped,
        errors=outcome.errors,
        automatic_errors=outcome.automatic_errors,
        parity_mm=outcome.parity_mm,
        train_seconds=round(outcome.seconds, 1),
        run_id=outcome.run.id,
        run_url=outcome.run.url,
        mlflow_login=(
            f"MLflow asks for a login: user {client.workspace.namespace},"
            f" password $(cat {shlex.quote(str(client.mlflow_password_file))})"
        ),
        model=MODEL_NAME,
        model_version=deployment.version,
        endpoint_url=deployment.url,
        asked_hole=outcome.example.path.name,
        answer_mm={name: point["depth_mm"] for name, point in answer.items()},
        answer_plus_minus_mm={name: point["uncertainty_mm"] for name, point in answer.items()},
        curl=_curl(client, deployment, outcome.example.path),
        dashboard_url=client.dashboard_url,
    )
