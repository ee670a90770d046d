"""What is seen of files that are about to be added."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlops.data.survey import MANY_FILES, Survey, differs, open_for_writing, survey
from mlops.entities import DataVersion
from mlops.errors import DataChanging, DataError, DataNotFound, InvalidInput

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells that a file is open for writing")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "a"
    (folder / "data/raw/deep").mkdir(parents=True)
    (folder / "data/raw/one.csv").write_text("1")
    (folder / "data/raw/deep/two.csv").write_text("22")
    return folder


def look(root: Path, path: str = "data/raw") -> Survey:
    return survey("a", root, path)


# -- looking ------------------------------------------------------------------------------------


def test_a_survey_names_files_and_their_sizes(root: Path) -> None:
    found = look(root)
    assert (found.project, found.root, found.path) == ("a", root, "data/raw")
    assert {name: stat[0] for name, stat in found.files.items()} == {
        "data/raw/one.csv": 1,
        "data/raw/deep/two.csv": 2,
    }
    assert found.size_bytes == 3
    assert list(look(root, "data/raw/one.csv").files) == ["data/raw/one.csv"]


def test_what_is_not_there_is_not_found(root: Path) -> None:
    for path in ("nothing", "data/raw/one.csv/below"):
        with pytest.raises(DataNotFound) as caught:
            look(root, path)
        assert (caught.value.project, caught.value.path) == ("a", path)


def refused(root: Path, path: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        look(root, path)
    assert caught.value.field == "path"
    assert caught.value.remedy


def test_folders_without_files_and_what_is_no_file_are_refused(root: Path) -> None:
    (root / "empty/deep").mkdir(parents=True)
    refused(root, "empty", "without files")
    os.mkfifo(root / "data/raw/pipe")
    refused(root, "data/raw/pipe", "neither a file nor a folder")
    refused(root, "data", "neither a file nor a folder")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("../../../secret.csv", "out of the project"),
        ("../..", "to a folder"),
        ("deep", "to a folder"),
        ("nowhere.csv", "to nothing"),
        ("link", "to nothing"),
        ("../../inner/f.csv", "another project's"),
        ("../../.dvc/config.local", "belongs to the tools"),
    ],
)
def test_symbolic_links_to_anything_but_a_file_of_the_project_are_refused(
    root: Path, target: str, problem: str
) -> None:
    for file in ("../secret.csv", "inner/project.toml", "inner/f.csv", ".dvc/config.local"):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text("secret")
    (root / "data/raw/link").symlink_to(target)
    refused(root, "data/raw", problem)
    refused(root, "data/raw/link", problem)


def test_a_symbolic_link_to_a_file_of_the_project_is_seen_as_the_file(root: Path) -> None:
    (root / "code.txt").write_text("four")
    (root / "data/raw/link").symlink_to("../../code.txt")
    assert look(root).files["data/raw/link"][0] == 4
    assert look(root, "data/raw/link").size_bytes == 4


def test_what_lies_behind_a_symbolic_link_to_a_folder_is_refused(root: Path) -> None:
    (root / "link").symlink_to("data")
    for path in ("link", "link/raw", "link/raw/one.csv"):
        refused(root, path, "to a folder")


@pytest.mark.parametrize("mark", [".git/config", ".git", ".dvc/config", "project.toml", ".mlops-data/x"])
def test_a_folder_that_holds_a_repository_or_another_project_is_refused(root: Path, mark: str) -> None:
    file = root / "data/raw/inner" / mark
    file.parent.mkdir(parents=True)
    file.write_text("")
    refused(root, "data", "repository or to another project")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(root: Path) -> None:
    (root / "data/raw/deep").chmod(0)
    with pytest.raises(DataError, match="cannot be read") as caught:
        look(root)
    (root / "data/raw/deep").chmod(0o700)
    assert caught.value.remedy


# -- what changes meanwhile ---------------------------------------------------------------------


def grow(root: Path) -> None:
    with (root / "data/raw/one.csv").open("a") as file:
        file.write("more")


def rewrite(root: Path) -> None:
    (root / "data/raw/one.csv").write_text("2")  # as long as before


def exchange(root: Path) -> None:
    """Another file of the same size and time."""
    file = root / "data/raw/one.csv"
    before = file.stat()
    other = root / "other"
    other.write_text("2")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "grown": (grow, ["one.csv"]),
    "rewritten": (rewrite, ["one.csv"]),
    "exchanged": (exchange, ["one.csv"]),
    "new": (lambda root: (root / "data/raw/deep/new.csv").write_text("x"), ["deep/new.csv"]),
    "removed": (lambda root: (root / "data/raw/one.csv").unlink(), ["one.csv"]),
    "renamed": (
        lambda root: (root / "data/raw/one.csv").rename(root / "data/raw/won.csv"),
        ["one.csv", "won.csv"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_since_is_named(root: Path, change: str) -> None:
    found = look(root)
    assert found.changed() == []
    found.check_unchanged()
    make, expected = CHANGES[change]
    make(root)
    assert found.changed() == [f"data/raw/{name}" for name in expected]
    with pytest.raises(DataChanging, match="changed meanwhile") as caught:
        found.check_unchanged()
    assert caught.value.file == f"data/raw/{expected[0]}"
    assert (caught.value.project, caught.value.path) == ("a", "data/raw")


def test_a_single_file_that_changes_or_goes_is_named(root: Path) -> None:
    found = look(root, "data/raw/one.csv")
    grow(root)
    assert found.changed() == ["data/raw/one.csv"]
    (root / "data/raw/one.csv").unlink()
    assert found.changed() == ["data/raw/one.csv"]


def test_what_is_read_or_beside_is_no_change(root: Path) -> None:
    found = look(root)
    (root / "data/raw/one.csv").read_text()
    (root / "data/raw/one.csv").chmod(0o444)
    (root / "data/beside.csv").write_text("x")
    found.check_unchanged()


# -- what is open -------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("mode", ["r+b", "ab"])
def test_a_file_open_for_writing_is_seen(root: Path, mode: str) -> None:
    file = root / "data/raw/deep/two.csv"
    assert not open_for_writing(file)
    found = look(root)
    found.check_quiet()
    with file.open(mode):
        assert open_for_writing(file)
        with pytest.raises(DataChanging, match="open for writing") as caught:
            found.check_quiet()
        assert caught.value.file == "data/raw/deep/two.csv"
    assert not open_for_writing(file)
    found.check_quiet()


@linux
def test_a_file_mapped_for_writing_is_seen(root: Path) -> None:
    file = root / "data/raw/one.csv"
    with file.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 0)
    assert open_for_writing(file)
    mapped.close()
    assert not open_for_writing(file)


def test_a_file_open_for_reading_is_quiet(root: Path) -> None:
    with (root / "data/raw/one.csv").open():
        look(root).check_quiet()


def test_what_cannot_be_opened_is_quiet(root: Path) -> None:
    assert not open_for_writing(root / "nothing")
    os.mkfifo(root / "pipe")
    assert not open_for_writing(root / "pipe")


def test_asking_whether_files_are_open_keeps_none_open(root: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        look(root).check_quiet()
    assert len(list(Path("/dev/fd").iterdir())) <= before


# -- against a version --------------------------------------------------------------------------


def test_other_files_or_another_size_differ_from_a_version(root: Path) -> None:
    version = DataVersion("a", "data/raw", "0" * 32 + ".dir", 3, 2, None, False, "")
    assert not differs(root, version)
    assert differs(root, replace(version, files=3))
    assert differs(root, replace(version, size_bytes=4))
    assert differs(root, replace(version, path="data/nothing"))
    rewrite(root)
    assert not differs(root, version)  # as long as before
    grow(root)
    assert differs(root, version)
    single = DataVersion("a", "data/raw/deep/two.csv", "0" * 32, 2, 1, None, False, "")
    assert not differs(root, single)
    (root / "data/raw/deep/two.csv").unlink()
    assert differs(root, single)


def test_very_many_files_are_not_looked_at(root: Path) -> None:
    version = DataVersion("a", "data/raw", "0" * 32 + ".dir", 3, MANY_FILES + 1, None, False, "")
    assert not differs(root, version)
