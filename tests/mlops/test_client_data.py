"""A client and its data: what runs record of it, exact versions, and no way to another project's."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from mlops.client import MLOpsClient
from mlops.entities import DataVersion
from mlops.errors import (
    DataChecksFailed,
    DataMissing,
    DataNotFound,
    InvalidInput,
    MLOpsError,
    RevisionNotFound,
    ServiceUnavailable,
)
from tests.data_projects import files, git, installation_in, join, repository, write

DECLARED = '[data]\npaths = ["data/raw"]\n'


@pytest.fixture
def client(tmp_path: Path) -> MLOpsClient:
    """A project in a git repository, whose data/raw is committed as v1 and changed since."""
    made = join(installation_in(tmp_path / "home"), repository(tmp_path / "git") / "alpha", DECLARED)
    write(made, "data/raw/one.csv", "1")
    made.dvc_add("data/raw")
    git(made.project.root, "add", "-A", ".")
    git(made.project.root, "commit", "-qm", "one")
    git(made.project.root, "tag", "v1")
    write(made, "data/raw/two.csv", "22")
    return made


def recorded(client: MLOpsClient, run_id: str) -> list[tuple[str, str]]:
    return [(data.path, data.hash) for data in client.get_run(run_id).data]


# -- what a run records -------------------------------------------------------------------------


def test_a_run_names_the_declared_data_by_itself(client: MLOpsClient) -> None:
    version = client.dvc_add("data/raw")
    with client.start_run() as run:
        pass
    (data,) = client.get_run(run.id).data
    assert data == replace(version, declared=True)
    assert (data.files, data.size_bytes, data.git_dirty) == (2, 3, True)
    tags = client.get_run(run.id).tags
    assert tags["data.hash"] == version.hash
    assert tags["data.git_revision"] == git(client.project.root, "rev-parse", "HEAD")
    assert "data.modified" not in tags


def test_a_run_tells_that_the_tree_is_not_what_is_recorded(
    client: MLOpsClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), client.start_run() as run:
        pass
    assert client.get_run(run.id).tags["data.modified"] == "true"
    assert "data/raw is not what its recorded version says" in caplog.text


def test_a_run_starts_whatever_is_wrong_with_its_data(
    client: MLOpsClient, caplog: pytest.LogCaptureFixture
) -> None:
    (client.project.root / "data/raw.dvc").write_text("outs: 3")
    with caplog.at_level(logging.WARNING), client.start_run() as run:
        pass
    assert client.get_run(run.id).data == ()
    assert "does not wholly know its data data/raw" in caplog.text


def test_use_data_gives_exactly_that_version_and_records_it(client: MLOpsClient) -> None:
    before = files(client.project.root / "data/raw")
    with client.start_run() as run:
        place = client.use_data("data/raw", rev="v1")
    assert files(place) == {"one.csv": b"1"}
    assert files(client.project.root / "data/raw") == before
    first = client.data_version("data/raw", "v1")
    assert first.git_revision == git(client.project.root, "rev-parse", "v1")
    assert ("data/raw", first.hash) in recorded(client, run.id)


def test_every_verb_takes_a_path_as_text_or_as_a_path(client: MLOpsClient) -> None:
    path = Path("data/raw")
    version = client.dvc_add(path)
    assert client.data_version(path) == version
    assert client.dvc_push(path).objects == 3
    assert client.dvc_pull(path).objects == 0
    assert [each.path for each in client.dvc_status(path)] == ["data/raw"]
    assert client.dvc_checkout(path=path) == [version]
    assert files(client.use_data(path)) == files(client.project.root / path)


def test_a_version_is_pulled_when_it_is_absent(client: MLOpsClient, tmp_path: Path) -> None:
    import shutil

    client.dvc_push()
    shutil.rmtree(client.project.root / ".dvc/cache")
    assert files(client.use_data("data/raw", rev="v1")) == {"one.csv": b"1"}


def test_what_is_used_before_any_run_is_named_by_each_that_follows(client: MLOpsClient) -> None:
    client.use_data("data/raw", rev="v1")
    wanted = [("data/raw", client.data_version("data/raw", "v1").hash)]
    client.dvc_add("data/raw")
    for _ in range(2):
        with client.start_run() as run:
            pass
        assert recorded(client, run.id) == wanted


def test_a_hash_that_was_never_committed_is_a_version_too(client: MLOpsClient) -> None:
    second = client.dvc_add("data/raw")
    write(client, "data/raw/three.csv", "333")
    client.dvc_add("data/raw")
    assert files(client.use_data("data/raw", rev=second.hash)) == {"one.csv": b"1", "two.csv": b"22"}


@pytest.mark.parametrize(
    ("path", "rev", "error"),
    [
        ("data/none", None, DataNotFound),
        ("data/raw", "v9", RevisionNotFound),
        ("data/none", "v1", RevisionNotFound),
        ("data/raw", "--all", InvalidInput),
        ("data/raw", "v1..HEAD", InvalidInput),
        ("data/raw", "0" * 32 + ".dir", DataMissing),
        ("../alpha/data/raw", None, InvalidInput),
        ("-x", None, InvalidInput),
    ],
)
def test_what_is_no_version_is_told(
    client: MLOpsClient, path: str, rev: str | None, error: type[MLOpsError]
) -> None:
    with client.start_run() as run, pytest.raises(error):
        client.use_data(path, rev=rev)
    assert recorded(client, run.id) == [("data/raw", client.data_version("data/raw").hash)]


# -- adding -------------------------------------------------------------------------------------


@pytest.fixture
def checked(tmp_path: Path) -> MLOpsClient:
    """A project that wants less than three files, without git."""
    toml = DECLARED + '[data.checks]\n"data/raw" = "client_data_checks:few"\n'
    made = join(installation_in(tmp_path / "home"), tmp_path / "beta", toml)
    write(
        made,
        "client_data_checks.py",
        "from mlops import DataCheck\n"
        "def few(path):\n"
        "    return DataCheck('few files', len(list(path.iterdir())) < 3)\n",
    )
    write(made, "data/raw/one.csv")
    return made


def test_faulty_data_stays_out_and_what_is_there_stays(checked: MLOpsClient) -> None:
    good = checked.dvc_add("data/raw")
    assert [(each.name, each.passed) for each in good.checks] == [("few files", True)]
    for name in "abc":
        write(checked, f"data/raw/{name}", name)
    with pytest.raises(DataChecksFailed, match="few files"):
        checked.dvc_add("data/raw")
    with pytest.raises(DataChecksFailed):
        checked.dvc_add("data/raw", archive=True)
    assert checked.data_version("data/raw") == good
    assert not (checked.project.root / "data/raw.tar").exists()


def test_faulty_data_that_is_added_all_the_same_says_so(checked: MLOpsClient) -> None:
    for name in "abc":
        write(checked, f"data/raw/{name}", name)
    version = checked.dvc_add("data/raw", allow_failed_checks=True)
    assert [(each.name, each.passed) for each in version.checks] == [("few files", False)]
    assert checked.data_version("data/raw") == version


def test_an_archive_is_added_in_place_of_its_folder(checked: MLOpsClient) -> None:
    version = checked.dvc_add("data/raw", archive=True)
    assert (version.path, version.files) == ("data/raw.tar", 1)
    assert [each.name for each in version.checks] == ["few files"]


def test_the_dashboard_is_told_and_need_not_answer(checked: MLOpsClient) -> None:
    told: list[DataVersion] = []

    class Answering:
        add_data = staticmethod(told.append)

    class Away:
        @staticmethod
        def add_data(version: DataVersion) -> None:
            raise ServiceUnavailable("gateway", "refused")

    checked._workspace.__dict__["gateway"] = Answering()
    version = checked.dvc_add("data/raw")
    assert told == [version]
    checked._workspace.__dict__["gateway"] = Away()
    assert checked.dvc_add("data/raw") == version


# -- another project ----------------------------------------------------------------------------


@pytest.fixture
def both(tmp_path: Path) -> tuple[MLOpsClient, MLOpsClient]:
    """Two projects of one git repository and one platform; b's data is committed, tagged and pushed."""
    installation = installation_in(tmp_path / "home")
    root = repository(tmp_path / "git")
    a, b = join(installation, root / "alpha"), join(installation, root / "beta")
    write(b, "data/raw/secret.csv", "of b")
    b.dvc_add("data/raw")
    b.dvc_push()
    git(root, "add", "-A", ".")
    git(root, "commit", "-qm", "b's data")
    git(root, "tag", "of-b")
    return a, b


def paths_of(b: MLOpsClient) -> list[str]:
    root = b.project.root
    remote = b.workspace.dvc_remote_path
    return [
        "../beta/data/raw",
        "data/../../beta/data/raw",
        str(root / "data/raw"),
        "link/data/raw",
        remote,
        f"file://{remote}",
        "remote://mlops/data/raw",
        "remote://beta/data/raw",
        "s3://bucket/beta/data/raw",
    ]


def test_no_verb_of_a_reaches_what_is_bs(both: tuple[MLOpsClient, MLOpsClient]) -> None:
    a, b = both
    (a.project.root / "link").symlink_to(b.project.root)
    secret = b.data_version("data/raw")
    before = files(b.project.root / "data"), files(Path(secret.remote))
    revisions = ["of-b", "of-b:../beta", "HEAD:beta", secret.hash]
    for path in paths_of(b):
        for verb in (a.dvc_add, a.dvc_push, a.dvc_pull, a.dvc_status, a.data_version, a.use_data):
            with pytest.raises(InvalidInput):
                verb(path)
        for rev in (None, *revisions):
            for verb in (a.use_data, a.data_version):
                with pytest.raises(MLOpsError):
                    verb(path, rev)
            with pytest.raises(MLOpsError):
                a.dvc_pull(path, rev=rev)
            with pytest.raises(MLOpsError):
                a.dvc_checkout(rev, path)
    for rev in revisions:
        with pytest.raises(MLOpsError):
            a.use_data("data/raw", rev)
        with pytest.raises(MLOpsError):
            a.dvc_pull("data/raw", rev=rev, force=True)
    assert (files(b.project.root / "data"), files(Path(secret.remote))) == before
    assert not (a.project.root / "data").exists()


def remote_of(b: MLOpsClient) -> str:
    return b.workspace.dvc_remote_path


def test_as_own_files_do_not_lead_to_bs_data(both: tuple[MLOpsClient, MLOpsClient]) -> None:
    """By a .dvc file with b's hash, naming b's remote, or b's folder; by a remote redefined."""
    a, b = both
    secret = b.data_version("data/raw")
    out = f"outs:\n- md5: {secret.hash}\n  hash: md5\n  path: "
    shared = a.project.root / ".dvc/config"
    config = shared.read_text()
    for text, settings in (
        (f"{out}stolen\n", ""),
        (f"{out}stolen\n  remote: other\n", f"['remote \"other\"']\n    url = {remote_of(b)}\n"),
        (f"{out}stolen\n", f"['remote \"mlops\"']\n    url = {remote_of(b)}\n"),
        (f"{out}../beta/data/raw\n", ""),
        (f"deps:\n- path: {b.project.root / 'data/raw'}\nfrozen: true\n{out}stolen\n", ""),
        (f"deps:\n- path: data/raw\n  repo:\n    url: {b.project.root}\nfrozen: true\n{out}stolen\n", ""),
    ):
        (a.project.root / "stolen.dvc").write_text(text)
        shared.write_text(config + settings)
        (a.project.root / ".dvc/config.local").write_text(settings)
        for verb in (a.dvc_pull, lambda: a.use_data("stolen"), lambda: a.dvc_pull(force=True)):
            with pytest.raises(MLOpsError):
                verb()
        assert not (a.project.root / "stolen").exists()
        assert not any(b"of b" in each for each in files(a.project.root).values())


def test_a_cannot_write_into_bs_remote(both: tuple[MLOpsClient, MLOpsClient]) -> None:
    a, b = both
    before = files(Path(remote_of(b)))
    (a.project.root / ".dvc/config.local").write_text(f"['remote \"mlops\"']\n    url = {remote_of(b)}\n")
    write(a, "own.csv", "of a")
    a.dvc_add("own.csv")
    assert a.dvc_push().objects == 1
    assert files(Path(remote_of(b))) == before
    assert len(files(Path(a.workspace.dvc_remote_path))) == 1


# -- size ---------------------------------------------------------------------------------------


def test_very_many_files_are_told_with_what_would_be_quick(
    checked: MLOpsClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mlops.data.dvc.store.MANY_FILES", 1)
    with caplog.at_level(logging.WARNING):
        checked.dvc_add("data/raw")
    assert caplog.text == ""
    write(checked, "data/raw/two.csv")
    with caplog.at_level(logging.WARNING):
        checked.dvc_add("data/raw")
    assert "data/raw has 2 files" in caplog.text
    assert "mlops:dvc-add data/raw --archive" in caplog.text
