"""A project's expectations on its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.data.checks import check_data
from mlops.entities import DataCheck
from mlops.errors import ConfigError, DataChecksFailed
from mlops.project import Project


def project(root: Path, name: str = "p", **checks: str) -> Project:
    return Project(name, name, root, data_checks=checks)


def module(root: Path, name: str, body: str) -> None:
    root.mkdir(exist_ok=True)
    (root / f"{name}.py").write_text("from mlops import DataCheck\n" + body)


COUNT = """
def count(path):
    return DataCheck("count", len(list(path.iterdir())) < 3, f"{path.name}: {len(list(path.iterdir()))}")
"""


def test_what_is_declared_for_the_path_runs_and_its_results_come_back(tmp_path: Path) -> None:
    module(tmp_path, "checks_one", COUNT)
    (tmp_path / "raw").mkdir()
    assert check_data(project(tmp_path, raw="checks_one:count"), "raw") == [
        DataCheck("count", passed=True, detail="raw: 0")
    ]


def test_a_batch_meets_the_checks_of_what_is_above_it_and_a_folder_those_of_what_is_below(
    tmp_path: Path,
) -> None:
    module(tmp_path, "checks_two", COUNT)
    (tmp_path / "data/raw/batch").mkdir(parents=True)
    declared = project(tmp_path, **{"data/raw": "checks_two:count"})
    assert [each.detail for each in check_data(declared, "data/raw/batch")] == ["batch: 0"]
    assert [each.detail for each in check_data(declared, "data")] == ["raw: 1"]
    assert check_data(declared, "data/rawer") == []


def test_what_fails_is_refused_by_name_unless_it_may_fail(tmp_path: Path) -> None:
    module(tmp_path, "checks_three", COUNT)
    for name in "abc":
        (tmp_path / "raw" / name).mkdir(parents=True)
    declared = project(tmp_path, raw="checks_three:count")
    with pytest.raises(DataChecksFailed, match="count: raw: 3") as caught:
        check_data(declared, "raw")
    assert caught.value.fields["failed"] == ["count: raw: 3"]
    assert "allow-failed-checks" in caught.value.remedy
    assert [each.passed for each in check_data(declared, "raw", allow_failed=True)] == [False]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("def look(path):\n    raise ValueError('odd')\n", "raised ValueError: odd (checks_bad.py:3)"),
        ("def look(path):\n    return []\n", "returned no DataCheck: it must return at least one"),
        ("def look(path):\n    return True\n", "returned no DataCheck: it must return at least one"),
        ("def look(path):\n    yield 'fine'\n", "returned no DataCheck: it must return at least one"),
    ],
    ids=["raises", "nothing", "a bool", "texts"],
)
def test_a_check_that_says_nothing_has_failed(tmp_path: Path, body: str, detail: str) -> None:
    module(tmp_path, "checks_bad", body)
    (tmp_path / "raw").mkdir()
    (result,) = check_data(project(tmp_path, raw="checks_bad:look"), "raw", allow_failed=True)
    assert (result.name, result.passed, result.detail) == ("checks_bad:look", False, detail)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("no_such_module_here:look", "cannot be imported: ModuleNotFoundError"),
        ("checks_four:missing", "cannot be imported: AttributeError"),
        ("checks_four:NUMBER", "is no function"),
    ],
)
def test_what_cannot_be_called_is_a_named_error(tmp_path: Path, call: str, problem: str) -> None:
    module(tmp_path, "checks_four", "NUMBER = 3\n")
    (tmp_path / "raw").mkdir()
    with pytest.raises(ConfigError, match=problem) as caught:
        check_data(project(tmp_path, raw=call), "raw")
    assert caught.value.fields["check"] == call


def test_modules_of_one_name_in_two_projects_are_each_ones_own_and_as_they_are_now(tmp_path: Path) -> None:
    for name in ("a", "b"):
        module(tmp_path / name, "expectations", f"def look(path):\n    return DataCheck('{name}', True)\n")
        (tmp_path / name / "raw").mkdir()
    own = [project(tmp_path / name, name, raw="expectations:look") for name in ("a", "b")]
    assert [check_data(each, "raw")[0].name for each in own] == ["a", "b"]
    module(tmp_path / "a", "expectations", "def look(path):\n    return DataCheck('edited', True)\n")
    assert check_data(own[0], "raw")[0].name == "edited"


def test_what_checks_import_of_their_projects_folder_is_ones_own_too(tmp_path: Path) -> None:
    for name in ("a", "b"):
        module(tmp_path / name, "own_limits", f"NAME = '{name}'\n")
        module(
            tmp_path / name,
            "own_checks",
            "import own_limits\n\n\ndef look(path):\n    import own_limits as late\n\n"
            "    return DataCheck(own_limits.NAME + late.NAME, True)\n",
        )
        (tmp_path / name / "raw").mkdir()
    own = [project(tmp_path / name, name, raw="own_checks:look") for name in ("a", "b")]
    assert [check_data(each, "raw")[0].name for each in own] == ["aa", "bb"]
