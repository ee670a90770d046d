"""Reading whole, well-formed logs and folders of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drilling.errors import LogUnreadable, NoLogs
from drilling.setitec import folder, read_log, read_logs
from drilling.synthetic import make_hole

COMMON = [
    "index", "step_time_s", "position_mm", "torque_a", "thrust_a", "torque_empty_a", "thrust_empty_a",
    "step", "stop_code",
]  # fmt: skip


@pytest.fixture(scope="module")
def version_4() -> bytes:
    return make_hole(0, holes=40, seed=7).content


@pytest.fixture(scope="module")
def version_9() -> bytes:
    return make_hole(20, holes=40, seed=7).content


def test_version_4_gives_every_section(version_4: bytes) -> None:
    log = read_log(version_4)
    assert log.version == 4
    assert log.sample_rate_hz == 100.0
    assert log.recorded_at == datetime(2025, 3, 3, 6)
    assert log.field("Control Box Datas", "BOX SN") == "SN00000"
    assert log.field("Control Box Datas", "BOX Lub Pump Coef.") == "1.000"
    assert log.field("Pset", "Pset n°") == "1,000"
    assert log.field("Head Datas", "Customer Info") == "SYNTHETIC DATA"
    assert log.field("Head Datas", "no such name") == ""
    assert log.program.columns[:6] == [
        "step_nb",
        "step_on_off",
        "stroke_mm",
        "rpm",
        "feed_mm_s",
        "feed_mm_rev",
    ]
    assert log.program.width == 22
    assert set(log.results) == {"cycle_time_s", "distance_mm"}
    assert log.step_results.is_empty()
    assert log.signals.columns[:9] == COMMON
    assert log.signals.columns[9:] == [
        "mem_torque_min_a", "mem_thrust_min_a", "rotation_speed_rpm", "feed_speed_mm_s", "torque_power_w",
    ]  # fmt: skip
    assert [problem.kind for problem in log.problems] == ["broken_names"]


def test_version_9_gives_step_results_and_no_problem(version_9: bytes) -> None:
    log = read_log(version_9)
    assert log.version == 9
    assert log.results["cycle_ok"] is True
    assert (
        log.step_results["step_number"].to_list() == log.signals["step"].unique(maintain_order=True).to_list()
    )
    assert log.signals.columns == [*COMMON, "torque_power_w", "gap_length_mm"]
    assert log.field("Motor Datas", "Motor M2 Ratio") == "1,000"
    assert log.problems == ()


def test_the_position_grows_downward_and_time_counts_within_a_step(version_4: bytes) -> None:
    signals = read_log(version_4).signals
    assert 0.5 < signals["position_mm"][0] < 0.9
    assert signals["position_mm"][-1] > signals["position_mm"][0] + 5
    for _, rows in signals.group_by("step"):
        assert rows["step_time_s"].to_numpy() == pytest.approx(np.arange(rows.height) / 100)


def test_values_are_those_of_the_file(version_4: bytes) -> None:
    last = version_4.decode("latin-1").rstrip().split("\n")[-1].split("\t")
    row = read_log(version_4).signals.row(-1, named=True)
    assert row["position_mm"] == -float(last[0].replace(",", "."))
    assert row["torque_a"] == float(last[1].replace(",", "."))
    assert row["stop_code"] == int(float(last[6].replace(",", ".")))


def test_a_program_is_numbered_from_0_and_infinite_where_nothing_turns(version_4: bytes) -> None:
    program = read_log(version_4).program
    assert program["step_nb"].to_list() == list(range(program.height))
    assert program.filter(pl.col("rpm") == 0)["feed_mm_rev"].is_infinite().all()


def test_read_logs_goes_on_past_bad_files(tmp_path: Path, version_4: bytes) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "good.XLS").write_bytes(version_4)
    (tmp_path / "bad.xls").write_bytes(b"not a log")
    (tmp_path / "notes.txt").write_text("no log")
    batch = read_logs(tmp_path, progress=False).collect()
    assert [path.name for path in batch.logs] == ["good.XLS"]
    assert [failure.path.name for failure in batch.failures] == ["bad.xls"]


def test_many_files_are_read_by_several_processes_in_order(
    tmp_path: Path, version_4: bytes, version_9: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_WHILE_STARTING", 3)
    monkeypatch.setattr(folder, "cores", lambda: 2)
    for number in range(10):
        (tmp_path / f"{number}.xls").write_bytes((version_4, version_9)[number % 2])
    (tmp_path / "7.xls").write_bytes(b"not a log")
    stream = read_logs(tmp_path, progress=False)
    logs = list(stream)
    assert [Path(log.source).name for log in logs] == [f"{number}.xls" for number in range(10) if number != 7]
    assert [failure.path.name for failure in stream.failures] == ["7.xls"]
    assert logs[8].signals.equals(read_log(version_9).signals)
    assert (stream.summary.files, stream.summary.read) == (10, 9)
    assert "9 of 10 logs read" in stream.summary.sentence()
    assert "1 without a signal" in stream.summary.sentence()


def test_a_stream_can_be_left_early_and_read_again(tmp_path: Path, version_4: bytes) -> None:
    for number in range(3):
        (tmp_path / f"{number}.xls").write_bytes(version_4)
    stream = read_logs(tmp_path, progress=False)
    assert len(stream) == 3
    assert Path(next(iter(stream)).source).name == "0.xls"
    assert len(list(stream)) == 3


def test_reading_shows_progress_and_a_summary_on_the_error_stream(
    tmp_path: Path, version_4: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.xls").write_bytes(version_4)
    list(read_logs(tmp_path))
    out, err = capsys.readouterr()
    assert out == ""
    assert "Reading logs" in err
    assert "1 of 1 logs read" in err


def test_a_folder_without_a_readable_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoLogs, match="no readable drilling log"):
        read_logs(tmp_path, progress=False).collect()
    (tmp_path / "bad.xls").write_bytes(b"not a log")
    with pytest.raises(NoLogs) as caught:
        read_logs(tmp_path, progress=False).collect()
    assert caught.value.failures == 1


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"*** Results ***\nCycle Time (s)\n1,0\n", b"\x00\xff\xfe"]
)
def test_bytes_without_a_signal_are_unreadable(content: bytes) -> None:
    with pytest.raises(LogUnreadable, match="holds no drilling signal"):
        read_log(content)


def test_a_missing_file_is_unreadable_by_name(tmp_path: Path) -> None:
    with pytest.raises(LogUnreadable, match=r"gone\.xls.*No such file"):
        read_log(tmp_path / "gone.xls")
