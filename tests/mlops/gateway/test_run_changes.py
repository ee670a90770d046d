"""Runs that are tagged, archived and restored by the API: what MLflow is told, and what is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from starlette.testclient import TestClient

from mlops.entities import ProjectWorkspace
from mlops.platform import Platform
from mlops.store.store import Store
from mlops.tracking.rest import ServerRefusal

VERBS = ("tags", "archive", "restore")


class Told:
    """An MLflow that is said to be there; it refuses runs whose id begins with `x`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def of(self, workspace: ProjectWorkspace) -> Any:
        told = self

        class Account:
            def within(self, seconds: float) -> contextlib.AbstractContextManager[None]:
                return contextlib.nullcontext()

            def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
                if str(body.get("run_id")).startswith("x"):
                    raise ServerRefusal("INVALID_STATE", "<b>it is deleted</b>", 400)
                told.calls.append((workspace.project_name, path, body))
                info = {"run_id": "a0", "run_name": "old", "status": "FAILED", "start_time": 1000}
                listed = {"/experiments/search": {"experiments": [{"experiment_id": "7"}]}}
                return listed.get(path, {"runs": [{"info": info}]})

        return Account()


@pytest.fixture
def told(platform: Platform) -> Told:
    made = Told()
    platform.run_changes._rest_of = made.of
    return made


@pytest.fixture
def runs(add_run, app: object) -> None:
    for project, id in (("alpha", "a1"), ("alpha", "xa"), ("beta", "b1")):
        add_run(project, id)


def error_of(answer) -> tuple[int, str]:
    assert set(answer.json()) == {"error"}, answer.text
    return answer.status_code, answer.json()["error"]["type"]


@pytest.mark.usefixtures("runs")
def test_each_run_is_told_of(admin: TestClient, alpha: TestClient, told: Told, store: Store) -> None:
    answer = alpha.post("/api/runs/tags", json={"runs": ["alpha/a1", "alpha/xa"], "tags": {"stage": "prod"}})
    assert answer.status_code == 200
    failed = [{"run": "alpha/xa", "reason": "<b>it is deleted</b>"}]
    assert answer.json() == {"changed": ["alpha/a1"], "failed": failed}
    tags = [{"key": "stage", "value": "prod"}]
    assert told.calls == [("alpha", "/runs/log-batch", {"run_id": "a1", "tags": tags})]
    assert store.audit.latest(1)[0].who == "alpha"
    both = admin.post("/api/runs/archive", json={"runs": ["beta/b1", "alpha/a1", "beta/b1"]})
    assert both.json() == {"changed": ["beta/b1", "alpha/a1"], "failed": []}
    assert {(each.action, each.project) for each in store.audit.latest(2)} == {
        ("archive runs", "alpha"), ("archive runs", "beta"),
    }  # fmt: skip
    assert alpha.post("/api/runs/restore", json={"runs": ["alpha/gone"]}).json()["changed"] == ["alpha/gone"]
    assert told.calls[-1] == ("alpha", "/runs/restore", {"run_id": "gone"})
    (found,) = alpha.get("/api/runs/archived?project=alpha").json()["runs"]
    assert found == {
        "project": "alpha", "id": "a0", "name": "old", "status": "FAILED",
        "started_at": "1970-01-01T00:00:01Z",
    }  # fmt: skip


@pytest.mark.usefixtures("runs")
def test_what_is_refused_changes_nothing(
    admin: TestClient, alpha: TestClient, anonymous: TestClient, told: Told, platform: Platform, store: Store
) -> None:
    tags = {"tags": {"a": "1"}}
    for verb in VERBS:
        path, more = f"/api/runs/{verb}", tags if verb == "tags" else {}
        assert anonymous.post(path, json={"runs": ["alpha/a1"], **more}).status_code == 401
        for runs, wanted in (
            (["alpha/a1", "beta/b1"], (403, "Forbidden")), ([], (422, "InvalidInput")),
            (["alpha/a1"] * 21, (422, "InvalidInput")), (["a1"], (422, "InvalidInput")),
            ("alpha/a1", (422, "InvalidInput")), (["../x/a1"], (422, "InvalidName")),
        ):  # fmt: skip
            answer = alpha.post(path, json={"runs": runs, **more})
            assert error_of(answer) == wanted, (verb, runs)
            assert answer.json()["error"]["remedy"] or wanted[0] == 403
        assert error_of(admin.post(path, json={"runs": ["gamma/a1"], **more})) == (404, "ProjectNotFound")
        if verb != "restore":
            assert error_of(admin.post(path, json={"runs": ["beta/a1"], **more})) == (404, "RunNotFound")
    for wrong in ({}, {"mlflow.user": "x"}, {"mlops.error": ""}, {"\n": ""}, {"a": 1}):
        answer = alpha.post("/api/runs/tags", json={"runs": ["alpha/a1"], "tags": wrong})
        assert error_of(answer) == (422, "InvalidInput"), wrong
    assert error_of(alpha.get("/api/runs/archived?project=beta")) == (403, "Forbidden")
    assert error_of(admin.get("/api/runs/archived")) == (422, "InvalidInput")
    assert (told.calls, store.audit.latest(1)) == ([], [])
    platform.run_changes._rest_of = None
    answer = alpha.post("/api/runs/archive", json={"runs": ["alpha/a1"]})
    assert error_of(answer) == (503, "ServiceUnavailable")
