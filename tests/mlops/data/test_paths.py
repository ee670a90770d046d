"""Which paths are data of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.data.paths import TOOLS, check_path
from mlops.errors import InvalidInput


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "a"
    (folder / "data/raw").mkdir(parents=True)
    (folder / "project.toml").write_text("")  # its own
    (folder / ".dvc").mkdir()
    (folder / "data/f.csv").write_text("x")
    return folder


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("data", "data"),
        ("data/", "data"),
        ("./data//raw/../f.csv", "data/f.csv"),
        ("not/there/yet.csv", "not/there/yet.csv"),
        ("data/f.csv/below", "data/f.csv/below"),
        ("Größe in m.csv", "Größe in m.csv"),
        ("a:b", "a:b"),
        (".hidden/f", ".hidden/f"),
        ("data/dvc.git/x-1", "data/dvc.git/x-1"),
        ("..data", "..data"),
    ],
)
def test_a_path_inside_is_returned_in_plain_form(root: Path, given: str, plain: str) -> None:
    assert check_path(root, given) == plain


def refused(root: Path, path: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as caught:
        check_path(root, path)
    assert caught.value.field == "path"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "not a path's name"),
        ("a\0b", "not a path's name"),
        ("a\nb", "not a path's name"),
        ("\x1b[31m", "not a path's name"),
        ("-f", "option"),
        ("--help", "option"),
        ("data/-rf", "option"),
        ("data/--x/f", "option"),
        ("s3://bucket/f", "URL"),
        ("data/http://x", "URL"),
        ("/etc/hostname", "absolute"),
        (".", "not inside"),
        ("./", "not inside"),
        ("data/..", "not inside"),
        ("..", "not inside"),
        ("../a/data", "not inside"),
        ("data/../../b", "not inside"),
        ("n" * 300, "cannot be looked up"),
        ("x\ud800", "cannot be looked up"),
    ],
)
def test_what_is_no_path_inside_is_refused(root: Path, path: str, problem: str) -> None:
    refused(root, path, problem)


@pytest.mark.parametrize("tool", TOOLS)
def test_what_the_tools_keep_is_refused(root: Path, tool: str) -> None:
    for path in (tool, f"{tool}/config", f"data/{tool}", f"data/{tool}/x"):
        refused(root, path, "belongs to the tools")


@pytest.mark.parametrize("mark", ["project.toml", ".dvc/config"])
def test_what_is_inside_another_project_is_refused(root: Path, mark: str) -> None:
    inner = root / "others/inner"
    (inner / mark).parent.mkdir(parents=True)
    (inner / mark).write_text("")
    (root / "link").symlink_to(inner / "data")
    for path in ("others/inner", "others/inner/data", "others/inner/data/deep/f.csv", "link", "link/f.csv"):
        refused(root, path, "another project's")
    assert check_path(root, "others") == "others"


def test_a_symbolic_link_out_or_to_the_folder_itself_is_refused(root: Path) -> None:
    (root / "out").symlink_to(root.parent)
    (root / "up").symlink_to("../b")
    (root / "self").symlink_to(".")
    (root / "data/dangling").symlink_to("/nowhere")
    for path in ("out", "out/x", "up", "up/f", "self", "data/dangling"):
        refused(root, path, "symbolic link")
    refused(root, "out/a/data", "another project's")
    (root / "loop").symlink_to("loop")
    refused(root, "loop", "cannot be looked up")


def test_a_symbolic_link_to_the_tools_is_refused(root: Path) -> None:
    (root / "data/link").symlink_to("../.dvc/config.local")
    (root / "tools").symlink_to(".dvc")
    for path in ("data/link", "tools", "tools/config.local"):
        refused(root, path, "belongs to the tools|another project's")


def test_a_symbolic_link_inside_is_taken_and_so_is_a_root_behind_one(root: Path) -> None:
    (root / "link").symlink_to("data")
    assert check_path(root, "link/f.csv") == "link/f.csv"
    (root.parent / "other").symlink_to(root)
    assert check_path(root.parent / "other", "data/f.csv") == "data/f.csv"
