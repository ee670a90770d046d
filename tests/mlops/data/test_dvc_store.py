"""What is DVC's own: its lock, its configuration, git's state."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlops.data.dvc import DvcStore
from mlops.errors import DataError

HOLD_THE_LOCK = """
import sys, time
from dvc.repo import Repo
with Repo(sys.argv[1]).lock:
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "f.csv").write_text("1")
    return folder


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def store(root: Path, **more: float) -> DvcStore:
    made = DvcStore(project="a", root=root, remote=str(root.parent / "remote"), **more)
    made.prepare()
    return made


def test_the_remote_is_in_the_untracked_configuration_and_analytics_are_off(root: Path) -> None:
    store(root)
    tracked = (root / ".dvc/config").read_text()
    assert "analytics = False" in tracked
    assert "remote" not in tracked
    assert str(root.parent / "remote") in (root / ".dvc/config.local").read_text()
    assert git(root, "check-ignore", ".dvc/config.local") == ".dvc/config.local"


def test_the_version_names_gits_revision_and_whether_it_is_dirty(root: Path) -> None:
    data = store(root)
    version = data.add("f.csv")
    assert version.git_revision == git(root, "rev-parse", "HEAD")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "data")
    assert not data.version("f.csv").git_dirty
    (root / "f.csv.dvc").write_text((root / "f.csv.dvc").read_text() + "\n")
    assert data.version("f.csv").git_dirty


def test_nothing_is_written_to_standard_output(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = store(root)
    data.add("f.csv")
    data.push()
    data.pull()
    assert capfd.readouterr().out == ""


def test_a_repository_without_a_commit_has_no_revision(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/f.csv").write_text("1")
    version = store(tmp_path / "p").add("f.csv")
    assert (version.git_revision, version.git_dirty) == (None, False)


def test_it_waits_for_another_process_that_holds_the_lock(root: Path) -> None:
    data = store(root, lock_wait_s=60)
    with hold_lock(root, seconds=5):
        assert data.add("f.csv").files == 1


def test_it_gives_up_on_the_lock_after_the_bound(root: Path) -> None:
    data = store(root, lock_wait_s=0.5)
    with hold_lock(root, seconds=20) as holder:
        with pytest.raises(DataError, match="lock") as caught:
            data.add("f.csv")
        holder.kill()
    assert caught.value.remedy


def test_threads_adding_at_once_all_succeed(root: Path) -> None:
    data = store(root)
    for number in range(6):
        (root / f"f{number}.csv").write_text(str(number))
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


def test_a_folder_that_was_never_prepared_says_so(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("1")
    with pytest.raises(DataError) as caught:
        DvcStore(project="a", root=tmp_path, remote=str(tmp_path / "r")).add("f.csv")
    assert "mlops:register" in caught.value.remedy


def test_a_root_that_cannot_be_prepared_says_why(root: Path) -> None:
    data = store(root)
    (root / ".dvc/config").write_text("[core\n")
    with pytest.raises(DataError, match="preparing data of project 'a' failed") as caught:
        data.prepare()
    assert caught.value.remedy

    blocked = root / "blocked"
    blocked.write_text("a file")
    with pytest.raises(DataError, match="cannot be prepared"):
        DvcStore(project="a", root=blocked / "p", remote=str(root)).prepare()


def test_a_lock_that_stays_taken_is_named_at_preparation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.lock import LockError

    def taken(*_: object) -> None:
        raise LockError("taken")

    data = store(root, lock_wait_s=0)
    monkeypatch.setattr("mlops.data.dvc._configure", taken)
    with pytest.raises(DataError, match="lock"):
        data.prepare()


def test_a_damaged_dvc_file_is_named(root: Path) -> None:
    data = store(root)
    data.add("f.csv")
    (root / "f.csv.dvc").write_text("outs: 3")
    with pytest.raises(DataError, match="damaged"):
        data.version("f.csv")


def hold_lock(root: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(root), str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder
