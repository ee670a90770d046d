"""How a project joins: conflicts before anything is touched, and the whole of it on the stack."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlops.config import MLOpsConfig
from mlops.errors import (
    ConfigError,
    Conflict,
    InvalidName,
    ProjectExists,
    ProjectFileError,
    ProjectNotFound,
    ServiceUnavailable,
)
from mlops.installation import Installation
from mlops.registration import register
from mlops.store.store import Store
from mlops.store.tokens import Role, token_hash
from mlops.workspace import Workspace, recorded_projects

AddProject = Callable[..., str]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """An installation whose MLflow does not answer."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        made = Installation(
            MLOpsConfig(
                home=tmp_path / "home",
                mlflow_uri=f"http://127.0.0.1:{held.getsockname()[1]}",
                mlflow_password="pw",
                data_backend="local",
            )
        )
        made.prepare()
        yield made


def folder(parent: Path, name: str, rest: str = "") -> Path:
    made = parent / name
    made.mkdir(parents=True, exist_ok=True)
    (made / "project.toml").write_text(f'[project]\nname = "{name}"\n{rest}')
    return made


# -- before MLflow ------------------------------------------------------------------------------


def test_name_of_another_folder_is_refused(
    installation: Installation, store: Store, add_project: AddProject, tmp_path: Path
) -> None:
    add_project("alpha")
    folder(tmp_path, "alpha")  # where add_project says that it lies
    with pytest.raises(ProjectExists, match="'alpha'") as caught:
        register(folder(tmp_path / "elsewhere", "alpha"), installation, store)
    assert caught.value.root == str(tmp_path / "alpha")


def test_namespace_of_another_project_is_refused(
    installation: Installation, store: Store, add_project: AddProject, tmp_path: Path
) -> None:
    add_project("alpha")
    with pytest.raises(ProjectExists) as caught:
        register(folder(tmp_path, "beta", 'namespace = "alpha"'), installation, store)
    assert caught.value.project == "alpha"
    assert [known.project_name for known in store.projects.all()] == ["alpha"]


def test_name_that_is_anothers_namespace_is_refused(
    installation: Installation, store: Store, add_project: AddProject, tmp_path: Path
) -> None:
    add_project("alpha")
    store.projects.put(replace(store.projects.get("alpha"), namespace="team"), {})
    with pytest.raises(ProjectExists) as caught:
        register(folder(tmp_path, "team"), installation, store)
    assert caught.value.project == "alpha"


def test_changed_namespace_is_refused_with_the_one_to_put_back(
    installation: Installation, store: Store, add_project: AddProject, tmp_path: Path
) -> None:
    add_project("alpha")
    with pytest.raises(Conflict, match="namespace 'alpha'") as caught:
        register(folder(tmp_path, "alpha", 'namespace = "renamed"'), installation, store)
    assert not isinstance(caught.value, ProjectExists)
    assert "Put the namespace back" in caught.value.remedy


def test_folder_that_has_moved_is_no_conflict(
    installation: Installation, store: Store, add_project: AddProject, tmp_path: Path
) -> None:
    add_project("alpha")  # its folder does not exist
    with pytest.raises(ServiceUnavailable, match="mlflow"):  # what comes after the conflicts
        register(folder(tmp_path / "moved", "alpha"), installation, store)


def test_nothing_is_recorded_while_mlflow_is_down(
    installation: Installation, store: Store, tmp_path: Path
) -> None:
    root = folder(tmp_path, "alpha")
    with pytest.raises(ServiceUnavailable, match="mlflow"):
        register(root, installation, store)
    assert store.projects.all() == []
    assert recorded_projects(installation) == []
    assert not installation.secret_file("project.alpha.token").exists()
    assert [path.name for path in root.iterdir()] == ["project.toml"]


def test_nothing_is_recorded_while_the_database_is_down(installation: Installation, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        store = Store(f"postgresql://u:p@127.0.0.1:{held.getsockname()[1]}/mlops")
        with pytest.raises(ServiceUnavailable, match="postgres"):
            register(folder(tmp_path, "alpha"), installation, store)
        store.close()
    assert recorded_projects(installation) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[project", ProjectFileError),
        ("[project]\nname = '../x'", InvalidName),
        ("[project]\nname = 'default'", InvalidName),
    ],
)
def test_bad_project_file_asks_no_server(
    installation: Installation, tmp_path: Path, text: str, error: type[Exception]
) -> None:
    (tmp_path / "project.toml").write_text(text)
    with pytest.raises(error):
        register(tmp_path, installation, Store("postgresql://127.0.0.1:1/mlops"))


def test_mlflow_elsewhere_without_its_administrator_is_told(store: Store, tmp_path: Path) -> None:
    bare = Installation(MLOpsConfig(home=tmp_path / "home", mlflow_uri="http://127.0.0.1:1"))
    bare.prepare()
    with pytest.raises(ConfigError, match="MLOPS_MLFLOW_PASSWORD"):
        register(folder(tmp_path, "alpha"), bare, store)


# -- the whole ----------------------------------------------------------------------------------


@pytest.fixture
def stack_store(stack: Installation) -> Iterator[Store]:
    """The stack's database; what the test registers is forgotten after it."""
    made = Store(stack.database_url())
    made.upgrade()
    before = {known.project_name for known in made.projects.all()}
    yield made
    for known in made.projects.all():
        if known.project_name not in before:
            made.projects.remove(known.project_name)
            Workspace(known, stack).forget()
    made.close()


def test_registration_is_repeatable_and_follows_project_toml(
    stack: Installation, stack_store: Store, tmp_path: Path
) -> None:
    root = folder(tmp_path, "joins-twice", 'description = "before"')
    first = register(root, stack, stack_store)
    token = first.token()
    folder(tmp_path, "joins-twice", 'description = "after"')
    second = register(root, stack, stack_store)
    assert second.info == first.info == Workspace.open("joins-twice", stack).info
    assert second.info == stack_store.projects.get("joins-twice")
    assert second.token() == token
    assert stack_store.projects.settings("joins-twice")["description"] == "after"
    assert second.info.mlflow_experiment_id
    assert second.info.serving_endpoint == "/projects/joins-twice"
    assert Path(second.info.dvc_remote_path).is_relative_to(stack.root)


def test_registered_projects_hold_tokens_for_themselves_alone(
    stack: Installation, stack_store: Store, tmp_path: Path
) -> None:
    for name in ("joins-one", "joins-two"):
        workspace = register(folder(tmp_path, name), stack, stack_store)
        principal = stack_store.tokens.find(token_hash(workspace.token()))
        assert principal is not None
        assert (principal.role, principal.project) == (Role.MEMBER, name)


def test_moved_project_keeps_its_runs_place_and_token(
    stack: Installation, stack_store: Store, tmp_path: Path
) -> None:
    before = register(folder(tmp_path / "old", "joins-moved"), stack, stack_store)
    token = before.token()
    shutil.move(tmp_path / "old", tmp_path / "new")
    after = register(tmp_path / "new" / "joins-moved", stack, stack_store)
    assert after.info.root == tmp_path / "new" / "joins-moved"
    assert after.info.mlflow_experiment_id == before.info.mlflow_experiment_id
    assert after.token() == token
    assert Workspace.open("joins-moved", stack).info.root == after.info.root


def test_project_that_was_removed_may_join_again(
    stack: Installation, stack_store: Store, tmp_path: Path
) -> None:
    before = register(folder(tmp_path, "joins-again"), stack, stack_store)
    stack_store.projects.remove("joins-again")
    before.forget()
    with pytest.raises(ProjectNotFound):
        Workspace.open("joins-again", stack)
    after = register(tmp_path / "joins-again", stack, stack_store)
    assert after.info == before.info
