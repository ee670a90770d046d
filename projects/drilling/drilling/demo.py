"""The whole path once: data, labels, training, registration, deployment, one answer."""

import filecmp
import json
import shlex
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drilling.config import TrainingConfig
from drilling.depth_grid import hole_windows
from drilling.errors import LogUnreadable, NoLogs
from drilling.evaluation import DepthError
from drilling.labeling import KEY_POINTS
from drilling.progress import staged
from drilling.registration import MODEL_NAME
from drilling.setitec import read_log
from drilling.setitec.folder import log_paths
from drilling.synthetic import MARKER, TRUTH, write_folder
from drilling.training import IntegratedTrainingPipeline, TrainingOutcome
from mlops import Deployment, MLOpsClient

SYNTHETIC_DATA, USER_DATA = "data/raw", "data/user"
_REQUEST = "build/request.json"


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
    answer_mm: dict[str, float]
    answer_plus_minus_mm: dict[str, float]
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
    request = _request(outcome)
    answer = client.predict(MODEL_NAME, request)
    return _report(client, outcome, deployment, request, answer, path, data.hash)


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


def _request(outcome: TrainingOutcome) -> dict[str, Any]:
    windows = hole_windows([outcome.example.grid]).as_dict()
    return {name: np.round(array.astype(np.float64), 4).tolist() for name, array in windows.items()}


def _curl(client: MLOpsClient, deployment: Deployment, request: dict[str, Any]) -> str:
    """A line for a shell that asks the endpoint; its body lies in the project's build folder.

    The token goes through a pipe: other users can read a program's arguments. printf is the shell's own.
    """
    file = Path(client.project.root) / _REQUEST
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"inputs": request}))
    token = shlex.quote(str(client.token_file))
    return (
        f"""printf 'header = "Authorization: Bearer %s"\\n' "$(cat {token})" | """
        "curl -sS -K - -H 'Content-Type: application/json' "
        f"-d @{shlex.quote(str(file))} {shlex.quote(deployment.url)}"
    )


def _report(
    client: MLOpsClient,
    outcome: TrainingOutcome,
    deployment: Deployment,
    request: dict[str, Any],
    answer: dict[str, Any],
    path: str,
    data_hash: str,
) -> DemoReport:
    depths, plus_minus = (
        dict(zip(KEY_POINTS, (round(float(value), 3) for value in answer[name][0]), strict=True))
        for name in ("keypoints_mm", "uncertainty_mm")
    )
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
        answer_mm=depths,
        answer_plus_minus_mm=plus_minus,
        curl=_curl(client, deployment, request),
        dashboard_url=client.dashboard_url,
    )
