"""The generator: the same files for a seed, and signals as genuine ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from drilling.errors import FolderNotOurs, InvalidConfig
from drilling.setitec import SetitecLog, read_logs
from drilling.synthetic import MARKER, TRUTH, make_hole, write_folder


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


def test_both_versions_and_both_families_occur(synthetic_folder: Path) -> None:
    truth = pl.read_csv(synthetic_folder / TRUTH)
    assert set(truth["version"]) == {4, 9}
    assert set(truth["family"]) == {"one speed", "two speeds"}


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
            assert carried == (4 if stops[-1] in (2048, 8192) else 2)
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
