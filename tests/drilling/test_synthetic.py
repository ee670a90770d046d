"""The generator: the same files for a seed, and signals as genuine ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drilling.breakages import BREAKAGES
from drilling.campaigns import holes_per_campaign
from drilling.errors import FolderNotOurs, InvalidConfig
from drilling.setitec import SetitecLog, read_log, read_logs
from drilling.synthetic import MARKER, TRUTH, SyntheticHole, make_hole, write_folder

LARGE, SEED = 1300, 7
POINTS = ("entry_mm", "transition_mm", "exit_mm")
COMMON = (
    "Position (mm)", "I Torque (A)", "I Thrust (A)", "I Torque Empty (A)", "I Thrust Empty (A)", "Step (nb)",
    "Stop code",
)  # fmt: skip
MEMORIES = ("Mem Torque min (A)", "Mem Thrust min (A)")
DATAS = {
    4: (*COMMON, *MEMORIES, "Rotation Speed (rpm)", "Feed Speed (mm/s)", "Torque Power (W)"),
    7: (*COMMON, *MEMORIES, "Torque Power (W)", "Gap Length (mm)"),
    8: (*COMMON, *MEMORIES, "Torque Power (W)", "Gap Length (mm)"),
    9: (*COMMON, "Torque Power (W)", "Gap Length (mm)"),
    11: (*COMMON, "Power (W)", "Gap Length (mm)", "Gap Length (mm)"),
}
SECTIONS = (
    "General Infos", "Control Box Datas", "Motor Datas", "Head Datas", "Pset", "Cycle Parameters", "Program",
    "Results", "Step Results", "Datas",
)  # fmt: skip
BOX = (
    "BOX Name", "BOX Type", "BOX SN", "BOX STSE", "BOX Customer Info", "BOX Release", "BOX Firmware Version",
    "BOX Production Date", "BOX Maintenance Date", "BOX Operation Time", "BOX Power Supply Limit",
    "BOX Lub Pump Coef.",
)  # fmt: skip
MOTOR = (
    "Motor Name", "Motor Type", "Motor STSE", "Motor SN", "Motor Operation Time", "Motor M2 Ratio",
    "Motor M1 CW Ratio", "Motor M1 CCW Ratio", "Motor Winch Limit",
)  # fmt: skip
NEW_CYCLE = (
    "Max cycles Limit 1", "Max cycles Limit 2", "CC Pressure", "Max Stroke (mm)", "Vacuum Delay (ms)",
    "Vacuum Flow min (m/s)", "Retract Rotation Speed (rpm)", "Retract Feed (m/s)", "Disable Abort",
)  # fmt: skip
BREAKAGE = ("Cutting tool breakage On/Off", "DEP (mm)", "Thrust (A)", "Torque (A)")
OLD_CYCLE = ("Max cycles", "CC Pressure", "Max Stroke (mm)", "Vacuum Delay (ms)")
LUBRICATION = ("Lub Preload Time (s)", "Lub Air", "Lub Flow", "Timeout (s)")
STEP_RESULTS = (
    "Step Number", "Stop Code", "Duration (s)", "Distance M1", "Distance M2", "M1 Max Amp", "M2 Max Amp",
    "M1 No Load Amp", "M2 No Load Amp", "Gap Max (mm)",
)  # fmt: skip


@pytest.fixture(scope="module")
def logs(synthetic_folder: Path) -> list[SetitecLog]:
    return list(read_logs(synthetic_folder, progress=False))


def test_a_set_says_that_it_is_synthetic(synthetic_folder: Path, logs: list[SetitecLog]) -> None:
    truth = pl.read_csv(synthetic_folder / TRUTH)
    assert (synthetic_folder / MARKER).is_file()
    assert truth["synthetic"].all()
    assert all(log.field("Control Box Datas", "BOX Customer Info") == "SYNTHETIC DATA" for log in logs)


def test_the_truth_is_in_order_and_names_every_file(synthetic_folder: Path) -> None:
    truth = pl.read_csv(synthetic_folder / TRUTH)
    ordered = (pl.col("entry_mm") < pl.col("transition_mm")) & (pl.col("transition_mm") < pl.col("exit_mm"))
    assert truth.select(ordered.all()).item()
    assert sorted(truth["file"]) == sorted(path.name for path in synthetic_folder.glob("*.xls"))


def test_a_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert make_hole(3, holes=5, seed=1).content == make_hole(3, holes=5, seed=1).content
    assert make_hole(3, holes=5, seed=1).content != make_hole(3, holes=5, seed=2).content


def test_a_hole_outside_the_set_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="hole 5 of a set of 5"):
        make_hole(5, holes=5, seed=1)


def test_writing_twice_writes_once_and_a_new_set_replaces_the_old(tmp_path: Path) -> None:
    assert write_folder(tmp_path, holes=4, seed=1, progress=False)
    assert not write_folder(tmp_path, holes=4, seed=1, progress=False)
    assert write_folder(tmp_path, holes=2, seed=1, progress=False)
    assert len(list(tmp_path.glob("*.xls"))) == 2


def test_a_set_with_a_lost_file_is_written_again(tmp_path: Path) -> None:
    write_folder(tmp_path, holes=2, seed=1, progress=False)
    next(tmp_path.glob("*.xls")).unlink()
    assert write_folder(tmp_path, holes=2, seed=1, progress=False)


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.xls").write_text("mine")
    with pytest.raises(FolderNotOurs):
        write_folder(tmp_path, holes=2, seed=1, progress=False)
    assert (tmp_path / "mine.xls").read_text() == "mine"


def test_a_small_set_has_the_usual_versions_and_all_families(synthetic_folder: Path) -> None:
    truth = pl.read_csv(synthetic_folder / TRUTH)
    assert set(truth["version"]) >= {4, 9}
    assert set(truth["family"]) == {"one speed", "two speeds", "lubricated"}


def test_positions_and_currents_have_the_units_resolution(logs: list[SetitecLog]) -> None:
    for column, step in (("position_mm", 0.00385), ("torque_a", 0.0488), ("thrust_a", 0.0117)):
        values = logs[0].signals[column].to_numpy()
        assert np.abs(values / step - np.round(values / step)).max() * step < 0.0006


def test_positions_jump_back_at_step_changes(logs: list[SetitecLog]) -> None:
    jumps = [
        before - after
        for log in logs
        for before, after, same in zip(
            log.signals["position_mm"][:-1],
            log.signals["position_mm"][1:],
            log.signals["step"].diff()[1:] == 0,
            strict=True,
        )
        if not same
    ]
    assert jumps
    assert min(jumps) > 0.05
    assert max(jumps) < 0.31


def test_the_last_rows_of_a_step_carry_its_stop_code(logs: list[SetitecLog]) -> None:
    for log in logs:
        for _, rows in log.signals.group_by("step"):
            stops = rows["stop_code"].to_numpy()
            carried = np.count_nonzero(stops)
            assert carried in ((4, 5) if stops[-1] in (2048, 8192) else (2,))
            assert stops[-carried:].all()


def test_the_feed_is_a_little_below_the_programmed(logs: list[SetitecLog]) -> None:
    for log in logs[:5]:
        step = log.signals["step"][-1]
        rows = log.signals.filter(pl.col("step") == step)
        feed = (rows["position_mm"][-1] - rows["position_mm"][0]) / (rows.height - 1) * 100
        assert feed == pytest.approx(0.976 * log.program["feed_mm_s"][step], rel=0.01)


def test_air_noise_has_no_memory(logs: list[SetitecLog]) -> None:
    air = [log.signals["torque_a"][:25].to_numpy() for log in logs]
    assert 0.014 < np.mean([noise.std() for noise in air]) < 0.08
    assert abs(np.mean([np.corrcoef(noise[:-1], noise[1:])[0, 1] for noise in air])) < 0.15


def test_the_empty_current_is_constant_in_a_step(logs: list[SetitecLog]) -> None:
    counts = logs[0].signals.group_by("step").agg(pl.col("torque_empty_a", "thrust_empty_a").n_unique())
    assert set(counts["torque_empty_a"]) | set(counts["thrust_empty_a"]) == {1}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of the genuine one's size."""
    folder = tmp_path_factory.mktemp("large")
    write_folder(folder, holes=LARGE, seed=SEED, progress=False)
    return folder


@pytest.fixture(scope="module")
def large(written: Path) -> dict[str, list[SyntheticHole]]:
    """The holes of that set by version and by how the cycle ran."""
    folder, found = written, {}
    for truth in pl.read_csv(folder / TRUTH, infer_schema_length=None).rows(named=True):
        hole = SyntheticHole(truth["file"], (folder / truth["file"]).read_bytes(), truth)
        for name in (f"version {truth['version']}", truth["cycle"]):
            found.setdefault(name, []).append(hole)
    return found


def rows_of(raw: bytes, title: str) -> list[list[str]]:
    """The cells of a section's rows after its title, without the tabs that pad them."""
    text = raw.decode("latin-1").split(f"*** {title} ***")[1].split("***")[0]
    return [row.rstrip("\t").split("\t") for row in text.split("\n")[1:]]


@pytest.mark.parametrize("version", DATAS)
def test_every_version_is_readable_under_its_names(
    large: dict[str, list[SyntheticHole]], version: int
) -> None:
    raw = large[f"version {version}"][0].content
    log = read_log(raw)
    assert log.version == version
    kinds = {4: {"broken_names"}, 11: {"repeated_name"}}
    assert {problem.kind for problem in log.problems} == kinds.get(version, set())
    titles = [line.split("*** ")[1] for line in raw.decode("latin-1").split(" ***") if "*** " in line]
    assert titles == [title for title in SECTIONS if version >= 7 or title != "Step Results"]
    assert tuple(rows_of(raw, "Datas")[0]) == DATAS[version]
    assert len(rows_of(raw, "Datas")[1]) == len(DATAS[version]) - (version == 11)


@pytest.mark.parametrize("version", DATAS)
def test_the_header_of_every_version_has_its_names(
    large: dict[str, list[SyntheticHole]], version: int
) -> None:
    raw = large[f"version {version}"][0].content
    separator = {
        8: ["Decimal Separator separator"],
        9: ["Decimal Separator separator"],
        11: ["Decimal Separator"],
    }
    usual = ["Version", "Date", "Sample Rate (Hz)"]
    assert rows_of(raw, "General Infos")[0] == usual + separator.get(version, [])
    motor = rows_of(raw, "Motor Datas")[0]
    assert tuple(motor[:9]) == MOTOR
    assert motor[9:] == (["Motor Production Date", "Motor Maintenance Date"] if version == 11 else [])
    head = rows_of(raw, "Head Datas")[0]
    counters = ["Head Global Counter", "Head Local Counter"]
    assert head[3:5] == (counters if version == 4 else ["Head Counter 1", "Head Counter 2"])
    assert head[5:8] == ["Head M1 Ratio", "Head M2 Ratio", "Customer Info"]
    assert ("Micropeck Osc." in head) == (version >= 9)
    pset = rows_of(raw, "Pset")[0]
    assert pset[0] == ("Pset n°" if version < 8 else "Pset Nb.")
    assert ("Drilling Cycle ID" in pset) == (version >= 7)
    assert ("Consumption Wh" in rows_of(raw, "Results")[0]) == (version == 11)
    assert ("Cycle OK" in rows_of(raw, "Results")[0]) == (version >= 7)
    if version >= 7:
        assert tuple(rows_of(raw, "Step Results")[0]) == STEP_RESULTS


@pytest.mark.parametrize("version", DATAS)
def test_the_box_cycle_and_program_of_every_version(
    large: dict[str, list[SyntheticHole]], version: int
) -> None:
    raw = large[f"version {version}"][0].content
    box = rows_of(raw, "Control Box Datas")
    if version == 4:
        assert tuple(box[0]) == BOX[:9]
        assert box[1:47] == [[""]] * 46
        assert tuple(box[47]) == BOX[8:]
    else:
        later = {7: (), 11: ("Pset Default Selection", "Module Disable")}
        assert tuple(box[0]) == (*BOX, *later.get(version, ("Pset Default Selection",)))
    pairs = [tuple(row) for row in rows_of(raw, "Cycle Parameters")[::2]]
    old = [OLD_CYCLE, BREAKAGE] if version < 8 else [NEW_CYCLE, BREAKAGE, LUBRICATION]
    assert pairs[: len(old)] == old
    assert (["Comment"] in rows_of(raw, "Cycle Parameters")) == (version >= 7)
    program = rows_of(raw, "Program")[0]
    assert len(program) == 22
    french, english = ["DEP (mm)", "AV (mm/s)", "AV (mm/tr)"], ["Stroke (mm)", "Feed (mm/s)", "Feed (mm/tr)"]
    assert [program[2], *program[4:6]] == (french if version < 8 else english)


def test_rare_versions_are_rare(large: dict[str, list[SyntheticHole]]) -> None:
    assert all(1 <= len(large[f"version {version}"]) <= 0.01 * LARGE for version in (7, 8, 11))


def test_a_cycle_in_air_has_no_key_points_and_a_third_counter(large: dict[str, list[SyntheticHole]]) -> None:
    for hole in large["in air"]:
        assert [hole.truth[name] for name in POINTS] == [None] * 3
        counters = hole.file.removesuffix(".xls").split("_ST_")[1].split("_")
        assert len(counters) == 3
        assert counters[2] == "1"
        assert read_log(hole.content).signals["torque_a"].to_numpy().max() < 0.5


def test_an_aborted_cycle_has_the_key_points_that_it_reached(large: dict[str, list[SyntheticHole]]) -> None:
    for hole in large["aborted"]:
        log = read_log(hole.content)
        deepest = log.signals["position_mm"].to_numpy().max()
        reached = [point for point in (hole.truth[name] for name in POINTS) if point is not None]
        assert [hole.truth[name] for name in POINTS] == [*reached, *[None] * (3 - len(reached))]
        assert all(float(point) < deepest + 0.01 for point in reached)
        assert len(hole.file.split("_ST_")[1].split("_")) == 2
        assert log.signals["stop_code"][-1] == 131074
        assert log.results.get("cycle_ok") in (None, False)
    counts = {sum(hole.truth[name] is not None for name in POINTS) for hole in large["aborted"]}
    assert len(counts) > 1


def test_a_drilled_hole_has_all_key_points(large: dict[str, list[SyntheticHole]]) -> None:
    assert len(large["drilled"]) > 0.95 * LARGE
    assert all(hole.truth[name] is not None for hole in large["drilled"] for name in POINTS)


def test_file_names_are_the_tag_the_head_and_the_counters(large: dict[str, list[SyntheticHole]]) -> None:
    for hole in large["drilled"][::50]:
        head = read_log(hole.content).header["Head Datas"]
        names = [head["Head TAG UID"], head["Head Name"], "ST"]
        counters = [
            round(float(value.replace(",", "."))) for name, value in head.items() if "Counter" in name
        ]
        assert hole.file == "_".join([*names, *map(str, counters)]) + ".xls"
    assert len({hole.file for holes in large.values() for hole in holes}) == LARGE


@pytest.mark.parametrize("holes", [40, 160, LARGE])
def test_a_set_has_enough_campaigns_that_share_nothing(holes: int) -> None:
    per_campaign = holes_per_campaign(holes)
    numbers = range(0, holes, max(1, per_campaign // 2))
    truths = [make_hole(number, holes=holes, seed=SEED).truth for number in numbers]
    panels = {truth["panel"] for truth in truths}
    assert len(panels) >= 30
    assert len({(truth["panel"], truth["head"]) for truth in truths}) == len(panels)
    assert len({truth["head"] for truth in truths}) == len(panels)
    tools = {(truth["tool"], truth["panel"]) for truth in truths}
    assert len({tool for tool, _ in tools}) == len(tools)


def test_the_first_drilled_holes_are_labelled(tmp_path: Path) -> None:
    write_folder(tmp_path, holes=60, seed=SEED, labelled=20, progress=False)
    truth = pl.read_csv(tmp_path / TRUTH, infer_schema_length=None)
    assert truth["labelled"].sum() == 20
    drilled = truth.filter(pl.col("cycle") == "drilled")["labelled"].to_list()
    assert drilled == [True] * 20 + [False] * (len(drilled) - 20)
    assert write_folder(tmp_path, holes=60, seed=SEED, labelled=21, progress=False)


def test_all_drilled_holes_are_labelled_where_nothing_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path, holes=60, seed=SEED, progress=False)
    truth = pl.read_csv(tmp_path / TRUTH, infer_schema_length=None)
    assert truth["labelled"].to_list() == (truth["cycle"] == "drilled").to_list()
    assert truth["cycle"].n_unique() > 1


def test_breakages_damage_one_hole_in_ten_each(tmp_path: Path) -> None:
    write_folder(tmp_path, holes=40, seed=SEED, breakages=["nul", "data only"], progress=False)
    truth = pl.read_csv(tmp_path / TRUTH, infer_schema_length=None)
    assert dict(truth["breakage"].fill_null("").value_counts().iter_rows()) == {
        "": 32,
        "nul": 4,
        "data only": 4,
    }
    for file, breakage in truth.select("file", "breakage").iter_rows():
        raw = (tmp_path / file).read_bytes()
        assert (b"\0" in raw) == (breakage == "nul")
        assert (b"*** Results" not in raw) == (breakage == "data only")


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_every_breakage_changes_a_log_that_is_still_readable(breakage: str) -> None:
    sound, version_9 = make_hole(0, holes=40, seed=SEED), make_hole(20, holes=40, seed=SEED)
    number = 20 if breakage == "cycle not ok" else 0
    broken = make_hole(number, holes=40, seed=SEED, breakage=breakage)
    assert broken.content != (version_9 if number else sound).content
    assert broken.truth["breakage"] == breakage
    assert read_log(broken.content).signals.height > 50


def test_an_unknown_breakage_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="'rust' is not one of: nul"):
        write_folder(tmp_path / "set", holes=4, seed=1, breakages=["nul", "rust"], progress=False)
    assert not (tmp_path / "set").exists()
    with pytest.raises(InvalidConfig, match="'rust' is not one of: nul"):
        make_hole(0, holes=4, seed=1, breakage="rust")
