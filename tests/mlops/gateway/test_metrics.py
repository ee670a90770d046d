"""What Prometheus reads, by its own parser."""

from __future__ import annotations

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.testclient import TestClient

PREDICT = "/projects/{project}/models/depth/predict"


def read(client: TestClient) -> dict[tuple[str, str], float]:
    """(name of the sample, project) -> value; the histogram's count and sum among them."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    return {
        (sample.name, sample.labels.get("project", "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_answers_errors_and_latencies_are_counted(alpha: TestClient, serve, replica_server) -> None:
    serve("alpha", "depth", replica_server().url, version=4)
    for inputs in ({"x": [1]}, {"x": [2]}, {"wrong": 1}, {"broken": 1}):
        alpha.post(PREDICT.format(project="alpha"), json={"inputs": inputs})
    found = read(alpha)
    assert found["mlops_inferences_total", "alpha"] == 4
    assert found["mlops_inference_errors_total", "alpha"] == 1, "the caller's mistake is none"
    assert found["mlops_inference_seconds_count", "alpha"] == 4
    assert 0 < found["mlops_inference_seconds_sum", "alpha"] < 60
    assert found["mlops_inferences_under_way", "alpha"] == 0
    answered = 2  # by the model; the stand-in says it waited 4 ms each, three in a call
    assert found["mlops_inference_queue_seconds_count", "alpha"] == answered
    assert found["mlops_inference_queue_seconds_sum", "alpha"] == pytest.approx(0.004 * answered)
    assert found["mlops_inference_batch_requests_sum", "alpha"] == 3 * answered
    labels = 'model="depth",project="alpha",side="champion",version="4"'
    assert f"mlops_inferences_total{{{labels}}} 4.0" in alpha.get("/metrics").text


def test_a_project_sees_its_own_alone(alpha: TestClient, admin: TestClient, serve, replica_server) -> None:
    for project in ("alpha", "beta"):
        serve(project, "depth", replica_server().url)
        admin.post(PREDICT.format(project=project), json={"inputs": {"x": [1]}})
    assert {project for _, project in read(alpha)} == {"", "alpha"}
    assert {project for _, project in read(admin)} == {"", "alpha", "beta"}


def test_without_an_answer_the_text_is_whole_and_empty(alpha: TestClient) -> None:
    assert read(alpha) == {("mlops_inferences_unlogged_total", ""): 0}


def test_what_is_undeployed_goes(alpha: TestClient, serve, replica_server, store) -> None:
    serve("alpha", "depth", replica_server().url)
    alpha.post(PREDICT.format(project="alpha"), json={"inputs": {"x": [1]}})
    store.deployments.want_removal("alpha", "depth")
    deadline = time.monotonic() + 30
    while alpha.post(PREDICT.format(project="alpha"), json={"inputs": {"x": [1]}}).status_code != 404:
        assert time.monotonic() < deadline, "the news has not come"
    with pytest.raises(KeyError):
        read(alpha)["mlops_inferences_total", "alpha"]
