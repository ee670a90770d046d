"""The record of a registered project, and the backends its workspace opens."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.data.local import LocalStore
from mlops.entities import ProjectWorkspace
from mlops.errors import (
    BackendUnknown,
    ConfigError,
    InvalidName,
    ModelNotFound,
    ProjectNotFound,
    ReferenceNotFound,
    ServiceUnavailable,
)
from mlops.installation import Installation
from mlops.monitoring.reference import PLACE
from mlops.registry.memory import MemoryRegistry
from mlops.tracking.memory import MemoryTracker
from mlops.workspace import Workspace, data_of_run, download_model, download_reference, recorded_projects


def installed(home: Path, **settings: object) -> Installation:
    made = Installation(
        MLOpsConfig(
            **{
                "home": home,
                "tracking_backend": "memory",
                "registry_backend": "memory",
                "data_backend": "local",
                **settings,
            }
        )
    )
    made.prepare()
    return made


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return installed(tmp_path / "home")


def workspace(installation: Installation, name: str, root: Path) -> Workspace:
    info = ProjectWorkspace(
        project_name=name,
        namespace=name,
        mlflow_experiment_id="7",
        dvc_remote_path=str(installation.remotes_dir / name),
        airflow_dag_prefix=f"{name}__",
        serving_endpoint=f"/projects/{name}",
        root=root,
    )
    return Workspace(info, installation)


@pytest.mark.parametrize("name", ["unknown", "alpha2"])
def test_unknown_project_is_told_how_to_register(
    installation: Installation, name: str, tmp_path: Path
) -> None:
    workspace(installation, "alpha", tmp_path).save()
    with pytest.raises(ProjectNotFound, match=name) as caught:
        Workspace.open(name, installation)
    assert "mlops:register" in caught.value.remedy


@pytest.mark.parametrize("name", ["../secrets/admin_token", "/etc/x", "", "Alpha"])
def test_unsafe_name_opens_no_file(installation: Installation, name: str) -> None:
    with pytest.raises(InvalidName):
        Workspace.open(name, installation)


def test_record_is_read_back_whole_and_is_private(installation: Installation, tmp_path: Path) -> None:
    made = workspace(installation, "alpha", tmp_path / "a folder with ü")
    made.save()
    assert Workspace.open("alpha", installation).info == made.info
    (record,) = (installation.root / "projects").iterdir()
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700


def test_saving_again_replaces_and_forgetting_removes(installation: Installation, tmp_path: Path) -> None:
    for name in ("beta", "alpha"):
        workspace(installation, name, tmp_path).save()
    workspace(installation, "alpha", tmp_path / "moved").save()
    assert recorded_projects(installation) == ["alpha", "beta"]
    assert Workspace.open("alpha", installation).info.root == tmp_path / "moved"
    Workspace.open("alpha", installation).forget()
    workspace(installation, "alpha", tmp_path).forget()
    assert recorded_projects(installation) == ["beta"]
    with pytest.raises(ProjectNotFound):
        Workspace.open("alpha", installation)


def test_nothing_is_recorded_before_set_up(tmp_path: Path) -> None:
    assert recorded_projects(Installation(MLOpsConfig(home=tmp_path / "nowhere"))) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"root": "/x"}', '{"root": null}', '{"root": 1}'])
def test_damaged_record_is_told_with_its_file(installation: Installation, tmp_path: Path, text: str) -> None:
    workspace(installation, "alpha", tmp_path).save()
    record = installation.root / "projects" / "alpha.json"
    record.write_text(text)
    with pytest.raises(ConfigError, match="is damaged") as caught:
        Workspace.open("alpha", installation)
    assert str(record) in caught.value.message
    assert "mlops:register" in caught.value.remedy


def test_record_with_a_key_of_another_version_is_told(installation: Installation, tmp_path: Path) -> None:
    workspace(installation, "alpha", tmp_path).save()
    record = installation.root / "projects" / "alpha.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "color": "red"}))
    with pytest.raises(ConfigError, match="is damaged"):
        Workspace.open("alpha", installation)


def test_settings_choose_the_backends_of_the_project(installation: Installation, tmp_path: Path) -> None:
    opened = workspace(installation, "alpha", tmp_path)
    assert isinstance(opened.tracking, MemoryTracker)
    assert isinstance(opened.registry, MemoryRegistry)
    assert isinstance(opened.data, LocalStore)
    assert {opened.tracking.project, opened.registry.project, opened.data.project} == {"alpha"}
    assert opened.tracking is opened.tracking
    assert opened.tracking is not workspace(installation, "beta", tmp_path).tracking


@pytest.mark.parametrize("capability", ["tracking", "registry", "data"])
def test_unknown_backend_fails_where_it_is_used(tmp_path: Path, capability: str) -> None:
    opened = workspace(installed(tmp_path / "home", **{f"{capability}_backend": "nope"}), "alpha", tmp_path)
    with pytest.raises(BackendUnknown, match="'nope'"):
        getattr(opened, capability)


def test_mlflow_backend_before_registration_asks_for_the_accounts_password(tmp_path: Path) -> None:
    installation = installed(tmp_path / "home", tracking_backend="mlflow")
    installation.choose_ports(["mlflow"])
    with pytest.raises(ConfigError, match=r"no secret 'project\.alpha\.mlflow'"):
        _ = workspace(installation, "alpha", tmp_path).tracking


def test_token_is_the_projects_own(installation: Installation, tmp_path: Path) -> None:
    opened = workspace(installation, "alpha", tmp_path)
    with pytest.raises(ConfigError):
        opened.token()
    token = installation.make_secret("project.alpha.token")
    installation.make_secret("project.beta.token")
    assert opened.token() == token == opened.token_file.read_text()


def test_a_run_that_is_gone_has_no_data(installation: Installation, tmp_path: Path) -> None:
    workspace(installation, "alpha", tmp_path).save()
    assert data_of_run(installation.config, "alpha", "gone") == {}


def test_a_reference_comes_from_the_versions_own_files(installation: Installation, tmp_path: Path) -> None:
    opened = workspace(installation, "alpha", tmp_path)
    (tmp_path / "given" / PLACE).parent.mkdir(parents=True)
    (tmp_path / "given" / PLACE).write_bytes(b"kept")
    opened.registry.log_model("r", {}, "net", flavor="sklearn", files=tmp_path / "given")
    opened.registry.log_model("r", {}, "net", flavor="sklearn")
    file = opened.download_reference("net", 1, tmp_path / "got")
    assert (file, file.read_bytes()) == (tmp_path / "got" / "reference.parquet", b"kept")
    with pytest.raises(ReferenceNotFound) as caught:
        opened.download_reference("net", 2, tmp_path / "none")
    assert caught.value.fields == {"project": "alpha", "model": "net", "version": 2}
    with pytest.raises(ModelNotFound):
        opened.download_reference("net", 3, tmp_path / "none")


def test_a_reference_is_told_to_be_out_of_reach(tmp_path: Path) -> None:
    installation = installed(tmp_path / "home", registry_backend="mlflow", mlflow_uri="http://127.0.0.1:9")
    installation.make_secret("project.alpha.mlflow")
    workspace(installation, "alpha", tmp_path).save()
    with pytest.raises(ServiceUnavailable) as caught:
        download_reference(installation.config, "alpha", "net", 1, tmp_path / "got")
    assert caught.value.service == "mlflow"
    with pytest.raises(ProjectNotFound):
        download_reference(installation.config, "unknown", "net", 1, tmp_path / "got")


def test_download_of_an_unknown_project_is_told(installation: Installation, tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFound):
        download_model(installation.config, "unknown", "net", 1, tmp_path)
