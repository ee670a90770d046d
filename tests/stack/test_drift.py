"""Drift of a served model on the whole stack: from training's reference to the alert."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from mlops.client import MLOpsClient
from mlops.entities import DriftTrigger, JobState
from mlops.errors import DeploymentNotFound, InvalidInput, ReferenceNotFound
from mlops.installation import Installation
from tests.stack.test_end_to_end import toolkit


def until(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def asked(digits: MLOpsClient, served_digits: Any, digits_job: Any) -> np.ndarray:
    """Held-out images that the served model was asked, one by one, then inverted ones; `after` is 120."""
    from sklearn.datasets import load_digits

    images = load_digits().data.astype(np.float32)[:60]
    for image in [*images, *(16.0 - images)]:
        digits.predict("digits", {"X": image[None].tolist()})
        time.sleep(0.025)  # of an endpoint the log takes 50 a second
    return images


def test_images_that_are_inverted_are_found_and_told(
    stack: Installation, digits: MLOpsClient, asked: np.ndarray
) -> None:
    until(lambda: len(digits.inferences("digits", 200)) >= 120)
    job = digits.drift("digits", window="1h")
    assert job.state is JobState.DONE
    assert job.inferences >= 120
    assert job.share > 0.5
    assert {row.side for row in job.columns if row.drifted} >= {"inputs"}
    assert max(each.id for each in digits.drift_reports("digits")) >= job.id

    done = toolkit(stack, "mlops:drift", "digits", "--project", "digits", "--window", "1h", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["drifted"] >= job.drifted - 2
    table = toolkit(stack, "mlops:drift", "digits", "--project", "digits", "--window", "60min")
    assert "X[" in table.stdout
    assert "columns drifted" in table.stderr
    assert "/page" in table.stderr
    history = toolkit(stack, "mlops:drift", "digits", "--project", "digits", "--history")
    assert history.stdout.count(" done ") >= 3

    def page() -> bool:
        answer = httpx.get(
            f"{stack.gateway_url}/api/projects/digits/drift/{job.id}/page",
            headers={"Authorization": f"Bearer {stack.secret('admin_token')}"},
        )
        return answer.status_code == 200 and "Kolmogorov-Smirnov distance" in answer.text

    assert until(page)


def test_by_count_it_comes_by_itself_and_fires_an_alert(
    stack: Installation, digits: MLOpsClient, asked: np.ndarray
) -> None:
    def by_count() -> bool:
        jobs = digits.drift_reports("digits")
        return any(job.trigger is DriftTrigger.COUNT and job.state is JobState.DONE for job in jobs)

    until(by_count)

    def alert() -> list[dict[str, Any]]:
        done = toolkit(stack, "mlops:alerts", "list", "--project", "digits", "--json")
        return [each for each in json.loads(done.stdout) if each["rule"] == "drift"]

    (found,) = until(alert)
    assert (found["kind"], found["subject"], found["state"]) == ("drift_share", "digits", "firing")
    assert "columns of digits version" in found["message"]


def test_what_cannot_be_reported_is_named(
    stack: Installation, digits: MLOpsClient, served_digits: Any, drilling: MLOpsClient
) -> None:
    with pytest.raises(DeploymentNotFound):
        digits.drift("nothing")
    with pytest.raises(InvalidInput, match="24h"):
        digits.drift("digits", window="yesterday")
    with digits.start_run(run_name="without a reference"):
        version = digits.log_model(*_tiny(), flavor="onnx")
    assert version is not None
    with pytest.raises(ReferenceNotFound, match="reference"):
        digits.drift("bare", version=version)
    done = toolkit(stack, "mlops:drift", "nothing", "--project", "digits", "--json")
    assert (done.returncode, json.loads(done.stdout)["error"]["type"]) == (4, "DeploymentNotFound")
    done = toolkit(stack, "mlops:drift", "digits", "--project", "digits", "--window", "0h")
    assert done.returncode == 3
    assert "as in 24h" in done.stderr


def _tiny() -> tuple[Any, str]:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    rows = np.eye(3, dtype=np.float32)
    return to_onnx(LinearRegression().fit(rows, [1.0, 2.0, 3.0]), rows[:1]), "bare"
