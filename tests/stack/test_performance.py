"""From what a served model answered and what turned out to be right to its performance, and an alert."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.client import MLOpsClient
from mlops.entities import GroundTruthsLogged
from mlops.errors import InvalidInput
from mlops.installation import Installation
from tests.stack.test_drift import until
from tests.stack.test_end_to_end import toolkit


@pytest.fixture(scope="module")
def known(digits: MLOpsClient, served_digits: Any) -> list[int]:
    """What 40 held-out images show; the served model was asked for each as `seen-<number>`."""
    from sklearn.datasets import load_digits

    images = load_digits()
    for number, image in enumerate(images.data[:40].astype(np.float32)):
        digits.predict("digits", {"X": image[None].tolist()}, request_id=f"seen-{number}")
        time.sleep(0.025)  # of an endpoint the log takes 50 a second
    return [int(each) for each in images.target[:40]]


@pytest.fixture
def rule(stack: Installation, digits: MLOpsClient) -> Iterator[None]:
    """One that is broken by whatever is right: an accuracy of over 1 there is not."""
    added = toolkit(
        stack, "mlops:alerts", "add", "wrong", "--kind", "performance", "--metric", "accuracy",
        "--threshold", "1.01", "--project", "digits",
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    yield
    toolkit(stack, "mlops:alerts", "remove", "wrong", "--project", "digits")


def test_labels_become_performance_and_an_alert(
    stack: Installation, digits: MLOpsClient, known: list[int], rule: None, tmp_path: Path
) -> None:
    until(lambda: sum(each.request_id.startswith("seen-") for each in digits.inferences("digits", 500)) >= 40)
    told = digits.log_ground_truths(
        {"request_id": f"seen-{number}", "truth": {"label": np.int64(known[number])}} for number in range(20)
    )
    assert told == GroundTruthsLogged(new=20)

    table = tmp_path / "seen.csv"
    lines = [f"seen-{number},{known[number]}" for number in range(10, 40)]
    table.write_text("\n".join(["request_id,label", *lines]) + "\n")
    loaded = toolkit(stack, "mlops:ground-truth", "load", str(table), "--project", "digits", "--json")
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout) == {"new": 20, "repeated": 10, "contradicted": 0}

    wrong = toolkit(stack, "mlops:ground-truth", "log", "seen-39", "label=99", "--project", "digits")
    assert "1 contradict" in wrong.stdout
    right = f"label={known[39]}"
    toolkit(stack, "mlops:ground-truth", "log", "seen-39", right, "--project", "digits")
    shown = toolkit(stack, "mlops:ground-truth", "show", "seen-39", "--project", "digits")
    assert f"[{known[39]}]" in shown.stdout
    assert "[99]" in shown.stdout
    assert digits.ground_truths("seen-39")[0].earlier == ((known[39],), (99,))

    report = digits.performance("digits", window="1h", every="10min")
    accuracy = next(each for each in report.rows if each.metric == "accuracy")
    assert (accuracy.output, accuracy.requests) == ("label", 40)
    assert accuracy.value > 0.8
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert accuracy.low < accuracy.value <= accuracy.high
    assert (report.labelled, report.contradicted) == (40, 1)
    assert sum(each.requests for each in report.over_time if each.metric == "accuracy") == 40

    shown = toolkit(
        stack, "mlops:performance", "digits", "--window", "1h", "--every", "10min", "--project", "digits"
    )
    assert "accuracy" in shown.stdout
    assert "contradicted" in shown.stderr
    as_json = toolkit(stack, "mlops:performance", "digits", "--project", "digits", "--json")
    assert json.loads(as_json.stdout)["labelled"] >= 40

    job = digits.drift("digits", window="1h")
    changed = next(each for each in job.performance if each.metric == "accuracy")
    assert (changed.output, changed.rows, changed.requests) == ("label", 40, 40)
    assert changed.current == pytest.approx(accuracy.value)
    assert 0.8 < changed.reference <= 1.0
    assert changed.low < changed.current - changed.reference < changed.high
    said = toolkit(stack, "mlops:drift", "digits", "--project", "digits", "--window", "1h").stdout
    assert "REFERENCE" in said
    assert changed.verdict.value in said

    def alert() -> list[dict[str, Any]]:
        found = json.loads(toolkit(stack, "mlops:alerts", "list", "--json").stdout)
        return [each for each in found if each["rule"] == "wrong"]

    (found,) = until(alert)
    assert (found["kind"], found["subject"], found["state"]) == ("performance", "digits:label", "firing")
    assert 0.8 < found["value"] <= 1.0


def test_what_is_no_label_is_named(stack: Installation, digits: MLOpsClient, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"ground_truths\[0\].request_id"):
        digits.log_ground_truth("a b", {"label": 1})
    with pytest.raises(InvalidInput, match="request_id"):
        digits.predict("digits", {"X": [[0.0] * 64]}, request_id="a b")
    with pytest.raises(InvalidInput, match="request_id"):
        digits.ground_truths("a/b")
    with pytest.raises(InvalidInput, match="every"):
        digits.performance("digits", every="often")
    assert digits.log_ground_truths([]) == GroundTruthsLogged()
    nothing = toolkit(stack, "mlops:performance", "nothing", "--project", "digits")
    assert (nothing.returncode, "mlops:ground-truth load" in nothing.stdout) == (0, True)
    for content, said in (
        ("label\n1\n", "line 1"),
        ("request_id,label\nseen-1\n", "line 2"),
        ('{"request_id": "seen-1", "truth": {"label": 1}}\n{"request', "line 2"),
        ('{"request_id": "seen-1", "truth": {"label": 1}}\n[1]', "line 2"),
        ("", "line 1"),
    ):
        file = tmp_path / "wrong"
        file.write_text(content)
        done = toolkit(stack, "mlops:ground-truth", "load", str(file), "--project", "digits")
        assert (done.returncode, said in done.stderr) == (3, True), done.stderr
    missing = toolkit(stack, "mlops:ground-truth", "load", str(tmp_path / "none"), "--project", "digits")
    assert (missing.returncode, "cannot be read" in missing.stderr) == (3, True)
    no_pair = toolkit(stack, "mlops:ground-truth", "log", "seen-1", "label", "--project", "digits")
    assert (no_pair.returncode, "depth=3.2" in no_pair.stderr) == (3, True)
