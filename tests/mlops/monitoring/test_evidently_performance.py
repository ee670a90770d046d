"""Evidently's page of truths beside predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.monitoring.evidently_performance import LEAST_PAIRS, PerformanceDrawing, draw_performance
from mlops.store.labelled import Pair

RANDOM = np.random.default_rng(4)


def pairs(truths: list[Any], predictions: list[Any]) -> list[Pair]:
    return [Pair(f"r-{n}", *pair) for n, pair in enumerate(zip(truths, predictions, strict=True))]


def values(drawing: PerformanceDrawing | None) -> dict[str, Any]:
    assert drawing is not None
    return {each["metric_name"]: each["value"] for each in drawing.snapshot.dict()["metrics"]}


def value_of(found: dict[str, Any], metric: str, output: str) -> Any:
    return next(
        value for name, value in found.items() if name.startswith(f"{metric}(") and f"={output}" in name
    )


def test_numbers_and_classes_of_different_lengths(tmp_path: Path) -> None:
    truth = RANDOM.normal(size=60)
    given = truth + 0.5 + RANDOM.normal(0, 0.05, 60)
    grades = RANDOM.choice(["good", "bad"], 40).tolist()
    drawing = draw_performance(
        {
            "depth": pairs(truth.tolist(), given.tolist()),
            "grade": pairs(grades, ["good"] * 40),
            "count": pairs([1, 2] * 20, [1, 1] * 20),
            "ok": pairs([True] * 30, [True] * 15 + [False] * 15),
        }
    )
    found = values(drawing)
    assert value_of(found, "MAE", "depth")["mean"] == pytest.approx(np.abs(given - truth).mean())
    assert value_of(found, "Accuracy", "grade") == pytest.approx(grades.count("good") / 40)
    assert value_of(found, "Accuracy", "count") == pytest.approx(0.5)
    assert value_of(found, "Accuracy", "ok") == pytest.approx(0.5)
    assert drawing is not None
    drawing.write_page(tmp_path / "page.html")
    assert "depth: ground truth" in (tmp_path / "page.html").read_text()


def test_the_reference_stands_beside_where_it_has_every_output() -> None:
    window = {
        "depth": pairs([1.5, 2.5] * 20, [1.6, 2.6] * 20),
        "ok": pairs([True, False] * 15, [True, False] * 15),
    }
    depth = pairs([1.5, 2.5] * 30, [1.5, 2.0] * 30)
    both = draw_performance(window, {"depth": depth, "ok": pairs(["true", "false"] * 20, ["true"] * 40)})
    one = draw_performance(window, {"depth": depth})
    few = draw_performance(window, {"depth": depth, "ok": pairs(["true"] * 5, ["true"] * 5)})
    assert both is not None
    assert one is not None
    assert few is not None
    assert "Reference" in both.snapshot.get_html_str(as_iframe=False)
    for drawing in (both, one, few):
        found = values(drawing)
        assert value_of(found, "MAE", "depth")["mean"] == pytest.approx(0.1)
        assert value_of(found, "Accuracy", "ok") == pytest.approx(1.0)
    references = [drawing.snapshot.get_html_str(as_iframe=False).count("eference") for drawing in (both, one)]
    assert references[0] > references[1]


def test_a_reference_that_evidently_cannot_draw_is_left_out() -> None:
    found = values(
        draw_performance({"y": pairs([1.5, 2.5] * 20, [1.6, 2.6] * 20)}, {"y": pairs([0.0] * 30, [0.0] * 30)})
    )
    assert value_of(found, "MAE", "y")["mean"] == pytest.approx(0.1)


def test_many_whole_numbers_are_numbers() -> None:
    found = values(draw_performance({"n": pairs(list(range(50)), list(range(1, 51)))}))
    assert value_of(found, "MAE", "n")["mean"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"y": pairs([1.5] * (LEAST_PAIRS - 1), [1.5] * (LEAST_PAIRS - 1))},
        {"y": pairs([f"t{n}" for n in range(40)], ["x"] * 40)},
        {"y": pairs([1.5, "a"] * 20, [1.5, "a"] * 20)},
    ],
    ids=["nothing", "too few", "texts that all differ", "mixed"],
)
def test_what_cannot_be_drawn(given: dict[str, list[Pair]]) -> None:
    assert draw_performance(given) is None


def test_what_evidently_cannot_draw_takes_no_other_with_it() -> None:
    nothing = pairs([0.0] * 30, [0.0] * 30)  # of which it wants percents
    assert draw_performance({"zero": nothing}) is None
    found = values(draw_performance({"zero": nothing, "y": pairs([1.5, 2.5] * 15, [1.5] * 30)}))
    assert value_of(found, "MAE", "y")["mean"] == pytest.approx(0.5)
    assert not any("=zero" in name for name in found)


def test_nothing_of_it_is_a_tag(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    drawing = draw_performance({evil: pairs([evil, "a"] * 20, ["a", evil] * 20)})
    assert drawing is not None
    drawing.write_page(tmp_path / "page.html")
    assert "<script>alert(1)" not in (tmp_path / "page.html").read_text()
