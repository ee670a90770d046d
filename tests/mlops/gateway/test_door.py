"""Inferences that are turned away before anything is done for them."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

PREDICT = "/projects/alpha/models/depth/predict"
BODY = {"inputs": {"x": [1, 2]}}


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each round of the event loop took too long."""
    monkeypatch.setattr("mlops.gateway.door._MOST_LAG_S", -1.0)


def test_more_than_can_be_read_is_turned_away(
    alpha: TestClient, serve, replica_server, late, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.gateway.door.FREE", 0)
    replica = replica_server()
    serve("alpha", "depth", replica.url)
    answer = alpha.post(PREDICT, json=BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "more requests come than it can read" in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]
    assert not replica.requests
    assert alpha.get("/health").status_code == 200, "what is no inference goes in"


def test_a_few_at_a_time_always_go_in(alpha: TestClient, serve, replica_server, late) -> None:
    serve("alpha", "depth", replica_server().url)
    assert [alpha.post(PREDICT, json=BODY).status_code for _ in range(100)] == [200] * 100
