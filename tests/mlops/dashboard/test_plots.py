"""Where values stand in drawings."""

from __future__ import annotations

import pytest

from mlops.dashboard.plots import HEIGHT, WIDTH, parallel, scale, scatter
from mlops.dashboard.run import hardware_label
from mlops.dashboard.traces import TONES, tone_of


def test_numbers_stand_by_their_size_and_wide_ones_by_their_logarithm() -> None:
    assert scale("x", ["1", "2", None, "5"]).places == (0, 0.25, None, 1)
    assert scale("lr", ["0.001", "0.01", "0.1"]).places == pytest.approx((0, 0.5, 1))
    assert scale("x", ["-1", "1000"]).places == (0, 1), "no logarithm of what is not positive"
    assert scale("x", ["3", "3"]).places == (0.5, 0.5)
    assert scale("x", ["nan", "1", "inf", "2"]).places == (None, 0, None, 1)
    assert scale("x", [None, None]).ticks == ()


def test_texts_stand_in_their_order() -> None:
    found = scale("model", ["b", "a", "c", None])
    assert found.places == (0.5, 0, 1, None)
    assert [words for _, words in found.ticks] == ["a", "b", "c"]
    assert scale("model", ["same"]).places == (0.5,)
    assert len(scale("model", [f"a{number}" for number in range(20)]).ticks) == 2


def test_lines_go_through_what_a_run_has() -> None:
    scales = [scale("a", ["1", "2", "1"]), scale("b", ["1", None, "2"]), scale("c", [1.0, 2.0, None])]
    drawing = parallel(scales)
    assert [run for run, _ in drawing.lines] == [0, 1, 2]
    assert [len(points.split()) for _, points in drawing.lines] == [3, 2, 2]
    xs = [x for x, _ in drawing.scales]
    assert 0 < xs[0] < xs[1] < xs[2] < WIDTH
    ys = [float(pair.split(",")[1]) for _, points in drawing.lines for pair in points.split()]
    assert all(0 < y < HEIGHT for y in ys)
    assert parallel([]).lines == ()


def test_a_point_stands_for_a_run_with_both() -> None:
    found = scatter(scale("a", ["1", "2", None]), scale("b", [1.0, None, 2.0]))
    assert [run for run, _, _ in found.points] == [0]


def test_a_run_keeps_its_colour() -> None:
    assert tone_of("0" * 32) == tone_of("0" * 32)
    assert {tone_of(str(number)) for number in range(200)} == set(range(TONES))


@pytest.mark.parametrize(
    ("name", "label"),
    [("system/gpu_0_power_usage_watts", "GPU 0 power usage, W"), ("system/thermal_state", "Thermal state"),
     ("system/cpu_utilization_percentage", "CPU utilization, %"), ("system/", "")],
)  # fmt: skip
def test_hardware_has_words(name: str, label: str) -> None:
    assert hardware_label(name) == label
