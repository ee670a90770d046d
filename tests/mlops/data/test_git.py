"""What git is asked of a folder, by real repositories."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from mlops.data import git
from mlops.errors import DataError, InvalidInput, RevisionNotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder inside a repository with one commit of one file."""
    call(tmp_path, "init", "-q", "-b", "main")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "code.py").write_text("1")
    commit(tmp_path)
    return folder


def call(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, *words: str) -> str:
    call(folder, "add", "-A")
    call(folder, "commit", "-q", "--allow-empty", "-m", "a commit", *words)
    return call(folder, "rev-parse", "HEAD")


@pytest.fixture
def without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


# -- state --------------------------------------------------------------------------------------


def test_state_is_heads_revision_and_whether_tracked_files_differ(root: Path) -> None:
    head = call(root, "rev-parse", "HEAD")
    assert git.state(root) == (head, False)
    (root / "untracked").write_text("1")
    assert git.state(root) == (head, False)
    (root / "code.py").write_text("2")
    assert git.state(root) == (head, True)
    call(root, "add", "code.py")
    assert git.state(root) == (head, True)


def test_there_is_no_state_outside_a_repository_and_before_the_first_commit(tmp_path: Path) -> None:
    assert git.state(tmp_path) == (None, False)
    call(tmp_path, "init", "-q")
    (tmp_path / "f").write_text("1")
    call(tmp_path, "add", "f")
    assert git.state(tmp_path) == (None, False)
    assert git.state(tmp_path / "nowhere") == (None, False)


@pytest.mark.usefixtures("without_git")
def test_without_git_there_is_no_state(tmp_path: Path) -> None:
    assert git.state(tmp_path) == (None, False)


def test_asking_takes_no_lock_of_the_index(root: Path) -> None:
    lock = root.parent / ".git/index.lock"
    lock.touch()
    (root / "code.py").touch()
    assert git.state(root)[1] is False
    assert lock.exists()


def test_a_git_that_does_not_come_back_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = root.parent / "monitor"
    monitor.write_text("#!/bin/sh\nsleep 3\n")
    monitor.chmod(0o755)
    call(root, "config", "core.fsmonitor", str(monitor))
    monkeypatch.setattr(git, "_TIMEOUT_S", 0.3)
    with pytest.raises(DataError, match=r"took longer than 0\.3 s") as caught:
        git.state(root)
    assert caught.value.remedy


# -- revisions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rev", ["0" * 32, "0123456789abcdef" * 2, f"{'a' * 32}.dir"])
def test_what_is_the_hash_of_a_data_version(rev: str) -> None:
    assert git.is_content_hash(rev)


@pytest.mark.parametrize(
    "rev", ["", "0" * 31, "0" * 33, "0" * 40, "A" * 32, "g" * 32, f"{'a' * 32}.DIR", f"{'a' * 32}\n", "v1"]
)
def test_what_is_none(rev: str) -> None:
    assert not git.is_content_hash(rev)


@pytest.mark.parametrize(
    "rev",
    ["main", "v1.0", "feature/x-1", "HEAD", "refs/heads/main", "0" * 40, "abc123", "größe", "a@b", "a.b"],
)
def test_what_may_name_a_revision_is_returned(rev: str) -> None:
    assert git.check_revision(rev) == rev


@pytest.mark.parametrize(
    "rev",
    [
        *("", "-", "-v1", "--help", "--upload-pack=x", "a..b", "a...b", "..", "HEAD~1", "HEAD^", "v1^{tree}"),
        *(
            "HEAD:f",
            "HEAD:../b",
            ":/text",
            "@",
            "@{1}",
            "HEAD@{yesterday}",
            "a b",
            "a\tb",
            "a\nb",
            "a\0",
            "\x7f",
        ),
        *("a*", "a?", "[a]", "a\\b"),
    ],
)
def test_what_can_name_none_is_refused(root: Path, rev: str) -> None:
    for refuse in (git.check_revision, lambda rev: git.commit_of("a", root, rev)):
        with pytest.raises(InvalidInput) as caught:
            refuse(rev)
        assert (caught.value.field, bool(caught.value.remedy)) == ("rev", True)


def test_the_commit_of_a_tag_a_branch_and_a_commit(root: Path) -> None:
    head = call(root, "rev-parse", "HEAD")
    call(root, "tag", "light")
    call(root, "tag", "-a", "annotated", "-m", "x")
    call(root, "tag", "-a", "nested", "annotated", "-m", "x")
    call(root, "branch", "feature/x")
    later = commit(root)
    for rev in ("light", "annotated", "nested", "feature/x", "refs/tags/light", head, head[:8]):
        assert git.commit_of("a", root, rev) == head
    for rev in ("HEAD", "main"):
        assert git.commit_of("a", root, rev) == later


def test_a_revision_that_is_no_commit_of_the_repository_is_not_found(root: Path) -> None:
    blob = call(root, "rev-parse", "HEAD:project/code.py")
    for rev in ("nowhere", "0" * 40, "v1", blob, "code.py"):
        with pytest.raises(RevisionNotFound) as caught:
            git.commit_of("a", root, rev)
        assert (caught.value.project, caught.value.rev) == ("a", rev)


def test_a_revision_outside_a_repository_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(RevisionNotFound):
        git.commit_of("a", tmp_path, "HEAD")


# -- tips ---------------------------------------------------------------------------------------


def test_tips_are_the_commits_of_all_refs(root: Path) -> None:
    first = call(root, "rev-parse", "HEAD")
    expected = {first}
    call(root, "branch", "early")
    for number, words in enumerate((["tag", "light"], ["tag", "-a", "annotated", "-m", "x"])):
        expected.add(commit(root, "-m", str(number)))
        call(root, *words)
    expected.add(commit(root, "-m", "remote"))
    call(root, "update-ref", "refs/remotes/origin/main", "HEAD")
    for text in ("first stash", "second stash"):
        (root / "code.py").write_text(text)
        call(root, "stash")
        expected.add(call(root, "rev-parse", "refs/stash"))
    call(root, "reset", "-q", "--hard", "early")
    between = commit(root, "-m", "between")
    call(root, "checkout", "-q", "--detach")
    expected |= {between, commit(root, "-m", "detached")}
    assert set(git.tips(root)) == expected


def test_tips_are_found_behind_tags_of_tags_and_in_other_work_trees(root: Path) -> None:
    head = call(root, "rev-parse", "HEAD")
    call(root, "worktree", "add", "-q", "--detach", "../other")
    elsewhere = commit(root.parent / "other", "-m", "elsewhere")
    behind = commit(root, "-m", "behind")
    call(root, "tag", "-a", "inner", "-m", "x")
    call(root, "tag", "-a", "outer", "inner", "-m", "x")
    call(root, "tag", "-d", "inner")
    call(root, "tag", "of-a-file", call(root, "rev-parse", "HEAD:project/code.py"))
    call(root, "reset", "-q", "--hard", head)
    for folder in (root, root.parent / "other"):
        assert set(git.tips(folder)) == {head, behind, elsewhere}


def test_there_are_no_tips_outside_a_repository_and_before_the_first_commit(tmp_path: Path) -> None:
    assert git.tips(tmp_path) == []
    call(tmp_path, "init", "-q")
    assert git.tips(tmp_path) == []


def test_tips_that_cannot_be_told_are_no_reason_to_say_there_are_none(root: Path) -> None:
    (root.parent / ".git/refs/heads/broken").write_text("1" * 40 + "\n")
    with pytest.raises(DataError, match="broken") as caught:
        git.tips(root)
    assert caught.value.remedy


@pytest.mark.usefixtures("without_git")
def test_tips_of_a_repository_without_git_cannot_be_told(tmp_path: Path) -> None:
    assert git.tips(tmp_path) == []
    (tmp_path / ".git").mkdir()
    with pytest.raises(DataError, match="not installed"):
        git.tips(tmp_path)


# -- hashes -------------------------------------------------------------------------------------

ONE, TWO, THREE, FOUR = (f"{number}" * 32 for number in (1, 2, 3, 4))


def test_hashes_are_all_that_records_name_in_commits_and_in_the_index(root: Path) -> None:
    (root / "f.csv.dvc").write_text(f"outs:\n- md5: {ONE}\n  path: f.csv\n")
    first = commit(root)
    (root / "f.csv.dvc").unlink()
    (root.parent / "moved").mkdir()
    (root.parent / "moved/raw.dvc").write_text(f"outs: [{{md5: {TWO}.dir, path: raw}}]\n")
    (root.parent / "dvc.lock").write_text(f"stages: {{s: {{outs: [{{md5: {THREE}}}]}}}}\n")
    (root / "notes.txt").write_text(FOUR)
    second = commit(root.parent)
    assert git.hashes(root, [second]) == {f"{TWO}.dir", THREE}
    assert git.hashes(root, [first, second]) == {ONE, f"{TWO}.dir", THREE}
    assert git.hashes(root, []) == {f"{TWO}.dir", THREE}  # of the index

    (root / "new.dvc").write_text(f"outs:\n- md5: {FOUR}\n")
    assert FOUR not in git.hashes(root, [second])
    call(root, "add", "new.dvc")
    assert FOUR in git.hashes(root, [second])


def test_hashes_are_found_in_very_many_commits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "_AT_ONCE", 2)
    commits = []
    for number in range(5):
        (root / "f.csv.dvc").write_text(f"outs:\n- md5: {str(number) * 32}\n")
        commits.append(commit(root))
    assert git.hashes(root, commits) == {str(number) * 32 for number in range(5)}


def test_there_are_no_hashes_outside_a_repository_and_where_none_is_recorded(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert git.hashes(tmp_path_factory.mktemp("nowhere"), []) == set()
    assert git.hashes(root, git.tips(root)) == set()


def test_hashes_that_cannot_be_told_are_no_reason_to_say_there_are_none(root: Path) -> None:
    with pytest.raises(DataError, match="git does not tell") as caught:
        git.hashes(root, ["1" * 40])
    assert caught.value.remedy


# -- the index ----------------------------------------------------------------------------------


def test_what_is_staged_is_tracked_and_what_others_staged_stays(root: Path) -> None:
    names = ("new.txt", "other.txt", "a b ü.txt")
    for name in names:
        (root / name).write_text(name)
    assert not git.tracks(root / "new.txt")
    call(root, "add", "other.txt")
    git.stage(root, [root / "new.txt", root / "a b ü.txt"])
    assert [git.tracks(root / name) for name in names] == [True] * 3
    assert call(root, "status", "--porcelain").splitlines()[0].startswith("A")
    (root / "new.txt").write_text("changed")
    git.stage(root, [root / "new.txt"])
    assert call(root, "diff", "--name-only") == ""


def test_a_repository_whose_index_is_locked_refuses_to_stage(root: Path) -> None:
    (root / "new.txt").write_text("new")
    (root.parent / ".git/index.lock").touch()
    with pytest.raises(OSError, match=r"index\.lock") as caught:
        git.stage(root, [root / "new.txt"])
    assert git.is_locked(caught.value)
    assert not git.tracks(root / "new.txt")


@pytest.mark.usefixtures("without_git")
def test_without_git_nothing_is_staged_or_tracked(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1")
    git.stage(tmp_path, [tmp_path / "f"])
    assert not git.tracks(tmp_path / "f")


def test_an_error_of_the_locked_index_is_known_behind_others() -> None:
    class FileLocked(Exception):  # dulwich's
        pass

    outer, middle = RuntimeError("outer"), ValueError("middle")
    outer.__cause__, middle.__context__ = middle, FileLocked()
    assert git.is_locked(outer)
    assert git.is_locked(OSError("Unable to create '/r/.git/index.lock': File exists."))
    assert not git.is_locked(ValueError("another"))
    assert not git.is_locked(OSError("Unable to create '/r/.git/index.lock': Permission denied"))
    ring = ValueError("ring")
    ring.__context__ = KeyError("ring")
    ring.__context__.__context__ = ring
    assert not git.is_locked(ring)


# -- a lock that was left -----------------------------------------------------------------------


def take(lock: Path, age_s: float = 60.0) -> Path:
    lock.touch()
    then = time.time() - age_s
    os.utime(lock, (then, then))
    return lock


def test_a_lock_that_a_dead_git_left_is_removed_and_told(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = take(root.parent / ".git/index.lock")
    assert git.remove_stale_lock(root)
    assert not lock.exists()
    assert [(each.levelname, str(lock) in each.getMessage()) for each in caplog.records] == [
        ("WARNING", True)
    ]


def test_the_lock_of_a_work_tree_is_its_own(root: Path) -> None:
    call(root, "worktree", "add", "-q", "../other")
    main, other = root.parent / ".git/index.lock", root.parent / ".git/worktrees/other/index.lock"
    take(main)
    take(other)
    assert git.remove_stale_lock(root.parent / "other")
    assert (main.exists(), other.exists()) == (True, False)


def test_a_young_lock_stays(root: Path) -> None:
    lock = take(root.parent / ".git/index.lock", age_s=5)
    assert not git.remove_stale_lock(root)
    assert lock.exists()


def test_without_a_lock_or_a_repository_there_is_nothing_to_remove(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert not git.remove_stale_lock(root)
    assert not git.remove_stale_lock(tmp_path_factory.mktemp("nowhere"))


def test_a_lock_stays_while_a_git_works_in_the_repository(root: Path) -> None:
    lock = take(root.parent / ".git/index.lock")
    command = ["git", "cat-file", "--batch"]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as at_work:
        assert at_work.stdin is not None
        assert at_work.stdout is not None
        at_work.stdin.write(b"HEAD\n")
        at_work.stdin.flush()
        assert b"commit" in at_work.stdout.readline()  # it runs
        assert not git.remove_stale_lock(root)
        assert lock.exists()
        at_work.communicate()
    assert git.remove_stale_lock(root)


def test_a_lock_stays_while_a_python_writes_it(root: Path) -> None:
    lock = root.parent / ".git/index.lock"
    with lock.open("w"):
        take(lock)
        assert not git.remove_stale_lock(root)
    assert git.remove_stale_lock(root)
