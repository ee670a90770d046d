"""What a .dvc file records, and what it keeps of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mlops.data import record
from mlops.data.dvc.store import DvcStore
from mlops.entities import DataCheck, DataVersion
from mlops.errors import DataError

HASH = "5d41402abc4b2a76b9719d911017c592"
FILE = f"outs:\n- md5: {HASH}\n  size: 5\n  hash: md5\n  path: f.csv\n"
FOLDER = f"outs:\n- md5: {HASH}.dir\n  size: 12\n  nfiles: 3\n  hash: md5\n  path: raw\n"
CHECKS = (DataCheck("rows", passed=True), DataCheck("units: °C", passed=False, detail="depth < 0\n- x: y"))


def version(path: str, hash: str, size: int, files: int, checks: tuple[DataCheck, ...] = ()) -> DataVersion:
    return DataVersion("a", path, hash, size, files, None, False, "", checks)


def read(root: Path, path: str, content: str | bytes) -> DataVersion | None:
    file = root / f"{path}.dvc"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return record.read("a", root, path)


def test_the_record_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    assert read(tmp_path, "data/f.csv", FILE) == version("data/f.csv", HASH, 5, 1)
    assert read(tmp_path, "data/raw", FOLDER) == version("data/raw", f"{HASH}.dir", 12, 3)


def test_what_dvc_wrote_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    store = DvcStore(project="a", root=tmp_path, remote=str(tmp_path / "remote"))
    store.prepare()
    (tmp_path / "f.csv").write_text("hello")
    added = store.add("f.csv", lambda: CHECKS)
    assert record.read("a", tmp_path, "f.csv") == version("f.csv", HASH, 5, 1, CHECKS)
    assert (added.hash, added.checks) == (HASH, CHECKS)


def test_where_there_is_no_record_there_is_none(tmp_path: Path) -> None:
    assert record.read("a", tmp_path, "f.csv") is None
    assert record.read("a", tmp_path, "no/folder/f.csv") is None


@pytest.mark.parametrize(
    "more",
    [
        FILE.replace("path: f.csv", "path: other.csv"),
        FILE.replace("path: f.csv", "path: ../f.csv"),
        "wdir: ..\n" + FILE,
        "deps:\n- path: elsewhere.csv\n" + FILE,
        FILE + "  remote: other\n",
        FILE + "  cache: false\n",
        FILE + "- path: second.csv\n",
        FILE.replace("  hash: md5\n", ""),  # of DVC 2
        FILE.replace(HASH, "../../etc/passwd"),
    ],
)
def test_a_record_that_is_not_of_the_file_beside_it_is_left_to_dvc(tmp_path: Path, more: str) -> None:
    assert read(tmp_path, "f.csv", more) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "outs: 3",
        "outs: []",
        "outs:\n- path: f.csv\n",
        "outs:\n- 3\n",
        f"outs:\n- md5: {HASH}\n",
        FILE.replace("size: 5", "size: many"),
        FILE.replace("size: 5", "size: [5]"),
        FILE + "meta: 3\n",
        "outs: [",
        "a: b: c",
        b"outs: \xff\xfe",
        "!!python/object/apply:os.system ['false']",
    ],
)
def test_a_damaged_record_is_named_with_the_way_out(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(DataError, match="damaged") as caught:
        read(tmp_path, "f.csv", content)
    assert str(tmp_path / "f.csv.dvc") in caught.value.message
    assert caught.value.remedy
    assert caught.value.path == "f.csv"


def test_checks_are_kept_and_come_back(tmp_path: Path) -> None:
    meta = record.with_checks(None, CHECKS)
    found = read(tmp_path, "f.csv", FILE + yaml.safe_dump({"meta": meta}))
    assert found == version("f.csv", HASH, 5, 1, CHECKS)


def test_checks_take_the_place_of_earlier_ones_and_leave_what_others_keep() -> None:
    before = {"owner": "Ann", record.META: {"checks": [{"name": "old", "passed": True}]}}
    meta = record.with_checks(before, CHECKS)
    assert meta is not None
    assert meta["owner"] == "Ann"
    assert record.checks_of(meta[record.META]) == CHECKS
    assert record.with_checks(before, ()) == {"owner": "Ann"}
    assert record.with_checks({record.META: {}}, ()) is None
    assert record.with_checks(None, ()) is None
    assert before["owner"] == "Ann"
    assert record.META in before


@pytest.mark.parametrize(
    "meta",
    [
        None,
        3,
        "x",
        [],
        {},
        {"checks": None},
        {"checks": "x"},
        {"checks": [3, None, {}, {"name": "x"}, {"passed": 1}]},
    ],
)
def test_what_is_in_no_shape_of_ours_is_left_out(meta: object) -> None:
    assert record.checks_of(meta) == ()


def test_a_check_has_passed_only_when_it_says_so() -> None:
    meta = {"checks": [{"name": 1, "passed": "yes"}, {"name": "b", "passed": True, "detail": 3}]}
    assert record.checks_of(meta) == (DataCheck("1", passed=False), DataCheck("b", passed=True, detail="3"))
