"""The annotation queue: what is left out, what goes first, and that it never changes by itself."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from drilling.labeling import durable
from drilling.labeling.keypoints import KeyPoints
from drilling.labeling.queue import (
    FEATURES,
    Candidate,
    InvalidCandidates,
    QueueItem,
    QueueUnreadable,
    QueueUnwritable,
    annotation_queue,
    hole_features,
    read_queue,
    write_queue,
)


def seen(confidence: float, *reasons: str) -> KeyPoints:
    return KeyPoints(1.0, 5.0, 9.0, 10, 50, 90, "broken line", confidence, reasons)


def hole(
    file: str, confidence: float, *features: float, human: bool = False, reasons: tuple[str, ...] = ()
) -> Candidate:
    return Candidate(file, seen(confidence, *reasons), np.array(features), human)


def files(items: tuple[QueueItem, ...]) -> list[str]:
    return [item.file for item in items]


def some_holes(count: int, seed: int = 0) -> list[Candidate]:
    rng = np.random.default_rng(seed)
    return [
        hole(f"{place:04}.xls", float(rng.uniform()), *rng.normal(size=15), human=bool(rng.uniform() < 0.1))
        for place in range(count)
    ]


def test_labelled_and_confident_holes_are_left_out() -> None:
    holes = [hole("a", 0.1, 0, human=True), hole("b", 0.8, 1), hole("c", 0.79, 2), hole("d", 0.95, 3)]
    assert files(annotation_queue(holes)) == ["c"]
    assert files(annotation_queue(holes, threshold=0.9)) == ["c", "b"]
    assert annotation_queue(holes, threshold=0) == ()
    assert annotation_queue([]) == ()


def test_the_least_confident_goes_first_where_nothing_is_labelled() -> None:
    (first, *_) = annotation_queue([hole("a", 0.5, 0), hole("b", 0.2, 1, reasons=("no exit found",))])
    assert (first.file, first.score, first.uncertainty, first.novelty) == ("b", 0.8, 0.8, 1.0)
    assert first.why == "The method's confidence is 0.20 (no exit found), and nothing is labelled yet."


def test_of_equally_uncertain_holes_the_one_unlike_the_labelled_goes_first() -> None:
    holes = [hole("known", 1, 0, human=True), hole("near", 0.5, 0.1), hole("far", 0.5, 5)]
    first, second = annotation_queue(holes)
    assert (first.file, second.file) == ("far", "near")
    assert "the most similar labelled or queued hole is" in first.why


def test_a_twin_of_a_hole_in_the_queue_goes_last() -> None:
    holes = [hole("a", 0.1, 0), hole("b", 0.1, 0), hole("c", 0.6, 4), hole("d", 0.7, 9)]
    items = annotation_queue(holes)
    assert files(items)[0] == "a"
    assert files(items)[-1] == "b"
    assert (items[-1].score, items[-1].novelty) == (0, 0)
    assert "very same features" in items[-1].why


def test_scores_are_products_and_never_rise() -> None:
    items = annotation_queue(some_holes(100))
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
    for item in items:
        assert item.score == pytest.approx(item.uncertainty * item.novelty, abs=1e-8)
        assert 0 <= item.novelty <= 1


def test_a_limit_cuts_the_same_queue() -> None:
    holes = some_holes(60)
    assert annotation_queue(holes, limit=7) == annotation_queue(holes)[:7]
    assert annotation_queue(holes, limit=0) == ()
    assert annotation_queue(holes, limit=10_000) == annotation_queue(holes)


def test_the_order_given_does_not_matter_and_ties_go_by_name() -> None:
    holes = some_holes(80)
    shuffled = random.Random(1).sample(holes, len(holes))
    assert annotation_queue(shuffled) == annotation_queue(holes)
    alike = [hole(name, 0.4, 1, 2) for name in "cab"]
    assert files(annotation_queue(alike)) == ["a", "b", "c"]


@pytest.mark.timeout(60)
def test_two_thousand_holes_are_ordered() -> None:
    holes = some_holes(2000)
    items = annotation_queue((hole for hole in holes), threshold=1)
    assert len(items) == sum(not hole.human for hole in holes)


def test_units_do_not_matter_and_unknown_features_count_as_the_mean() -> None:
    holes = some_holes(40)
    larger = [Candidate(h.file, h.keypoints, h.features * 1024, h.human) for h in holes]
    assert files(annotation_queue(larger)) == files(annotation_queue(holes))
    unknown = [
        hole("known", 1, 0, np.nan, human=True),
        hole("a", 0.5, np.nan, np.nan),
        hole("b", 0.5, 3, np.nan),
    ]
    assert sorted(files(annotation_queue(unknown))) == ["a", "b"]


def test_one_broken_log_does_not_push_the_others_together() -> None:
    holes = [hole("known", 1, 0, human=True), hole("broken", 0.79, 1e12), hole("poor", 0.1, 1)]
    holes += [hole(f"sure {place}", 1, place / 50) for place in range(100)]
    assert annotation_queue(holes)[0].novelty < 0.9


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"limit": -1}, "limit is -1"),
        ({"candidates": [hole("a", 0.5, 1), hole("a", 0.6, 2)]}, "given twice"),
        ({"candidates": [hole("a", 0.5, 1), hole("b", 0.5, 1, 2)]}, r"shape \(2,\)"),
        ({"candidates": [hole("a", 0.5)]}, r"shape \(0,\)"),
        ({"candidates": [Candidate("a", seen(0.5), np.ones((1, 2)), False)]}, r"shape \(1, 2\)"),
        ({"candidates": [hole("a", 0.5, np.inf)]}, "infinite"),
        ({"candidates": [hole("a", float("nan"), 1)]}, "confidence nan"),
        ({"candidates": [hole("a", 1.1, 1)]}, "confidence 1.1"),
    ],
)
def test_refusals(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidCandidates, match=problem) as refused:
        annotation_queue(**{"candidates": [hole("a", 0.5, 1)], **arguments})
    assert refused.value.remedy


def test_a_queue_is_written_and_read_back(tmp_path: Path) -> None:
    items = annotation_queue(some_holes(20))
    path = tmp_path / "out" / "queue.json"
    write_queue(items, path)
    first = path.read_bytes()
    assert read_queue(path) == items
    write_queue(read_queue(path), path)
    assert path.read_bytes() == first
    write_queue((), path)
    assert read_queue(path) == ()


_ITEM = {"file": "a", "score": 0.5, "uncertainty": 0.5, "novelty": 1.0, "why": "so"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "format"),
        (b'{"format": "drilling annotation queue"}', "no list"),
        ([3], "item 1 has not the keys"),
        ([_ITEM, {**_ITEM, "rank": 1}], "item 2 has not the keys"),
        ([{**_ITEM, "score": "high"}], "score is 'high'"),
        ([{**_ITEM, "file": 1.0}], "file is 1.0"),
    ],
)
def test_a_file_that_is_no_queue_is_named(tmp_path: Path, content: bytes | list[Any], problem: str) -> None:
    path = tmp_path / "queue.json"
    if isinstance(content, list):
        content = json.dumps({"format": "drilling annotation queue", "items": content}).encode()
    path.write_bytes(content)
    with pytest.raises(QueueUnreadable, match=problem):
        read_queue(path)


def test_paths_that_the_disk_refuses_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QueueUnreadable, match="No such file"):
        read_queue(tmp_path / "queue.json")
    write_queue((), tmp_path / "queue.json")
    with pytest.raises(QueueUnwritable, match=r"exists|Not a directory"):
        write_queue((), tmp_path / "queue.json" / "below")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    before = (tmp_path / "queue.json").read_bytes()
    with pytest.raises(QueueUnwritable, match="No space left"):
        write_queue(annotation_queue(some_holes(3)), tmp_path / "queue.json")
    assert (tmp_path / "queue.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["queue.json"]


def a_log(rows: int = 1000, **columns: Any) -> Any:
    """A stand-in for a log of a hole of 10 mm at 0.01 mm a row, with layers of 4 A and 12 A."""
    position = np.arange(rows) * 0.01
    table = {
        "position_mm": position,
        "torque_a": np.select([position < 1, position < 5, position < 9], [0.0, 4.0, 12.0], 0.0),
        "thrust_a": np.full(rows, 0.5),
        "torque_empty_a": np.full(rows, 2.0),
        "step": np.arange(rows) // 500,
    }
    return SimpleNamespace(signals=pl.DataFrame({**table, **columns}), sample_rate_hz=100.0)


def test_features_measure_a_hole() -> None:
    values = dict(zip(FEATURES, hole_features(a_log(), seen(0.9)), strict=True))
    assert values["depth_mm"] == pytest.approx(9.99)
    assert (values["duration_s"], values["steps"], values["torque_empty_a"]) == (10, 2, 2)
    assert (values["first_layer_torque_a"], values["second_layer_torque_a"]) == (4, 12)
    assert (values["entry_mm"], values["first_layer_mm"], values["second_layer_mm"]) == (1, 4, 4)
    assert (values["torque_noise_a"], values["thrust_median_a"]) == (0, 0.5)
    assert values["feed_mm_s"] == pytest.approx(0.999)


def test_features_are_unknown_where_a_log_or_a_method_says_nothing() -> None:
    nothing = KeyPoints(None, None, None, None, None, None, "broken line", 0.0, ())
    values = dict(zip(FEATURES, hole_features(a_log(), nothing), strict=True))
    assert {name for name, value in values.items() if np.isnan(value)} == {
        *("entry_mm", "first_layer_mm", "second_layer_mm", "first_layer_torque_a", "second_layer_torque_a")
    }
    log = a_log(thrust_a=[None] * 1000)
    log.signals = log.signals.drop("torque_empty_a", "step")
    values = dict(zip(FEATURES, hole_features(log, seen(1)), strict=True))
    assert np.isnan([values["thrust_median_a"], values["torque_empty_a"]]).all()
    assert values["steps"] == 0
    empty = hole_features(a_log(rows=0), seen(1))
    assert empty.shape == (len(FEATURES),)
    assert np.isnan(empty[0])


def test_features_of_generated_logs_make_a_queue(synthetic_folder: Path) -> None:
    from drilling.labeling import estimate_keypoints
    from drilling.setitec import read_log

    holes = []
    for path in sorted(synthetic_folder.glob("*.xls"))[:4]:
        log = read_log(path)
        keypoints = estimate_keypoints(log)
        holes.append(Candidate(path.name, keypoints, hole_features(log, keypoints), False))
    assert all(candidate.features.shape == (len(FEATURES),) for candidate in holes)
    assert not any(np.isinf(candidate.features).any() for candidate in holes)
    assert len(annotation_queue(holes, threshold=1)) == sum(hole.keypoints.confidence < 1 for hole in holes)
