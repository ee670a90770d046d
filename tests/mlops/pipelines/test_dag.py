"""Pipelines as dvc.yaml and dvc.lock have them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mlops.dashboard.pipelines import draw
from mlops.errors import DataError
from mlops.pipelines.dag import MOST_STAGES, Stage, StageState, has_pipeline, read_pipeline

STAGES: dict[str, Any] = {
    "parse": {"cmd": "parse", "deps": ["raw.csv", "code"], "outs": ["parsed"], "params": ["rows"]},
    "label": {
        "cmd": ["label", "check"],
        "deps": ["parsed/part.csv"],
        "outs": [{"labels": {"persist": True}}],
    },
    "train": {"cmd": "train", "deps": ["labels", "parsed"], "metrics": [{"loss.json": {"cache": False}}]},
}


def entry(path: Path, root: Path) -> dict[str, Any]:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    content = b"".join(each.read_bytes() for each in sorted(files))
    told = {
        "path": str(path.relative_to(root)),
        "md5": hashlib.md5(content).hexdigest(),
        "size": len(content),
    }
    return told if path.is_file() else {**told, "nfiles": len(files)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project all of whose stages ran."""
    for folder in ("code", "parsed", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("raw.csv", "code/parse.py", "parsed/part.csv", "labels/all.csv", "loss.json"):
        (tmp_path / name).write_text(name)
    write(tmp_path, STAGES)
    lock(tmp_path, STAGES)
    return tmp_path


def write(root: Path, stages: dict[str, Any]) -> None:
    (root / "dvc.yaml").write_text(json.dumps({"stages": stages}))


def lock(root: Path, stages: dict[str, Any]) -> None:
    def entries(paths: list[Any]) -> list[dict[str, Any]]:
        names = [each if isinstance(each, str) else next(iter(each)) for each in paths]
        return [entry(root / name, root) for name in names]

    told = {
        name: {
            "deps": entries(stage["deps"]),
            "outs": entries([*stage.get("outs", []), *stage.get("metrics", [])]),
        }
        for name, stage in stages.items()
    }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": told}))


def stages(root: Path) -> dict[str, Stage]:
    found = read_pipeline(root)
    assert found is not None
    return {stage.name: stage for stage in found.stages}


def test_stages_hang_together_by_what_they_take(project: Path) -> None:
    assert has_pipeline(project)
    found = stages(project)
    assert {name: (stage.layer, stage.after) for name, stage in found.items()} == {
        "parse": (0, ()),
        "label": (1, ("parse",)),
        "train": (2, ("label", "parse")),
    }
    assert {stage.state for stage in found.values()} == {StageState.DONE}
    assert found["label"].command == "label && check"
    assert (found["label"].outputs, found["parse"].params) == (("labels",), ("rows",))


def test_what_changed_is_told_with_what_comes_after(project: Path) -> None:
    (project / "parsed/part.csv").write_text("PARSED/part.csv")  # of the same size
    assert stages(project)["label"].why == ("parsed/part.csv changed",)
    (project / "raw.csv").write_text("longer than before")
    found = stages(project)
    assert found["parse"].why == ("raw.csv changed",)
    assert found["train"].state is StageState.CHANGED
    assert "label would run again" in found["train"].why


@pytest.mark.parametrize(
    ("harm", "stage", "why"),
    [(lambda root: (root / "loss.json").unlink(), "train", "loss.json is missing"),
     (lambda root: (root / "code/new.py").write_text("x"), "parse", "code changed"),
     (lambda root: (root / "raw.csv").unlink(), "parse", "raw.csv changed")],
)  # fmt: skip
def test_each_change_has_its_words(project: Path, harm: Any, stage: str, why: str) -> None:
    harm(project)
    assert why in stages(project)[stage].why


def test_made_anew_new_and_never(project: Path) -> None:
    told = json.loads((project / "dvc.lock").read_text())
    told["stages"]["parse"]["outs"][0]["md5"] = "0" * 32
    del told["stages"]["label"]
    (project / "dvc.lock").write_text(json.dumps(told))
    more = {
        **STAGES,
        "parse": {**STAGES["parse"], "deps": ["raw.csv", "code", "more"], "outs": ["parsed", "log"]},
    }
    write(project, more)
    found = stages(project)
    assert found["label"].state is StageState.NEVER
    assert set(found["parse"].why) == {"more is new to it", "log was not made yet"}
    assert "parsed was made anew" in found["train"].why


def test_there_may_be_none_or_a_damaged_one(tmp_path: Path) -> None:
    assert read_pipeline(tmp_path) is None
    assert not has_pipeline(tmp_path)
    for content in ("stages: [", "\tx", "x" * 2_000_001, b"\xff".decode("latin-1")):
        (tmp_path / "dvc.yaml").write_text(content, encoding="latin-1")
        with pytest.raises(DataError):
            read_pipeline(tmp_path)
    (tmp_path / "dvc.yaml").unlink()
    (tmp_path / "dvc.yaml").mkdir()
    with pytest.raises(DataError):
        read_pipeline(tmp_path)
    (tmp_path / "dvc.yaml").rmdir()
    for content in ("", "[]", "stages: 3", "stages: {a: 3}", "stages: {a: {do: 3}}"):
        (tmp_path / "dvc.yaml").write_text(content)
        found = read_pipeline(tmp_path)
        assert found is not None
        assert found.stages == ()


def test_odd_ones_are_told_as_far_as_they_go(tmp_path: Path) -> None:
    circle = {
        "a": {"cmd": "a", "deps": ["b"], "outs": ["a"]},
        "b": {"cmd": "b", "deps": ["a"], "outs": ["b"]},
    }
    outside = {"c": {"foreach": [1, 2], "do": {"cmd": "c", "deps": ["../../etc/passwd", "/etc/passwd", {}]}}}
    write(tmp_path, {**circle, **outside})
    (tmp_path / "dvc.lock").write_text(json.dumps({"stages": {"c": {"deps": [{"path": "/etc/passwd"}, 3]}}}))
    found = stages(tmp_path)
    assert set(found) == {"a", "b", "c"}
    assert "/etc/passwd changed" in found["c"].why, "nothing outside is looked at"
    write(tmp_path, {str(number): {"cmd": "x"} for number in range(MOST_STAGES + 5)})
    many = read_pipeline(tmp_path)
    assert many is not None
    assert (len(many.stages), many.left_out) == (MOST_STAGES, 5)


def test_it_is_drawn_in_columns(project: Path) -> None:
    found = read_pipeline(project)
    assert found is not None
    drawn = draw(found, str(project))
    assert len({box.x for box in drawn.boxes}) == 3
    assert len(drawn.lines) == 3
    assert sorted((x2 - x1, bend > 0) for x1, _, x2, _, bend in drawn.lines) == [(56, 0), (56, 0), (288, 1)]
