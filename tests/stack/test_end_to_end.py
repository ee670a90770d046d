"""From a project's folder to an answer of its served model, for two projects on one stack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlops.client import MLOpsClient
from mlops.entities import DeploymentState, RunStatus, Side
from mlops.errors import DeploymentNotFound, InvalidInput, ModelNotFound
from mlops.installation import Installation
from mlops.monitoring.sample import SIDES
from mlops.services.status import read_status

TOOLKIT = Path(sys.executable).with_name("efficientai-toolkit")


def toolkit(
    stack: Installation, *arguments: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TOOLKIT), *arguments],
        env={"MLOPS_HOME": str(stack.root), "PATH": "/usr/bin:/bin", "HOME": str(stack.root)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_service_is_healthy(stack: Installation) -> None:
    assert {status.name: status.state.value for status in read_status(stack)} == dict.fromkeys(
        ("postgres", "mlflow", "ray", "worker", "gateway"), "healthy"
    )


def test_status_says_so(stack: Installation) -> None:
    done = toolkit(stack, "mlops:status", "--json")
    assert done.returncode == 0, done.stderr
    assert {row["state"] for row in json.loads(done.stdout)} == {"healthy"}


def test_digits_is_served_with_the_numbers_it_was_trained_with(
    digits: MLOpsClient, served_digits: Any
) -> None:
    outputs = digits.predict("digits", {"X": served_digits.sample.tolist()})
    assert outputs["label"] == [served_digits.expected]
    run = digits.get_run(served_digits.run_id)
    assert run.status is RunStatus.FINISHED
    assert run.metrics["accuracy"] == pytest.approx(served_digits.accuracy)
    assert run.tags["data.path"] == "data"
    assert len(run.tags["data.git_revision"]) == 40


@pytest.fixture(scope="module")
def demo_reports(stack: Installation, drilling: MLOpsClient) -> list[dict[str, Any]]:
    """What the demo says, run twice."""
    reports = []
    for _ in range(2):
        done = toolkit(
            stack,
            *("drilling:demo", "--holes", "60", "--epochs", "2", "--json"),
            cwd=drilling.project.root,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "Deploying keypoints" in done.stderr
        reports.append(json.loads(done.stdout))
    return reports


def test_drilling_demo_runs_twice(drilling: MLOpsClient, demo_reports: list[dict[str, Any]]) -> None:
    assert [report["model_version"] for report in demo_reports] == [1, 2]
    for report in demo_reports:
        run = drilling.get_run(report["run_id"])
        assert run.tags["data.synthetic"] == "true"
        assert run.tags["data.path"] == "data/raw"
        assert report["synthetic"] is True
    deployed = {row.version: row for row in drilling.deployments()}
    assert (deployed[2].state, deployed[2].side) == (DeploymentState.RUNNING, Side.CHAMPION)
    assert deployed[1].side is Side.PREVIOUS


def test_what_is_watched_of_a_hole_is_in_the_log_and_in_the_reference(
    drilling: MLOpsClient, demo_reports: list[dict[str, Any]]
) -> None:
    assert demo_reports[-1]["model_version"] == 2
    deadline = time.monotonic() + 60
    while not (found := [each for each in drilling.inferences("keypoints") if each.version == 2]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    logged, reference = found[0].features, drilling.reference("keypoints", 2)
    of_reference = {side: {each.name for each in reference.columns if each.side == side} for side in SIDES}
    assert {side: set(logged[side]) for side in SIDES} == of_reference
    assert {"wear", "upper_torque_a", "lower_thrust_a", "upper_s"} <= of_reference["inputs"]
    assert {"entry_mm", "exit_presence", "exit_uncertainty_mm"} <= of_reference["outputs"]
    assert reference.rows > 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_demos_line_for_a_shell_is_answered(demo_reports: list[dict[str, Any]]) -> None:
    line = demo_reports[-1]["curl"]
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    points = json.loads(answer.stdout)["outputs"]
    assert set(points) == {"entry_mm", "transition_mm", "exit_mm"}
    assert points["entry_mm"]["presence"] >= 0
    logs = demo_reports[-1]["curl"].replace("application/octet-stream", "application/x-www-form-urlencoded")
    refused = subprocess.run(
        ["bash", "-c", logs.replace("--data-binary @", "--data-binary no-log#")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(refused.stdout)["error"]["type"] == "LogUnreadable"


def test_wrong_input_is_named_on_its_way_back(digits: MLOpsClient, served_digits: Any) -> None:
    with pytest.raises(InvalidInput, match="X"):
        digits.predict("digits", {"X": [[0.0] * 63]})
    with pytest.raises(InvalidInput, match="pixels"):
        digits.predict("digits", {"pixels": [[0.0] * 64]})


def test_what_is_not_there_is_named(digits: MLOpsClient, served_digits: Any) -> None:
    with pytest.raises(ModelNotFound):
        digits.deploy_model("digits", version=99)
    with pytest.raises(DeploymentNotFound):
        digits.predict("nothing", {"X": [[0.0]]})
    with pytest.raises(DeploymentNotFound):
        digits.undeploy_model("nothing")


def test_command_line_deploys_lists_and_undeploys(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    root = digits.project.root
    deployed = toolkit(stack, "mlops:deploy", "digits", "1", "--json", cwd=root)
    assert deployed.returncode == 0, deployed.stderr
    assert json.loads(deployed.stdout)["state"] == "running"
    assert "digits" in toolkit(stack, "mlops:list-deployments", "-p", "digits").stdout
    gone = toolkit(stack, "mlops:undeploy", "digits", cwd=root)
    assert gone.returncode == 0, gone.stderr
    with pytest.raises(DeploymentNotFound):
        digits.predict("digits", {"X": served_digits.sample.tolist()})
    digits.deploy_model("digits", version=1)


def test_command_line_versions_data(stack: Installation, digits: MLOpsClient) -> None:
    root = digits.project.root
    (root / "notes").mkdir(exist_ok=True)
    (root / "notes" / "a.txt").write_text("one")
    added = toolkit(stack, "mlops:dvc-add", "notes", "--json", cwd=root)
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["files"] == 1
    assert toolkit(stack, "mlops:dvc-push", cwd=root).returncode == 0
    (root / "notes" / "a.txt").unlink()
    assert toolkit(stack, "mlops:dvc-pull", "notes", cwd=root).returncode == 0
    assert (root / "notes" / "a.txt").read_text() == "one"
    refused = toolkit(stack, "mlops:dvc-add", "../outside", cwd=root)
    assert refused.returncode == 3
    assert "outside" in refused.stderr


def test_registering_again_changes_nothing(stack: Installation, digits: MLOpsClient) -> None:
    before = digits.workspace
    done = toolkit(stack, "mlops:register", str(digits.project.root), "--json")
    assert done.returncode == 0, done.stderr
    again = MLOpsClient.from_project("digits", config=stack.config)
    assert again.workspace == before
    assert again.search_runs() == digits.search_runs()


def test_projects_are_listed_with_their_token_files(
    stack: Installation, digits: MLOpsClient, drilling: MLOpsClient
) -> None:
    rows = json.loads(toolkit(stack, "mlops:projects", "--json").stdout)
    assert {row["project"] for row in rows} >= {"digits", "drilling"}
    assert all(Path(row["token_file"]).stat().st_mode & 0o077 == 0 for row in rows)
