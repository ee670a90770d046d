"""The report: what it adds up, what each line says of its basis, and its chart."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from onnx import helper

from mlops.errors import InvalidInput
from mlops.hardware.ane.examine import FORMATS, examine_file
from mlops.hardware.ane.onnx import onnx_program
from mlops.hardware.ane.plan import DeviceUse, plans_here
from mlops.hardware.ane.program import Operation, Program, Tensor
from mlops.hardware.ane.report import (
    COMPUTE_PLAN,
    HEURISTIC,
    make_report,
    told_share,
)
from mlops.hardware.ane.wording import first_line, percent, printable
from tests.mlops.hardware.ane import nets

HALF = Tensor((1, 4), "fp16")


def program(*operations: tuple[str, int | None]) -> Program:
    made = [
        Operation(kind, f"{kind}{place}", (HALF,), (HALF,), {}, count)
        for place, (kind, count) in enumerate(operations)
    ]
    return Program("onnx", tuple(made), (), ("taken for given",))


MIXED = program(("linear", 300), ("lstm", 100), ("linear", 500), ("relu", 0), ("conv", None), ("gather", 0))


def test_shares_are_of_the_multiply_adds() -> None:
    report = make_report("net", MIXED)
    assert (report.multiply_adds, report.uncounted, report.placeable_share) == (900, 1, 800 / 900)
    first, second, *rest = report.rows
    assert (first.type, first.count, first.multiply_adds, first.share) == ("linear", 2, 800, 800 / 900)
    assert (first.placeable, first.placeable_multiply_adds, first.reasons) == (2, 800, ())
    assert (second.type, second.placeable, second.placeable_multiply_adds) == ("lstm", 0, 0)
    assert "recurrent" in second.reasons[0]
    assert [(row.type, row.multiply_adds, row.uncounted) for row in rest] == [
        ("conv", 0, 1),
        ("gather", 0, 0),
        ("relu", 0, 0),
    ]


def test_breaks_name_the_operation_the_reason_and_what_to_do() -> None:
    breaks = make_report("net", MIXED).breaks
    assert [(each.operation, each.type, each.multiply_adds) for each in breaks] == [
        ("lstm1", "lstm", 100),
        ("gather5", "gather", 0),
    ]
    assert all(each.reason and each.remedy for each in breaks)


def test_without_a_mac_every_line_says_heuristic() -> None:
    report = make_report("net", MIXED)
    assert report.assumptions
    lines = [*report.rows, *report.breaks, *report.assumptions, report.sizes]
    assert {report.basis, *(line.basis for line in lines)} == {HEURISTIC}


def test_a_model_without_products_has_no_share() -> None:
    report = make_report("net", program(("relu", 0)))
    assert (report.placeable_share, report.rows[0].share, report.multiply_adds) == (None, None, 0)


def test_the_compute_plan_goes_before_the_table() -> None:
    uses = {
        "linear0": DeviceUse("cpu", ("cpu", "neural engine"), 0.3),
        "lstm1": DeviceUse("neural engine", ("cpu", "neural engine"), 0.1),
        "linear2": DeviceUse("neural engine", ("cpu", "neural engine"), 0.5),
        "gather5": DeviceUse("cpu", ("cpu",), None),
    }
    report = make_report("net", MIXED, uses)
    assert report.basis == COMPUTE_PLAN
    rows = {row.type: row for row in report.rows}
    assert (rows["linear"].placeable, rows["linear"].cost) == (2, 0.8)
    assert rows["lstm"].placeable == 1
    assert {kind: row.basis for kind, row in rows.items()} == {
        "linear": COMPUTE_PLAN,
        "lstm": COMPUTE_PLAN,
        "gather": COMPUTE_PLAN,
        "relu": HEURISTIC,  # what the plan does not judge
        "conv": HEURISTIC,
    }
    assert report.placeable_share == 1.0
    assert {each.operation: each.reason for each in report.breaks}.keys() == {"gather5"}
    assert "the engine cannot run it (gathers by index" in report.breaks[0].reason
    # Where it is planned is another thing than where it can be.
    assert {kind: row.planned for kind, row in rows.items()} == {
        "linear": 1,
        "lstm": 1,
        "gather": 0,
        "relu": None,
        "conv": None,
    }


def test_a_report_is_plain_json() -> None:
    text = json.dumps(asdict(make_report("net", onnx_program(nets.three_layers()))))
    assert json.loads(text)["multiply_adds"] == nets.MULTIPLY_ADDS


@pytest.mark.parametrize(
    ("system", "release", "expected"),
    [
        ("darwin", "14.4", True),
        ("darwin", "14.4.1", True),
        ("darwin", "27.0", True),
        ("darwin", "14.3.9", False),
        ("darwin", "", False),
        ("linux", "14.4", False),
    ],
)
def test_compute_plans_are_of_macos_since_14_4(system: str, release: str, expected: bool) -> None:
    assert plans_here(system, release) is expected


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.0, "0.0"), (0.29, "29.0"), (0.57, "57.0"), (0.9996, "99.9"), (1 - 1e-15, "99.9"), (1.0, "100.0")],
)
def test_percents_are_cut_so_that_a_hundred_is_all(share: float, told: str) -> None:
    assert percent(share) == told


def test_the_unknown_comes_before_what_weighs_nothing_and_is_told() -> None:
    report = make_report("net", program(("relu", 0), ("relu", 0), ("own", None), ("linear", 9)))
    assert [row.type for row in report.rows] == ["linear", "own", "relu"]
    assert told_share(report) == "100.0% of 9 multiply-adds counted; unknown those of 1 operation"
    assert told_share(make_report("net", program(("relu", 0)))) == "no multiply-adds counted"


def test_of_another_tools_error_the_first_line_is_told() -> None:
    assert first_line(ValueError("\n why\nand where")) == "why"
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("\x1b[2J")) == r"\x1b[2J"
    assert len(first_line(ValueError("x" * 999))) == 200


def test_what_moves_a_terminal_is_printed_as_its_escape() -> None:
    assert printable("a\nb\x1b[31m") == r"a\nb\x1b[31m"
    assert printable("Gewölbe 層") == "Gewölbe 層"


# -- files --------------------------------------------------------------------------------------


def test_an_onnx_file_is_examined(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(nets.three_layers().SerializeToString())
    report = examine_file(path, "net")
    assert (report.model, report.format, report.placeable_share) == ("net", "onnx", 1.0)
    assert report.parameters == nets.PARAMETERS


@pytest.mark.parametrize(
    ("name", "problem", "remedy"),
    [
        ("gone.onnx", "no such file", "path"),
        ("net.pt", "pickle", "torch.export.save"),
        ("gone" * 70 + ".onnx", "no such file", "path"),
        ("net.pth", "pickle", "torch.export.save"),
        ("net.pkl", "pickle", "ONNX"),
        ("net.pt2", "run code", "--allow-pickle"),
        ("net.txt", "not a model", ".mlpackage"),
        ("folder", "not a model", ".onnx"),
    ],
)
def test_what_is_no_model_is_refused_with_a_remedy(
    name: str, problem: str, remedy: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif not name.startswith("gone"):
        path.write_bytes(b"x")
    with pytest.raises(InvalidInput, match=problem) as caught:
        examine_file(path, name)
    assert caught.value.field == "model"
    assert remedy in caught.value.remedy


def test_formats_are_those_that_are_documented() -> None:
    assert FORMATS == (".onnx", ".pt2", ".mlpackage", ".mlmodel")


def test_a_node_of_another_domain_is_unknown_to_the_table() -> None:
    node = helper.make_node("Conv", ["x"], ["y"], domain="own")
    report = make_report("net", onnx_program(nets.model([node], {"x": [1, 4]}, ["y"])))
    assert (report.rows[0].type, report.uncounted) == ("own.Conv", 1)
    assert "unknown to the table" in report.breaks[0].reason
