"""Artifacts of runs on a real MLflow, listed and read as the project's own account."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.entities import RUN_KEY, DataVersion, ProjectWorkspace, RunStatus
from mlops.errors import ArtifactNotFound, InvalidInput, RunNotFound, ServiceUnavailable
from mlops.store.indexed_runs import IndexedRun
from mlops.tracking.curves import Axis
from mlops.tracking.output import Output
from mlops.tracking.rest import Rest
from mlops.tracking.run_files import RunFiles
from mlops.tracking.run_lineage import MadeVersion, RunLineages
from mlops.tracking.run_log import RunLogs
from mlops.tracking.sampled_curves import SampledCurves
from tests.servers import Account

PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


@pytest.fixture
def accounts(mlflow_accounts: tuple[Account, Account]) -> tuple[Account, Account]:
    return mlflow_accounts


@pytest.fixture
def files(accounts: tuple[Account, Account]) -> RunFiles:
    by_name = {each.namespace: each for each in accounts}

    def rest(workspace: ProjectWorkspace) -> Rest:
        account = by_name[workspace.namespace]
        return Rest(lambda: account.url, account.namespace, account.username, account.password)

    return RunFiles(rest)


def workspace_of(account: Account) -> ProjectWorkspace:
    return ProjectWorkspace.of(account.project, account.namespace, account.experiment_id, "", Path("/"))


@pytest.fixture
def indexed() -> Callable[..., IndexedRun]:
    """A run as the index has it."""

    def make(project: str, id: str, key: str = "", over: bool = True) -> IndexedRun:
        status = RunStatus.FINISHED if over else RunStatus.RUNNING
        tags = {RUN_KEY: key} if key else {}
        return IndexedRun(id, project, "run", "all", status, datetime.now(UTC), tags=tags)

    return make


@pytest.fixture
def run(accounts: tuple[Account, Account], tmp_path: Path) -> str:
    """A run of the first project with artifacts; gives its id."""
    account = accounts[0]
    rest = Rest(lambda: account.url, account.namespace, account.username, account.password)
    body = {"experiment_id": account.experiment_id, "run_name": "files", "start_time": 1, "tags": []}
    made = rest.call("POST", "/runs/create", body)["run"]["info"]
    root = re.sub(r"^mlflow-artifacts:/+", "", made["artifact_uri"])
    for path, content in {
        "plots/loss é.png": PIXEL, "plots/deep/roc.SVG": b"<svg/>", "output.log": b"hello\n" * 50_000,
        "output-20260101T000000Z-1.log": b"again\n", "page.html": b"<script>alert(1)</script>", "empty": b"",
    }.items():  # fmt: skip
        file = tmp_path / path.replace("/", "_")
        file.write_bytes(content)
        rest.upload(file, f"{root}/{path}")
    return str(made["run_id"])


def test_folders_are_listed_and_files_read(
    files: RunFiles, accounts: tuple[Account, Account], run: str
) -> None:
    alpha = workspace_of(accounts[0])
    told = [(each.path, each.is_folder, each.size_bytes) for each in files.inside(alpha, run)]
    assert told == [
        ("plots", True, None), ("empty", False, 0), ("output-20260101T000000Z-1.log", False, 6),
        ("output.log", False, 300_000), ("page.html", False, 25),
    ]  # fmt: skip
    assert [each.name for each in files.inside(alpha, run, "plots")] == ["deep", "loss é.png"]
    assert [each.path for each in files.figures(alpha, run)] == ["plots/deep/roc.SVG", "plots/loss é.png"]
    found = files.read(alpha, run, "plots/loss é.png")
    assert b"".join(found.pieces) == PIXEL
    assert b"".join(files.read(alpha, run, "empty").pieces) == b""
    with pytest.raises(InvalidInput, match="300000 bytes, more than 1000"):
        files.read(alpha, run, "output.log", 1000)


def test_an_mlflow_elsewhere_gives_samples(
    files: RunFiles, accounts: tuple[Account, Account], run: str
) -> None:
    alpha, beta = map(workspace_of, accounts)
    metrics = [
        {"key": "loss", "value": step / 10, "timestamp": 1000 + step, "step": step} for step in range(50)
    ]
    files.rest_of(alpha).call("POST", "/runs/log-batch", {"run_id": run, "metrics": metrics})
    curves = SampledCurves(files.rest_of)
    found = curves.series(alpha, run, ["loss", "none"], begin=10, end=19)
    assert set(found) == {"loss"}
    assert found["loss"]["steps"] == list(range(10, 20))
    assert found["loss"]["values"][0] == 1.0
    by_time = curves.series(alpha, run, ["loss"], axis=Axis.TIME, begin=1045)["loss"]
    assert by_time["times"] == [1045, 1046, 1047, 1048, 1049]
    for workspace, id in ((beta, run), (alpha, "0" * 32)):
        with pytest.raises(RunNotFound):
            curves.series(workspace, id, ["loss"])


def test_what_is_not_there_or_not_the_projects_is_not_found(
    files: RunFiles, accounts: tuple[Account, Account], run: str
) -> None:
    alpha, beta = map(workspace_of, accounts)
    for workspace, id, path in ((alpha, run, "none.png"), (beta, run, "output.log"), (alpha, "0" * 32, "x")):
        with pytest.raises(ArtifactNotFound) as caught:
            files.read(workspace, id, path)
        assert caught.value.fields["path"] == path
    for workspace, id in ((beta, run), (alpha, "0" * 32)):
        with pytest.raises(ArtifactNotFound):
            files.inside(workspace, id)
        with pytest.raises(ArtifactNotFound):
            files.figures(workspace, id)
    assert files.inside(alpha, run, "none") == []


@pytest.mark.parametrize("path", ["../x", "a/../b", "/etc/passwd", "a//b", "a\0b", "a\\b", ".", "x" * 1001])
def test_a_path_that_leads_elsewhere_is_refused(
    files: RunFiles, accounts: tuple[Account, Account], path: str
) -> None:
    for verb in (files.read, files.inside):
        with pytest.raises(InvalidInput) as caught:
            verb(workspace_of(accounts[0]), "0" * 32, path)
        assert caught.value.field == "path"


def test_a_dead_server_is_named() -> None:
    files = RunFiles(lambda _: Rest(lambda: "http://127.0.0.1:1", "alpha", "alpha", "x"))
    alpha = ProjectWorkspace.of("alpha", "alpha", "1", "", Path("/"))
    for ask in (lambda: files.inside(alpha, "0"), lambda: files.read(alpha, "0", "x")):
        with pytest.raises(ServiceUnavailable, match="mlflow"):
            ask()


def test_the_log_of_a_run_is_its_end(
    files: RunFiles, accounts: tuple[Account, Account], run: str, indexed
) -> None:
    alpha, logs = workspace_of(accounts[0]), RunLogs(files, None)
    newest = logs.read(alpha, indexed(accounts[0].project, run))
    assert (newest.name, newest.text, newest.cut) == ("output-20260101T000000Z-1.log", "again\n", 0)
    assert newest.names == ("output.log", "output-20260101T000000Z-1.log")
    first = logs.read(alpha, indexed(accounts[0].project, run), "output.log")
    assert len(first.text) == 200_000
    assert first.cut == 100_000
    with pytest.raises(ArtifactNotFound):
        logs.read(alpha, indexed(accounts[0].project, run), "page.html")
    assert RunLogs(None, None).read(alpha, indexed(accounts[0].project, run)).name == ""


def test_a_running_run_is_read_from_its_journal(tmp_path: Path, indexed) -> None:
    key = f"r-{'a' * 32}"
    alpha = ProjectWorkspace.of("alpha", "alpha", "1", "", Path("/"))
    output = Output(tmp_path / "alpha" / key / "output")
    output.write("epoch 1\nepoch 2", "stdout")
    found = RunLogs(None, tmp_path).read(alpha, indexed("alpha", "0" * 32, key=key, over=False))
    assert (found.text, found.is_live, found.name) == ("epoch 1\nepoch 2", True, "output.log")
    for odd in ("../../x", "r-1"):
        run = indexed("alpha", "0" * 32, key=odd, over=False)
        assert RunLogs(None, tmp_path).read(alpha, run).text == ""
    output.close()


def test_a_lineage_without_mlflows_database_is_the_indexs(store, indexed, add_project, add_version) -> None:
    add_project("alpha")
    version = DataVersion("alpha", "data/raw", "h" * 32, 12, 3, "f00", False, "/remote", declared=True)
    run = replace(indexed("alpha", "0" * 32), data=(version,))
    store.run_index.put([run])
    add_version("alpha", "depth", 3, run_id=run.id, aliases=("champion",))
    add_version("alpha", "depth", 4)
    found = RunLineages(store, None).of(ProjectWorkspace.of("alpha", "alpha", "1", "", Path("/")), run)
    assert (found.data, found.remark) == ((version,), "")
    assert found.versions == (MadeVersion("depth", 3, ("champion",)),)
