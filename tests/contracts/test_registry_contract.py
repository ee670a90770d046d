"""What every model registry promises, run over each of them, with two projects."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mlops.binding.context import Binding
from mlops.binding.session import MLflowSession
from mlops.entities import RunStatus
from mlops.errors import (
    InvalidInput,
    InvalidName,
    ModelFileNotFound,
    ModelNotFound,
    RunNotFound,
    VersionPending,
)
from mlops.registry.base import ModelRegistry
from mlops.registry.memory import MemoryRegistry
from mlops.registry.mlflow import MLflowRegistry
from mlops.tracking.base import RunTracker
from mlops.tracking.memory import MemoryTracker
from mlops.tracking.mlflow import MLflowTracker

X = np.linspace(0, 1, 80, dtype=np.float32).reshape(20, 4)
MODEL = LogisticRegression().fit(X, np.arange(20) % 2)


@dataclass(frozen=True)
class Side:
    """One project's registry and tracker."""

    registry: ModelRegistry
    tracker: RunTracker
    kept: Callable[[str], bytes]
    """What lies at a URI that `attach` gave."""
    drop_run: Callable[[str], None]
    """Makes a run one that was deleted."""

    def run(self) -> str:
        return self.tracker.start_run(None, {}, None).id

    def register(self, name: str, run_id: str | None = None) -> Any:
        run_id = run_id or self.run()
        made = self.registry.log_model(run_id, MODEL, name, flavor="sklearn", input_example=X)
        assert made is not None
        return made


@dataclass(frozen=True)
class Two:
    """The two projects."""

    a: Side
    b: Side


@pytest.fixture(params=["memory", pytest.param("mlflow", marks=pytest.mark.xdist_group("mlflow_server"))])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Two:
    if request.param == "memory":
        return Two(memory("contract-a"), memory("contract-b"))
    settings = [account.settings() for account in request.getfixturevalue("mlflow_accounts")]
    return Two(*(mlflow(each, tmp_path / each["project"]) for each in settings))


def mlflow(settings: dict[str, str], journal: Path) -> Side:
    session = MLflowSession(Binding(settings["url"], settings["namespace"], *credentials(settings), ""))

    def kept(uri: str) -> bytes:
        from mlflow.artifacts import download_artifacts

        with session.bound():
            return Path(download_artifacts(artifact_uri=uri, tracking_uri=settings["url"])).read_bytes()

    def drop_run(run_id: str) -> None:
        with session.bound() as client:
            client.delete_run(run_id)

    return Side(MLflowRegistry(**settings), MLflowTracker(**settings, journal=journal), kept, drop_run)


def credentials(settings: dict[str, str]) -> tuple[str, str]:
    return settings["username"], settings["password"]


def memory(project: str) -> Side:
    tracker = MemoryTracker(project=project)

    dropped: set[str] = set()

    def has_run(run_id: str) -> bool:
        if run_id in dropped:
            return False
        try:
            tracker.get_run(run_id)
        except RunNotFound:
            return False
        return True

    registry = MemoryRegistry(project=project, has_run=has_run)
    return Side(registry, tracker, registry.attached, dropped.add)


@pytest.fixture
def side(two: Two) -> Side:
    return two.a


@pytest.fixture
def name() -> str:
    return f"model-{uuid.uuid4().hex[:8]}"


def test_a_registered_version_names_project_run_and_flavor(side: Side, name: str) -> None:
    run_id = side.run()
    made = side.register(name, run_id)
    assert (made.project, made.name, made.version, made.run_id) == ("contract-a", name, 1, run_id)
    assert made.flavor == "sklearn"
    assert made.tags == {"flavor": "sklearn", "project": "contract-a", "run_id": run_id}
    assert made.source
    assert side.registry.get_version(name, 1) == made


def test_versions_count_up_and_list_newest_first(side: Side, name: str) -> None:
    run_id = side.run()
    assert [side.register(name, run_id).version for _ in range(3)] == [1, 2, 3]
    other = side.register(f"{name}-other", run_id)
    assert [version.version for version in side.registry.list_versions(name)] == [3, 2, 1]
    everything = side.registry.list_versions()
    assert everything[0] == other
    assert {1, 2, 3} == {version.version for version in everything if version.name == name}


def test_a_model_may_be_kept_with_its_run_alone(side: Side, name: str) -> None:
    kept = side.registry.log_model(side.run(), MODEL, name, flavor="sklearn", register=False)
    assert kept is None
    with pytest.raises(ModelNotFound):
        side.registry.list_versions(name)


def test_a_version_that_is_pending_is_not_there_yet(side: Side, name: str, tmp_path: Path) -> None:
    side.register(name)
    for attempt in (
        lambda: side.registry.get_version(name, None),
        lambda: side.registry.set_alias(name, "champion", None),
        lambda: side.registry.download(name, None, tmp_path),
        lambda: side.registry.attach(name, None, a_file(tmp_path), "notes"),
    ):
        with pytest.raises(VersionPending):
            attempt()


def test_an_alias_points_at_one_version_and_moves(side: Side, name: str) -> None:
    run_id = side.run()
    for _ in range(2):
        side.register(name, run_id)
    side.registry.set_alias(name, "champion", 1)
    side.registry.set_alias(name, "challenger", 2)
    assert side.registry.get_version(name, 1).aliases == ("champion",)
    side.registry.set_alias(name, "champion", 2)
    assert side.registry.get_version(name, 1).aliases == ()
    assert side.registry.get_version(name, 2).aliases == ("challenger", "champion")
    assert [version.aliases for version in side.registry.list_versions(name)] == [
        ("challenger", "champion"),
        (),
    ]


@pytest.mark.parametrize("alias", ["", "latest", "v2", "A b", "-x"])
def test_an_alias_that_some_backend_refuses_is_refused_by_all(side: Side, name: str, alias: str) -> None:
    side.register(name)
    with pytest.raises(InvalidName):
        side.registry.set_alias(name, alias, 1)


def test_a_downloaded_version_is_an_mlflow_model_folder(side: Side, name: str, tmp_path: Path) -> None:
    side.register(name)
    folder = side.registry.download(name, 1, tmp_path / "new" / "folder")
    assert (folder / "MLmodel").is_file()
    assert folder.is_relative_to(tmp_path)


def with_files(side: Side, name: str, folder: Path) -> Any:
    """A version with a file of its own, `notes/note.bin`, beside the model's."""
    a_file(folder / "notes", b"\x00kept")
    return side.registry.log_model(
        side.run(), MODEL, name, flavor="sklearn", input_example=X, files=folder
    )  # fmt: skip


def test_further_files_go_with_the_models_own(side: Side, name: str, tmp_path: Path) -> None:
    made = with_files(side, name, tmp_path / "given")
    folder = side.registry.download(name, made.version, tmp_path / "got")
    assert (folder / "MLmodel").is_file()
    assert (folder / "notes" / "note.bin").read_bytes() == b"\x00kept"


def test_one_file_of_a_version_comes_alone(side: Side, name: str, tmp_path: Path) -> None:
    made = with_files(side, name, tmp_path / "given")
    file = side.registry.download(name, made.version, tmp_path / "got" / "new", "notes/note.bin")
    assert file == tmp_path / "got" / "new" / "note.bin"
    assert file.read_bytes() == b"\x00kept"
    top = side.registry.download(name, made.version, tmp_path / "top", "MLmodel")
    assert (top.name, [path.name for path in (tmp_path / "top").iterdir()]) == ("MLmodel", ["MLmodel"])
    assert [path.name for path in (tmp_path / "got").rglob("*") if path.is_file()] == ["note.bin"]


@pytest.mark.parametrize("path", ["notes/other.bin", "gone/note.bin", "note.bin"])
def test_a_file_that_the_version_lacks_is_named(side: Side, name: str, path: str, tmp_path: Path) -> None:
    made = with_files(side, name, tmp_path / "given")
    with pytest.raises(ModelFileNotFound, match=path) as caught:
        side.registry.download(name, made.version, tmp_path / "got", path)
    assert (caught.value.model, caught.value.version, caught.value.path) == (name, 1, path)
    with pytest.raises(ModelNotFound):
        side.registry.download(f"{name}-other", 1, tmp_path / "got", path)


@pytest.mark.parametrize("path", ["/MLmodel", "../MLmodel", "notes/../../note.bin"])
def test_only_files_inside_the_models_folder_come(side: Side, name: str, path: str, tmp_path: Path) -> None:
    made = with_files(side, name, tmp_path / "given")
    with pytest.raises(InvalidInput) as caught:
        side.registry.download(name, made.version, tmp_path / "got", path)
    assert caught.value.field == "path"


def a_file(folder: Path, content: bytes = b"kept") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "note.bin"
    path.write_bytes(content)
    return path


def test_a_file_is_kept_beside_a_version_and_read_back(side: Side, name: str, tmp_path: Path) -> None:
    side.register(name)
    uri = side.registry.attach(name, 1, a_file(tmp_path, b"\x00first"), f"notes/{name}")
    assert uri.endswith(f"/notes/{name}/note.bin")
    assert side.kept(uri) == b"\x00first"
    assert side.registry.attach(name, 1, a_file(tmp_path, b"second"), f"notes/{name}") == uri
    assert side.kept(uri) == b"second"


def test_a_file_is_kept_when_the_run_has_ended(side: Side, name: str, tmp_path: Path) -> None:
    run_id = side.run()
    side.register(name, run_id)
    side.tracker.end_run(run_id, RunStatus.FINISHED)
    assert side.kept(side.registry.attach(name, 1, a_file(tmp_path), "notes")) == b"kept"
    assert side.tracker.get_run(run_id).status is RunStatus.FINISHED


def test_a_file_is_kept_with_a_run_that_there_is(side: Side, name: str, tmp_path: Path) -> None:
    run_id = side.run()
    side.register(name, run_id)
    side.drop_run(run_id)
    with pytest.raises(RunNotFound) as caught:
        side.registry.attach(name, 1, a_file(tmp_path), "notes")
    assert caught.value.fields["run_id"] == run_id


@pytest.mark.parametrize("folder", ["", "/notes", "../notes", "a/../../b"])
def test_a_file_is_kept_below_the_runs_artifacts_alone(
    side: Side, name: str, folder: str, tmp_path: Path
) -> None:
    side.register(name)
    with pytest.raises(InvalidInput) as caught:
        side.registry.attach(name, 1, a_file(tmp_path), folder)
    assert caught.value.field == "folder"


def test_only_a_file_that_there_is_can_be_kept(side: Side, name: str, tmp_path: Path) -> None:
    side.register(name)
    for nothing in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InvalidInput) as caught:
            side.registry.attach(name, 1, nothing, "notes")
        assert caught.value.field == "file"


def test_an_unknown_flavor_is_named_with_those_known(side: Side, name: str) -> None:
    with pytest.raises(InvalidInput, match="onnx") as caught:
        side.registry.log_model(side.run(), MODEL, name, flavor="pickle")
    assert caught.value.field == "flavor"


@pytest.mark.parametrize("bad", ["", "a/b", "..", "a b", "-x", "x" * 101])
def test_an_unsafe_model_name_is_refused(side: Side, bad: str) -> None:
    with pytest.raises(InvalidName):
        side.registry.log_model(side.run(), MODEL, bad, flavor="sklearn")


def test_a_model_needs_a_run_that_there_is(side: Side, name: str) -> None:
    with pytest.raises(RunNotFound):
        side.registry.log_model(uuid.uuid4().hex, MODEL, name, flavor="sklearn")


def reads(registry: ModelRegistry, name: str, version: int, folder: Path) -> list[Callable[[], object]]:
    """Every verb that takes a model's name."""
    return [
        lambda: registry.get_version(name, version),
        lambda: registry.set_alias(name, "champion", version),
        lambda: registry.download(name, version, folder),
        lambda: registry.attach(name, version, a_file(folder), "notes"),
    ]


def test_an_unknown_model_or_version_is_not_found(side: Side, name: str, tmp_path: Path) -> None:
    side.register(f"{name}-there")
    with pytest.raises(ModelNotFound):
        side.registry.list_versions(name)
    for unknown, version in ((name, 1), (f"{name}-there", 2), (f"{name}-there", 0), ("no such name", 1)):
        for attempt in reads(side.registry, unknown, version, tmp_path / "f"):
            with pytest.raises(ModelNotFound):
                attempt()


def test_another_projects_models_are_unknown_also_from_a_thread(two: Two, name: str, tmp_path: Path) -> None:
    theirs = two.b.register(name)
    two.b.registry.set_alias(name, "champion", 1)
    outcomes: list[object] = []

    def try_all() -> None:
        attempts = reads(two.a.registry, name, 1, tmp_path / "stolen")
        for attempt in [*attempts, lambda: two.a.registry.list_versions(name)]:
            try:
                outcomes.append(attempt())
            except Exception as error:
                outcomes.append(type(error))

    try_all()
    thread = threading.Thread(target=try_all)
    with two.b.tracker.activate(theirs.run_id):
        thread.start()
        thread.join()
        try_all()
    assert outcomes == [ModelNotFound] * 15
    assert name not in {version.name for version in two.a.registry.list_versions()}
    assert not list(tmp_path.rglob("MLmodel"))


def test_equal_names_in_two_projects_are_two_models(two: Two, name: str) -> None:
    mine, theirs = two.a.register(name), two.b.register(name)
    assert (mine.version, theirs.version) == (1, 1)
    two.a.registry.set_alias(name, "champion", 1)
    assert two.b.registry.get_version(name, 1).aliases == ()


def test_a_model_cannot_be_logged_into_another_projects_run(two: Two, name: str) -> None:
    theirs = two.b.run()
    with pytest.raises(RunNotFound):
        two.a.registry.log_model(theirs, MODEL, name, flavor="sklearn")
    for registry in (two.a.registry, two.b.registry):
        with pytest.raises(ModelNotFound):
            registry.list_versions(name)


def test_two_projects_registering_in_two_threads_stay_apart(two: Two, name: str) -> None:
    meet = threading.Barrier(2, timeout=60)
    failed: list[BaseException] = []

    def work(side: Side) -> None:
        try:
            run_id = side.run()
            with side.tracker.activate(run_id):
                for _ in range(2):
                    meet.wait()
                    side.register(name, run_id)
        except BaseException as error:
            failed.append(error)
            meet.abort()

    threads = [threading.Thread(target=work, args=(side,)) for side in (two.a, two.b)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    for side, project in ((two.a, "contract-a"), (two.b, "contract-b")):
        versions = side.registry.list_versions(name)
        assert [version.version for version in versions] == [2, 1]
        assert {version.project for version in versions} == {project}
        assert {side.tracker.get_run(version.run_id).project for version in versions} == {project}
