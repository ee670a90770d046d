"""What every data store promises, run over each of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlops.data.base import DataStore
from mlops.data.dvc import DvcStore
from mlops.data.local import LocalStore
from mlops.errors import DataError, DataNotFound, InvalidInput

Make = Callable[[str], tuple[DataStore, Path]]


@pytest.fixture(params=["local", "dvc in git", "dvc without git"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    if request.param == "dvc in git":
        git(tmp_path, "init", "-q")
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")

    def make_one(project: str) -> tuple[DataStore, Path]:
        root, remote = tmp_path / "work" / project, str(tmp_path / "remotes" / project)
        root.mkdir(parents=True, exist_ok=True)
        kind = LocalStore if request.param == "local" else DvcStore
        store: DataStore = kind(project=project, root=root, remote=remote)
        store.prepare()
        return store, root

    return make_one


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    subprocess.run(["git", *who, *words], cwd=folder, check=True)


def write(root: Path, path: str, text: str = "x") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def forget(root: Path, path: str) -> None:
    target = root / path
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    for cache in (".dvc/cache", ".mlops-data/cache"):
        shutil.rmtree(root / cache, ignore_errors=True)


def test_prepare_is_safe_to_repeat(make: Make) -> None:
    store, root = make("a")
    write(root, "data/f.csv")
    before = store.add("data/f.csv")
    store.prepare()
    assert store.version("data/f.csv").hash == before.hash


def test_a_files_version_names_its_content_size_and_remote(make: Make, tmp_path: Path) -> None:
    store, root = make("a")
    write(root, "data/f.csv", "hello")
    version = store.add("data/f.csv")
    assert (version.project, version.path) == ("a", "data/f.csv")
    assert (version.hash, version.size_bytes, version.files) == ("5d41402abc4b2a76b9719d911017c592", 5, 1)
    assert version.remote == str(tmp_path / "remotes" / "a")


def test_a_folders_version_counts_its_files_and_changes_with_its_content(make: Make) -> None:
    store, root = make("a")
    for name in ("one", "two", "deep/three"):
        write(root, f"data/raw/{name}.csv", name)
    first = store.add("data/raw")
    assert first.hash.endswith(".dir")
    assert (first.files, first.size_bytes) == (3, len("onetwodeep/three"))
    write(root, "data/raw/four.csv", "four")
    second = store.add("data/raw")
    assert second.hash != first.hash
    assert second.files == 4
    assert store.version("data/raw") == second


def test_adding_the_same_content_again_is_the_same_version(make: Make) -> None:
    store, root = make("a")
    write(root, "data/f.csv")
    assert store.add("data/f.csv").hash == store.add("./data//f.csv").hash


def test_what_was_pushed_comes_back_byte_identical(make: Make) -> None:
    store, root = make("a")
    write(root, "data/raw/one.csv", "1" * 1000)
    write(root, "data/raw/two.csv", "2" * 1000)
    store.add("data/raw")
    assert store.push() >= 2
    assert store.push() == 0
    forget(root, "data/raw")
    assert store.pull() >= 2
    assert (root / "data/raw/one.csv").read_text() == "1" * 1000
    assert store.pull() == 0


def test_push_and_pull_of_one_path_leave_the_others(make: Make) -> None:
    store, root = make("a")
    write(root, "one.csv", "1")
    write(root, "two.csv", "2")
    store.add("one.csv")
    store.add("two.csv")
    assert store.push("one.csv") == 1
    forget(root, "one.csv")
    assert store.pull("one.csv") == 1
    assert (root / "one.csv").read_text() == "1"


def test_pulling_what_was_never_pushed_fails(make: Make) -> None:
    store, root = make("a")
    write(root, "one.csv", "1")
    store.add("one.csv")
    forget(root, "one.csv")
    with pytest.raises(DataError):
        store.pull("one.csv")


def test_what_was_never_added_is_not_found(make: Make) -> None:
    store, root = make("a")
    write(root, "there.csv")
    for call in (store.version, store.push, store.pull):
        with pytest.raises(DataNotFound) as caught:
            call("there.csv")
        assert caught.value.path == "there.csv"
    with pytest.raises(DataNotFound):
        store.add("missing.csv")


@pytest.mark.parametrize("path", ["", ".", "..", "../b/f.csv", "data/../../b/f.csv", "/etc/hostname", "-f"])
def test_a_path_outside_the_project_or_like_an_option_is_refused(make: Make, path: str) -> None:
    store, _ = make("a")
    for call in (store.add, store.push, store.pull, store.version):
        with pytest.raises(InvalidInput) as caught:
            call(path)
        assert caught.value.field == "path"


def test_a_symbolic_link_out_of_the_project_is_refused(make: Make, tmp_path: Path) -> None:
    store, root = make("a")
    secret = write(tmp_path, "secret.txt")
    (root / "link.txt").symlink_to(secret)
    write(root, "data/fine.csv")
    (root / "data" / "link.txt").symlink_to(secret)
    (root / "elsewhere").symlink_to(tmp_path)
    for path in ("link.txt", "data", "elsewhere/secret.txt", "elsewhere"):
        with pytest.raises(InvalidInput):
            store.add(path)


def test_two_projects_keep_their_data_apart(make: Make, tmp_path: Path) -> None:
    a, root_a = make("a")
    b, root_b = make("b")
    write(root_b, "data/f.csv", "of b")
    b.add("data/f.csv")
    b.push()
    with pytest.raises(DataNotFound):
        a.version("data/f.csv")
    with pytest.raises(DataNotFound):
        a.pull("data/f.csv")
    for path in (os.path.relpath(root_b / "data/f.csv", root_a), str(root_b / "data/f.csv")):
        for call in (a.version, a.add, a.push, a.pull):
            with pytest.raises(InvalidInput):
                call(path)
    assert a.pull() == 0
    assert not list((tmp_path / "remotes" / "a").rglob("*.*"))
