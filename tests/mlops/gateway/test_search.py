"""What a few words find by the API, and for whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from mlops.entities import DeploymentState, RunStatus
from mlops.store.model_versions import IndexedVersion
from mlops.store.store import Store

HOSTILE = "<script>alert(1)</script>"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = [
    IndexedVersion(project, model, version, BEGIN)
    for project, model, version in (
        ("alpha", "hole-depth", 2),
        ("beta", "hole-depth", 2),
        ("alpha", "old-depth", 1),
    )
]


@pytest.fixture
def things(app: object, add_run: Callable[..., object], serve: Callable[..., int], store: Store) -> None:
    """Runs, models and data of alpha and beta that are called alike."""
    for place, project in enumerate(("alpha", "beta")):
        data = {"data.path": "data/holes", "data.hash": f"{project}0f3c.dir", "mlflow.note": "hidden"}
        for number in range(3):
            began = BEGIN + timedelta(hours=2 * number + place)
            add_run(project, f"{project}{number}", name=f"mixer-{number}", tags=data, started_at=began,
                    status=RunStatus.FAILED)  # fmt: skip
        serve(project, "hole-depth", "http://127.0.0.1:1", version=2)
    failed = store.deployments.want("alpha", "old-depth", 1, 1)
    store.deployments.advance(failed.id, DeploymentState.FAILED)
    store.model_versions.put(VERSIONS)


def find(client: TestClient, q: str, **more: object) -> list[dict[str, str]]:
    answer = client.get("/api/search", params={"q": q, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def urls(client: TestClient, q: str, **more: object) -> list[str]:
    return [hit["url"] for hit in find(client, q, **more)]


@pytest.mark.usefixtures("things")
def test_a_model_that_was_never_deployed_is_found(alpha: TestClient, store: Store) -> None:
    known = [IndexedVersion(project, "unserved-depth", 1, BEGIN) for project in ("alpha", "beta")]
    store.model_versions.put([*VERSIONS, *known])
    (found,) = find(alpha, "unserved")
    assert (found["what"], found["project"], found["url"]) == (
        "model",
        "alpha",
        "/models/alpha/unserved-depth",
    )


@pytest.mark.usefixtures("things")
def test_each_kind_is_found_by_what_it_is_called(alpha: TestClient) -> None:
    assert find(alpha, "MIXER 2") == [
        {"what": "run", "project": "alpha", "name": "mixer-2", "id": "alpha2", "state": "failed",
         "url": "/runs/alpha/alpha2"}
    ]  # fmt: skip
    assert [hit["id"] for hit in find(alpha, "mix")] == ["alpha2", "alpha1", "alpha0"]
    found = find(alpha, "depth")
    assert [(hit["what"], hit["name"], hit["id"], hit["state"]) for hit in found] == [
        ("model", "hole-depth", "", ""), ("model", "old-depth", "", ""),
        ("deployment", "hole-depth", "2", "running"), ("deployment", "old-depth", "1", "failed"),
    ]  # fmt: skip
    for words in ("data/holes", "alpha0f3"):
        data = [hit for hit in find(alpha, words) if hit["what"] == "data"]
        assert [(hit["name"], hit["id"]) for hit in data] == [("data/holes", "alpha0f3c.dir")]
    assert find(alpha, "alpha")[0]["what"] == "project"
    assert (
        find(alpha, "hidden")
        == find(alpha, "nothing like it")
        == find(alpha, " /-% ")
        == find(alpha, "")
        == []
    )


@pytest.mark.usefixtures("things")
def test_a_member_finds_its_own_alone(alpha: TestClient, admin: TestClient) -> None:
    for words in ("mixer", "depth", "data", "beta", "hole", "0", HOSTILE):
        assert {hit["project"] for hit in find(alpha, words, most=100)} <= {"alpha"}, words
    assert {hit["project"] for hit in find(admin, "mixer")} == {"alpha", "beta"}
    assert urls(admin, "beta")[0] == "/?project=beta"
    assert len(urls(admin, "mixer", most=2)) == 2


def test_what_is_called_anything_is_found_and_harmless(alpha: TestClient, add_run, app: object) -> None:
    add_run("alpha", "a/../b?x=1#&", name=HOSTILE)
    (hit,) = find(alpha, "script alert")
    assert (hit["name"], hit["url"]) == (HOSTILE, "/runs/alpha/a%2F..%2Fb%3Fx%3D1%23%26")
    shown = alpha.get("/search", params={"q": HOSTILE}).text
    assert HOSTILE not in shown
    assert "&lt;script&gt;alert(1)" in shown


def test_a_question_that_cannot_be_taken_is_named(alpha: TestClient) -> None:
    many = " ".join(f"w{number}" for number in range(21))
    for wrong in (
        {},
        {"q": "x" * 201},
        {"q": "a", "most": 0},
        {"q": "a", "most": 101},
        {"q": "a\0"},
        {"q": many},
    ):
        answer = alpha.get("/api/search", params=wrong)
        assert answer.status_code == 422, wrong
        assert answer.json()["error"]["type"] == "InvalidInput"


def test_a_dead_database_is_unavailable(alpha: TestClient, platform, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha.get("/api/me")
    monkeypatch.setattr(platform, "_store", Store("postgresql://mlops:x@127.0.0.1:1/mlops"))
    assert alpha.get("/api/search?q=a").status_code == 503
