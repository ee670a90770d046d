"""What every data store promises, run over each of them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops.data.base import DataStore
from mlops.data.dvc.store import DvcStore
from mlops.data.local import LocalStore
from mlops.entities import DataCheck, DataState, DataStatus, DataTransfer, DataVersion
from mlops.errors import (
    DataChanging,
    DataCorrupted,
    DataError,
    DataMissing,
    DataModified,
    DataNotFound,
    InvalidInput,
    RevisionNotFound,
)

Make = Callable[..., tuple[DataStore, Path]]

VERBS: dict[str, Callable[[DataStore, str], object]] = {
    "add": lambda store, path: store.add(path),
    "push": lambda store, path: store.push(path),
    "pull": lambda store, path: store.pull(path),
    "checkout": lambda store, path: store.checkout(path=path),
    "status": lambda store, path: store.status(path),
    "version": lambda store, path: store.version(path),
    "view": lambda store, path: store.view(path),
}
UNKNOWN = "0" * 32
"""The hash of no version."""


@pytest.fixture(params=["local", "dvc", "dvc in git"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "dvc in git":
        git(tmp_path, "init", "-q")
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")

    def make_one(project: str = "a", *, prepare: bool = True) -> tuple[DataStore, Path]:
        root = tmp_path / "work" / project
        root.mkdir(parents=True, exist_ok=True)
        kind = LocalStore if request.param == "local" else DvcStore
        store: DataStore = kind(
            project=project, root=root, remote=str(remote_of(root)), remote_options={}, lock_wait_s=30.0
        )
        if prepare:
            store.prepare()
        return store, root

    return make_one


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True)


def remote_of(root: Path) -> Path:
    return root.parent.parent / "remotes" / root.name


def write(root: Path, path: str, text: str = "x") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # it may be a link to the cache
    file.write_text(text)
    return file


def contents(folder: Path) -> dict[str, str]:
    """The files at and below a path; not what tools keep there."""
    if folder.is_file():
        return {"": folder.read_text()}
    files = {each.relative_to(folder).as_posix(): each for each in folder.rglob("*") if each.is_file()}
    return {path: file.read_text() for path, file in files.items() if not path.startswith(".")}


def remove(root: Path, path: str) -> None:
    target = root / path
    shutil.rmtree(target) if target.is_dir() else target.unlink()


def drop_cache(root: Path) -> None:
    found = [root / each for each in (".dvc/cache", ".mlops-data/cache") if (root / each).is_dir()]
    for cache in found:
        shutil.rmtree(cache)
        cache.mkdir()
    assert found


def objects(folder: Path, digest: str = "") -> list[Path]:
    """The objects below a remote or a cache, or those with a hash."""
    files = [each for each in folder.rglob("*") if each.is_file()]
    return [each for each in files if f"{each.parent.name}{each.name}".endswith(digest)]


def damage(file: Path, text: str = "damaged") -> None:
    file.unlink()
    file.write_text(text)


def two_versions(store: DataStore, root: Path) -> tuple[DataVersion, DataVersion]:
    """Of `data/raw`: one with two files, and the recorded one with three, of which one is other."""
    write(root, "data/raw/one.csv", "1")
    write(root, "data/raw/deep/two.csv", "22")
    first = store.add("data/raw")
    write(root, "data/raw/one.csv", "one")
    write(root, "data/raw/three.csv", "333")
    return first, store.add("data/raw")


FIRST = {"one.csv": "1", "deep/two.csv": "22"}
SECOND = {"one.csv": "one", "deep/two.csv": "22", "three.csv": "333"}


# -- preparing ----------------------------------------------------------------------------------


def test_prepare_is_safe_to_repeat(make: Make) -> None:
    store, root = make()
    write(root, "data/f.csv")
    before = store.add("data/f.csv")
    store.prepare()
    assert store.version("data/f.csv").hash == before.hash


@pytest.mark.parametrize("verb", VERBS)
def test_a_root_that_was_never_prepared_says_what_to_do(make: Make, verb: str) -> None:
    store, root = make(prepare=False)
    write(root, "f.csv")
    with pytest.raises(DataError) as caught:
        VERBS[verb](store, "f.csv")
    assert "mlops:register" in caught.value.remedy


# -- adding -------------------------------------------------------------------------------------


def test_a_files_version_names_its_content_size_and_remote(make: Make) -> None:
    store, root = make()
    write(root, "data/f.csv", "hello")
    version = store.add("data/f.csv")
    assert (version.project, version.path) == ("a", "data/f.csv")
    assert (version.hash, version.size_bytes, version.files) == ("5d41402abc4b2a76b9719d911017c592", 5, 1)
    assert version.remote == str(remote_of(root))
    assert version.checks == ()
    assert store.version("data/f.csv") == version


def test_a_folders_version_counts_its_files_and_changes_with_its_content(make: Make) -> None:
    store, root = make()
    first, second = two_versions(store, root)
    assert first.hash == "a49b97134d68e9558c51acc731e7e5a7.dir"  # md5 of DVC's listing, on each store
    assert (first.files, first.size_bytes) == (2, 3)
    assert second.hash != first.hash
    assert second.hash.endswith(".dir")
    assert (second.files, second.size_bytes) == (3, 8)
    assert store.version("data/raw") == second


def test_adding_the_same_content_again_is_the_same_version(make: Make) -> None:
    store, root = make()
    write(root, "data/f.csv")
    assert store.add("data/f.csv").hash == store.add("./data//f.csv").hash
    assert [each.path for each in store.status()] == ["data/f.csv"]


def test_what_was_added_can_still_be_written_and_its_version_does_not_change(make: Make) -> None:
    store, root = make()
    file = write(root, "f.csv", "before")
    version = store.add("f.csv")
    with file.open("a") as content:
        content.write(" and after")
    assert store.version("f.csv").hash == version.hash
    place, _ = store.view("f.csv")
    assert place.read_text() == "before"


def test_an_empty_file_is_data(make: Make) -> None:
    store, root = make()
    write(root, "f.csv", "")
    version = store.add("f.csv")
    assert (version.size_bytes, version.files) == (0, 1)
    store.push()
    remove(root, "f.csv")
    drop_cache(root)
    store.pull()
    assert contents(root / "f.csv") == {"": ""}


def test_a_path_may_turn_from_a_folder_into_a_file_and_back(make: Make) -> None:
    store, root = make()
    write(root, "data/x/one.csv", "1")
    folder = store.add("data/x")
    remove(root, "data/x")
    write(root, "data/x", "a file")
    file = store.add("data/x")
    assert not file.hash.endswith(".dir")
    store.checkout(folder.hash, "data/x")
    assert contents(root / "data/x") == {"one.csv": "1"}
    store.checkout(file.hash, "data/x")
    assert contents(root / "data/x") == {"": "a file"}


def test_names_with_spaces_and_other_letters_are_taken(make: Make) -> None:
    store, root = make()
    write(root, "Daten äöü/a b.csv", "1")
    assert store.add("Daten äöü").files == 1
    store.push()
    remove(root, "Daten äöü")
    drop_cache(root)
    store.pull("Daten äöü")
    assert contents(root / "Daten äöü") == {"a b.csv": "1"}


@pytest.mark.parametrize("inner", ["data/raw", "data/raw/deep", "data/raw/one.csv"])
def test_what_is_inside_another_version_or_around_it_is_refused(make: Make, inner: str) -> None:
    store, root = make()
    write(root, "data/raw/one.csv", "1")
    write(root, "data/raw/deep/two.csv", "2")
    version = store.add(inner)
    for path in {"data", "data/raw", "data/raw/deep", "data/raw/deep/two.csv"} - {inner}:
        if Path(path).is_relative_to(inner) or Path(inner).is_relative_to(path):
            with pytest.raises((InvalidInput, DataError)):
                store.add(path)
    assert [(each.path, each.hash) for each in store.status()] == [(inner, version.hash)]


# -- adding: the checks -------------------------------------------------------------------------


def test_the_check_is_called_before_anything_is_recorded(make: Make) -> None:
    store, root = make()
    write(root, "f.csv")
    found: list[str] = []

    def check() -> list[DataCheck]:
        with pytest.raises(DataNotFound):
            store.version("f.csv")
        found.append("called")
        return []

    store.add("f.csv", check)
    assert found == ["called"]


def test_a_check_that_raises_leaves_nothing_recorded(make: Make) -> None:
    store, root = make()
    write(root, "f.csv")

    def refuse() -> list[DataCheck]:
        raise KeyError("refused")

    with pytest.raises(KeyError, match="refused"):
        store.add("f.csv", refuse)
    assert_never_added(store, root, "f.csv")

    before = store.add("f.csv")
    write(root, "f.csv", "other")
    with pytest.raises(KeyError, match="refused"):
        store.add("f.csv", refuse)
    assert store.version("f.csv").hash == before.hash


def test_what_checks_found_is_kept_with_the_version(make: Make) -> None:
    store, root = make()
    write(root, "f.csv")
    checks = (
        DataCheck("rows", passed=True),
        DataCheck("units: °C", passed=False, detail="depth: 3 < 4\n- x"),
    )
    version = store.add("f.csv", lambda: list(checks))
    assert version.checks == checks
    assert store.version("f.csv").checks == checks
    assert store.version("f.csv", version.hash).checks == checks
    assert store.view("f.csv")[1].checks == checks
    assert store.checkout()[0].checks == checks
    assert store.add("f.csv").checks == ()
    assert store.version("f.csv").checks == ()


# -- adding: what is written meanwhile ----------------------------------------------------------


def assert_never_added(store: DataStore, root: Path, path: str) -> None:
    with pytest.raises(DataNotFound):
        store.version(path)
    assert store.status() == []
    assert not [each for each in root.rglob("*.dvc") if each.is_file()]


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed": lambda root: (root / "data/raw/one.csv").write_text("longer than before"),
    "same size": lambda root: write(root, "data/raw/one.csv", "y"),
    "new": lambda root: write(root, "data/raw/new.csv"),
    "removed": lambda root: (root / "data/raw/two.csv").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_recorded_of_what_changes_meanwhile(make: Make, change: str) -> None:
    store, root = make()
    write(root, "data/raw/one.csv", "x")
    write(root, "data/raw/two.csv", "x")

    def check() -> list[DataCheck]:
        CHANGES[change](root)
        return []

    with pytest.raises(DataChanging) as caught:
        store.add("data/raw", check)
    assert (caught.value.project, caught.value.path) == ("a", "data/raw")
    expected = {"new": "new.csv", "removed": "two.csv"}.get(change, "one.csv")
    assert caught.value.file == f"data/raw/{expected}"
    assert_never_added(store, root, "data/raw")
    assert store.add("data/raw").files == len(contents(root / "data/raw"))


@pytest.mark.parametrize("change", [Path.unlink, lambda file: (file.unlink(), file.mkdir())])
def test_nothing_is_recorded_of_a_file_that_goes_meanwhile(
    make: Make, change: Callable[[Path], object]
) -> None:
    store, root = make()
    file = write(root, "f.csv")

    def check() -> list[DataCheck]:
        change(file)
        return []

    with pytest.raises(DataChanging) as caught:
        store.add("f.csv", check)
    assert caught.value.file == "f.csv"
    assert_never_added(store, root, "f.csv")


def test_an_earlier_version_stays_when_its_successor_changes_meanwhile(make: Make) -> None:
    store, root = make()
    write(root, "f.csv", "first")
    first = store.add("f.csv")
    write(root, "f.csv", "second")

    def check() -> list[DataCheck]:
        write(root, "f.csv", "third")
        return []

    with pytest.raises(DataChanging):
        store.add("f.csv", check)
    assert store.version("f.csv").hash == first.hash
    assert contents(root / "f.csv") == {"": "third"}
    assert store.view("f.csv")[0].read_text() == "first"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells that a file is open for writing")
@pytest.mark.parametrize("path", ["data/raw", "data/raw/one.csv"])
def test_nothing_is_recorded_while_a_file_is_open_for_writing(make: Make, path: str) -> None:
    store, root = make()
    file = write(root, "data/raw/one.csv", "first")
    with file.open("r+"):
        with pytest.raises(DataChanging, match="open for writing") as caught:
            store.add(path)
        assert caught.value.file == "data/raw/one.csv"
        assert_never_added(store, root, path)
    first = store.add(path)
    with file.open("a") as content:
        content.write(" and second")
        content.flush()
        with pytest.raises(DataChanging):
            store.add(path)
    assert store.version(path).hash == first.hash
    with file.open():  # to read is fine
        assert store.add(path).hash != first.hash


# -- paths --------------------------------------------------------------------------------------


def test_a_path_outside_the_project_or_like_an_option_is_refused(
    make: Make, subtests: pytest.Subtests
) -> None:
    store, root = make()
    write(root, "f.csv")
    write(root.parent, "b/f.csv")
    outside = ["", ".", "./", "..", "../b/f.csv", "data/../../b/f.csv", "../a/f.csv", str(root / "f.csv")]
    strange = ["-f", "--help", "data/-f", "s3://b/f.csv", "remote://mlops/f.csv", "f\0", "f\nf", "n" * 300]
    tools = [".dvc/config", ".git/config", ".mlops-data/index.json", "data/.git/config"]
    for verb, ask in VERBS.items():
        with subtests.test(verb=verb):
            for path in (*outside, *strange, *tools):
                with pytest.raises(InvalidInput) as caught:
                    ask(store, path)
                assert caught.value.field == "path"
                assert caught.value.remedy


def test_what_leads_out_of_the_project_by_a_symbolic_link_is_refused(
    make: Make, subtests: pytest.Subtests
) -> None:
    store, root = make()
    secret = write(root.parent, "elsewhere/secret.txt")
    (root / "link.txt").symlink_to(secret)
    (root / "elsewhere").symlink_to(secret.parent)
    (root / "itself").symlink_to(root)
    (root / "loop").symlink_to("loop")
    for verb, ask in VERBS.items():
        with subtests.test(verb=verb):
            for path in ("link.txt", "elsewhere", "elsewhere/secret.txt", "elsewhere/new", "itself", "loop"):
                with pytest.raises(InvalidInput):
                    ask(store, path)


LINKS: dict[str, str] = {
    "out": "../../../elsewhere/secret.txt",
    "to a folder outside": "../../../elsewhere",
    "to a folder inside": "../fine",
    "to nothing": "nowhere.csv",
    "to itself": "link",
    "to another project": "../../inner/data/f.csv",
    "to the tools": "../../.git/config",
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_folder_with_a_symbolic_link_that_is_no_file_of_the_project_is_refused(
    make: Make, kind: str
) -> None:
    store, root = make()
    write(root.parent, "elsewhere/secret.txt")
    write(root, "data/fine/f.csv")
    write(root, "data/raw/f.csv")
    write(root, "inner/project.toml")
    write(root, "inner/data/f.csv")
    write(root, ".git/config")
    (root / "data/raw/link").symlink_to(LINKS[kind])
    for path in ("data/raw", "data/raw/link"):
        with pytest.raises(InvalidInput):
            store.add(path)
    assert_never_added(store, root, "data/raw")


def test_a_path_behind_a_symbolic_link_to_a_folder_is_refused(make: Make) -> None:
    store, root = make()
    write(root, "data/raw/f.csv")
    (root / "other").symlink_to("data")
    for path in ("other", "other/raw", "other/raw/f.csv"):
        with pytest.raises(InvalidInput):
            store.add(path)


def test_what_is_no_file_is_refused(make: Make) -> None:
    store, root = make()
    (root / "empty/deep").mkdir(parents=True)
    write(root, "data/f.csv")
    os.mkfifo(root / "data/pipe")
    for path in ("empty", "data", "data/pipe"):
        with pytest.raises(InvalidInput):
            store.add(path)
    assert_never_added(store, root, "data")


@pytest.mark.parametrize("mark", ["project.toml", ".dvc/config"])
def test_what_another_project_inside_holds_is_refused(
    make: Make, mark: str, subtests: pytest.Subtests
) -> None:
    store, root = make()
    write(root, f"others/inner/{mark}")
    write(root, "others/inner/data/f.csv")
    (root / "link").symlink_to("others/inner/data")
    inside = ("others/inner", "others/inner/data", "others/inner/data/f.csv", "link", "link/f.csv")
    for verb, ask in VERBS.items():
        with subtests.test(verb=verb):
            for path in inside:
                with pytest.raises(InvalidInput):
                    ask(store, path)
    with pytest.raises(InvalidInput):
        store.add("others")


def test_a_repository_is_not_data(make: Make) -> None:
    store, root = make()
    write(root, "data/clone/.git/config")
    write(root, "data/worktree/.git", "gitdir: elsewhere")
    for path in ("data", "data/clone", "data/worktree"):
        with pytest.raises(InvalidInput):
            store.add(path)


def test_what_was_never_added_is_not_found(make: Make, subtests: pytest.Subtests) -> None:
    store, root = make()
    write(root, "data/there.csv")
    for verb, ask in VERBS.items():
        with subtests.test(verb=verb):
            path = "data/missing.csv" if verb == "add" else "data/there.csv"
            with pytest.raises(DataNotFound) as caught:
                ask(store, path)
            assert (caught.value.project, caught.value.path) == ("a", path)


# -- the remote ---------------------------------------------------------------------------------


def test_what_was_pushed_comes_back_byte_identical(make: Make) -> None:
    store, root = make()
    write(root, "data/raw/one.csv", "1" * 1000)
    write(root, "data/raw/two.csv", "2" * 1000)
    write(root, "data/raw/same.csv", "2" * 1000)
    store.add("data/raw")
    sent = store.push()
    assert sent.objects == 3  # two contents, and the listing
    assert sent.size_bytes > 2000
    assert store.push() == DataTransfer(0, 0)
    before = contents(root / "data/raw")
    remove(root, "data/raw")
    drop_cache(root)
    assert store.pull() == sent
    assert contents(root / "data/raw") == before
    assert store.pull() == DataTransfer(0, 0)


def test_push_and_pull_of_one_path_leave_the_others(make: Make) -> None:
    store, root = make()
    for name in ("one", "two"):
        write(root, f"{name}.csv", name)
        store.add(f"{name}.csv")
    assert store.push("one.csv") == DataTransfer(1, 3)
    drop_cache(root)
    remove(root, "one.csv")
    remove(root, "two.csv")
    assert store.pull("one.csv") == DataTransfer(1, 3)
    assert contents(root / "one.csv") == {"": "one"}
    assert not (root / "two.csv").exists()


def test_an_empty_project_has_nothing_to_move(make: Make) -> None:
    store, _ = make()
    assert store.push() == store.pull() == DataTransfer(0, 0)
    assert store.checkout() == []
    assert store.status() == []


def test_what_an_interrupted_push_has_sent_is_not_sent_again(make: Make) -> None:
    store, root = make()
    for name in ("one", "two", "three"):
        write(root, f"data/raw/{name}.csv", name)
    version = store.add("data/raw")
    store.push()
    for digest in ("b8a9f715dbb64fd5c56e7783c6820a61", version.hash):  # as if it had not come to them
        (stored,) = objects(remote_of(root), digest)
        stored.unlink()
    assert store.push().objects == 2
    remove(root, "data/raw")
    drop_cache(root)
    assert store.pull().objects == 4


def test_a_push_of_what_is_nowhere_names_it(make: Make) -> None:
    store, root = make()
    write(root, "one.csv", "1")
    write(root, "two.csv", "2")
    store.add("one.csv")
    store.push()
    store.add("two.csv")
    drop_cache(root)
    with pytest.raises(DataMissing) as caught:
        store.push()
    assert caught.value.files == ["two.csv"]
    assert caught.value.remote == str(remote_of(root))
    assert store.push("one.csv") == DataTransfer(0, 0)


def test_one_lost_file_of_a_folder_is_named_by_push_pull_and_view(make: Make) -> None:
    store, root = make()
    _, second = two_versions(store, root)
    store.push()
    three = "310dcbbf4cce62f762a2aaa148d556bd"
    (stored,) = objects(remote_of(root), three)
    stored.unlink()
    remove(root, "data/raw")
    for cached in objects(root, three):
        cached.unlink()
    for call in (store.push, store.pull, lambda: store.view("data/raw")):
        with pytest.raises(DataMissing) as caught:
            call()
        assert caught.value.files == ["data/raw/three.csv"]
    assert store.version("data/raw") == second
    assert not (root / "data/raw").exists()


def test_a_pull_of_what_was_never_pushed_is_missing(make: Make) -> None:
    store, root = make()
    write(root, "one.csv", "1")
    store.add("one.csv")
    drop_cache(root)
    remove(root, "one.csv")
    for call in (store.pull, lambda: store.view("one.csv")):
        with pytest.raises(DataMissing) as caught:
            call()
        assert caught.value.files == ["one.csv"]
    assert not (root / "one.csv").exists()


@pytest.mark.parametrize("how", ["pull", "view"])
def test_a_damaged_object_of_the_remote_is_named_and_not_taken(make: Make, how: str) -> None:
    store, root = make()
    two_versions(store, root)
    store.push()
    (stored,) = objects(remote_of(root), "310dcbbf4cce62f762a2aaa148d556bd")
    damage(stored)
    remove(root, "data/raw")
    drop_cache(root)
    with pytest.raises(DataCorrupted) as caught:
        VERBS[how](store, "data/raw")
    (named,) = caught.value.files
    assert "data/raw/three.csv" in named
    assert "310dcbbf4cce62f762a2aaa148d556bd" in named
    assert not (root / "data/raw").exists()
    assert not [each for each in objects(root) if each.read_bytes() == b"damaged"]

    damage(stored, "333")
    VERBS[how](store, "data/raw")
    assert contents(store.view("data/raw")[0]) == SECOND


def test_a_damaged_listing_of_the_remote_is_named(make: Make) -> None:
    store, root = make()
    _, second = two_versions(store, root)
    store.push()
    (stored,) = objects(remote_of(root), second.hash)
    damage(stored, "[]")
    remove(root, "data/raw")
    drop_cache(root)
    with pytest.raises(DataCorrupted) as caught:
        store.pull()
    assert second.hash in caught.value.files[0]


def test_pull_mends_a_damaged_cache(make: Make) -> None:
    store, root = make()
    write(root, "f.csv", "fine")
    version = store.add("f.csv")
    store.push()
    remove(root, "f.csv")
    for cached in objects(root, version.hash):
        damage(cached)
    assert store.pull() == DataTransfer(1, 4)
    assert contents(root / "f.csv") == {"": "fine"}


def test_a_remote_that_cannot_be_used_is_told(make: Make) -> None:
    store, root = make()
    write(root, "f.csv", "fine")
    store.add("f.csv")
    shutil.rmtree(remote_of(root), ignore_errors=True)
    write(remote_of(root).parent, remote_of(root).name, "a file")
    with pytest.raises(DataError) as caught:
        store.push()
    assert caught.value.remedy


# -- earlier versions ---------------------------------------------------------------------------


def test_the_hash_of_an_earlier_version_names_it(make: Make) -> None:
    store, root = make()
    first, second = two_versions(store, root)
    for version in (first, second):
        found = store.version("data/raw", version.hash)
        assert (found.hash, found.files, found.size_bytes) == (
            version.hash,
            version.files,
            version.size_bytes,
        )
    assert store.version("data/raw") == second


def test_pull_of_an_earlier_version_brings_it_and_records_it(make: Make) -> None:
    store, root = make()
    first, second = two_versions(store, root)
    store.push()
    store.checkout(first.hash, "data/raw")
    store.push()
    store.checkout(second.hash, "data/raw")
    remove(root, "data/raw")
    drop_cache(root)
    assert store.pull("data/raw", first.hash).objects == 3
    assert contents(root / "data/raw") == FIRST
    assert store.version("data/raw").hash == first.hash
    assert store.version("data/raw").files == 2
    store.pull("data/raw", second.hash)
    assert contents(root / "data/raw") == SECOND
    assert store.version("data/raw").hash == second.hash


def test_checkout_of_an_earlier_version_records_it(make: Make) -> None:
    store, root = make()
    first, second = two_versions(store, root)
    for version, expected in ((first, FIRST), (second, SECOND)):
        (out,) = store.checkout(version.hash, "data/raw")
        assert (out.path, out.hash, out.files, out.size_bytes) == (
            "data/raw",
            version.hash,
            version.files,
            version.size_bytes,
        )
        assert contents(root / "data/raw") == expected
        assert store.version("data/raw").hash == version.hash
        assert [each.state for each in store.status()] == [DataState.UNCHANGED]


@pytest.mark.parametrize("rev", ["", "-v1", "--help", "a..b", "HEAD:../b", "a b", "x^{tree}", "@{1}"])
def test_what_cannot_be_a_revision_is_refused(make: Make, rev: str) -> None:
    store, root = make()
    write(root, "f.csv")
    store.add("f.csv")
    for call in by_revision(store, "f.csv", rev):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == "rev"


def test_a_revision_that_is_not_there_is_not_found(make: Make) -> None:
    store, root = make()
    write(root, "f.csv")
    store.add("f.csv")
    for rev in ("v9.9", "nowhere/branch", "0123abc"):
        for call in by_revision(store, "f.csv", rev):
            with pytest.raises(RevisionNotFound) as caught:
                call()
            assert (caught.value.project, caught.value.rev) == ("a", rev)


@pytest.mark.parametrize("rev", [UNKNOWN, f"{UNKNOWN}.dir"])
def test_a_hash_that_is_nowhere_is_not_found(make: Make, rev: str) -> None:
    store, root = make()
    write(root, "f.csv")
    before = store.add("f.csv")
    with pytest.raises(RevisionNotFound):
        store.version("f.csv", rev)
    for call in by_revision(store, "f.csv", rev):
        with pytest.raises((RevisionNotFound, DataMissing)):
            call()
    assert store.version("f.csv") == before
    assert contents(root / "f.csv") == {"": "x"}


def test_a_hash_needs_its_path(make: Make) -> None:
    store, root = make()
    write(root, "f.csv")
    version = store.add("f.csv")
    for call in (lambda: store.pull(rev=version.hash), lambda: store.checkout(version.hash)):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert caught.value.field == "rev"


def by_revision(store: DataStore, path: str, rev: str) -> list[Callable[[], object]]:
    return [
        lambda: store.version(path, rev),
        lambda: store.view(path, rev),
        lambda: store.pull(path, rev),
        lambda: store.checkout(rev, path),
    ]


# -- the working tree ---------------------------------------------------------------------------


def test_checkout_restores_what_was_deleted(make: Make) -> None:
    store, root = make()
    _, second = two_versions(store, root)
    write(root, "f.csv", "f")
    store.add("f.csv")
    remove(root, "f.csv")
    remove(root, "data/raw/deep")
    assert {each.path: each.hash for each in store.checkout()}["data/raw"] == second.hash
    assert contents(root / "data/raw") == SECOND
    assert contents(root / "f.csv") == {"": "f"}


def test_checkout_of_one_path_leaves_the_others(make: Make) -> None:
    store, root = make()
    for name in ("one", "two"):
        write(root, f"{name}.csv", name)
        store.add(f"{name}.csv")
        remove(root, f"{name}.csv")
    assert [each.path for each in store.checkout(path="one.csv")] == ["one.csv"]
    assert not (root / "two.csv").exists()


UNSAVED: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda root: write(root, "data/raw/one.csv", "mine"), "one.csv"),
    "new": (lambda root: write(root, "data/raw/deep/new.csv", "mine"), "deep/new.csv"),
    "link to a folder": (lambda root: (root / "data/raw/link").symlink_to(root.parent), "link"),
}


@pytest.mark.parametrize("how", ["checkout", "pull"])
@pytest.mark.parametrize("change", UNSAVED)
def test_changes_that_are_in_no_version_are_not_overwritten(make: Make, change: str, how: str) -> None:
    store, root = make()
    write(root, "also.csv", "also")
    store.add("also.csv")
    first, second = two_versions(store, root)
    store.push()
    make_change, file = UNSAVED[change]
    make_change(root)
    remove(root, "also.csv")
    (root / "data/raw/three.csv").unlink()

    call: Any = store.checkout if how == "checkout" else store.pull
    before = contents(root)
    for arguments in ({}, {"path": "data/raw"}, {"path": "data/raw", "rev": first.hash}):
        with pytest.raises(DataModified) as caught:
            call(**arguments)
        assert (caught.value.path, caught.value.files) == ("data/raw", [f"data/raw/{file}"])
        assert contents(root) == before
    assert store.version("data/raw") == second

    call(force=True)
    assert contents(root / "data/raw") == SECOND
    assert not (root / "data/raw/link").is_symlink()
    assert contents(root / "also.csv") == {"": "also"}


def test_a_change_that_a_version_has_may_be_overwritten(make: Make) -> None:
    store, root = make()
    first, _ = two_versions(store, root)
    write(root, "data/raw/one.csv", "1")  # as the first has it
    store.checkout()
    assert contents(root / "data/raw") == SECOND
    store.checkout(first.hash, "data/raw")
    store.checkout(first.hash, "data/raw")
    assert contents(root / "data/raw") == FIRST


def test_no_verb_writes_through_a_link_that_replaced_a_folder(make: Make) -> None:
    store, root = make()
    two_versions(store, root)
    outside = root.parent / "outside"
    write(outside, "two.csv", "precious")
    remove(root, "data/raw/deep")
    (root / "data/raw/deep").symlink_to(outside)
    with pytest.raises(DataModified):
        store.checkout()
    store.checkout(force=True)
    assert contents(root / "data/raw") == SECOND
    assert contents(outside) == {"two.csv": "precious"}


@pytest.mark.parametrize("force", [False, True])
def test_checkout_of_what_the_cache_lacks_touches_nothing(make: Make, force: bool) -> None:
    store, root = make()
    first, second = two_versions(store, root)
    write(root, "data/raw/one.csv", "1")
    store.push()
    drop_cache(root)
    before = contents(root / "data/raw")
    for rev in (None, first.hash):
        with pytest.raises(DataMissing) as caught:
            store.checkout(rev, "data/raw", force=force)
        assert caught.value.remote is None
        assert "mlops:dvc-pull" in caught.value.remedy
    assert contents(root / "data/raw") == before
    assert store.version("data/raw") == second


# -- status -------------------------------------------------------------------------------------


def test_status_counts_what_was_added_modified_and_deleted(make: Make) -> None:
    store, root = make()
    _, second = two_versions(store, root)
    assert store.status() == [DataStatus("data/raw", second.hash, DataState.UNCHANGED)]
    write(root, "data/raw/one.csv", "1")
    write(root, "data/raw/four.csv")
    write(root, "data/raw/deep/five.csv")
    remove(root, "data/raw/deep/two.csv")
    (status,) = store.status("data/raw")
    assert status == DataStatus("data/raw", second.hash, DataState.MODIFIED, added=2, modified=1, deleted=1)
    remove(root, "data/raw")
    (status,) = store.status()
    assert status == DataStatus("data/raw", second.hash, DataState.MISSING, deleted=3)


def test_status_sees_an_edit_that_keeps_the_size(make: Make) -> None:
    store, root = make()
    write(root, "f.csv", "1")
    store.add("f.csv")
    write(root, "f.csv", "2")
    assert [(each.state, each.modified) for each in store.status()] == [(DataState.MODIFIED, 1)]


def test_status_counts_what_the_cache_and_the_remote_lack(make: Make) -> None:
    store, root = make()
    two_versions(store, root)
    (status,) = store.status(remote=True)
    assert (status.state, status.uncached, status.unpushed) == (DataState.UNCHANGED, 0, 3)
    store.push()
    assert store.status(remote=True)[0].unpushed == 0
    assert store.status()[0].unpushed is None
    (stored,) = objects(remote_of(root), "310dcbbf4cce62f762a2aaa148d556bd")
    stored.unlink()
    assert store.status("data/raw", remote=True)[0].unpushed == 1
    for cached in objects(root, "310dcbbf4cce62f762a2aaa148d556bd"):
        cached.unlink()
    (status,) = store.status()
    assert (status.state, status.uncached) == (DataState.UNCHANGED, 1)
    drop_cache(root)
    (status,) = store.status()
    assert (status.state, status.uncached) == (DataState.UNCHANGED, 3)


def test_status_is_of_one_path_or_of_all(make: Make) -> None:
    store, root = make()
    for name in ("one", "two"):
        write(root, f"{name}.csv", name)
        store.add(f"{name}.csv")
    assert {each.path for each in store.status()} == {"one.csv", "two.csv"}
    assert [each.path for each in store.status("two.csv")] == ["two.csv"]


# -- views --------------------------------------------------------------------------------------


def test_a_view_is_exact_and_leaves_the_working_tree(make: Make) -> None:
    store, root = make()
    first, second = two_versions(store, root)
    write(root, "data/raw/one.csv", "being edited")
    before = contents(root / "data/raw")
    place, version = store.view("data/raw")
    assert contents(place) == SECOND
    assert version == second
    assert place.name == "raw"
    assert not place.is_relative_to(root / "data")

    earlier, version = store.view("data/raw", first.hash)
    assert contents(earlier) == FIRST
    assert (version.hash, version.files, version.size_bytes) == (first.hash, 2, 3)
    assert contents(place) == SECOND
    assert contents(root / "data/raw") == before
    assert store.version("data/raw") == second


def test_a_view_of_a_file_is_a_file(make: Make) -> None:
    store, root = make()
    write(root, "data/f.csv", "f")
    version = store.add("data/f.csv")
    place, found = store.view("data/f.csv")
    assert (place.name, contents(place), found) == ("f.csv", {"": "f"}, version)


def test_a_view_is_read_only(make: Make) -> None:
    store, root = make()
    two_versions(store, root)
    place, _ = store.view("data/raw")
    files = [each for each in place.rglob("*") if each.is_file()]
    assert len(files) == 3
    assert not [each for each in files if each.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)]


def test_a_view_is_fetched_when_it_is_absent_and_stays_without_the_cache(make: Make) -> None:
    store, root = make()
    two_versions(store, root)
    store.push()
    drop_cache(root)
    remove(root, "data/raw")
    place, _ = store.view("data/raw")
    assert contents(place) == SECOND
    assert not (root / "data/raw").exists()
    drop_cache(root)
    shutil.rmtree(remote_of(root))
    assert contents(place) == SECOND
    assert store.view("data/raw")[0] == place


TAMPER: dict[str, Callable[[Path], object]] = {
    "changed": lambda place: damage(place / "one.csv"),
    "changed in place": lambda place: write_in_place(place / "one.csv", "tampered"),
    "new": lambda place: (place / "new.csv").write_text("new"),
    "removed": lambda place: (place / "one.csv").unlink(),
    "a file now": lambda place: write(place.rename(place.with_name("aside")).parent, place.name, "a file"),
}


def write_in_place(file: Path, text: str) -> None:
    file.chmod(0o644)
    with file.open("r+") as content:
        content.write(text)


@pytest.mark.parametrize("how", TAMPER)
def test_a_view_that_was_tampered_with_is_mended(make: Make, how: str) -> None:
    store, root = make()
    two_versions(store, root)
    store.push()
    place, _ = store.view("data/raw")
    TAMPER[how](place)
    assert contents(place) != SECOND
    assert store.view("data/raw")[0] == place
    assert contents(place) == SECOND


def test_views_of_two_paths_with_the_same_content_stand_side_by_side(make: Make) -> None:
    store, root = make()
    places = []
    for name in ("one", "two"):
        write(root, f"{name}.csv", "same")
        store.add(f"{name}.csv")
        places.append(store.view(f"{name}.csv")[0])
    assert [contents(place) for place in places] == [{"": "same"}, {"": "same"}]
    assert [place.name for place in places] == ["one.csv", "two.csv"]


# -- beside others ------------------------------------------------------------------------------


def test_two_projects_keep_their_data_apart_in_every_verb(make: Make) -> None:
    a, root_a = make("a")
    b, root_b = make("b")
    write(root_b, "data/f.csv", "of b")
    theirs = b.add("data/f.csv")
    b.push()
    before = contents(root_b), contents(remote_of(root_b))
    write(root_a, "data/f.csv", "of a")
    for verb, call in VERBS.items():
        for path in ("../b/data/f.csv", os.path.relpath(root_b, root_a), str(root_b / "data/f.csv")):
            with pytest.raises(InvalidInput):
                call(a, path)
        if verb != "add":
            with pytest.raises(DataNotFound):
                call(a, "data/f.csv")
    for ask in by_revision(a, "data/f.csv", theirs.hash):  # a hash is no key to another project
        with pytest.raises((RevisionNotFound, DataMissing)):
            ask()
    assert a.status() == []
    assert a.checkout() == []
    assert a.pull() == a.push() == DataTransfer(0, 0)
    assert objects(remote_of(root_a)) == []

    ours = a.add("data/f.csv")
    a.push()
    assert a.view("data/f.csv")[0].read_text() == "of a"
    assert a.view("data/f.csv")[0] != b.view("data/f.csv")[0]
    assert (a.version("data/f.csv").hash, b.version("data/f.csv").hash) == (ours.hash, theirs.hash)
    assert objects(remote_of(root_b), ours.hash) == objects(remote_of(root_a), theirs.hash) == []
    assert (contents(root_b), contents(remote_of(root_b))) == before


def test_threads_and_other_clients_of_the_same_project_all_succeed(make: Make) -> None:
    store, root = make()
    clients = [store, store, make()[0], make()[0]]
    failed: list[Exception] = []
    together = threading.Barrier(len(clients), timeout=60)

    def check() -> list[DataCheck]:
        together.wait()  # then all want to record at once
        return []

    def work(number: int, client: DataStore) -> None:
        try:
            write(root, f"data/f{number}.csv", str(number))
            client.add(f"data/f{number}.csv", check)
            client.push(f"data/f{number}.csv")
            client.view(f"data/f{number}.csv")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=each) for each in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {each.path for each in store.status()} == {f"data/f{number}.csv" for number in range(4)}
    assert {each.unpushed for each in store.status(remote=True)} == {0}
