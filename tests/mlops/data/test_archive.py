"""A folder of very many files as one."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from mlops.data.archive import pack
from mlops.entities import DataCheck
from mlops.errors import DataChanging, DataNotFound, InvalidInput


def folder(root: Path, times: int = 0) -> Path:
    for name in ("b", "a", "deep/c"):
        file = root / "data/raw" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        os.utime(file, (times, times))
    return root / "data/raw"


def test_it_holds_the_files_below_the_folders_name(tmp_path: Path) -> None:
    folder(tmp_path)
    seen: list[DataCheck] = [DataCheck("few files", passed=True)]
    assert pack("p", tmp_path, "data/raw", lambda: seen) == ("data/raw.tar", tuple(seen))
    with tarfile.open(tmp_path / "data/raw.tar") as archive:
        assert archive.getnames() == ["raw/a", "raw/b", "raw/deep/c"]
        archive.extractall(tmp_path / "out", filter="data")
    assert (tmp_path / "out/raw/deep/c").read_text() == "deep/c"


def test_the_same_content_is_the_same_archive(tmp_path: Path) -> None:
    folder(tmp_path, times=1)
    pack("p", tmp_path, "data/raw")
    first = (tmp_path / "data/raw.tar").read_bytes()
    (tmp_path / "data/raw.tar.dvc").touch()  # it is a version
    folder(tmp_path, times=2_000_000_000)
    (tmp_path / "data/raw/a").chmod(0o600)
    pack("p", tmp_path, "data/raw")
    assert (tmp_path / "data/raw.tar").read_bytes() == first


def test_an_archive_of_ones_own_is_not_overwritten(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "data/raw.tar").write_text("mine")
    with pytest.raises(InvalidInput, match=r"data/raw\.tar, which is no version"):
        pack("p", tmp_path, "data/raw")
    assert (tmp_path / "data/raw.tar").read_text() == "mine"


def test_what_changes_after_its_check_is_not_archived(tmp_path: Path) -> None:
    file = folder(tmp_path) / "a"

    def check() -> list[DataCheck]:
        file.write_text("other than was checked")
        return []

    with pytest.raises(DataChanging):
        pack("p", tmp_path, "data/raw", check)
    assert not list(tmp_path.rglob("*.tar*"))


def test_what_is_no_folder_of_the_project_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "data/empty").mkdir()
    for path, error in (
        ("data/raw/a", InvalidInput),
        ("data/empty", InvalidInput),
        ("../raw", InvalidInput),
        ("data/none", DataNotFound),
    ):
        with pytest.raises(error):
            pack("p", tmp_path, path)
    assert not list(tmp_path.rglob("*.tar*"))


@pytest.mark.skipif(not hasattr(__import__("fcntl"), "F_SETLEASE"), reason="only Linux tells who writes")
def test_a_file_that_is_being_written_is_named(tmp_path: Path) -> None:
    with (folder(tmp_path) / "a").open("a"), pytest.raises(DataChanging) as caught:
        pack("p", tmp_path, "data/raw")
    assert caught.value.fields["file"] == "data/raw/a"
    assert not list(tmp_path.rglob("*.tar*"))
