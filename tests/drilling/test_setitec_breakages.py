"""Files that break naive parsers: each is read, and each repair is named."""

from __future__ import annotations

import re

import polars as pl
import pytest

from drilling.breakages import BREAKAGES, apply_breakage
from drilling.campaigns import hole_version, holes_per_campaign, make_campaign, spread
from drilling.errors import LogUnreadable
from drilling.setitec import SetitecLog, read_log
from drilling.setitec.names import layout
from drilling.synthetic import make_hole

V4 = make_hole(0, holes=40, seed=7).content.decode("latin-1")
V9 = make_hole(20, holes=40, seed=7).content.decode("latin-1")
DATA_NAMES = (
    "Position (mm)\tI Torque (A)\tI Thrust (A)\tI Torque Empty (A)\tI Thrust Empty (A)\tStep (nb)\tStop code"
)


def read(text: str, encoding: str = "latin-1") -> SetitecLog:
    return read_log(text.encode(encoding))


def kinds(log: SetitecLog) -> set[str]:
    return {problem.kind for problem in log.problems}


def same_signals(log: SetitecLog, original: str) -> bool:
    return log.signals.equals(read(original).signals)


def data_lines(text: str) -> list[str]:
    return text.split("*** Datas ***")[1].split("\n")[2:]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16"])
def test_encodings(encoding: str) -> None:
    log = read(V4, encoding)
    assert log.field("Pset", "Pset n°") == "1,000"
    assert same_signals(log, V4)


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends(newline: str) -> None:
    assert same_signals(read(V4.replace("\n", newline)), V4)


def test_1_the_control_box_breaks_and_its_values_come_in_one_row() -> None:
    box = read(V4).header["Control Box Datas"]
    assert len(box) == 12
    assert box["BOX Maintenance Date"] == "15/08/2024"
    assert box["BOX Operation Time"] == "812,500"


def test_1_the_control_box_may_hold_a_row_of_values_for_each_part() -> None:
    names = list(read(V4).header["Control Box Datas"])
    rows = [names[:9], list("ABCDEFGHI"), *[["", ""]] * 46, names[8:], list("IJKL"), ["", ""]]
    section = "*** Control Box Datas ***\n" + "".join("\t".join(row) + "\n" for row in rows)
    text = re.sub(r"\*\*\* Control Box Datas.*?(?=\*\*\* Motor)", lambda _: section, V4, flags=re.DOTALL)
    box = read(text).header["Control Box Datas"]
    assert "".join(box.values()) == "ABCDEFGHIJKL"


@pytest.mark.parametrize("repeated", [False, True])
def test_1_the_values_may_come_in_one_row_with_the_repeated_one_or_in_two(repeated: bool) -> None:
    names = list(read(V4).header["Control Box Datas"])
    dates = ["01/01/2020", "02/02/2021"]
    values = [*"ABCDEFG", *dates, "812,500", "30,000", "1.000"]
    rows = [[*values[:9], *values[8:]]] if repeated else [values[:9], values[8:]]
    table = [names[:9], *[["", ""]] * 46, names[8:], *rows, ["", ""]]
    section = "*** Control Box Datas ***\n" + "".join("\t".join(row) + "\n" for row in table)
    text = re.sub(r"\*\*\* Control Box Datas.*?(?=\*\*\* Motor)", lambda _: section, V4, flags=re.DOTALL)
    assert list(read(text).header["Control Box Datas"].values()) == values


@pytest.mark.parametrize("mark", ["\0", "\\u0000"])
def test_2_nul_in_the_motor_name(mark: str) -> None:
    log = read(V4.replace("MOTOR 1", f"MOTOR 1{mark}"))
    assert log.field("Motor Datas", "Motor Name") == "MOTOR 1"
    assert "nul_character" in kinds(log)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_3_double_encoded_pset(encoding: str) -> None:
    log = read(V4.replace("Pset n°", "Pset nï¿½"), encoding)
    assert log.field("Pset", "Pset n°") == "1,000"
    assert "double_encoding" in kinds(log)


def test_4_semicolons_and_point_decimals() -> None:
    log = read(V4.replace("\t", ";").replace(",", "."))
    assert same_signals(log, V4)
    assert log.program.equals(read(V4).program)
    assert "delimiter" in kinds(log)


def test_5_a_missing_tab_between_two_names() -> None:
    log = read(V4.replace("Stroke Limit (A)\tThrust Limit (A)", "Stroke Limit (A)Thrust Limit (A)"))
    assert log.program.equals(read(V4).program)
    problem = next(problem for problem in log.problems if problem.kind == "missing_tab")
    assert problem.section == "Program"
    line = V4.split("\n")[(problem.row or 0) - 1]
    assert line.startswith("Step Nb")


def test_6_a_repeated_data_name() -> None:
    log = read(V9.replace("Gap Length (mm)", "Gap Length (mm)\tGap Length (mm)"))
    assert same_signals(log, V9)
    assert "repeated_name" in kinds(log)


@pytest.mark.parametrize("extra", [4, 6])
def test_6_more_names_than_values_takes_those_of_the_version(extra: int) -> None:
    log = read(V9.replace("Gap Length (mm)", "Gap Length (mm)" + "".join(f"\tX{n}" for n in range(extra))))
    assert same_signals(log, V9)
    assert "names_and_values_differ" in kinds(log)


def test_6_more_names_than_values_keeps_what_is_sure() -> None:
    extra = V9.replace("Torque Power (W)\tGap", "X1\tX2\tX3\tX4\tGap")
    log = read(extra)
    assert log.signals.equals(read(V9).signals.drop("torque_power_w", "gap_length_mm"))
    assert "names_and_values_differ" in kinds(log)


@pytest.mark.parametrize("text", [V4, V9])
def test_data_rows_padded_like_a_header_read_the_same(text: str) -> None:
    head, data = text.split("*** Datas ***")
    log = read(head + "*** Datas ***" + data.replace("\n", "\t\t\n") + "\t\t\n")
    assert same_signals(log, text)
    assert log.problems == read(text).problems


def test_7_an_unset_clock() -> None:
    log = read(V4.replace("2025-03-03:06", "1970-01-01:00"))
    assert log.recorded_at is not None
    assert log.recorded_at.year == 1970
    assert "clock_unset" in kinds(log)


def test_8_an_iso_date() -> None:
    log = read(V4.replace("2025-03-03:06:00:00", "2025-03-03T06:00:00Z"))
    assert log.recorded_at == read(V4).recorded_at


def test_9_empty_motor_fields() -> None:
    row = next(line for line in V4.split("\n") if line.startswith("MOTOR 1"))
    log = read(V4.replace(row, "\t" * row.count("\t")))
    assert set(log.header["Motor Datas"].values()) == {""}
    assert same_signals(log, V4)


def test_10_a_very_short_cycle() -> None:
    log = read("\n".join(V4.split("\n")[: -len(data_lines(V4)) + 56]) + "\n")
    assert log.signals.height == 56


def test_11_cycle_ok_false() -> None:
    assert read(V9.replace("\tTrue", "\tFalse")).results["cycle_ok"] is False


def test_12_data_only_with_names() -> None:
    log = read("\n".join([DATA_NAMES, *("\t".join(line.split("\t")[:7]) for line in data_lines(V4))]))
    assert log.signals.equals(read(V4).signals[:, :9])
    assert log.version is None
    assert {"no_header", "rate_assumed", "version_unknown", "date_unknown"} <= kinds(log)


def test_12_data_only_without_names() -> None:
    log = read("\n".join("\t".join(line.split("\t")[:7]) for line in data_lines(V4)))
    assert log.signals.equals(read(V4).signals[:, :9])
    assert "no_names" in kinds(log)


def test_the_eight_column_form_has_no_empty_thrust() -> None:
    log = read(
        "*** Datas ***\nPosition (mm)\tI Torque (A)\tI Thrust (A)\tI Torque Empty (A)\tStep (nb)\tStop code\t"
        "Mem Torque min (A)\tMem Thrust min (A)\n-0,600\t0,049\t0,012\t1,464\t2,000\t64,000\t0,000\t0,000\n"
    )
    assert log.signals["thrust_empty_a"].null_count() == 1
    assert log.signals["stop_code"].to_list() == [64]
    assert "missing_column" in kinds(log)


def test_a_damaged_cell_is_empty_and_named_by_its_line() -> None:
    lines = V4.split("\n")
    lines[-10] = lines[-10].replace(lines[-10].split("\t")[1], "##", 1)
    log = read("\n".join(lines))
    assert log.signals["torque_a"].null_count() == 1
    problem = next(problem for problem in log.problems if problem.kind == "not_a_number")
    assert problem.row == len(lines) - 9
    untouched = pl.col("index") != log.signals.height - 9
    assert log.signals.filter(untouched).equals(read(V4).signals.filter(untouched))


def test_a_row_that_lost_cells_is_empty_since_none_of_its_cells_is_sure() -> None:
    lines = V4.split("\n")
    lines[-4] = "\t".join(lines[-4].split("\t")[2:])
    log = read("\n".join(lines))
    assert log.signals.height == read(V4).signals.height
    assert log.signals.row(-3)[2:] == (None,) * (log.signals.width - 2)
    problem = next(problem for problem in log.problems if problem.kind == "uneven_row")
    assert problem.row == len(lines) - 3
    untouched = pl.col("index") != log.signals.height - 3
    assert log.signals.filter(untouched).equals(read(V4).signals.filter(untouched))


def test_a_file_that_ends_inside_a_number_loses_that_row_alone() -> None:
    whole = read(V4).signals
    log = read(V4[:-3])
    assert "cut_off" in kinds(log)
    assert log.signals["torque_a"][-1] is None
    assert log.signals[:-1].equals(whole[:-1])


def test_endless_values_are_empty_and_named() -> None:
    first = data_lines(V4)[0]
    log = read(V4.replace(first, first.replace(first.split("\t")[1], "Inf", 1)))
    assert log.signals["torque_a"].null_count() == 1
    assert "not_finite" in kinds(log)


def test_shuffled_sections_read_the_same() -> None:
    head, data = V4.split("*** Datas ***")
    log = read("*** Datas ***" + data + head)
    assert same_signals(log, V4)
    assert log.header == read(V4).header


def test_a_name_that_says_nothing_is_told_by_its_place_and_named() -> None:
    log = read(V4.replace("Position (mm)", "Elsewhere (mm)"))
    assert log.signals["position_mm"].equals(read(V4).signals["position_mm"])
    assert "damaged_names" in kinds(log)


def test_a_log_without_positions_is_unreadable() -> None:
    with pytest.raises(LogUnreadable):
        read(re.sub("Position .mm.\t.*", "A\tB\tC\tD\tE\tF\tG\tH\tI\tJ\tK\tL", V4))


EXPECTED = {
    "nul": "nul_character",
    "escaped nul": "nul_character",
    "double encoding": "double_encoding",
    "semicolons": "delimiter",
    "missing tab": "missing_tab",
    "one name too many": "repeated_name",
    "four names too many": "repeated_name",
    "six names too many": "repeated_name",
    "unset clock": "clock_unset",
    "iso date": "date_form",
    "empty motor": None,
    "short cycle": None,
    "cycle not ok": None,
    "data only": "no_header",
    "eight columns": "missing_column",
    "carriage returns": None,
}


def test_every_breakage_has_an_expectation() -> None:
    assert set(EXPECTED) == set(BREAKAGES)


@pytest.mark.parametrize("name", BREAKAGES)
@pytest.mark.parametrize("text", [V4, V9], ids=["version 4", "version 9"])
def test_the_generators_breakages_are_read_and_named(name: str, text: str) -> None:
    sound = read(text)
    log = read_log(apply_breakage(text.encode("latin-1"), name))
    new = kinds(log) - kinds(sound)
    # From version 8 on the name has no degree sign that could be damaged.
    expected = None if name == "double encoding" and text is V9 else EXPECTED[name]
    assert (expected in new) if expected else not new
    kept = [column for column in log.signals.columns if column in sound.signals.columns]
    if name == "eight columns":
        kept = [column for column in kept if not column.startswith(("mem_", "thrust_empty"))]
    assert log.signals.select(kept).equals(sound.signals.head(log.signals.height).select(kept))


@pytest.mark.parametrize("version", [7, 8, 11])
def test_the_rare_versions_are_read_without_a_repair_but_for_their_norm(version: int) -> None:
    number = next(
        number
        for number in range(1300)
        if hole_version(make_campaign(number // holes_per_campaign(1300), 7), spread(number, 7, 3)) == version
    )
    log = read_log(make_hole(number, holes=1300, seed=7).content)
    assert log.version == version
    assert kinds(log) == ({"repeated_name"} if version == 11 else set())
    assert log.signals.columns[9:] == list(layout(version)[7:])
    assert log.step_results.height > 0
