"""What is DVC's own: git's revisions and index, locks, configuration, pipelines, what .dvc files may say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from mlops.data.dvc.store import DvcStore
from mlops.entities import DataCheck, DataState, DataVersion
from mlops.errors import (
    DataChanging,
    DataError,
    DataMissing,
    DataModified,
    DataNotFound,
    InvalidInput,
    MLOpsError,
    RevisionNotFound,
)

HOLD_THE_LOCK = """
import sys, time
from dvc.repo import Repo
with Repo(sys.argv[1]).lock:
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
PIPELINE = """
stages:
  prepare:
    cmd: mkdir -p out && cp f.csv out/o.csv
    deps: [f.csv]
    outs: [out]
"""
SECRET = "hush-of-the-test"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "f.csv").write_text("1")
    return folder


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def reproduce(root: Path) -> None:
    with chdir(root), Repo() as repo:
        repo.reproduce()


def commit(root: Path, message: str = "data") -> str:
    git(root, "add", "-A", "--", ".", ":(exclude)*.csv")
    git(root, "commit", "-q", "-m", message)
    return git(root, "rev-parse", "HEAD")


def write(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # it may be a link to the cache
    file.write_text(text)
    return file


def store(root: Path, **more: Any) -> DvcStore:
    made = DvcStore(project="a", root=root, remote=str(root.parent / "remote"), **more)
    made.prepare()
    return made


def configure(root: Path, name: str, more: str) -> None:
    with (root / ".dvc" / name).open("a") as file:
        file.write(more)


def drop_cache(root: Path) -> None:
    shutil.rmtree(root / ".dvc/cache/files")


# -- git ----------------------------------------------------------------------------------------


def test_the_version_names_gits_revision_and_whether_it_is_dirty(root: Path) -> None:
    data = store(root)
    version = data.add("f.csv")
    assert version.git_revision == git(root, "rev-parse", "HEAD")
    commit(root)
    assert not data.version("f.csv").git_dirty
    (root / "f.csv.dvc").write_text((root / "f.csv.dvc").read_text() + "\n")
    assert data.version("f.csv").git_dirty


def test_a_repository_without_a_commit_has_no_revision(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/f.csv").write_text("1")
    data = store(tmp_path / "p")
    version = data.add("f.csv")
    assert (version.git_revision, version.git_dirty) == (None, False)
    with pytest.raises(RevisionNotFound):
        data.version("f.csv", "HEAD")


def test_what_is_added_is_staged_and_the_data_is_ignored(root: Path) -> None:
    data = store(root)
    assert staged(root) == {".dvc/.gitignore", ".dvc/config", ".dvcignore"}
    commit(root, "prepared")
    data.add("f.csv")
    assert staged(root) == {"f.csv.dvc", ".gitignore"}
    assert git(root, "check-ignore", "f.csv") == "f.csv"


def staged(root: Path) -> set[str]:
    lines = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "."],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert all(line[:2] in ("A ", "M ") for line in lines)
    return {line[3:].removeprefix(f"{root.name}/") for line in lines}


def test_nothing_is_staged_or_ignored_of_what_was_refused(root: Path) -> None:
    data = store(root)
    commit(root)

    def check() -> list[DataCheck]:
        write(root, "f.csv", "other")
        return []

    with pytest.raises(DataChanging):
        data.add("f.csv", check)
    assert staged(root) == set()
    assert not (root / "f.csv.dvc").exists()
    assert git(root, "status", "--porcelain", "--ignored", "--", "f.csv") == "?? project/f.csv"
    assert "f.csv" not in ((root / ".gitignore").read_text() if (root / ".gitignore").exists() else "")


def test_data_that_git_tracks_already_is_refused_with_the_way_out(root: Path) -> None:
    data = store(root)
    git(root, "add", "f.csv")
    with pytest.raises(DataError, match="tracked by SCM") as caught:
        data.add("f.csv")
    assert "git rm -r --cached" in caught.value.remedy
    assert not (root / "f.csv.dvc").exists()


# -- git's revisions ----------------------------------------------------------------------------


@pytest.fixture
def history(root: Path) -> tuple[DvcStore, dict[str, str]]:
    """`f.csv` is "1" at the tag v1, and "22" at v2 and now; the commits by tag."""
    data = store(root)
    data.add("f.csv", lambda: [DataCheck("first", passed=True)])
    first = commit(root)
    git(root, "tag", "v1")
    write(root, "f.csv", "22")
    data.add("f.csv")
    second = commit(root)
    git(root, "tag", "-a", "v2", "-m", "annotated")
    git(root, "branch", "early", "v1")
    return data, {"v1": first, "v2": second}


def test_tags_branches_and_commits_name_versions(
    root: Path, history: tuple[DvcStore, dict[str, str]]
) -> None:
    data, commits = history
    revs = {
        "v1": ("v1", "early", commits["v1"], commits["v1"][:8], "refs/heads/early", "refs/tags/v1"),
        "v2": ("v2", "main", "HEAD", commits["v2"], commits["v2"][:7]),
    }
    for tag, names in revs.items():
        for name in names:
            version = data.version("f.csv", name)
            assert version.size_bytes == {"v1": 1, "v2": 2}[tag]
            assert (version.git_revision, version.git_dirty) == (commits[tag], False)
            assert data.view("f.csv", name)[1] == version
    assert data.version("f.csv", "v1").checks == (DataCheck("first", passed=True),)
    assert data.version("f.csv", "v2").checks == ()
    assert (root / "f.csv").read_text() == "22"


def test_checkout_of_a_revision_restores_data_and_record_and_leaves_git(
    root: Path, history: tuple[DvcStore, dict[str, str]]
) -> None:
    data, commits = history
    write(root, "later.csv", "later")
    data.add("later.csv")
    write(root, "code.py", "edited")
    before = (root / "f.csv.dvc").read_text()

    (version,) = data.checkout("v1")
    assert (version.path, version.git_revision) == ("f.csv", commits["v1"])
    assert (root / "f.csv").read_text() == "1"
    assert (root / "f.csv.dvc").read_text() == git(root, "show", "v1:./f.csv.dvc") + "\n"
    assert data.version("f.csv").checks == (DataCheck("first", passed=True),)
    assert git(root, "rev-parse", "HEAD") == commits["v2"]
    assert git(root, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert "f.csv.dvc" in staged(root)
    assert ((root / "later.csv").read_text(), (root / "code.py").read_text()) == ("later", "edited")

    data.checkout("v2", "f.csv")
    assert (root / "f.csv").read_text() == "22"
    assert (root / "f.csv.dvc").read_text() == before


def test_pull_of_a_revision_fetches_what_only_that_revision_has(
    root: Path, history: tuple[DvcStore, dict[str, str]]
) -> None:
    data, _ = history
    data.push()
    data.checkout("v1")
    data.push()
    data.checkout("v2")
    drop_cache(root)
    (root / "f.csv").unlink()
    with pytest.raises(DataMissing):
        data.checkout("v1")
    moved = data.pull(rev="v1")
    assert (moved.objects, moved.size_bytes) == (1, 1)
    assert (root / "f.csv").read_text() == "1"
    assert data.version("f.csv").size_bytes == 1


def test_a_change_in_no_version_stops_the_checkout_of_a_revision(
    root: Path, history: tuple[DvcStore, dict[str, str]]
) -> None:
    data, _ = history
    write(root, "f.csv", "mine")
    before = (root / "f.csv.dvc").read_text()
    for arguments in (("v1",), ("early", "f.csv")):
        with pytest.raises(DataModified):
            data.checkout(*arguments)
    assert ((root / "f.csv").read_text(), (root / "f.csv.dvc").read_text()) == ("mine", before)
    data.checkout("v1", force=True)
    assert (root / "f.csv").read_text() == "1"


def test_a_revision_from_before_the_project_or_the_path_has_no_version(
    root: Path, history: tuple[DvcStore, dict[str, str]]
) -> None:
    data, _ = history
    write(root, "later.csv", "later")
    data.add("later.csv")
    start = git(root, "rev-list", "--max-parents=0", "HEAD")
    for path, rev in (("f.csv", start), ("later.csv", "v1")):
        for call in by_revision(data, path, rev):
            with pytest.raises(RevisionNotFound) as caught:
                call()
            assert caught.value.rev == rev
    for call in (lambda: data.pull(rev=start), lambda: data.checkout(start)):
        with pytest.raises(RevisionNotFound):
            call()
    assert (root / "f.csv").read_text() == "22"


@pytest.mark.parametrize("rev", ["nowhere", "v1.0", "deadbeef", "x.lock", "refs/heads/none", "0" * 40])
def test_an_unknown_revision_is_not_found(history: tuple[DvcStore, dict[str, str]], rev: str) -> None:
    data, _ = history
    for call in by_revision(data, "f.csv", rev):
        with pytest.raises(RevisionNotFound):
            call()


@pytest.mark.parametrize(
    "rev",
    ["--help", "-v1", "--exec=x", "a..b", "v1...v2", "HEAD:../b", "v1^{tree}", ":/data", "@{-1}", "v1 v2"],
)
def test_what_git_takes_for_an_option_a_range_or_a_file_is_refused(
    root: Path, history: tuple[DvcStore, dict[str, str]], rev: str
) -> None:
    data, _ = history
    for call in by_revision(data, "f.csv", rev):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == "rev"


def by_revision(data: DvcStore, path: str, rev: str) -> list[Callable[[], object]]:
    return [
        lambda: data.version(path, rev),
        lambda: data.view(path, rev),
        lambda: data.pull(path, rev),
        lambda: data.checkout(rev, path),
    ]


def test_a_revision_of_no_repository_is_not_found(tmp_path: Path) -> None:
    write(tmp_path, "p/f.csv", "1")
    data = store(tmp_path / "p")
    version = data.add("f.csv")
    assert version.git_revision is None
    for call in by_revision(data, "f.csv", "HEAD"):
        with pytest.raises(RevisionNotFound):
            call()


# -- pipelines ----------------------------------------------------------------------------------


@pytest.fixture
def pipeline(root: Path) -> DvcStore:
    """`out` is the output of a stage, committed and tagged p1 with `o.csv` "1", and now with "22"."""
    data = store(root)
    data.add("f.csv")
    (root / "dvc.yaml").write_text(PIPELINE)
    reproduce(root)
    commit(root)
    git(root, "tag", "p1")
    write(root, "f.csv", "22")
    data.add("f.csv")
    reproduce(root)
    commit(root)
    return data


def test_outputs_of_pipelines_have_versions_and_views(root: Path, pipeline: DvcStore) -> None:
    now, then = pipeline.version("out"), pipeline.version("out", "p1")
    assert (now.size_bytes, then.size_bytes, now.files, then.files) == (2, 1, 1, 1)
    assert now.hash != then.hash
    assert (pipeline.view("out")[0] / "o.csv").read_text() == "22"
    for rev in ("p1", then.hash):
        place, version = pipeline.view("out", rev)
        assert (place / "o.csv").read_text() == "1"
        assert (version.hash, version.size_bytes, version.files) == (then.hash, 1, 1)
    assert {each.path for each in pipeline.status()} == {"f.csv", "out"}


def test_outputs_of_pipelines_are_pushed_pulled_and_restored(root: Path, pipeline: DvcStore) -> None:
    assert pipeline.push("out").objects == 2
    drop_cache(root)
    shutil.rmtree(root / "out")
    assert pipeline.pull("out").objects == 2
    assert (root / "out/o.csv").read_text() == "22"
    shutil.rmtree(root / "out")
    assert [each.path for each in pipeline.checkout(path="out")] == ["out"]
    assert (root / "out/o.csv").read_text() == "22"


def test_a_pipelines_output_of_a_revision_is_not_put_into_the_working_tree(
    root: Path, pipeline: DvcStore
) -> None:
    then, lock = pipeline.version("out", "p1"), (root / "dvc.lock").read_text()
    for rev in ("p1", then.hash):
        for call in (
            lambda rev=rev: pipeline.checkout(rev, "out"),
            lambda rev=rev: pipeline.pull("out", rev),
        ):
            with pytest.raises(DataNotFound, match="out") as caught:
                call()
            assert "use_data" in caught.value.remedy
    assert [each.path for each in pipeline.checkout("p1")] == ["f.csv"]
    assert (root / "f.csv").read_text() == "1"
    assert (root / "out/o.csv").read_text() == "22"
    assert (root / "dvc.lock").read_text() == lock
    assert not (root / "out.dvc").exists()


def test_a_pipelines_output_is_not_added_as_well(root: Path, pipeline: DvcStore) -> None:
    for path in ("out", "out/o.csv"):
        with pytest.raises(DataError, match="overlaps"):
            pipeline.add(path)


# -- the working tree ---------------------------------------------------------------------------


def test_what_dvcignore_names_is_no_data_and_is_left_where_it_lies(root: Path) -> None:
    data = store(root)
    (root / ".dvcignore").write_text("*.tmp\n")
    write(root, "data/raw/one.csv", "1")
    mine = write(root, "data/raw/mine.tmp", "precious")
    first = data.add("data/raw")
    assert first.files == 1
    write(root, "data/raw/one.csv", "one")
    data.add("data/raw")
    data.checkout(first.hash, "data/raw")
    data.checkout(first.hash, "data/raw", force=True)
    assert (root / "data/raw/one.csv").read_text() == "1"
    assert mine.read_text() == "precious"
    assert [each.state for each in data.status()] == [DataState.UNCHANGED]


def test_data_that_dvcignore_names_is_refused_with_the_way_out(root: Path) -> None:
    data = store(root)
    (root / ".dvcignore").write_text("f.csv\n")
    with pytest.raises(DataError) as caught:
        data.add("f.csv")
    assert ".dvcignore" in caught.value.remedy


def test_views_are_read_only_where_the_cache_is_copied(root: Path) -> None:
    data = store(root)
    configure(root, "config.local", "[cache]\n    type = copy\n")
    data.add("f.csv")
    place, _ = data.view("f.csv")
    assert place.stat().st_nlink == 1
    assert place.stat().st_mode & 0o222 == 0


def test_a_root_that_is_reached_by_a_symbolic_link_is_a_root(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    data = store(root.parent / "link")
    version = data.add("f.csv")
    (root / "f.csv").unlink()
    assert data.checkout(version.hash, "f.csv")[0].hash == version.hash
    assert data.view("f.csv")[0].read_text() == (root / "f.csv").read_text() == "1"


def test_checkout_by_hash_writes_the_record_that_add_wrote(root: Path) -> None:
    data = store(root)
    write(root, "data/raw/one.csv", "1")
    first = data.add("data/raw")
    before = (root / "data/raw.dvc").read_text()
    write(root, "data/raw/two.csv", "2")
    data.add("data/raw")
    data.checkout(first.hash, "data/raw")
    assert (root / "data/raw.dvc").read_text() == before


def test_nothing_is_written_to_standard_output(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = store(root)
    version = data.add("f.csv")
    data.push()
    data.pull()
    data.checkout(version.hash, "f.csv")
    data.status(remote=True)
    data.view("f.csv")
    assert capfd.readouterr().out == ""


# -- DVC's lock ---------------------------------------------------------------------------------


def test_it_waits_for_another_process_that_holds_the_lock(root: Path) -> None:
    data = store(root, lock_wait_s=60)
    with hold_lock(root, seconds=4):
        assert data.add("f.csv").files == 1


def test_it_gives_up_on_the_lock_after_the_bound(root: Path) -> None:
    data = store(root, lock_wait_s=0.5)
    with hold_lock(root, seconds=60) as holder:
        with pytest.raises(DataError, match="lock") as caught:
            data.add("f.csv")
        assert str(holder.pid) in caught.value.message
        holder.kill()
    assert caught.value.remedy
    assert not (root / "f.csv.dvc").exists()


def test_a_process_killed_with_the_lock_blocks_nobody(root: Path) -> None:
    data = store(root, lock_wait_s=0)
    with hold_lock(root, seconds=60) as holder:
        holder.kill()
        holder.wait()
    assert data.add("f.csv").files == 1


@pytest.mark.parametrize("left", ['{"f.csv": {"wri', "", '{"f.csv": {"write": 3}}', "[]"])
def test_a_half_written_rwlock_is_recovered(root: Path, left: str) -> None:
    data = store(root, lock_wait_s=0)
    write(root, ".dvc/tmp/rwlock", left)
    assert data.add("f.csv").files == 1
    data.checkout()


def test_threads_adding_at_once_all_succeed(root: Path) -> None:
    data = store(root)
    for number in range(6):
        write(root, f"f{number}.csv", str(number))
    failed: list[Exception] = []

    def add(number: int) -> None:
        try:
            data.add(f"f{number}.csv")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {f"f{number}.csv.dvc" for number in range(6)} <= staged(root)


@contextmanager
def hold_lock(root: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(root), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
            if seconds < 10:
                assert holder.wait() == 0
        finally:
            holder.kill()


# -- git's lock ---------------------------------------------------------------------------------


def take_index(root: Path) -> Path:
    lock = root.parent / ".git/index.lock"
    lock.touch()
    return lock


def test_it_waits_until_git_has_written_its_index(root: Path) -> None:
    data = store(root, lock_wait_s=30)
    lock = take_index(root)
    release = threading.Timer(0.7, lock.unlink)
    release.start()
    began = time.monotonic()
    data.add("f.csv")
    assert time.monotonic() - began > 0.6
    release.join()
    assert {"f.csv.dvc", ".gitignore"} <= staged(root)


@pytest.mark.parametrize("verb", ["add", "prepare"])
def test_it_gives_up_on_gits_index_after_the_bound(root: Path, verb: str) -> None:
    data = DvcStore(project="a", root=root, remote=str(root.parent / "remote"), lock_wait_s=0.3)
    if verb == "add":
        data.prepare()
    lock = take_index(root)
    with pytest.raises(DataError, match="git's index") as caught:
        data.add("f.csv") if verb == "add" else data.prepare()
    assert "MLOPS_DATA_LOCK_WAIT_S" in caught.value.remedy
    assert lock.exists()
    lock.unlink()
    data.prepare()
    assert data.add("f.csv").files == 1
    assert {".dvc/config", "f.csv.dvc"} <= staged(root)


def test_the_index_lock_of_a_git_that_is_gone_is_removed_and_told(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = store(root, lock_wait_s=0)
    lock = take_index(root)
    minute_ago = time.time() - 60
    os.utime(lock, (minute_ago, minute_ago))
    data.add("f.csv")
    assert not lock.exists()
    assert [each.levelname for each in caplog.records if str(lock) in each.getMessage()] == ["WARNING"]
    assert "f.csv.dvc" in staged(root)


# -- configuration ------------------------------------------------------------------------------


def test_the_remote_is_in_the_untracked_configuration_and_analytics_are_off(root: Path) -> None:
    store(root)
    tracked = (root / ".dvc/config").read_text()
    assert "analytics = False" in tracked
    assert "remote" not in tracked
    assert str(root.parent / "remote") in (root / ".dvc/config.local").read_text()
    assert git(root, "check-ignore", ".dvc/config.local") == ".dvc/config.local"


def test_preparing_again_changes_and_stages_nothing(root: Path) -> None:
    store(root)
    commit(root)
    before = (root / ".dvc/config.local").read_text()
    store(root)
    assert staged(root) == set()
    assert (root / ".dvc/config.local").read_text() == before


def test_preparing_again_takes_a_remote_that_moved(root: Path) -> None:
    data = store(root)
    data.add("f.csv")
    moved = DvcStore(project="a", root=root, remote=str(root.parent / "moved"))
    moved.prepare()
    moved.push()
    assert [each for each in (root.parent / "moved").rglob("*") if each.is_file()]
    assert not (root.parent / "remote").exists()
    assert moved.version("f.csv").remote == str(root.parent / "moved")


@pytest.mark.parametrize("exposed", [False, True])
def test_credentials_are_in_a_private_file_that_git_never_tracks(root: Path, exposed: bool) -> None:
    options = {"access_key_id": "AKIA-TEST", "secret_access_key": SECRET}
    if exposed:
        store(root)
        (root / ".dvc/config.local").chmod(0o644)
    made = DvcStore(project="a", root=root, remote="s3://bucket/a", remote_options=options)
    made.prepare()
    private = root / ".dvc/config.local"
    assert SECRET in private.read_text()
    assert private.stat().st_mode & 0o777 == 0o600
    commit(root)
    assert ".dvc/config.local" not in git(root, "ls-files")
    assert [
        each for each in root.rglob("*") if each.is_file() and SECRET in each.read_text(errors="replace")
    ] == [private]
    assert subprocess.run(["git", "grep", "-q", SECRET, "HEAD"], cwd=root).returncode == 1
    DvcStore(project="a", root=root, remote="s3://bucket/a").prepare()  # as one without the settings does
    assert SECRET in private.read_text()
    assert private.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_was_never_prepared_says_so(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("1")
    with pytest.raises(DataError) as caught:
        DvcStore(project="a", root=tmp_path, remote=str(tmp_path / "r")).add("f.csv")
    assert "mlops:register" in caught.value.remedy


def test_a_root_that_was_never_prepared_does_not_take_the_one_above(root: Path) -> None:
    store(root)
    inner = root / "inner"
    write(inner, "f.csv", "1")
    with pytest.raises(DataError, match="no data root"):
        DvcStore(project="b", root=inner, remote=str(root.parent / "b")).add("f.csv")


def test_a_root_that_cannot_be_prepared_says_why(root: Path) -> None:
    data = store(root)
    (root / ".dvc/config").write_text("[core\n")
    with pytest.raises(DataError, match="preparing data of project 'a' failed") as caught:
        data.prepare()
    assert caught.value.remedy

    blocked = root / "blocked"
    blocked.write_text("a file")
    with pytest.raises(DataError, match=r"cannot be prepared|preparing data"):
        DvcStore(project="a", root=blocked / "p", remote=str(root)).prepare()


def test_a_damaged_dvc_file_is_named(root: Path) -> None:
    data = store(root)
    data.add("f.csv")
    (root / "f.csv.dvc").write_text("outs: 3")
    with pytest.raises(DataError, match="damaged"):
        data.version("f.csv")
    for call in (data.push, data.pull, data.status, data.checkout):
        with pytest.raises(DataError, match=r"f\.csv\.dvc"):
            call()


# -- what the project's own files may not do ----------------------------------------------------


@pytest.fixture
def theirs(root: Path) -> tuple[Path, DataVersion]:
    """The root of another project, `b`, whose `secret.csv` is pushed."""
    other = root.parent / "b"
    write(other, "secret.csv", SECRET)
    data = DvcStore(project="b", root=other, remote=str(root.parent / "remote-of-b"))
    data.prepare()
    version = data.add("secret.csv")
    data.push()
    commit(root.parent)
    return other, version


RECORDS = {
    "another remote": "outs:\n- {{md5: {hash}, size: 16, hash: md5, path: secret.csv, remote: other}}\n",
    "a folder above": "wdir: ../b\nouts:\n- {{md5: {hash}, size: 16, hash: md5, path: secret.csv}}\n",
    "a path above": "outs:\n- {{md5: {hash}, size: 16, hash: md5, path: ../b/secret.csv}}\n",
    "an absolute path": "outs:\n- {{md5: {hash}, size: 16, hash: md5, path: {root}/secret.csv}}\n",
    "a remote's path": "outs:\n- {{md5: {hash}, size: 16, hash: md5, path: 'remote://other/secret.csv'}}\n",
    "an import": "frozen: true\ndeps:\n- path: secret.csv\n  repo: {{url: {root}, rev_lock: {rev}}}\n"
    "outs:\n- {{md5: {hash}, size: 16, hash: md5, path: secret.csv}}\n",
    "an imported URL": "frozen: true\ndeps:\n- {{md5: {hash}, hash: md5, path: {root}/secret.csv}}\n"
    "outs:\n- {{md5: {hash}, size: 16, hash: md5, path: secret.csv}}\n",
    "a hash": "outs:\n- {{md5: {hash}, size: 16, hash: md5, path: secret.csv}}\n",
}


@pytest.mark.parametrize("kind", RECORDS)
def test_no_dvc_file_reaches_another_projects_data(
    root: Path, theirs: tuple[Path, DataVersion], kind: str
) -> None:
    other, version = theirs
    data = store(root)
    configure(root, "config", f"['remote \"other\"']\n    url = {root.parent / 'remote-of-b'}\n")
    record = RECORDS[kind].format(hash=version.hash, root=other, rev=git(root, "rev-parse", "HEAD"))
    (root / "secret.csv.dvc").write_text(record)
    assert_unreachable(data, root, other)
    if kind != "a hash":
        for call in (data.status, data.checkout, data.pull, data.push, lambda: data.pull("secret.csv")):
            with pytest.raises((InvalidInput, DataNotFound)):
                call()
        with pytest.raises((InvalidInput, DataNotFound)):
            data.version("secret.csv")


def test_a_dvc_file_below_does_not_reach_above(root: Path, theirs: tuple[Path, DataVersion]) -> None:
    other, version = theirs
    data = store(root)
    output = f"{{md5: {version.hash}, size: 16, hash: md5, path: b/secret.csv}}"
    write(root, "data/secret.csv.dvc", f"wdir: ../..\nouts:\n- {output}\n")
    for path in ("data/secret.csv", "b/secret.csv"):
        for call in (data.version, data.push, data.pull, data.status, data.view):
            with pytest.raises(DataNotFound):
                call(path)
    assert_unreachable(data, root, other)


@pytest.mark.parametrize("where", ["config", "config.local"])
def test_no_configuration_turns_the_remote_into_another_projects(
    root: Path, theirs: tuple[Path, DataVersion], where: str
) -> None:
    other, version = theirs
    data = store(root)
    mine = data.add("f.csv")
    elsewhere = str(root.parent / "remote-of-b")
    if where == "config":
        configure(root, where, f"['remote \"mlops\"']\n    url = {elsewhere}\n")
    else:
        local = root / ".dvc/config.local"
        local.write_text(local.read_text().replace(str(root.parent / "remote"), elsewhere))
        assert elsewhere in local.read_text()
    output = f"{{md5: {version.hash}, size: 16, hash: md5, path: secret.csv}}"
    (root / "secret.csv.dvc").write_text(f"outs:\n- {output}\n")
    assert_unreachable(data, root, other)
    pushed = [each.parent.name + each.name for each in (root.parent / "remote-of-b").rglob("*")]
    assert mine.hash not in pushed
    assert version.hash in pushed


def assert_unreachable(data: DvcStore, root: Path, other: Path) -> None:
    """Whatever the verbs say, nothing of the other project comes here, and it stays as it is."""
    before = files(other), files(root.parent / "remote-of-b")
    path = "secret.csv"
    for force in (False, True):
        for call in (
            data.push,
            data.pull,
            data.checkout,
            data.status,
            lambda: data.push(path),
            lambda: data.status(path, remote=True),
            lambda: data.view(path),
            lambda force=force: data.pull(path, force=force),
            lambda force=force: data.checkout(path=path, force=force),
            lambda force=force: data.pull(force=force),
            lambda force=force: data.checkout(force=force),
        ):
            with suppress(MLOpsError):
                call()
    secret = SECRET.encode()
    assert not [each for each, content in files(root).items() if secret in content]
    assert (files(other), files(root.parent / "remote-of-b")) == before


def files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
