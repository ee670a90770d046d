"""The report's chart: what its bars measure, what it says, and where it can be put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops.errors import InvalidInput
from mlops.hardware.ane.chart import draw, save_chart
from mlops.hardware.ane.program import Operation, Program, Tensor
from mlops.hardware.ane.report import AneReport, make_report

HALF = Tensor((1, 4), "fp16")


def report(*operations: tuple[str, int | None], name: str = "net") -> AneReport:
    made = [
        Operation(kind, f"{kind}{place}", (HALF,), (HALF,), {}, count)
        for place, (kind, count) in enumerate(operations)
    ]
    return make_report(name, Program("onnx", tuple(made), ()))


MIXED = report(("linear", 300), ("lstm", 100), ("linear", 600), ("relu", 0), ("conv", None), ("conv", None))


def bars(axes: Any) -> list[float]:
    """Widths: those placed from top to bottom, then those of what leaves."""
    return [round(bar.get_width(), 6) for bar in axes.patches]


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_bars_are_shares_and_counts_the_heaviest_on_top() -> None:
    work, counts = draw(MIXED).axes
    assert [text.get_text() for text in work.get_yticklabels()] == ["linear", "lstm", "conv", "relu"]
    assert bars(work) == [90, 0, 0, 0, 0, 10, 0, 0]
    assert bars(counts) == [2, 0, 2, 1, 0, 1, 0, 0]
    assert [bar.get_x() for bar in work.patches[4:]] == [90, 0, 0, 0]
    bottom, top = work.get_ylim()
    assert bottom > top


def test_labels_tell_shares_counts_and_what_is_unknown() -> None:
    work, counts = draw(MIXED).axes
    assert labels(work) == ["90.0 %", "10.0 %", "unknown", "0"]
    assert labels(counts) == ["2", "0 of 1", "2", "1"]
    work, _ = draw(report(("conv", 10), ("conv", None))).axes
    assert labels(work) == ["100.0 %, and unknown"]


def test_the_title_tells_the_share_the_unknown_and_the_basis() -> None:
    assert draw(MIXED).get_suptitle() == (
        "net on the Neural Engine\n"
        "90.0% of 1,000 multiply-adds counted; unknown those of 2 operations\n"
        "basis: heuristic"
    )


def test_types_that_are_not_drawn_are_counted() -> None:
    long = draw(report(*((f"own_{place}", 40 - place) for place in range(25))))
    assert long.get_suptitle().endswith("basis: heuristic; 5 further types are not shown")
    assert len(labels(long.axes[0])) == 20


@pytest.mark.parametrize("name", ["cost$5 and $6", "x$\\bad$", "$", "a\nb\x1b", "long" * 40])
def test_names_are_drawn_as_they_are(name: str, tmp_path: Path) -> None:
    save_chart(report((name, 1), name=name), tmp_path / "chart.png")
    text = save_chart(report((name, 1), name=name), tmp_path / "chart.svg").read_text()
    shown = {"a\nb\x1b": r"a\nb\x1b", "long" * 40: "long" * 14 + "lon…"}.get(name, name)
    assert text.count(shown) >= 2  # in the title and as a type


@pytest.mark.parametrize("operations", [(), (("relu", 0),)], ids=["empty", "no products"])
@pytest.mark.parametrize("ending", [".png", ".PNG", ".svg", ".pdf"])
def test_a_chart_of_nothing_is_drawn_too(operations: Any, ending: str, tmp_path: Path) -> None:
    path = save_chart(report(*operations), tmp_path / f"chart{ending}")
    assert path.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("chart.docx", "png"),
        ("gone/chart.png", "no folder"),
        ("is.png", "is a folder"),
        ("file/chart.png", "no folder"),
        ("c" * 260 + ".png", "cannot be written"),
    ],
)
def test_where_no_chart_can_be_is_refused(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "is.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=problem) as caught:
        save_chart(MIXED, tmp_path / name)
    assert caught.value.field == "chart"
    assert caught.value.remedy
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "is.png"]
