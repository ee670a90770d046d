"""Pages of models and deployments, what they draw, and the examples of their form."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mlops.dashboard.sparks import spark
from mlops.dashboard.tryout import inputs_of
from mlops.entities import DeploymentState, Side
from mlops.errors import ServiceUnavailable
from mlops.store.traffic import Traffic

HOSTILE = "<script>alert(1)</script>\"'"


def test_empty_pages_teach_the_commands(page, add_project) -> None:
    add_project("alpha")
    assert "client.log_model" in page("/models")
    assert "mlops:deploy &lt;model&gt; &lt;version&gt;" in page("/deployments")


def test_models_show_champion_age_aliases_and_deployments(
    page, store, add_project, add_version, add_run, serve
) -> None:
    add_project("alpha", primary_metric="mae")
    add_run("alpha", "r1", name="train-7", metrics={"acc": 0.9, "mae": 0.0731})
    old = datetime.now(UTC) - timedelta(days=3)
    add_version("alpha", "depth", 1, run_id="r1", aliases=("champion", "gold"), created_at=old)
    add_version("alpha", "depth", 2)
    serve("alpha", "depth", "http://127.0.0.1:1")
    shown = page("/models", region="models")
    assert "3 d ago" in shown
    assert "<bdi>mae</bdi></span> 0.0731" in shown
    assert "<bdi>gold</bdi> v1" in shown
    assert 'href="/deployments/alpha/depth"' in shown
    store.audit.record("ada", "promote", "alpha", model="depth", version=1, why="better")
    versions = page("/models/alpha/depth")
    assert 'href="/runs/alpha/r1"' in versions
    assert "train-7" in versions
    assert re.search("<strong>ada</strong><span>promote v1</span><q><bdi>better</bdi></q>", versions)
    assert "/deployments/alpha/depth/deploy?version=2" in versions
    one = page("/models/alpha/depth/1")
    assert "mlops:ane-report depth:1 --project alpha" in one
    assert "mlops:export kserve depth --version 1" in one


def test_what_was_known_stays_while_postgres_is_away(
    page, platform, add_project, add_version, serve, monkeypatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ServiceUnavailable("postgres", "connection refused")

    add_project("alpha")
    add_version("alpha", "depth", 1)
    serve("alpha", "depth", "http://127.0.0.1:1")
    paths = ("/models", "/models/alpha/depth", "/models/alpha/depth/1", "/deployments",
             "/deployments/alpha/depth")  # fmt: skip
    for path in paths:
        page(path)
    for verb in ("models", "versions", "detail", "actions"):
        monkeypatch.setattr(platform.models, verb, away)
    monkeypatch.setattr(platform.board, "lanes", away)
    for path in paths:
        shown = page(path)
        assert "region stale" in shown
        assert "postgres does not answer: connection refused" in shown
        assert "v1" in shown


def test_versions_come_by_the_hundred(page, store, add_project, add_version) -> None:
    add_project("alpha")
    first = add_version("alpha", "depth", 1)
    store.model_versions.put([replace(first, version=number) for number in range(1, 131)])
    assert page("/models/alpha/depth").count('<tr id="version-') == 100
    older = page("/models/alpha/depth?before=31")
    assert older.count('<tr id="version-') == 30
    assert "Newest" in older


def test_lanes_show_shares_and_how_each_answers(page, add_project, serve, store) -> None:
    add_project("alpha")
    serve("alpha", "depth", "http://127.0.0.1:1", version=1)
    canary = serve("alpha", "depth", "http://127.0.0.1:2", version=2, side=Side.CANARY, weight=20)
    serve("alpha", "depth", "http://127.0.0.1:3", version=3, side=Side.SHADOW)
    traffic = Traffic()
    traffic.record(0.004, failed=True)
    now = datetime.now(UTC)
    store.traffic.add({canary: traffic}, now - timedelta(minutes=2))
    store.traffic.add({canary: traffic}, now - timedelta(minutes=5))
    shown = page("/deployments", region="deployments")
    assert shown.index(">champion<") < shown.index(">canary<") < shown.index(">shadow<")
    assert "80 %" in shown
    assert "20 %" in shown
    assert "copies" in shown
    assert "/deployments/alpha/depth/promote?version=2" in shown
    detail = page("/deployments/alpha/depth")
    assert 'data-chart="p95_s" data-url="/api/projects/alpha/traffic?model=depth&amp;version=2' in detail
    store.deployments.advance(canary, DeploymentState.FAILED, error="ValueError: no input")
    failed = page("/deployments/alpha/depth", region="endpoint")
    assert "ValueError: no input" in failed
    assert "Deploy again" in failed
    assert "100 %" in failed


def test_what_is_named_by_users_is_escaped(page, add_project, add_version, add_run, serve, store) -> None:
    add_project("alpha", primary_metric=HOSTILE)
    add_run("alpha", "r1", name=HOSTILE, metrics={HOSTILE: 1.0})
    add_version("alpha", HOSTILE.replace("/", ""), 1, run_id="r1", aliases=(HOSTILE,), user=HOSTILE,
                description=HOSTILE, tags={HOSTILE: HOSTILE, "flavor": HOSTILE})  # fmt: skip
    number = serve("alpha", "depth", "http://127.0.0.1:1")
    store.deployments.advance(number, DeploymentState.FAILED, error=HOSTILE)
    store.audit.record(HOSTILE, HOSTILE, "alpha", model="depth", version=1, side=HOSTILE, why=HOSTILE)
    name = "%3Cscript%3Ealert(1)%3Cscript%3E%22%27"
    add_version("alpha", "depth", 1, description=HOSTILE)
    for path in ("/models", f"/models/alpha/{name}", f"/models/alpha/{name}/1", "/deployments",
                 "/deployments/alpha/depth", "/deployments/alpha/depth/deploy?version=1"):  # fmt: skip
        shown = page(path)
        assert "<script>alert" not in shown, path
        assert "style=" not in shown


def test_what_there_is_not_is_named(browse, add_project, subtests) -> None:
    add_project("alpha")
    for path, error in [
        ("/models/alpha/nothing", "ModelNotFound"), ("/models/alpha/nothing/3", "ModelNotFound"),
        ("/deployments/alpha/nothing", "DeploymentNotFound"), ("/models/nobody/depth", "ProjectNotFound"),
        ("/deployments/nobody/depth", "ProjectNotFound"),
    ]:  # fmt: skip
        with subtests.test(path=path):
            assert browse(path).json()["error"]["type"] == error


def test_a_line_has_gaps_and_dots() -> None:
    assert spark([]) == spark([None, None]) == ""
    assert spark([0.0, 1.0]) == "M2 18h0L78 2"
    assert spark([1.0, None, 1.0]).count("M") == 2
    assert spark([5.0, 6.0], from_zero=False).startswith("M2 18")
    assert spark([5.0, 5.0], from_zero=False) == "M2 18h0L78 18"


def test_examples_are_stored_ones_or_zeros() -> None:
    def tensor(name: str, dtype: str, *shape: int) -> dict[str, object]:
        return {"name": name, "dtype": dtype, "shape": shape, "required": True}

    assert inputs_of(None, {}) is None
    tensors = [tensor("a", "float32", -1, 2), tensor("b", "str", -1), tensor("c", "bool"),
               tensor("d", "int8", 100, 100), tensor("e", "int64", -1)]  # fmt: skip
    found = inputs_of(tensors, {"e": [7, 8]}) or []
    assert [each.example for each in found] == ["[[0.0, 0.0]]", '[""]', "false", "", "[7, 8]"]
    assert found[0].words == "float32, any × 2"
    assert json.loads(found[2].example) is False
