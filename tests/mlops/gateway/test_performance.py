"""Ground truths and performance over HTTP, and as the client of the gateway reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from mlops.entities import GroundTruthsLogged, PerformanceReport, Side, Verdict
from mlops.remote import Gateway
from mlops.store.store import Store

LABELS = "/api/projects/alpha/ground-truths"
PERFORMANCE = "/api/projects/alpha/performance"


def error_of(answer: Any) -> dict[str, Any]:
    assert set(answer.json()) == {"error"}
    found: dict[str, Any] = answer.json()["error"]
    return found


def label(request_id: str, **truth: Any) -> dict[str, Any]:
    return {"request_id": request_id, "truth": truth}


@pytest.fixture
def answered(alpha: TestClient, store: Store) -> None:
    """60 answers of the champion, every tenth of them wrong, and 60 of a canary, every second wrong; of the
    first quarter of the champion's there was no canary yet."""
    now = datetime.now(UTC)
    store.inferences.add(
        [
            {
                "at": now - timedelta(seconds=3600 - number * 50), "project": "alpha", "model": "depth",
                "version": version, "side": side, "request_id": f"{side}-{number}", "status": 200,
                "latency_s": 0.004,
                "features": json.dumps({"rows": 1, "outputs": {"grade": ["good"], "y": [0.5 + number]}}),
            }
            for version, side, first in ((3, "champion", 0), (4, "canary", 15))
            for number in range(first, 60)
        ]
    )  # fmt: skip
    wrong = {"champion": 10, "canary": 2}
    told = alpha.post(
        LABELS,
        json={
            "ground_truths": [
                label(
                    f"{side}-{number}", grade="bad" if number % wrong[side] == 0 else "good", y=float(number)
                )
                for side in wrong
                for number in range(60)
            ]
        },
    )
    assert told.status_code == 201
    assert told.json() == {"new": 240, "repeated": 0, "contradicted": 0}


def test_how_right_each_was(alpha: TestClient, answered: None) -> None:
    found = alpha.get(f"{PERFORMANCE}?model=depth&every_s=1800").json()
    figures = {(each["side"], each["output"], each["metric"]): each for each in found["rows"]}
    assert figures["champion", "grade", "accuracy"]["value"] == pytest.approx(0.9)
    assert figures["champion", "y", "mae"]["value"] == pytest.approx(0.5)
    assert figures["canary", "grade", "accuracy"]["requests"] == 45
    assert 0 < figures["champion", "grade", "f1"]["value"] < 1
    assert (found["labelled"], found["contradicted"], found["unusable"], found["problems"]) == (105, 0, 0, [])
    parts = [
        each for each in found["over_time"] if (each["side"], each["metric"]) == ("champion", "accuracy")
    ]
    assert 2 <= len(parts) <= 3
    assert sum(each["requests"] for each in parts) == 60
    (beside,) = [each for each in found["differences"] if each["other"]["metric"] == "accuracy"]
    assert (beside["verdict"], beside["champion"]["version"], beside["other"]["version"]) == ("worse", 3, 4)
    assert beside["champion"]["requests"] == 45, "only while both were asked"
    only_four = alpha.get(f"{PERFORMANCE}?model=depth&version=4").json()
    assert {each["version"] for each in only_four["rows"]} == {4}


def test_repeated_and_contradicting(alpha: TestClient, answered: None) -> None:
    again = alpha.post(LABELS, json={"ground_truths": [label("champion-1", grade="good", y=9.0)]})
    assert again.json() == {"new": 0, "repeated": 1, "contradicted": 1}
    known = {each["output"]: each for each in alpha.get(f"{LABELS}/champion-1").json()}
    assert (known["y"]["truths"], known["y"]["earlier"]) == ([9.0], [[1.0]])
    assert (known["grade"]["earlier"], known["grade"]["logged_by"]) == ([], "alpha")
    assert alpha.get(f"{PERFORMANCE}?model=depth").json()["contradicted"] == 1


def test_what_is_mixed_is_said(alpha: TestClient, answered: None) -> None:
    alpha.post(LABELS, json={"ground_truths": [label("champion-1", y="high")]})
    found = alpha.get(f"{PERFORMANCE}?model=depth").json()
    assert found["problems"] == ["y: its truths or predictions are numbers in some rows and texts in others"]
    assert {each["output"] for each in found["rows"]} == {"grade"}


def test_nothing_labelled_is_no_error(alpha: TestClient) -> None:
    found = alpha.get(f"{PERFORMANCE}?model=depth&every_s=3600").json()
    assert (found["labelled"], found["rows"], found["over_time"], found["differences"]) == (0, [], [], [])
    assert alpha.get(f"{LABELS}/nothing").json() == []


def test_what_cannot_be_asked_is_named(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for query, named in [
        ("", "model"),
        ("?model=../x", "model"),
        ("?model=depth&window_s=0", "window_s"),
        ("?model=depth&window_s=nan", "window_s"),
        ("?model=depth&window_s=1e300", "window_s"),
        ("?model=depth&every_s=1", "every_s"),
        ("?model=depth&every_s=60", "every_s"),
        ("?model=depth&version=0", "version"),
    ]:
        with subtests.test(query=query):
            refused = alpha.get(PERFORMANCE + query)
            assert refused.status_code == 422
            assert named in str(error_of(refused)["fields"])


def test_of_what_is_wrong_nothing_is_kept(alpha: TestClient, subtests: pytest.Subtests) -> None:
    for body, named in [
        ({}, "ground_truths"),
        ({"ground_truths": []}, "ground_truths"),
        ({"ground_truths": [label("r-1", y=1)], "more": 1}, "more"),
        ({"ground_truths": [label("r-1", y=1), label("a b", y=1)]}, "ground_truths[1].request_id"),
        ({"ground_truths": [label("r-1", y=1), {"request_id": "r-2"}]}, "ground_truths[1].truth"),
        ({"ground_truths": [1]}, "ground_truths"),
    ]:
        with subtests.test(body=body):
            refused = alpha.post(LABELS, json=body)
            assert refused.status_code == 422
            assert named in str(error_of(refused)["fields"])
            assert alpha.get(f"{LABELS}/r-1").json() == []


def test_another_projects_are_not_there(
    alpha: TestClient, client_of: Callable[[str], TestClient], answered: None, admin: TestClient
) -> None:
    beta = client_of("token-of-beta")
    assert beta.get(f"{PERFORMANCE}?model=depth").status_code == 403
    assert beta.get(f"{LABELS}/champion-1").status_code == 403
    assert beta.post(LABELS, json={"ground_truths": [label("champion-1", y=1.0)]}).status_code == 403
    assert beta.get("/api/projects/beta/performance?model=depth").json()["rows"] == []
    assert beta.get("/api/projects/beta/ground-truths/champion-1").json() == []
    labelled = {"ground_truths": [label("champion-1", y=1.0)]}
    assert beta.post("/api/projects/beta/ground-truths", json=labelled).json()["new"] == 1
    for answer in (
        admin.get("/api/projects/gamma/performance?model=m"),
        admin.get("/api/projects/gamma/ground-truths/r"),
        admin.post("/api/projects/gamma/ground-truths", json=labelled),
    ):
        assert (answer.status_code, error_of(answer)["type"]) == (404, "ProjectNotFound")


def test_as_the_client_reads_them(alpha: TestClient, answered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway("http://127.0.0.1:1", "token-of-alpha")
    gateway.close()
    monkeypatch.setattr(gateway, "_http", alpha)
    assert gateway.log_ground_truths("alpha", [label("champion-1", y=9.0)]) == GroundTruthsLogged(0, 0, 1)
    known = {each.output: each for each in gateway.ground_truths("alpha", "champion-1")}
    assert (known["y"].truths, known["y"].earlier) == ((9.0,), ((1.0,),))
    assert known["y"].logged_at.tzinfo is not None
    report = gateway.performance("alpha", "depth", 86_400.0, 3600.0, None)
    assert isinstance(report, PerformanceReport)
    assert {each.side for each in report.rows} == {Side.CHAMPION, Side.CANARY}
    assert report.since < report.rows[0].until
    assert Verdict.WORSE in {each.verdict for each in report.differences}
    assert report.over_time


def test_over_time_it_is_in_columns(alpha: TestClient, answered: None) -> None:
    found = alpha.get("/api/projects/alpha/performance-over-time?model=depth&window_s=7200").json()
    assert found["step_s"] == 180
    lines = {(each["output"], each["metric"], each["version"], each["side"]): each for each in found["lines"]}
    assert set(lines) == {
        (output, metric, version, side)
        for output, metric in (("grade", "accuracy"), ("y", "mae"))
        for version, side in ((3, "champion"), (4, "canary"))
    }
    champion = lines["grade", "accuracy", 3, "champion"]
    names = ("values", "low", "high", "requests")
    assert {len(champion[name]) for name in names} == {len(found["times"])}
    assert 56 <= sum(champion["requests"]) <= 60, "those of the part under way are left out"
    assert champion["values"][0] is None, "nobody asked an hour ago"
    known = [place for place, value in enumerate(champion["values"]) if value is not None]
    assert all((champion["low"][place] or 0.0) <= champion["values"][place] for place in known)
    refused = alpha.get("/api/projects/alpha/performance-over-time?model=depth&window_s=0")
    assert error_of(refused)["fields"]["field"] == "window_s"
    assert alpha.get("/api/projects/beta/performance-over-time?model=depth").status_code == 403
