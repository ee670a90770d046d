"""What Prometheus reads, by its own parser."""

from __future__ import annotations

import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_text
from starlette.testclient import TestClient

from mlops.errors import ServiceUnavailable
from mlops.store.store import Store

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


def values(client: TestClient, family: str) -> dict[str, float]:
    """Of a family with one label, its value -> the sample's."""
    return {
        next(iter(sample.labels.values())): sample.value
        for found in text_string_to_metric_families(client.get("/metrics").text)
        for sample in found.samples
        if sample.name == family
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


def test_a_project_sees_neither_services_nor_the_machine(alpha: TestClient, admin: TestClient) -> None:
    platforms = {"mlops_service_up", "mlops_disk_free_bytes", "mlops_build_info", "mlops_hardware_info"}
    assert platforms <= {name for name, _ in read(admin)}
    assert not platforms & {name for name, _ in read(alpha)}
    assert {name for name, _ in read(alpha) if name.startswith(("process_", "mlops_hardware"))} == set()


def test_the_older_text_is_given_where_it_is_asked_for(alpha: TestClient) -> None:
    answer = alpha.get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {sample.name for family in plain_text(answer.text) for sample in family.samples}
    assert {"mlops_inferences_unlogged_total", "mlops_runs", "mlops_source_up"} <= names
    both = alpha.get("/metrics", headers={"Accept": "application/openmetrics-text,text/plain;q=0.5"})
    assert both.text.endswith("# EOF\n")


def test_what_there_is_none_of_is_0(alpha: TestClient, admin: TestClient) -> None:
    assert read(alpha)["mlops_runs", "alpha"] == 0
    assert read(alpha)["mlops_alerts", "alpha"] == 0
    assert ("mlops_alerts", "beta") in read(admin)
    assert read(alpha)["mlops_inferences_unlogged_total", ""] == 0


def test_without_postgres_its_figures_are_missing_and_the_rest_is_there(
    admin: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert values(admin, "mlops_source_up") == {"postgres": 1, "services": 1, "hardware": 1}

    def away() -> None:
        raise ServiceUnavailable("postgres", "away")

    monkeypatch.setattr(store, "figures", away)
    deadline = time.monotonic() + 30
    while (found := values(admin, "mlops_source_up"))["postgres"]:
        assert time.monotonic() < deadline, "it is asked again after a second"
    assert found == {"postgres": 0, "services": 1, "hardware": 1}
    names = {name for name, _ in read(admin)}
    assert "mlops_service_up" in names
    assert not {"mlops_runs", "mlops_deployment_state"} & names
    monkeypatch.undo()
    while not values(admin, "mlops_source_up")["postgres"]:
        assert time.monotonic() < deadline


def test_what_is_undeployed_goes(alpha: TestClient, serve, replica_server, store) -> None:
    serve("alpha", "depth", replica_server().url)
    alpha.post(PREDICT.format(project="alpha"), json={"inputs": {"x": [1]}})
    store.deployments.want_removal("alpha", "depth")
    deadline = time.monotonic() + 30
    while alpha.post(PREDICT.format(project="alpha"), json={"inputs": {"x": [1]}}).status_code != 404:
        assert time.monotonic() < deadline, "the news has not come"
    with pytest.raises(KeyError):
        read(alpha)["mlops_inferences_total", "alpha"]
