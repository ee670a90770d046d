"""From a folder of logs to tables, labels and folds, by function, by command and by `dvc repro`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from drilling.errors import InvalidConfig, NoLogs
from drilling.folds import read_folds
from drilling.labeling import KEY_POINTS, LabelStore
from drilling.labeling.label import Label, digest_of
from drilling.labeling.queue import read_queue
from drilling.setitec import read_logs, read_tables
from drilling.stages import LABELS, QUEUE, label_holes, parse_folder, split_holes, write_figures
from drilling.synthetic import write_folder

PROJECT = Path(__file__).parents[2] / "projects" / "drilling"
HOLES = 40


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory, synthetic_folder: Path) -> Path:
    """The forty holes and a file without a signal, parsed."""
    raw = tmp_path_factory.mktemp("stages") / "raw"
    shutil.copytree(synthetic_folder, raw)
    (raw / "broken.xls").write_text("nothing")
    report, checked = parse_folder(raw, raw.parent / "parsed", progress=False)
    assert (report.files, report.read, report.unreadable) == (HOLES + 1, HOLES, ("broken.xls",))
    assert report.synthetic
    assert len(checked.files) == HOLES + 1
    return raw.parent / "parsed"


@pytest.fixture(scope="module")
def labels(parsed: Path) -> Path:
    label_holes(parsed, parsed.parent / "labels", progress=False)
    return parsed.parent / "labels"


def test_the_tables_give_back_the_logs_that_were_read(parsed: Path) -> None:
    read = list(read_logs(parsed.parent / "raw", progress=False))
    stored = list(read_tables(parsed))
    assert [log.source for log in stored] == [Path(log.source).name for log in read]
    for log, again in zip(read, stored, strict=True):
        assert again.signals.equals(log.signals)
        assert again.header == log.header
        assert again.results == log.results
        assert again.problems == log.problems
        assert again.recorded_at == log.recorded_at
        assert again.program.columns == log.program.columns


def test_each_hole_gets_its_automatic_label(labels: Path, parsed: Path) -> None:
    table = pl.read_parquet(labels / LABELS)
    assert table.height == HOLES
    assert set(table["source"]) == {"automatic"}
    assert table["at"].null_count() == HOLES
    digests = {path.name: digest_of(path) for path in (parsed.parent / "raw").glob("TAG*.xls")}
    assert dict(table.select("file", "log_digest").iter_rows()) == digests
    queued = {item.file for item in read_queue(labels / QUEUE)}
    unsure = set(table.filter(pl.col("confidence") < 0.8)["file"])
    assert queued == unsure


def test_the_truth_of_synthetic_holes_measures_the_method(parsed: Path, tmp_path: Path) -> None:
    report, confidences = label_holes(parsed, tmp_path, progress=False)
    assert report.errors["auto_entry_mae_mm"] < 0.1
    assert report.errors["auto_answered"] > 0.95
    assert confidences["holes"].sum() <= HOLES


def test_a_persons_label_stands_in_place_of_the_automatic_one(
    parsed: Path, labels: Path, tmp_path: Path
) -> None:
    automatic = pl.read_parquet(labels / LABELS)
    file = automatic["file"][0]
    mine = Label(
        file, 1.0, 2.0, 3.0, 10, 20, 30, "human", "by eye", None, "Ada", datetime(2026, 1, 2, tzinfo=UTC),
        "gui 1", None, "0" * 64,
    )  # fmt: skip
    LabelStore(tmp_path / "annotations").record(mine)
    report, _ = label_holes(parsed, tmp_path / "out", annotations=tmp_path / "annotations", progress=False)
    assert report.human == 1
    row = pl.read_parquet(tmp_path / "out" / LABELS).row(0, named=True)
    assert [row[name] for name in KEY_POINTS] == [1.0, 2.0, 3.0]
    assert (row["by"], row["tool_version"], row["stale"]) == ("Ada", "gui 1", True)
    assert row["at"] == "2026-01-02T00:00:00+00:00"
    assert LabelStore(tmp_path / "annotations").current(file) == mine


def test_the_same_input_gives_the_same_bytes(parsed: Path, labels: Path, tmp_path: Path) -> None:
    label_holes(parsed, tmp_path, progress=False)
    for name in (LABELS, QUEUE):
        assert (tmp_path / name).read_bytes() == (labels / name).read_bytes()


def test_labelled_holes_are_split_by_tool_head_and_panel(parsed: Path, labels: Path, tmp_path: Path) -> None:
    report, plan = split_holes(parsed, labels, tmp_path / "folds.json")
    assert report.folds == 24
    assert report.warning is None
    stored = read_folds(tmp_path / "folds.json")
    assert stored.names == plan.names
    labelled = pl.read_parquet(labels / LABELS).filter(pl.col("entry_mm").is_not_null())["file"]
    assert sorted(stored.names) == sorted(labelled)


def test_figures_are_numbers_for_dvc(parsed: Path, labels: Path, tmp_path: Path) -> None:
    report, _ = split_holes(parsed, labels, tmp_path / "folds.json")
    write_figures(tmp_path / "reports" / "splitting.json", report)
    values = json.loads((tmp_path / "reports" / "splitting.json").read_text())
    assert values["folds"] == 24
    assert "warning" not in values


def test_refusals(parsed: Path, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(NoLogs):
        parse_folder(tmp_path, tmp_path / "out", progress=False)
    with pytest.raises(NoLogs):
        label_holes(tmp_path, tmp_path / "out", progress=False)
    with pytest.raises(NoLogs):
        split_holes(tmp_path, labels, tmp_path / "folds.json")
    with pytest.raises(InvalidConfig, match="run drilling:label first"):
        split_holes(parsed, tmp_path, tmp_path / "folds.json")
    with pytest.raises(InvalidConfig, match="method 'guess'"):
        label_holes(parsed, tmp_path / "out", method="guess", progress=False)  # type: ignore[arg-type]
    assert not (tmp_path / "folds.json").exists()


def test_dvc_repro_reruns_only_what_changed(tmp_path: Path) -> None:
    project = _project(tmp_path)
    first = _repro(project)
    assert "Running stage 'setitec_parsing'" in first
    assert "Running stage 'cv_splitting'" in first
    again = _repro(project)
    assert "Running stage" not in again
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("folds: 24", "folds: 5"))
    third = _repro(project)
    assert "Running stage 'cv_splitting'" in third
    assert "Running stage 'setitec_parsing'" not in third
    assert "Running stage 'hybrid_labeling'" not in third
    assert json.loads((project / "reports" / "splitting.json").read_text())["folds"] == 5
    metrics = json.loads(_dvc(project, "metrics", "show", "--json"))
    assert metrics[""]["data"]["reports/labeling.json"]["data"]["holes"] == HOLES


def _project(tmp_path: Path) -> Path:
    """The drilling project's pipeline with forty holes, in a folder of its own."""
    project = tmp_path / "drilling"
    project.mkdir()
    for name in ("dvc.yaml", "params.yaml", "project.toml"):
        shutil.copyfile(PROJECT / name, project / name)
    shutil.copytree(PROJECT / "drilling", project / "drilling", ignore=shutil.ignore_patterns("__pycache__"))
    write_folder(project / "data" / "raw", holes=HOLES, seed=3, progress=False)
    _dvc(project, "init", "--no-scm", "--quiet")
    _dvc(project, "config", "core.analytics", "false")
    return project


def _repro(project: Path) -> str:
    # Training reads the installed project's data, through the services: tests/stack does that.
    return _dvc(project, "repro", "cv_splitting")


def _dvc(project: Path, *arguments: str) -> str:
    binaries = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
