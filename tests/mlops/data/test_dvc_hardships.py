"""What loses data or reaches out of a project if it is done carelessly: each case was seen once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops.client import MLOpsClient
from mlops.data.dvc.store import DvcStore
from mlops.data.survey import open_for_writing
from mlops.errors import DataChanging, DataError, DataMissing, DataModified, InvalidInput, RevisionNotFound
from tests.data_projects import files, git, installation_in, join, repository, write

LOOK = """
import sys
from mlops.data.dvc.store import DvcStore
from pathlib import Path

store = DvcStore(project="alpha", root=Path(sys.argv[1]), remote=sys.argv[2])
place, _ = store.view("raw")
print(len(list(place.iterdir())))
"""
PROBE = """
import sys
from pathlib import Path
from mlops.data.survey import open_for_writing

while not Path(sys.argv[2]).exists():
    open_for_writing(Path(sys.argv[1]))
"""


@pytest.fixture
def alpha(tmp_path: Path) -> MLOpsClient:
    return join(installation_in(tmp_path / "home"), repository(tmp_path / "git") / "alpha")


def commit(client: MLOpsClient, tag: str) -> None:
    git(client.project.root, "add", "-A", ".")
    git(client.project.root, "commit", "-qm", tag)
    git(client.project.root, "tag", tag)


def cache_place(client: MLOpsClient, digest: str) -> Path:
    return client.project.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def edited_in_place(place: Path) -> None:
    """As whoever may write anywhere, or a program that maps it, can do to a hard link."""
    place.chmod(0o644)
    place.write_text("edited in place")
    place.chmod(0o444)


# -- processes at once --------------------------------------------------------------------------


def test_processes_that_use_one_version_at_once_all_see_the_whole(alpha: MLOpsClient) -> None:
    for number in range(400):
        write(alpha, f"raw/{number}", str(number))
    alpha.dvc_add("raw")
    words = [sys.executable, "-c", LOOK, str(alpha.project.root), alpha.workspace.dvc_remote_path]
    others = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [other.communicate()[0].strip() for other in others] == ["400"] * 4
    assert not list((alpha.project.root / ".dvc/tmp/versions").glob(".*"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has leases")
def test_a_writer_that_comes_while_it_is_looked_for_ends_nobody(tmp_path: Path) -> None:
    file, stop = tmp_path / "f", tmp_path / "stop"
    file.write_text("x")
    prober = subprocess.Popen([sys.executable, "-c", PROBE, str(file), str(stop)])
    until = time.monotonic() + 2
    while time.monotonic() < until and prober.poll() is None:
        with file.open("a"):
            pass
    stop.touch()
    assert prober.wait(30) == 0
    assert not open_for_writing(file)


# -- what is written over -----------------------------------------------------------------------


def test_a_good_working_copy_of_a_damaged_object_is_not_overwritten(alpha: MLOpsClient) -> None:
    write(alpha, "f.csv", "one")
    alpha.dvc_add("f.csv")
    commit(alpha, "v1")
    two = write(alpha, "f.csv", "two")
    digest = alpha.dvc_add("f.csv").hash
    commit(alpha, "v2")
    edited_in_place(cache_place(alpha, digest))
    with pytest.raises(DataModified) as caught:
        alpha.dvc_checkout("v1")
    assert caught.value.fields["files"] == ["f.csv"]
    assert two.read_text() == "two"


def test_a_damaged_object_is_not_checked_out(alpha: MLOpsClient) -> None:
    file = write(alpha, "raw/f.csv", "one")
    alpha.dvc_add("raw")
    edited_in_place(cache_place(alpha, hashlib.md5(b"one").hexdigest()))
    file.unlink()
    with pytest.raises(DataMissing, match=r"raw/f\.csv") as caught:
        alpha.dvc_checkout()
    assert "mlops:dvc-pull" in caught.value.remedy
    assert not file.exists()


def test_ignored_files_of_a_folder_that_becomes_a_file_are_not_lost(alpha: MLOpsClient) -> None:
    root = alpha.project.root
    (root / ".dvcignore").write_text("*.notes\n")
    write(alpha, "raw", "a file")
    alpha.dvc_add("raw")
    commit(alpha, "v1")
    (root / "raw").unlink()
    write(alpha, "raw/f.csv", "a folder")
    alpha.dvc_add("raw")
    commit(alpha, "v2")
    mine = write(alpha, "raw/my.notes", "mine")
    with pytest.raises(DataModified, match=r"raw/my\.notes"):
        alpha.dvc_checkout("v1")
    assert mine.read_text() == "mine"
    mine.unlink()
    alpha.dvc_checkout("v1")
    assert (root / "raw").read_text() == "a file"


def test_what_is_recorded_otherwise_now_is_not_recorded_wrongly(alpha: MLOpsClient) -> None:
    """data/raw and data/lab at v1, data as a whole at v2."""
    root = alpha.project.root
    for name in ("raw", "lab"):
        write(alpha, f"data/{name}/f", name)
        alpha.dvc_add(f"data/{name}")
    commit(alpha, "v1")
    for name in ("raw", "lab"):
        (root / f"data/{name}.dvc").unlink()
    (root / "data/.gitignore").unlink()
    git(root, "add", "-A", ".")
    git(root, "rm", "-rq", "--cached", "data")
    git(root, "commit", "-qm", "apart")
    alpha.dvc_add("data")
    commit(alpha, "v2")
    before = (root / "data.dvc").read_text()
    with pytest.raises(InvalidInput, match="recorded with data as a whole"):
        alpha.dvc_checkout("v1")
    assert (root / "data.dvc").read_text() == before
    assert not (root / "data/raw.dvc").exists()
    assert alpha.dvc_status()[0].state == "unchanged"


# -- out of the project -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../../beta/new.txt", "/tmp/new.txt", "a/../../new.txt", ".git/hooks/x", ""]
)
def test_a_listing_that_leads_out_of_its_folder_is_refused(
    alpha: MLOpsClient, tmp_path: Path, name: str
) -> None:
    write(alpha, "f.csv", "evil")
    digest = alpha.dvc_add("f.csv").hash
    listing = json.dumps([{"md5": digest, "relpath": name}])
    evil = hashlib.md5(listing.encode()).hexdigest() + ".dir"
    place = cache_place(alpha, evil)
    place.parent.mkdir(exist_ok=True)
    place.write_text(listing)
    (alpha.project.root / "raw.dvc").write_text(
        f"outs:\n- md5: {evil}\n  size: 4\n  nfiles: 1\n  hash: md5\n  path: raw\n"
    )
    before = files(tmp_path / "git")
    for verb in (alpha.dvc_checkout, alpha.dvc_pull, alpha.dvc_push, lambda: alpha.use_data("raw")):
        with pytest.raises(DataError, match="no file of it"):
            verb()
    after = files(tmp_path / "git")
    assert {key for key in after.keys() - before.keys() if "/.dvc/tmp/" not in key} == set()
    assert not Path("/tmp/new.txt").exists()


def test_a_data_root_by_a_link_is_none(alpha: MLOpsClient, tmp_path: Path) -> None:
    beta = join(installation_in(tmp_path / "home"), tmp_path / "git/beta")
    write(beta, "secret", "of beta")
    beta.dvc_add("secret")
    shutil.rmtree(alpha.project.root / ".dvc")
    (alpha.project.root / ".dvc").symlink_to(beta.project.root / ".dvc")
    with pytest.raises(DataError, match="no data root"):
        alpha.dvc_status()


def test_a_cache_that_git_tells_of_is_refused(alpha: MLOpsClient, tmp_path: Path) -> None:
    config = alpha.project.root / ".dvc/config"
    config.write_text(config.read_text().replace("[cache]", f"[cache]\n    dir = {tmp_path / 'elsewhere'}"))
    with pytest.raises(InvalidInput, match=r"cache\.dir") as caught:
        alpha.dvc_status()
    assert "--local" in caught.value.remedy


def test_a_hash_is_of_no_path_that_was_never_added(alpha: MLOpsClient) -> None:
    write(alpha, "f.csv")
    digest = alpha.dvc_add("f.csv").hash
    for verb in (
        lambda: alpha.use_data("other.csv", digest),
        lambda: alpha.dvc_pull("other.csv", rev=digest),
        lambda: alpha.data_version("other.csv", digest),
    ):
        with pytest.raises(RevisionNotFound):
            verb()
    assert not (alpha.project.root / "other.csv.dvc").exists()


# -- keys, options, git -------------------------------------------------------------------------


def test_a_project_that_becomes_a_repository_later_keeps_its_keys_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "alone"
    remote = str(tmp_path / "remote")
    store = DvcStore(project="alone", root=root, remote=remote)
    store.prepare()
    (root / "f.csv").write_text("1")
    store.add("f.csv")
    repository(root)
    git(root, "add", "-A")
    tracked = git(root, "ls-files").splitlines()
    assert ".dvc/config" in tracked
    assert not [name for name in tracked if name.startswith((".dvc/config.local", ".dvc/cache", ".dvc/tmp"))]
    git(root, "commit", "-qm", "all")
    store.prepare()  # as registering again does
    assert store.version("f.csv", "HEAD").git_revision == git(root, "rev-parse", "HEAD")


def test_options_reach_a_remote_at_registration_alone(tmp_path: Path) -> None:
    """A project of a folder's remote goes on when the environment has options for S3."""
    made = DvcStore(project="p", root=tmp_path / "p", remote=str(tmp_path / "remote"))
    made.prepare()
    (tmp_path / "p/f.csv").write_text("1")
    later = DvcStore(
        project="p",
        root=tmp_path / "p",
        remote=str(tmp_path / "remote"),
        remote_options={"endpointurl": "http://nowhere.invalid", "url": str(tmp_path / "other")},
    )
    later.add("f.csv")
    assert later.push().objects == 1
    assert not (tmp_path / "other").exists()


def test_a_record_that_git_does_not_track_is_not_clean(alpha: MLOpsClient) -> None:
    write(alpha, "f.csv")
    alpha.dvc_add("f.csv")
    commit(alpha, "v1")
    assert not alpha.data_version("f.csv").git_dirty
    git(alpha.project.root, "rm", "-q", "--cached", "f.csv.dvc")
    git(alpha.project.root, "commit", "-qm", "untracked")
    assert alpha.data_version("f.csv").git_dirty


def test_what_changes_meanwhile_is_not_ignored_by_git(alpha: MLOpsClient) -> None:
    file = write(alpha, "data/f.csv", "1")

    def check() -> list[object]:
        file.write_text("22")
        os.utime(file, (1, 1))
        return []

    with pytest.raises(DataChanging, match="changed meanwhile"):
        alpha._workspace.data.add("data/f.csv", check)  # type: ignore[arg-type]
    assert (
        git(alpha.project.root, "status", "--porcelain", "--untracked-files=all", "data")
        == "?? alpha/data/f.csv"
    )
