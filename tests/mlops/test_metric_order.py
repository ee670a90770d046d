"""The order of metrics."""

from __future__ import annotations

from mlops.metric_order import by_kinship


def test_the_primary_metric_and_its_kin_come_first() -> None:
    names = ["automatic_entry_within_0.1_mm", "seconds_export", "val_entry_mae_mm", "val_mae_mm", "loss"]
    assert by_kinship(names, "val_mae_mm") == [
        "val_mae_mm", "val_entry_mae_mm", "automatic_entry_within_0.1_mm", "loss", "seconds_export",
    ]  # fmt: skip


def test_without_a_primary_metric_they_are_by_name() -> None:
    assert by_kinship(["b", "a"], "") == ["a", "b"]
