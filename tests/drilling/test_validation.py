"""Validation: each check is triggered by what it is for, and no ordinary hole triggers it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from drilling.setitec import LogFailure, Problem, SetitecLog, read_log
from drilling.synthetic import make_hole
from drilling.validation import Finding, Severity, render, validate_batch, validate_log
from drilling.validation.data_checks import check_folder
from drilling.validation.identity import file_counters
from drilling.validation.wear import robust_line

HOLES, SEED = 40, 7
ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
Alter = Callable[[SetitecLog], SetitecLog]


def hole_log(number: int) -> SetitecLog:
    hole = make_hole(number, holes=HOLES, seed=SEED)
    return dataclasses.replace(read_log(hole.content), source=hole.file)


def is_drilled(number: int) -> bool:
    """Whether the generator did not break the cycle off on purpose."""
    return make_hole(number, holes=HOLES, seed=SEED).truth.get("cycle") != "aborted"


@pytest.fixture(scope="module")
def logs() -> list[SetitecLog]:
    return [hole_log(number) for number in range(HOLES) if is_drilled(number)]


@pytest.fixture(scope="module")
def good(logs: list[SetitecLog]) -> SetitecLog:
    """A hole of version 4 whose last two steps follow each other."""
    return next(log for log in logs if log.version == 4 and log.signals["step"].n_unique() == 2)


def found(log: SetitecLog, check: str, now: datetime | None = None) -> list[Finding]:
    return [finding for finding in validate_log(log, now).findings if finding.check == check]


def steps_of(log: SetitecLog) -> list[int]:
    return log.signals["step"].unique().sort().to_list()


def with_signals(log: SetitecLog, *columns: pl.Expr, **named: object) -> SetitecLog:
    return dataclasses.replace(log, signals=log.signals.with_columns(*columns, **named))


def with_header(log: SetitecLog, section: str, **fields: str) -> SetitecLog:
    """`Head_Name` stands for the field `Head Name`."""
    given = {name.replace("_", " "): value for name, value in fields.items()}
    header = {**log.header, section: {**log.header.get(section, {}), **given}}
    return dataclasses.replace(log, header=header)


def with_program(log: SetitecLog, number: int, **values: float) -> SetitecLog:
    chosen = pl.col("step_nb") == number
    columns = (
        pl.when(chosen).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )
    return dataclasses.replace(log, program=log.program.with_columns(*columns))


def with_end_code(log: SetitecLog, code: int) -> SetitecLog:
    """The last step ends with that stop code, in its last two rows."""
    last = pl.col("step") == log.signals["step"][-1]
    coded = pl.int_range(pl.len()) >= log.signals.height - 2
    return with_signals(
        log, stop_code=pl.when(coded).then(code).when(last).then(0).otherwise(pl.col("stop_code"))
    )


def in_air(log: SetitecLog) -> SetitecLog:
    rng = np.random.default_rng(1)
    noise = np.round(rng.normal(0, 0.04, log.signals.height) / 0.0488) * 0.0488
    thrust = np.round(rng.normal(0, 0.012, log.signals.height) / 0.0117) * 0.0117
    return with_signals(log, torque_a=pl.Series(noise), thrust_a=pl.Series(thrust))


def clipped(log: SetitecLog) -> SetitecLog:
    ceiling = log.signals["torque_a"].quantile(0.9) * 0.9
    return with_signals(log, torque_a=pl.col("torque_a").clip(upper_bound=ceiling))


def chattering(log: SetitecLog) -> SetitecLog:
    swing = 6.0 * np.where(np.arange(log.signals.height) // 2 % 2, 1.0, -1.0)
    return with_signals(log, torque_a=pl.when(pl.col("torque_a") > 2).then(25 + swing).otherwise("torque_a"))


def frozen_at(thrust_a: float, rows: int = 300) -> Alter:
    """The thrust repeats one value from the first row on."""
    row = pl.int_range(pl.len())
    return lambda log: with_signals(
        log, thrust_a=pl.when(row < rows).then(pl.lit(thrust_a)).otherwise("thrust_a")
    )


def cut_in_the_hard_layer(log: SetitecLog) -> SetitecLog:
    """The last 40 % of the rows in which the torque is high are not there, nor what follows."""
    torque = log.signals["torque_a"].to_numpy()
    hard = np.flatnonzero(torque > 0.8 * np.percentile(torque, 90))
    cut = dataclasses.replace(log, signals=log.signals.head(int(hard[int(0.6 * hard.size)])))
    return with_end_code(cut, 8192)


def stalled(log: SetitecLog) -> SetitecLog:
    row = pl.int_range(pl.len())
    held = log.signals["position_mm"][-400]
    return with_signals(
        log, position_mm=pl.when(row >= log.signals.height - 400).then(held).otherwise("position_mm")
    )


def risen(log: SetitecLog) -> SetitecLog:
    row = pl.int_range(pl.len())
    return with_signals(
        log, position_mm=pl.when(row.is_between(300, 320)).then(0.1).otherwise(pl.col("position_mm"))
    )


def without_rows(log: SetitecLog) -> SetitecLog:
    kept = pl.int_range(pl.len()).is_between(40, log.signals.height - 400).not_()
    return dataclasses.replace(log, signals=log.signals.filter(kept))


def constant(name: str, value: float = 0.0) -> Alter:
    return lambda log: with_signals(log, pl.lit(value).alias(name))


def dated(date: datetime) -> Alter:
    return lambda log: dataclasses.replace(log, recorded_at=date)


def with_problem(kind: str, count: int = 1) -> Alter:
    return lambda log: dataclasses.replace(log, problems=(Problem(kind, "Datas", 70, "as given"),) * count)


ALTERED: list[tuple[str, Severity, Alter]] = [
    ("saturation", WARNING, clipped),
    ("over_limit", ERROR, lambda log: with_signals(log, torque_a=pl.col("torque_a") * 9)),
    ("over_limit", ERROR, lambda log: with_signals(log, thrust_a=pl.col("thrust_a") * 200)),
    ("dead_sensor", ERROR, constant("thrust_a")),
    ("dead_sensor", ERROR, constant("torque_a", 1.2)),
    (
        "dead_sensor",
        ERROR,
        lambda log: with_signals(log, thrust_a=pl.int_range(pl.len()) % 2 * 0.0117),
    ),
    ("frozen_current", WARNING, frozen_at(0.2)),
    ("air_drilling", WARNING, in_air),
    ("air_drilling", INFO, lambda log: dataclasses.replace(in_air(log), source="T_H_ST_2_1_1.xls")),
    (
        "air_drilling",
        INFO,
        lambda log: with_header(in_air(log), "Head Datas", Customer_Info="drilled in air"),
    ),
    ("noise", WARNING, chattering),
    (
        "noise",
        WARNING,
        lambda log: with_signals(log, torque_a=pl.col("torque_a") + (pl.int_range(pl.len()) % 2) * 0.7),
    ),
    (
        "noise",
        WARNING,
        lambda log: with_signals(
            log, torque_a=pl.when(pl.col("torque_a") > 5).then(9.0).otherwise("torque_a")
        ),
    ),
    (
        "no_load_current",
        WARNING,
        lambda log: with_signals(log, torque_empty_a=1.0 + pl.int_range(pl.len()) * 0.001),
    ),
    ("short_cycle", WARNING, lambda log: dataclasses.replace(log, signals=log.signals.head(56))),
    ("sample_rate", WARNING, lambda log: dataclasses.replace(log, sample_rate_hz=50.0)),
    ("position_gap", WARNING, without_rows),
    ("position_back", WARNING, risen),
    ("stalled_feed", WARNING, stalled),
    ("feed", WARNING, lambda log: with_signals(log, position_mm=pl.col("position_mm") * 0.7)),
    ("cycle_not_ok", ERROR, lambda log: dataclasses.replace(log, results={**log.results, "cycle_ok": False})),
    *[
        ("alarm_stop", ERROR, lambda log, code=code: with_end_code(log, code))
        for code in (0x80, 0x400, 0x200, 2, 0x20, 0x10000, 131074, 0x800000)
    ],
    ("no_stop_code", WARNING, lambda log: with_end_code(log, 0)),
    ("no_breakthrough", WARNING, cut_in_the_hard_layer),
    (
        "stroke_not_reached",
        WARNING,
        lambda log: with_program(with_end_code(log, 0), steps_of(log)[-1], stroke_mm=90.0),
    ),
    (
        "stroke_not_reached",
        INFO,
        lambda log: with_program(with_end_code(log, 64), steps_of(log)[-1], stroke_mm=90.0),
    ),
    ("distance", INFO, lambda log: dataclasses.replace(log, results={**log.results, "distance_mm": 1.0})),
    ("missing_step", INFO, lambda log: with_program(log, steps_of(log)[0] - 1, step_on_off=1.0)),
    ("unplanned_step", WARNING, lambda log: with_program(log, steps_of(log)[0], step_on_off=0.0)),
    (
        "step_gap",
        WARNING,
        lambda log: with_signals(log, step=pl.when(pl.int_range(pl.len()) < 100).then(9).otherwise("step")),
    ),
    (
        "step_gap",
        INFO,
        lambda log: dataclasses.replace(
            with_signals(log, step=pl.when(pl.int_range(pl.len()) < 100).then(0).otherwise("step")),
            program=pl.DataFrame(),
        ),
    ),
    ("clock_unset", WARNING, dated(datetime(1970, 1, 1))),
    ("clock_future", WARNING, dated(datetime.now() + timedelta(days=30))),
    (
        "file_counters",
        WARNING,
        lambda log: dataclasses.replace(log, source="T_H_ST_99999_88888.xls"),
    ),
    ("reader:not_a_number", WARNING, with_problem("not_a_number", 3)),
    ("reader:double_encoding", INFO, with_problem("double_encoding")),
]


@pytest.mark.parametrize(("check", "severity", "alter"), ALTERED)
def test_a_check_finds_what_it_is_for(good: SetitecLog, check: str, severity: Severity, alter: Alter) -> None:
    assert not found(good, check)
    findings = found(alter(good), check)
    assert findings
    finding = findings[0]
    assert finding.severity is severity
    assert finding.sentence.endswith(".")
    assert finding.remedy.endswith(".")
    assert any(character.isdigit() for character in finding.sentence) or check == "cycle_not_ok"


def test_no_ordinary_hole_has_a_warning(logs: list[SetitecLog]) -> None:
    reports = validate_batch(logs).files
    assert [(file.source, file.findings) for file in reports if file.worst not in (None, INFO)] == []
    assert all(file.passed and file.rows and file.duration_s and file.depth_mm for file in reports)


def test_the_broken_box_header_of_version_4_is_the_norm(good: SetitecLog) -> None:
    assert "broken_names" in [problem.kind for problem in good.problems]
    assert validate_log(good).worst in (None, INFO)


@pytest.mark.parametrize("code", [1, 4, 8, 64, 2048, 8192])
def test_normal_ends_of_steps(good: SetitecLog, code: int) -> None:
    assert validate_log(with_end_code(good, code)).worst in (None, INFO)


def test_a_finding_names_the_samples(good: SetitecLog) -> None:
    (finding,) = found(risen(good), "position_back")
    assert finding.rows == (300, 320)
    assert finding.limit is not None
    assert finding.value is not None
    assert finding.value > finding.limit


def test_the_results_distance_counts_only_where_it_is_the_depth(good: SetitecLog) -> None:
    results = {**good.results, "distance_mm": 0.6}
    nine = dataclasses.replace(good, version=9, results=results)
    assert not found(nine, "distance")
    assert found(dataclasses.replace(nine, version=11), "distance")


def test_steps_after_an_early_end_are_only_noted(good: SetitecLog) -> None:
    first, last = steps_of(good)
    log = dataclasses.replace(good, signals=good.signals.filter(pl.col("step") == first))
    assert [finding.severity for finding in found(log, "missing_step")] == [WARNING]
    (finding,) = found(with_end_code(log, 8), "missing_step")
    assert (finding.severity, finding.value) == (INFO, last)


def test_a_hole_drilled_in_air_does_not_fail(good: SetitecLog) -> None:
    report = validate_log(in_air(good))
    assert {finding.check for finding in report.findings} == {"air_drilling"}


def test_a_pecking_program_may_rise(good: SetitecLog) -> None:
    assert not found(with_program(risen(good), steps_of(good)[0], peck_nb=3.0), "position_back")


def test_a_current_may_rest_at_zero_only_in_air(good: SetitecLog) -> None:
    row = pl.int_range(pl.len())
    waiting = with_signals(good, torque_a=pl.when(row < 300).then(row % 2 * 0.0488).otherwise("torque_a"))
    assert not found(frozen_at(0.0)(waiting), "frozen_current")
    cutting = int(np.flatnonzero(good.signals["torque_a"].to_numpy() > 2)[0])
    assert found(frozen_at(0.0, rows=cutting + 300)(good), "frozen_current")


@pytest.mark.parametrize(
    "kind", ["missing_column", "date_unknown", "repeated_name", "names_and_values_differ"]
)
def test_what_genuine_forms_lack_is_only_noted(good: SetitecLog, kind: str) -> None:
    assert [finding.severity for finding in found(with_problem(kind)(good), f"reader:{kind}")] == [INFO]


def test_a_hard_stop_may_hold_the_position(good: SetitecLog) -> None:
    assert not found(with_end_code(stalled(good), 8), "stalled_feed")


def test_a_programmed_delay_may_hold_the_position(good: SetitecLog) -> None:
    delayed = with_program(stalled(good), steps_of(good)[-1], delay_ms=4000.0)
    assert not found(delayed, "stalled_feed")


def test_counters_off_by_one_are_only_noted(good: SetitecLog) -> None:
    counted = with_header(good, "Head Datas", Head_Global_Counter="11,000", Head_Local_Counter="4,000")
    log = dataclasses.replace(counted, source="T_H_ST_10_4.xls")
    assert [finding.severity for finding in found(log, "file_counters")] == [INFO]


@pytest.mark.parametrize(
    ("source", "counters"),
    [
        ("data/TAG_HD_1_ST_12_3.xls", (12, 3)),
        ("TAG_HD_ST_2_1_1.XLS", (2, 1, 1)),
        ("the bytes given", ()),
        ("TAG_HD_ST_12_3 (copy).xls", ()),
    ],
)
def test_counters_of_a_file_name(source: str, counters: tuple[int, ...]) -> None:
    assert file_counters(source) == counters


def test_now_decides_what_the_future_is(good: SetitecLog) -> None:
    assert good.recorded_at is not None
    assert found(good, "clock_future", now=good.recorded_at - timedelta(days=3))
    assert not found(good, "clock_future", now=good.recorded_at - timedelta(hours=3))


def test_a_log_with_empty_cells_and_no_header(good: SetitecLog) -> None:
    bare = dataclasses.replace(
        good, version=None, recorded_at=None, header={}, program=pl.DataFrame(), results={}
    )
    holed = with_signals(
        bare,
        *(
            pl.when(pl.int_range(pl.len()) % 97 == 0).then(None).otherwise(pl.col(name)).alias(name)
            for name in ("position_mm", "torque_a", "thrust_a", "torque_empty_a", "step", "stop_code")
        ),
    )
    report = validate_log(holed)
    assert report.worst in (None, INFO)
    assert report.rows < good.signals.height


@pytest.mark.parametrize("name", ["torque_a", "thrust_a", "thrust_empty_a", "stop_code", "step"])
def test_a_column_without_values_is_no_alarm_of_its_own(good: SetitecLog, name: str) -> None:
    emptied = with_signals(good, pl.lit(None, dtype=good.signals[name].dtype).alias(name))
    assert validate_log(emptied).worst in (None, INFO)


def test_one_sample(good: SetitecLog) -> None:
    report = validate_log(dataclasses.replace(good, signals=good.signals.head(1)))
    assert "short_cycle" in {finding.check for finding in report.findings}


# Over a batch


def numbered(log: SetitecLog, place: int, local: int, **header: str) -> SetitecLog:
    """A hole of head H and tool T, ten minutes after the one before; its signals differ from the others'."""
    who = {"Head_Name": "H", "Head_TAG_UID": "T", **header}
    counted = {"Head_Global_Counter": f"{100 + place},000", "Head_Local_Counter": f"{local},000"}
    moved = with_signals(log, position_mm=pl.col("position_mm") + 1e-6 * place)
    return dataclasses.replace(
        with_header(moved, "Head Datas", **{**counted, **who}),
        source=f"T_H_ST_{100 + place}_{local}.xls",
        recorded_at=datetime(2025, 3, 3) + timedelta(minutes=10 * place),
    )


@pytest.fixture
def series(good: SetitecLog) -> list[SetitecLog]:
    """Twelve holes of one tool, whose torque rises by 1 % a hole."""
    return [
        numbered(with_signals(good, torque_a=pl.col("torque_a") * (1 + 0.01 * place)), place, place + 1)
        for place in range(12)
    ]


def over_batch(logs: list[SetitecLog], check: str) -> list[tuple[str, Severity]]:
    report = validate_batch(logs)
    placed = [(source, finding) for source, finding in report.findings if finding.check == check]
    own = {file.source: file.findings for file in report.files}
    assert all(finding in own[source] for source, finding in placed)
    return [(source, finding.severity) for source, finding in placed]


def test_a_sound_series_has_no_finding_over_the_batch(series: list[SetitecLog]) -> None:
    assert validate_batch(series).findings == ()
    assert validate_batch(reversed(series)).findings == ()


def test_the_same_signals_twice(series: list[SetitecLog]) -> None:
    copy = dataclasses.replace(series[3], source="a copy.xls", header={})
    assert over_batch([*series, copy], "same_signals") == [("a copy.xls", WARNING)]


def test_the_same_counter_twice(series: list[SetitecLog], good: SetitecLog) -> None:
    again = dataclasses.replace(series[2], source="again.xls", signals=in_air(good).signals)
    assert over_batch([*series, again], "same_counter") == [("again.xls", WARNING)]
    announced = dataclasses.replace(again, source="T_H_ST_102_3_1.xls")
    assert over_batch([*series, announced], "same_counter") == [("T_H_ST_102_3_1.xls", INFO)]


def test_counters_of_other_heads_do_not_count(series: list[SetitecLog], good: SetitecLog) -> None:
    other = numbered(good, 2, 3, Head_Name="another")
    assert not over_batch([*series, other], "same_counter")


def test_a_counter_that_falls_while_the_date_goes_on(series: list[SetitecLog]) -> None:
    late = dataclasses.replace(series[2], recorded_at=datetime(2025, 5, 1))
    moved = [*series[:2], late, *series[3:]]
    assert over_batch(moved, "counter_backwards") == [(late.source, WARNING)]
    unset = dataclasses.replace(late, recorded_at=datetime(1970, 1, 1))
    assert not over_batch([*series[:2], unset, *series[3:]], "counter_backwards")


def test_a_local_counter_that_outruns_the_head(series: list[SetitecLog], good: SetitecLog) -> None:
    assert over_batch([*series, numbered(good, 12, 40)], "local_counter") == [("T_H_ST_112_40.xls", INFO)]
    assert not over_batch([*series, numbered(good, 12, 1)], "local_counter")


def test_a_torque_off_the_trend_of_the_tool(series: list[SetitecLog]) -> None:
    dull = with_signals(series[5], torque_a=pl.col("torque_a") * 1.5)
    assert over_batch([*series[:5], dull, *series[6:]], "wear_out_of_trend") == [(dull.source, WARNING)]
    assert not over_batch([*series[2:5], dull, *series[6:9]], "wear_out_of_trend")


def test_a_robust_line_follows_the_many() -> None:
    x = np.arange(20.0)
    y = 3 + 0.5 * x
    y[4] = 100
    assert robust_line(x, y) == pytest.approx((0.5, 3.0))
    assert robust_line(np.ones(3), np.array([1.0, 2.0, 3.0])) == (0.0, 2.0)


def test_logs_are_taken_one_at_a_time_and_failures_at_the_end(tmp_path: Path, good: SetitecLog) -> None:
    failures: list[LogFailure] = []

    def reading() -> Iterator[SetitecLog]:
        yield good
        failures.append(failure_of(tmp_path / "nothing.xls"))

    report = validate_batch(reading(), failures)
    assert [file.passed for file in report.files] == [True, False]
    (finding,) = report.files[1].findings
    assert (finding.check, finding.severity) == ("no_signal", ERROR)
    assert report.passed == 1
    assert report.worst is ERROR


def failure_of(path: Path) -> LogFailure:
    from drilling.errors import LogUnreadable

    return LogFailure(path, LogUnreadable(str(path), "it is empty"))


def test_a_report_as_dict_and_table(series: list[SetitecLog]) -> None:
    report = validate_batch([*series[:3], with_end_code(series[3], 0x80), with_end_code(series[4], 0)])
    answer = json.loads(json.dumps(report.as_dict()))
    assert (answer["files"], answer["passed"], answer["worst"]) == (5, 4, "error")
    assert answer["counts"]["alarm_stop"] == {"info": 0, "warning": 0, "error": 1}
    assert next(iter(report.counts)) == "alarm_stop"
    table = report.as_table()
    assert table.columns == [
        "file",
        "check",
        "severity",
        "sentence",
        "remedy",
        "first_row",
        "last_row",
        "value",
        "limit",
    ]
    stopped = table.row(by_predicate=pl.col("check") == "alarm_stop", named=True)
    assert stopped["file"] == series[3].source
    assert stopped["value"] == 128
    assert stopped["last_row"] == series[3].signals.height - 1


def test_an_empty_batch() -> None:
    report = validate_batch([])
    assert report.as_table().height == 0
    assert report.worst is None
    assert "No log" in printed(report)


def printed(report: object) -> str:
    console = Console(file=StringIO(), width=160)
    render(report, console)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_printed_report(series: list[SetitecLog]) -> None:
    text = printed(validate_batch([*series[:3], with_end_code(series[3], 0x80)]))
    assert text.startswith("3 of 4 files passed (75 %)")
    assert "alarm_stop" in text
    assert series[3].source in text
    assert "stop button" in text


def test_severities_have_an_order() -> None:
    assert sorted(Severity, key=lambda severity: severity.rank) == [INFO, WARNING, ERROR]


# As declared data checks


def test_a_folder_with_some_bad_files_is_not_refused(tmp_path: Path) -> None:
    for number in range(3):
        hole = make_hole(number, holes=HOLES, seed=SEED)
        (tmp_path / hole.file).write_bytes(hole.content)
    (tmp_path / "empty.xls").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not a log")
    reading, soundness = check_folder(tmp_path)
    assert reading.passed
    assert soundness.passed
    assert reading.detail == "3 of 4 files read; no signal in empty.xls"
    assert soundness.detail.startswith("3 of 3 holes without an error")


def test_a_folder_without_a_signal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.xls").write_bytes(b"")
    assert [check.passed for check in check_folder(tmp_path)] == [False, False]


def test_a_folder_without_logs_is_refused(tmp_path: Path) -> None:
    reading, _ = check_folder(tmp_path)
    assert not reading.passed
    assert "no .xls file" in reading.detail


def test_a_folder_of_bad_holes_only_is_refused(tmp_path: Path) -> None:
    content = make_hole(0, holes=HOLES, seed=SEED).content
    header, _, body = content.partition(b"*** Datas ***")
    lines = body.split(b"\n")
    lines[2:-1] = [
        b"\t".join([*cells[:6], b"128,000", *cells[7:]])
        for line in lines[2:-1]
        if (cells := line.split(b"\t"))
    ]
    (tmp_path / "stopped.xls").write_bytes(header + b"*** Datas ***" + b"\n".join(lines))
    reading, soundness = check_folder(tmp_path)
    assert (reading.passed, soundness.passed) == (True, False)
    assert "alarm_stop 1" in soundness.detail
