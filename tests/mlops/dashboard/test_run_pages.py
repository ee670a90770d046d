"""A run's page and Compare: what they show, to whom, and with what away."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from mlops.entities import RunStatus
from mlops.errors import ServiceUnavailable
from mlops.store.indexed_runs import MetricSummary
from mlops.store.tokens import Principal, Role
from mlops.tracking.run_files import RunFile
from mlops.tracking.run_log import RunLog

ALPHA = Principal(Role.MEMBER, "alpha")
HOSTILE = "<script>alert(1)</script>\"'"
TABS = ("charts", "figures", "artifacts", "params", "log")


@pytest.fixture
def artifacts(platform, monkeypatch):
    """Artifacts and a log that are said to be there."""
    found = [RunFile("plots", True, None), RunFile(f"{HOSTILE}.png", False, 1000)]
    monkeypatch.setattr(platform.run_facts, "files", lambda *_: found)
    monkeypatch.setattr(platform.run_facts, "figures", lambda *_: found[1:])
    log = RunLog("output.log", f"epoch 1 {HOSTILE}", names=("output.log",))
    monkeypatch.setattr(platform.run_facts, "log", lambda *_: log)


def runs_told(shown: str) -> list[dict[str, object]]:
    """What the script that draws is told."""
    return json.loads(unescape(re.search(r"data-runs='([^']*)'", shown)[1]))


def test_a_run_is_shown_with_its_lineage(page, add_project, add_run) -> None:
    add_project("alpha", primary_metric="val_mae")
    began = datetime.now(UTC) - timedelta(minutes=5)
    metrics = {"loss": 1.0, "val_mae": 2.0, "system/gpu_0_power_usage_watts": 3.0, "system/cpu_x": 1.0}
    tags = {"mlflow.source.git.commit": "c0ffee12" + "0" * 32, "hardware.chip": "M3 Max"}
    add_run("alpha", "a1", metrics, name="train-7", status=RunStatus.RUNNING, started_at=began, tags=tags,
            user="ada")  # fmt: skip
    shown = page("/runs/alpha/a1")
    for words in ("train-7", "running", "5 min ago", "c0ffee12", "M3 Max", "ada", "none registered"):
        assert words in shown
    assert 'href="http://127.0.0.1:5000/#/experiments/7/runs/a1?workspace=alpha"' in shown
    assert re.findall(r'data-metric="([^"]*)"', shown) == [
        "val_mae", "loss", "system/gpu_0_power_usage_watts", "system/cpu_x",
    ]  # fmt: skip
    assert "GPU 0 power usage, W" in shown
    (told,) = runs_told(shown)
    assert told["url"] == "/api/runs/alpha/a1/series"
    assert told["goesOn"] is True
    region = page("/runs/alpha/a1", region="summary")
    assert region.strip().startswith('<section id="summary"')
    assert 'hx-get="/runs/alpha/a1"' in region


def test_what_was_logged_once_is_told_and_not_drawn(page, add_project, add_run, store) -> None:
    add_project("alpha")
    run = add_run("alpha", "alpha1", {"loss": 1.0})
    once = MetricSummary(0.25, 0.25, 0.25, points=1)
    store.run_index.put([replace(run, metrics=dict(run.metrics) | {"accuracy": once, "system/x": once})])
    shown = page("/runs/alpha/alpha1")
    assert re.findall(r'data-metric="([^"]+)"', shown) == ["loss", "system/x"]
    (told,) = re.findall(r'<div class="scroll singles.*?</div>', shown, re.S)
    assert re.findall(r"<bdi>(.*?)</bdi>", told) == ["accuracy"]
    assert "0.25" in told


def test_other_runs_are_laid_over_it(page, add_project, add_run) -> None:
    for name in ("alpha", "beta"):
        add_project(name)
        add_run(name, f"{name}1", {"loss": 1.0}, name=f"run of {name}")
    add_run("alpha", "alpha2", {"loss": 1.0})
    shown = page("/runs/alpha/alpha1?with=beta/beta1")
    assert [each["name"] for each in runs_told(shown)] == ["run of alpha", "run of beta"]
    assert '<option value="alpha/alpha2">' in shown
    assert "run=alpha%2Falpha1&amp;run=beta%2Fbeta1" in shown


def test_each_tab_shows_its_own(page, add_project, add_run, artifacts) -> None:
    add_project("alpha")
    add_run("alpha", "a1", {"loss": 1.0}, params={"lr": "0.001"}, tags={"team": "blue"})
    assert "plots" in page("/runs/alpha/a1?tab=artifacts")
    assert "<img" in page("/runs/alpha/a1?tab=figures")
    shown = page("/runs/alpha/a1?tab=params")
    assert "0.001" in shown
    assert "blue" in shown
    assert "use_data" in shown, "an empty table teaches how it is filled"
    assert "epoch 1" in page("/runs/alpha/a1?tab=log")
    add_run("alpha", "a2")
    assert "log_metrics" in page("/runs/alpha/a2")


def test_what_a_run_logged_is_escaped(page, add_project, add_run, artifacts) -> None:
    add_project("alpha")
    add_run("alpha", "a1", {HOSTILE: 1.0}, name=HOSTILE, params={HOSTILE: HOSTILE}, tags={HOSTILE: HOSTILE},
            user=HOSTILE, experiment=HOSTILE)  # fmt: skip
    add_run("alpha", "a2", {HOSTILE: 2.0}, name=HOSTILE, params={HOSTILE: "2"})
    tabs = [f"/runs/alpha/a1?tab={tab}&with=alpha/a2" for tab in TABS]
    for path in (*tabs, "/compare?run=alpha/a1&run=alpha/a2"):
        shown = page(path)
        assert "<script>alert" not in shown
        assert not re.search(r"<[^>]+\son\w+=", shown), "no inline handler"
        assert "style=" not in shown, "the policy forbids inline styles"


def test_a_comparison_shows_differences_first(page, add_project, add_run) -> None:
    add_project("alpha", primary_metric="val_mae")
    for number, lr in enumerate(("0.001", "0.01", "0.1")):
        add_run("alpha", f"a{number}", {"val_mae": 1.0 + number, "odd": 1.0}, name=f"run-{number}",
                params={"lr": lr, "seed": "0"})  # fmt: skip
    runs = "run=alpha/a0&run=alpha/a1&run=alpha/a2"
    shown = page(f"/compare?{runs}")
    assert ">lr<" in re.sub(r"</?bdi>", "", shown)
    assert "all 2" in shown
    assert shown.count("★") == 1
    assert shown.count("<polyline") == 3
    assert shown.count("<circle class") == 3
    assert 'data-metric="val_mae"' in shown
    assert len(runs_told(shown)) == 3
    held = page(f"/compare?{runs}&baseline=alpha/a1&params=all&higher=odd")
    assert "−1" in held
    assert "+1" in held
    assert ">seed<" in re.sub(r"</?bdi>", "", held)
    assert held.count("★") == 1, "where all are equal none is the best"
    one = page("/compare?run=alpha/a0")
    assert "<polyline" not in one
    region = page(f"/compare?{runs}", region="curves")
    assert 'hx-get="/compare?run=alpha%2Fa0&amp;run=alpha%2Fa1' in region


def test_an_empty_comparison_teaches(page, add_project, add_run) -> None:
    assert "No run is chosen" in page("/compare")
    add_project("alpha")
    add_run("alpha", "a1", name="first")
    assert "alpha / first" in page("/compare?project=alpha")


def test_a_member_sees_no_run_of_another_project(browse, add_project, add_run) -> None:
    for name in ("alpha", "beta"):
        add_project(name)
        add_run(name, f"{name}1", {"loss": 1.0}, name=f"run of {name}")
    for path in (
        "/runs/beta/beta1", "/runs/alpha/alpha1?with=beta/beta1", "/compare?run=beta/beta1",
        "/compare?run=alpha/alpha1&run=beta/beta1",
    ):  # fmt: skip
        assert browse(path).status_code == 200
        for region in ("", "summary", "comparison", "charts"):
            refused = browse(path, ALPHA, region=region)
            assert refused.json()["error"]["type"] == "Forbidden"
    assert browse("/runs/alpha/beta1", ALPHA).json()["error"]["type"] == "RunNotFound"
    shown = browse("/compare?run=alpha/alpha1", ALPHA).text
    assert "beta" not in shown


def test_what_cannot_be_shown_is_named(browse, add_project, add_run) -> None:
    add_project("alpha")
    add_run("alpha", "a1")
    many = "&".join(f"run=alpha/{each}" for each in range(21))
    for path, error in {
        "/runs/alpha/none": "RunNotFound", "/runs/gamma/a1": "ProjectNotFound",
        "/runs/alpha/a1?tab=else": "InvalidInput", "/runs/alpha/a1?with=alpha": "InvalidInput",
        "/runs/alpha/a1?with=alpha/none": "RunNotFound", "/compare?run=alpha": "InvalidInput",
        "/compare?run=alpha/none": "RunNotFound", "/compare?run=alpha/a1&baseline=alpha/a2": "InvalidInput",
        f"/compare?{many}": "InvalidInput",
    }.items():  # fmt: skip
        assert browse(path).json()["error"]["type"] == error, path


def test_a_dead_mlflow_greys_its_tab_alone(page, platform, add_project, add_run, monkeypatch) -> None:
    add_project("alpha")
    add_run("alpha", "a1", name="train-7")

    def away(*_: object) -> None:
        raise ServiceUnavailable("mlflow", "connection refused")

    monkeypatch.setattr(platform.run_facts, "files", away)
    shown = page("/runs/alpha/a1?tab=artifacts")
    assert "train-7" in shown
    assert 'id="artifacts" class="region stale"' in shown
    assert "mlflow does not answer: connection refused" in shown
    assert 'id="summary" class="region"' in shown
