"""Figures: what stands on their axes, where their lines are, and that odd logs draw without a warning."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drilling import plots
from drilling.dataset import Hole
from drilling.depth_grid import grid_of
from drilling.errors import InvalidConfig
from drilling.labeling import KEY_POINTS, KeyPoints, estimate_keypoints
from drilling.labeling.calibration import reliability
from drilling.labeling.label import Label
from drilling.phases import phases
from drilling.plots import style
from drilling.plots.trace import recipe_of, trace_of
from drilling.setitec import SetitecLog, read_log
from drilling.synthetic import make_hole
from drilling.validation import validate_batch
from drilling.validation.wear import robust_line
from mlops import MLOpsClient

SET_SIZE, SEED = 400, 7
KINDS = ("two speeds", "one speed", "lubricated", "in air", "aborted")
Drilled = tuple[SetitecLog, dict[str, Any]]


@pytest.fixture(autouse=True)
def _no_warning() -> Iterator[None]:
    """Also those of matplotlib, which the project's settings let pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def kinds() -> dict[str, Drilled]:
    """A hole of each family, one drilled in air and one aborted."""
    found: dict[str, Drilled] = {}
    for number in range(SET_SIZE):
        hole = make_hole(number, holes=SET_SIZE, seed=SEED)
        kind = hole.truth["family"] if hole.truth["cycle"] == "drilled" else hole.truth["cycle"]
        if kind not in found:
            log = dataclasses.replace(read_log(hole.content), source=f"folder/{hole.file}")
            found[str(kind)] = log, dict(hole.truth)
        if len(found) == len(KINDS):
            break
    return found


@pytest.fixture(scope="module")
def batch() -> list[Drilled]:
    holes = [make_hole(number, holes=SET_SIZE, seed=SEED) for number in range(24)]
    return [(read_log(hole.content), dict(hole.truth)) for hole in holes]


@pytest.fixture(scope="module")
def drilled(kinds: dict[str, Drilled]) -> Drilled:
    return kinds["two speeds"]


@pytest.fixture
def log(drilled: Drilled) -> SetitecLog:
    return drilled[0]


def truth_of(truth: dict[str, Any]) -> np.ndarray:
    return np.array([truth[name] for name in KEY_POINTS], dtype=np.float64)


def rendered(figure: Figure) -> Figure:
    """The figure, drawn: layout and texts fail here or never."""
    figure.savefig(BytesIO(), format="png")
    return figure


def main_axes(figure: Any) -> Axes:
    return next(axes for axes in figure.axes if axes.get_ylabel() == "net torque current, A")


def lines_of(axes: Axes, gid: str) -> list[float]:
    return [float(line.get_xdata()[0]) for line in axes.lines if line.get_gid() == gid]


def legend_texts(figure: Any) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def title_of(figure: Figure) -> str:
    return figure.get_suptitle()


def without(log: SetitecLog, *columns: str) -> SetitecLog:
    dtypes = log.signals.schema
    empty = [pl.lit(None, dtype=dtypes[name]).alias(name) for name in columns]
    return dataclasses.replace(log, signals=log.signals.with_columns(empty))


def found_at(depths: tuple[float | None, ...], indices: tuple[int | None, ...]) -> KeyPoints:
    return KeyPoints(*depths, *indices, "by hand", 0.87, ("it was given",))


class TestLogFigure:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("over", ["position", "samples"])
    def test_draws_every_kind_of_hole(self, kinds: dict[str, Drilled], kind: str, over: Any) -> None:
        log, truth = kinds[kind]
        figure = plots.log_figure(log, estimate_keypoints(log), phases(log), {"truth": truth_of(truth)}, over)
        rendered(figure)
        assert title_of(figure).startswith(f"{Path(log.source).name} (synthetic data)")
        assert {"net torque", "net thrust"} <= set(legend_texts(figure))
        lowest = figure.axes[2]
        assert lowest.get_xlabel() == ("sample index" if over == "samples" else "depth, mm of |position|")
        assert "net thrust current, A" in [axes.get_ylabel() for axes in figure.axes]

    def test_key_points_stand_at_their_depths_and_samples(self, drilled: Drilled) -> None:
        log, truth = drilled
        found, true = estimate_keypoints(log), truth_of(truth)
        axes = main_axes(plots.log_figure(log, found, labels={"truth": true}))
        assert lines_of(axes, "key-point-automatic") == pytest.approx(found.as_array().tolist())
        assert lines_of(axes, "key-point-truth") == pytest.approx(true.tolist())
        axes = main_axes(plots.log_figure(log, found, labels={"truth": true}, over="samples"))
        indices = [found.entry_index, found.transition_index, found.exit_index]
        assert lines_of(axes, "key-point-automatic") == indices
        position = log.signals["position_mm"].to_numpy()
        expected = [int(np.argmax(position >= depth)) for depth in true]
        assert lines_of(axes, "key-point-truth") == expected

    def test_sources_have_styles_and_colours_of_their_own(self, drilled: Drilled) -> None:
        log, truth = drilled
        labels = {name: truth_of(truth) for name in ("truth", "human", "predicted")}
        axes = main_axes(plots.log_figure(log, estimate_keypoints(log), labels=labels))
        looks = {
            line.get_gid(): line.get_linestyle()
            for line in axes.lines
            if str(line.get_gid()).startswith("key-point")
        }
        assert len(set(looks.values())) == 4
        colors = [line.get_color() for line in axes.lines if line.get_gid() == "key-point-truth"]
        assert colors == list(style.KEY_POINT_COLORS.values())

    def test_says_names_depths_and_confidence(self, log: SetitecLog) -> None:
        figure = plots.log_figure(log, found_at((3.0, None, 9.5), (80, None, 400)))
        assert {"entry 3.00 mm", "exit 9.50 mm"} <= set(texts_of(figure))
        assert "automatic (confidence 0.87, 1 not known)" in legend_texts(figure)
        assert "transition" not in legend_texts(figure)
        assert title_of(figure).endswith("confidence 0.87: it was given")

    def test_a_persons_label_stands_at_its_samples(self, log: SetitecLog) -> None:
        label = Label(
            file="hole.xls", entry_mm=3.0, transition_mm=6.0, exit_mm=9.0, entry_index=11,
            transition_index=222, exit_index=333, source="human", method="by hand", confidence=None,
            by="Ada", at=datetime.now(UTC), tool_version="1", reason=None, log_digest="0" * 64,
        )  # fmt: skip
        figure = plots.log_figure(log, labels={"human": label}, over="samples")
        assert lines_of(main_axes(figure), "key-point-human") == [11, 222, 333]
        assert "human" in legend_texts(figure)

    @pytest.mark.parametrize("over", ["position", "samples"])
    def test_phases_are_bands_with_names(self, log: SetitecLog, over: Any) -> None:
        found = phases(log)
        figure = plots.log_figure(log, phases=found, over=over)
        strip = figure.axes[0]
        bands = [patch for patch in strip.patches if patch.get_gid() == "phase"]
        kinds = [(phase.name, phase.material) for phase in found]
        runs = [kind for place, kind in enumerate(kinds) if place == 0 or kinds[place - 1] != kind]
        assert len(bands) == len(runs)
        first, last = bands[0].get_extents().x0, bands[-1].get_extents().x1
        to_data = strip.transData.inverted()
        ends = [float(to_data.transform((x, 0))[0]) for x in (first, last)]
        spans = {
            "position": [found[0].from_mm, found[-1].to_mm],
            "samples": [0, found[-1].last_index + 1],
        }
        assert ends == pytest.approx(spans[over])
        named = {text.rstrip("?") for text in [*texts_of(figure), *legend_texts(figure)]}
        assert {phase.material or phase.name for phase in found if phase.name == "cutting"} <= named
        assert {phase.name for phase in found if phase.name != "cutting"} <= named

    def test_an_unsure_phase_has_a_question_mark(self, log: SetitecLog) -> None:
        unsure = [dataclasses.replace(phase, confidence=0.3) for phase in phases(log)]
        shown = [*texts_of(figure := plots.log_figure(log, phases=unsure)), *legend_texts(figure)]
        assert "entry?" in shown
        assert "entry" not in shown

    @pytest.mark.parametrize("over", ["position", "samples"])
    def test_steps_and_stop_codes_stand_where_they_are(self, log: SetitecLog, over: Any) -> None:
        trace = trace_of(log)
        figure = rendered(plots.log_figure(log, over=over))
        strip = figure.axes[1]
        assert [f"step {run.step}" for run in trace.runs] == [
            text for text in texts_of(figure) if text.startswith("step ") and text[5:].isdigit()
        ]
        code = log.signals["stop_code"].to_numpy()
        begins = np.flatnonzero((code != 0) & (np.concatenate([[0], code[:-1]]) == 0))
        places = log.signals["position_mm"].to_numpy()[begins] if over == "position" else begins
        assert lines_of(strip, "stop") == pytest.approx(places.tolist())
        assert any(text.endswith(f"({code[begins[-1]]})") for text in texts_of(figure))
        changes = lines_of(figure.axes[-1 if over == "position" else 2], "step-change")
        assert len(changes) == len(trace.runs) - 1
        assert "step change" in legend_texts(figure)

    def test_a_fault_stands_out(self, log: SetitecLog) -> None:
        code = np.zeros(log.signals.height, dtype=np.int64)
        code[-2:] = 0x20002
        faulty = dataclasses.replace(log, signals=log.signals.with_columns(stop_code=pl.Series(code)))
        shown = [text for axes in plots.log_figure(faulty).axes for text in axes.texts]
        (fault,) = [text for text in shown if "(131074)" in text.get_text()]
        assert fault.get_text() == "torque limit + motor 1 short circuit (131074)"
        assert fault.get_color() == style.FAULT

    @pytest.mark.parametrize(("code", "words"), [(1 << 30, "unknown bits"), (-5, "unknown bits (-5)")])
    def test_an_unknown_stop_code_is_shown(self, log: SetitecLog, code: int, words: str) -> None:
        signals = log.signals.with_columns(stop_code=pl.lit(code))
        figure = rendered(plots.log_figure(dataclasses.replace(log, signals=signals)))
        assert any(words in text for text in texts_of(figure))

    def test_samples_have_their_time_above(self, log: SetitecLog) -> None:
        figure = rendered(plots.log_figure(log, phases=phases(log), over="samples"))
        time_axis = figure.axes[0].child_axes[0]
        assert time_axis.get_xlabel() == "recorded time, s"
        assert time_axis.get_xlim()[1] == pytest.approx(figure.axes[0].get_xlim()[1] / log.sample_rate_hz)

    def test_torque_and_thrust_have_their_zero_at_one_height(self, kinds: dict[str, Drilled]) -> None:
        figure = plots.log_figure(kinds["aborted"][0])
        torque = main_axes(figure)
        thrust = next(axes for axes in figure.axes if axes.get_ylabel() == "net thrust current, A")
        heights = [axes.get_ylim()[0] / axes.get_ylim()[1] for axes in (torque, thrust)]
        assert heights[0] == pytest.approx(heights[1])

    def test_noise_in_air_stays_small(self, kinds: dict[str, Drilled]) -> None:
        assert main_axes(plots.log_figure(kinds["in air"][0])).get_ylim()[1] >= 1

    @pytest.mark.parametrize("over", ["position", "samples"])
    @pytest.mark.parametrize(
        "case", ["one sample", "two samples", "no sample", "no position", "no current", "no step", "gaps"]
    )
    def test_odd_logs_draw(self, log: SetitecLog, case: str, over: Any) -> None:
        odd = {
            "one sample": dataclasses.replace(log, signals=log.signals.head(1)),
            "two samples": dataclasses.replace(log, signals=log.signals.head(2)),
            "no sample": dataclasses.replace(log, signals=log.signals.head(0)),
            "no position": without(log, "position_mm"),
            "no current": without(log, "torque_a", "thrust_a"),
            "no step": dataclasses.replace(
                without(log, "step", "stop_code", "torque_empty_a"), program=pl.DataFrame(), header={}
            ),
            "gaps": dataclasses.replace(
                log, signals=log.signals.with_columns(pl.col("torque_a", "position_mm").replace(0.0, None))
            ),
        }[case]
        figure = plots.log_figure(odd, estimate_keypoints(odd), phases(odd), over=over)
        rendered(figure)
        rendered(plots.hole_report_figure(odd, estimate_keypoints(odd), phases(odd)))
        if case == "no step":
            assert "no step numbers" in texts_of(figure)
            assert "synthetic" not in title_of(figure)
        if case in ("no sample", "no current"):
            assert any(text.startswith("no sample has a torque") for text in texts_of(figure))

    def test_a_leap_of_the_position_does_not_stretch_the_axis(self, log: SetitecLog) -> None:
        position = log.signals["position_mm"].to_numpy().copy()
        deepest = position.max()
        position[position.size // 2] = 5000.0
        leaping = dataclasses.replace(log, signals=log.signals.with_columns(position_mm=pl.Series(position)))
        assert main_axes(plots.log_figure(leaping)).get_xlim()[1] < deepest + 1

    def test_a_name_is_shown_as_it_is(self, log: SetitecLog) -> None:
        named = dataclasses.replace(log, source="folder/_a$b$^{c}\udc80.xls")
        figure = rendered(plots.log_figure(named, labels={"_x$y$": np.array([3.0, 6.0, np.nan])}))
        assert r"a\$b\$^{c}?.xls" in title_of(figure)
        assert any(text.startswith(r" _x\$y\$") for text in legend_texts(figure))

    @pytest.mark.timeout(60)
    def test_a_long_log_is_drawn(self, log: SetitecLog) -> None:
        repeats = -(-11_000 // log.signals.height)
        long = pl.concat([log.signals] * repeats).head(11_000)
        grown = np.sort(long["position_mm"].to_numpy())
        long = long.with_columns(index=pl.Series(np.arange(11_000)), position_mm=pl.Series(grown))
        long = long.with_columns(step=pl.lit(2), stop_code=pl.lit(0))
        slow = dataclasses.replace(log, signals=long)
        assert rendered(plots.log_figure(slow)).axes
        over = rendered(plots.log_figure(slow, found_at((3.0, 6.0, 9.0), (80, 300, 500)), over="samples"))
        assert over.axes

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"over": "time"}, "'time'"),
            ({"labels": {"truth": [1.0, 2.0]}}, "'truth'"),
            ({"labels": {"truth": "somewhere"}}, "'truth'"),
            ({"labels": [1.0, 2.0, 3.0]}, "mapping"),
        ],
    )
    def test_refuses_what_it_cannot_draw(
        self, log: SetitecLog, arguments: dict[str, Any], problem: str
    ) -> None:
        with pytest.raises(InvalidConfig, match=problem):
            plots.log_figure(log, **arguments)

    def test_refuses_a_second_automatic(self, log: SetitecLog) -> None:
        with pytest.raises(InvalidConfig, match="automatic"):
            plots.log_figure(log, found_at((1.0, 2.0, 3.0), (1, 2, 3)), labels={"automatic": [1, 2, 3]})


class TestHoleFigures:
    def test_report_has_both_axes_and_one_legend(self, log: SetitecLog) -> None:
        figure = rendered(plots.hole_report_figure(log, estimate_keypoints(log), phases(log)))
        labels = {axes.get_xlabel() for axes in figure.axes}
        assert {"depth, mm of |position|", "sample index"} <= labels
        assert len(figure.subfigs) == 2
        assert len(figure.legends) == 1

    def test_hole_figure_has_truth_automatic_and_predicted(self, drilled: Drilled) -> None:
        log, truth = drilled
        true = truth_of(truth)
        found = estimate_keypoints(log)
        hole = Hole(Path("a.xls"), log, grid_of(log), found, true, "truth", ("", "", ""))
        figure = rendered(plots.hole_figure(hole, true + 0.1))
        axes = main_axes(figure)
        assert lines_of(axes, "key-point-predicted") == pytest.approx((true + 0.1).tolist())
        assert len(lines_of(axes, "key-point-truth")) == len(lines_of(axes, "key-point-automatic")) == 3
        assert title_of(figure) == "a.xls (synthetic data)"
        genuine = dataclasses.replace(hole, label_source="human", log=dataclasses.replace(log, header={}))
        figure = plots.hole_figure(genuine)
        assert title_of(figure) == "a.xls"
        assert "truth" not in legend_texts(figure)


class TestOverlay:
    def test_a_panel_for_each_group_counted_from_the_entry(self, batch: list[Drilled]) -> None:
        logs, truths = zip(*batch, strict=True)
        families = [truth["family"] for truth in truths]
        figure = rendered(plots.overlay_figure(iter(logs), groups=families))
        shown = [axes for axes in figure.axes if axes.get_title()]
        assert len(shown) == len(set(families))
        counted = sum(len(axes.collections[0].get_segments()) for axes in shown)
        assert f"Net torque of {counted} holes" in title_of(figure)
        assert "synthetic" in title_of(figure)
        assert figure.axes[-1].get_xlabel() == "depth below the entry, mm"
        assert all(lines_of(axes, "entry") == [0] for axes in shown)
        assert legend_texts(figure) == ["one hole", "median", "10-90 % of the holes", "entry"]

    def test_the_median_is_that_of_the_holes(self, log: SetitecLog) -> None:
        gains = (0.5, 0.8, 1.0, 1.1, 1.2)
        logs = [
            dataclasses.replace(log, signals=log.signals.with_columns(pl.col("torque_a") * gain))
            for gain in gains
        ]
        figure = plots.overlay_figure(logs, None)
        (axes,) = figure.axes
        (median,) = [line for line in axes.lines if line.get_gid() == "median"]
        middle = axes.collections[0].get_segments()[2]
        assert np.allclose(np.column_stack(median.get_data()), middle)
        assert axes.get_xlabel() == "depth, mm of |position|"
        assert axes.get_title() == f"{recipe_of(log)} (5 holes)"

    def test_given_entries_are_taken(self, log: SetitecLog) -> None:
        figure = plots.overlay_figure([log, log, log], entries_mm=[2.0, None, float("nan")])
        first = figure.axes[0].collections[0].get_segments()[0][0, 0]
        assert first == pytest.approx(log.signals["position_mm"][0] - 2.0, abs=0.1)
        assert "left out: 2 without an entry" in title_of(figure)

    def test_a_jam_lies_outside_and_is_said(self, log: SetitecLog) -> None:
        jam = log.signals.with_columns(
            torque_a=pl.when(pl.col("index") == pl.col("index").max()).then(900.0).otherwise("torque_a")
        )
        jam = jam.with_columns(pl.col("position_mm").cum_max())
        figure = plots.overlay_figure([log] * 9 + [dataclasses.replace(log, signals=jam)], None)
        assert figure.axes[0].get_ylim()[1] < 100
        assert "1 peak lies above" in title_of(figure)

    def test_many_groups_share_the_last_panel(self, log: SetitecLog) -> None:
        names = [f"_{place}" for place in range(9)]
        figure = rendered(plots.overlay_figure([log] * 9, None, names))
        assert [axes.get_title() for axes in figure.axes][-1] == "4 other groups (4 holes)"

    def test_nothing_draws_too(self, log: SetitecLog) -> None:
        empty = dataclasses.replace(log, signals=log.signals.head(0))
        for logs in ([], [empty]):
            assert "no hole to draw" in texts_of(rendered(plots.overlay_figure(logs)))

    def test_refuses_wrong_arguments(self, log: SetitecLog) -> None:
        with pytest.raises(InvalidConfig, match="'exit'"):
            plots.overlay_figure([log], "exit")  # type: ignore[arg-type]
        with pytest.raises(InvalidConfig, match="fewer groups"):
            plots.overlay_figure([log, log], None, ["a"])

    def test_a_recipe_is_what_the_program_says(self, log: SetitecLog) -> None:
        with_program = recipe_of(log)
        steps = [run.step for run in trace_of(log).runs]
        assert with_program.endswith(f"steps {'-'.join(map(str, steps))}")
        assert recipe_of(dataclasses.replace(log, program=pl.DataFrame())) == with_program
        bare = dataclasses.replace(without(log, "step"), program=pl.DataFrame(), header={})
        assert recipe_of(bare) == "Pset ?, steps ?"


class TestWear:
    def test_table_says_tool_age_and_torque(self, batch: list[Drilled]) -> None:
        logs, truths = zip(*batch, strict=True)
        table = plots.wear_table(iter(logs))
        assert table["tool"].to_list() == [truth["tool"] for truth in truths]
        assert table["age"].to_list() == [truth["age"] for truth in truths]
        assert table["synthetic"].all()
        in_air = [truth["cycle"] == "in air" for truth in truths]
        assert table["hard_torque_a"].is_null().to_list() == in_air

    @pytest.fixture
    def worn(self) -> pl.DataFrame:
        ages = np.arange(30)
        torque = np.concatenate([10 + 0.1 * ages, 12 + 0.05 * ages])
        torque[4] += 8
        return pl.DataFrame(
            {
                "tool": ["A"] * 30 + ["B"] * 30,
                "age": np.concatenate([ages, ages]),
                "hard_torque_a": torque,
                "outlier": [place == 4 for place in range(60)],
            }
        )

    def test_a_panel_for_each_tool_with_its_trend(self, worn: pl.DataFrame) -> None:
        figure = rendered(plots.wear_figure(worn))
        first, second = figure.axes
        assert [first.get_title(), second.get_title()] == ["A", "B"]
        (trend,) = [line for line in second.lines if line.get_gid() == "trend"]
        expected = robust_line(np.arange(30.0), 12 + 0.05 * np.arange(30))
        assert trend.get_ydata()[0] == pytest.approx(expected[1])
        assert (trend.get_ydata()[1] - trend.get_ydata()[0]) / 29 == pytest.approx(expected[0])
        rings = [len(axes.collections[1].get_offsets()) for axes in figure.axes]
        assert rings == [1, 0]
        assert "out of trend" in legend_texts(figure)
        assert first.get_ylabel() == "net torque current, A"
        assert first.get_xlabel() == "age, holes (local counter)"
        assert "synthetic" not in title_of(figure)

    def test_each_recipe_has_a_colour(self, batch: list[Drilled]) -> None:
        table = plots.wear_table(log for log, _ in batch)
        figure = rendered(plots.wear_figure(table))
        recipes = table.filter(pl.col("hard_torque_a").is_not_null())["recipe"].unique()
        assert set(recipes) == {text for text in legend_texts(figure) if text.startswith("Pset")}
        assert "synthetic" in title_of(figure)

    def test_few_columns_are_enough(self, worn: pl.DataFrame) -> None:
        few = worn.drop("outlier").with_columns(pl.lit(None, dtype=pl.Float64).alias("hard_torque_a"))
        figure = rendered(plots.wear_figure(few))
        assert "no hole has a tool, an age and a torque" in texts_of(figure)
        rendered(plots.wear_figure(plots.wear_table([])))
        rendered(plots.wear_figure(worn.head(1)))
        with pytest.raises(InvalidConfig, match="age"):
            plots.wear_figure(worn.drop("age"))


class TestProblems:
    COUNTS = {  # noqa: RUF012
        "alarm_stop": {"info": 0, "warning": 1, "error": 4},
        "noise": {"info": 3, "warning": 2, "error": 0},
    }

    def test_bars_are_the_counts_with_the_gravest_first(self) -> None:
        figure = rendered(plots.problem_figure(self.COUNTS, synthetic=True))
        (axes,) = figure.axes
        widths = [[patch.get_width() for patch in bars] for bars in axes.containers]
        assert widths == [[4, 0], [1, 2], [0, 3]]
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["alarm stop", "noise"]
        assert axes.yaxis_inverted()
        assert texts_of(figure) == ["5", "5"]
        assert legend_texts(figure) == ["error", "warning", "info"]
        assert axes.get_xlabel() == "files"
        assert "synthetic" in title_of(figure)

    def test_takes_a_report(self, kinds: dict[str, Drilled]) -> None:
        report = validate_batch(log for log, _ in kinds.values())
        figure = rendered(plots.problem_figure(report))
        assert title_of(figure).startswith(f"{report.passed} of {len(kinds)} files pass")
        assert len(figure.axes[0].get_yticklabels()) == len(report.counts)

    def test_nothing_found_and_nothing_known(self) -> None:
        assert "no check found anything" in texts_of(rendered(plots.problem_figure({})))
        with pytest.raises(InvalidConfig, match="'fatal'"):
            plots.problem_figure({"noise": {"fatal": 1}})


class TestThickness:
    def test_medians_and_grips(self) -> None:
        found = pl.DataFrame(
            {
                "group": ["P1", "P1", "P1", "P2"],
                "entry_mm": [1.0, 2.0, 3.0, None],
                "transition_mm": [5.0, 6.0, 7.5, 4.0],
                "exit_mm": [8.0, 9.0, 10.0, 6.0],
            }
        )
        figure = rendered(plots.thickness_figure(found, synthetic=True))
        first, second, stack = figure.axes
        assert len(first.collections) == 2  # P2 has no first layer: only P1's points and median.
        assert second.collections[1].get_segments()[0][0, 0] == pytest.approx(3.0)
        grips = lines_of(stack, "grip")
        assert np.allclose(
            np.array(grips) / plots.GRIP_PITCH_MM, np.round(np.array(grips) / plots.GRIP_PITCH_MM)
        )
        assert np.allclose(np.diff(grips), 1.5875)
        assert min(grips) <= 7.0 <= max(grips)
        assert first.get_xlabel() == "thickness, mm"
        assert "synthetic" in title_of(figure)

    def test_without_groups_or_key_points(self) -> None:
        empty = pl.DataFrame(schema=dict.fromkeys(KEY_POINTS, pl.Float64))
        rendered(plots.thickness_figure(empty))
        rendered(plots.thickness_figure(pl.DataFrame({name: [float("nan")] for name in KEY_POINTS})))
        with pytest.raises(InvalidConfig, match="exit_mm"):
            plots.thickness_figure(empty.drop("exit_mm"))


class TestErrors:
    @pytest.fixture
    def truth(self) -> np.ndarray:
        return np.sort(np.random.default_rng(1).uniform(1, 15, (40, 3)), axis=1)

    def test_error_figure_says_the_mean(self, truth: np.ndarray) -> None:
        figure = rendered(plots.error_figure(truth + 0.1, truth, "40 holes"))
        assert [axes.get_title() for axes in figure.axes] == [
            f"{name}: MAE 0.100 mm" for name in ("entry", "transition", "exit")
        ]
        assert figure.axes[0].get_ylabel() == "holes"
        assert title_of(figure) == "40 holes"
        nothing = np.full((4, 3), np.nan)
        assert rendered(plots.error_figure(nothing, nothing, "")).axes[0].get_title() == "entry: none"

    def test_scatter_rings_what_is_far_and_counts_what_is_missing(self, truth: np.ndarray) -> None:
        found = truth.copy()
        found[3, 2] += 2
        found[5, 0] = np.nan
        figure = rendered(plots.scatter_figure(found, truth, synthetic=True))
        rings = [len(axes.collections[-1].get_offsets()) for axes in figure.axes]
        assert rings == [0, 0, 1]
        assert figure.axes[0].get_title() == "entry: MAE 0.000 mm, 1 not found"
        assert figure.axes[0].get_ylabel() == "found depth, mm"
        assert title_of(figure) == "Found against true depth (synthetic data)"
        nothing = np.full((2, 3), np.nan)
        rendered(plots.scatter_figure(nothing, nothing))

    def test_calibration_stands_at_the_tables_points(self) -> None:
        rng = np.random.default_rng(2)
        confidence = rng.uniform(0, 1, 300)
        errors = np.where(rng.uniform(size=300) < confidence, 0.05, 0.5)
        table = reliability(confidence, errors)
        figure = rendered(plots.calibration_figure(table))
        share, holes = figure.axes
        measured = share.lines[-1]
        assert measured.get_xdata() == pytest.approx(table["mean_confidence"].to_numpy())
        assert measured.get_ydata() == pytest.approx(table["share_within"].to_numpy())
        assert [bar.get_height() for bar in holes.patches] == table["holes"].to_list()
        assert holes.get_xlabel() == "confidence"
        assert legend_texts(figure) == ["as sure as right", "95 % interval", "measured"]

    def test_calibration_of_nothing(self) -> None:
        empty = reliability([], [])
        assert "no hole has a confidence" in texts_of(rendered(plots.calibration_figure(empty)))
        with pytest.raises(InvalidConfig, match="share_within"):
            plots.calibration_figure(empty.drop("share_within"))

    def test_groups_stand_with_the_worst_on_top(self, truth: np.ndarray) -> None:
        groups = ["good"] * 20 + ["bad"] * 20
        found = truth + np.where(np.array(groups) == "bad", 0.3, 0.01)[:, None]
        figure = rendered(plots.error_by_group_figure(found, truth, groups, synthetic=True))
        (axes,) = figure.axes
        assert [tick.get_text() for tick in axes.get_yticklabels()] == ["bad (20)", "good (20)"]
        starts = [line.get_xdata()[0] for line in axes.lines if line.get_gid() == "group"]
        assert starts == pytest.approx([0.3] * 3 + [0.01] * 3)
        assert "target 0.15 mm" in legend_texts(figure)
        assert axes.get_xlabel() == "absolute error, mm"

    def test_many_groups_and_none(self, truth: np.ndarray) -> None:
        figure = rendered(plots.error_by_group_figure(truth, truth, [f"_g{place}" for place in range(40)]))
        assert "the worst 14 of 40 groups" in title_of(figure)
        rendered(plots.error_by_group_figure(np.empty((0, 3)), np.empty((0, 3)), []))

    def test_refuses_other_shapes(self, truth: np.ndarray) -> None:
        for draw in (plots.scatter_figure, lambda *both: plots.error_figure(*both, "")):
            with pytest.raises(InvalidConfig, match="shapes"):
                draw(truth[:, :2], truth[:, :2])
        with pytest.raises(InvalidConfig, match="39 groups for 40 holes"):
            plots.error_by_group_figure(truth, truth, ["a"] * 39)


class TestFiles:
    def test_save_figure_makes_the_folder(self, tmp_path: Path) -> None:
        path = plots.save_figure(plots.problem_figure({}), tmp_path / "a" / "b.png")
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_log_figures_keeps_each_under_its_name(self) -> None:
        kept: list[str] = []

        class Client:
            def log_figure(self, figure: Any, name: str) -> None:
                assert isinstance(figure, Figure)
                kept.append(name)

        figures = {"errors.png": plots.problem_figure({}), "hole 1.5": plots.problem_figure({})}
        plots.log_figures(Client(), figures)
        plots.log_figures(Client(), {"x.svg": plots.problem_figure({})}, "")
        assert kept == ["figures/errors.png", "figures/hole 1.5.png", "x.svg"]
        assert callable(MLOpsClient.log_figure)
        with pytest.raises(InvalidConfig, match="errors"):
            plots.log_figures(Client(), {"errors": "a picture"})  # type: ignore[dict-item]

    def test_no_figure_needs_pyplot(self) -> None:
        folder = Path(plots.__file__).parent
        assert not [path.name for path in folder.glob("*.py") if "pyplot" in path.read_text()]
