"""Data, runs, models and deployments as one lineage, over the real services and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops.client import MLOpsClient
from mlops.errors import MLOpsError, NotFound
from mlops.installation import Installation
from mlops.storage import collect_garbage

TOOLKIT = Path(sys.executable).with_name("efficientai-toolkit")


def lineage(stack: Installation, reference: str, project: str = "digits") -> dict[str, Any]:
    done = subprocess.run(
        [str(TOOLKIT), "mlops:lineage", reference, "--project", project, "--json"],
        env={"MLOPS_HOME": str(stack.root), "PATH": "/usr/bin:/bin", "HOME": str(stack.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["remarks"] == []
    return dict(found["root"])


def children(node: dict[str, Any], relation: str) -> list[dict[str, Any]]:
    return [child for child in node["children"] if child["relation"] == relation]


def test_a_served_model_leads_back_to_its_data_and_code(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    number = served_digits.version.version
    model = lineage(stack, f"digits:{number}")
    (run,) = children(model, "made by")
    assert run["id"] == served_digits.run_id
    (data,) = children(run, "used")
    version = digits.data_version("data")
    assert (data["name"], data["id"]) == ("data", version.hash)
    assert data["facts"]["files"] == version.files
    assert len(data["facts"]["git_revision"]) == 40
    (served,) = children(model, "served as")
    assert served["facts"]["state"] == "running"
    assert served["facts"]["url"].endswith("/projects/digits/models/digits/predict")


def test_a_data_version_leads_to_what_came_of_it(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    version = digits.data_version("data")
    for reference in ("data", version.hash):
        root = lineage(stack, reference)
        assert root["id"] == version.hash
        users = {run["id"]: run for run in children(root, "used by")}
        (model,) = children(users[served_digits.run_id], "made")
        assert model["id"] == f"digits:{served_digits.version.version}"
        assert [each["facts"]["state"] for each in children(model, "served as")] == ["running"]


def test_what_a_run_used_is_exactly_there_again(digits: MLOpsClient, served_digits: Any) -> None:
    (used,) = digits.get_run(served_digits.run_id).data
    assert digits.data_version("data").hash == used.hash
    place = digits.use_data(used.path, rev=used.hash)
    assert (place / "digits.csv").read_bytes() == (digits.project.root / "data/digits.csv").read_bytes()


def test_another_projects_lineage_is_not_told(
    digits: MLOpsClient, drilling: MLOpsClient, served_digits: Any
) -> None:
    version = digits.data_version("data")
    for reference in (served_digits.run_id, f"digits:{served_digits.version.version}", version.hash, "data"):
        with pytest.raises(NotFound):
            drilling.lineage(reference)
        for rev in (None, version.hash):
            with pytest.raises(MLOpsError):
                drilling.use_data("data", rev=rev)


def test_garbage_is_not_what_a_run_used(stack: Installation, digits: MLOpsClient, served_digits: Any) -> None:
    """Data that no ref names, once used by a run and once by none."""
    root = digits.project.root
    (root / "scratch").mkdir()
    versions = []
    for text in ("used", "not used", "now"):
        (root / "scratch/f.txt").unlink(missing_ok=True)
        (root / "scratch/f.txt").write_text(text)
        versions.append(digits.dvc_add("scratch"))
        if text == "used":
            with digits.start_run("on scratch"):
                digits.use_data("scratch")
    found = {each.projects: each for each in collect_garbage(stack, remove=True)}
    assert found["digits",].objects == 2
    used, unused, _ = versions
    assert (digits.use_data("scratch", rev=used.hash) / "f.txt").read_text() == "used"
    with pytest.raises(MLOpsError):
        digits.use_data("scratch", rev=unused.hash)
