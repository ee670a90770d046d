"""mlops:runs, against a server that answers as the gateway does."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.mlops.cli.conftest import GatewayServer, Invoke

RUN = {
    "id": "abc", "key": "abc", "project": "alpha", "name": "lora\x1b[31m", "experiment": "e",
    "status": "RUNNING", "started_at": "2026-01-01T00:00:00+00:00", "ended_at": None, "user": "ada",
    "url": "", "params": {}, "tags": {},
    "metrics": {
        key: {"last": last, "min": 0.125, "max": 2.0, "step": 1, "time_ms": 1, "points": 3}
        for key, last in (("acc", 0.5), ("loss", "NaN"), ("system/gpu", 1.0))
    },
}  # fmt: skip
PAGE = {"runs": [RUN], "next": None, "indexed_at": "2026-01-01T00:00:00+00:00", "polled": []}
PLAIN = "GET /api/runs?sort=-started&limit=20"


def asked(gateway: GatewayServer) -> dict[str, Any]:
    return parse_qs(urlsplit(gateway.asked[-1][0].partition(" ")[2]).query)


@pytest.fixture
def answering(gateway: GatewayServer) -> GatewayServer:
    class Any_(dict[str, Any]):
        def __missing__(self, _: str) -> tuple[int, object]:
            return 200, PAGE

    gateway.answers = Any_()
    return gateway


def test_runs_are_a_table(invoke: Invoke, answering: GatewayServer) -> None:
    done = invoke("mlops:runs")
    assert done.code == 0
    assert answering.asked[-1][0] == PLAIN
    header, line = done.out.splitlines()
    assert header.split() == ["PROJECT", "RUN", "STATE", "STARTED", "USER", "METRICS", "ID"]
    assert line.split()[:2] == ["alpha", "lora\N{REPLACEMENT CHARACTER}[31m"]
    assert "acc=0.5 loss=NaN" in line
    assert "system" not in line
    assert "As of" in done.err


def test_conditions_are_handed_on(invoke: Invoke, answering: GatewayServer) -> None:
    done = invoke(
        "mlops:runs", "lo ra", "-p", "alpha", "-p", "beta", "--state", "running", "--tag", "a=b", "--param",
        "lr", "--metric", "loss.max<3", "--since", "3d", "--until", "1h", "--sort", "-metric:acc.min",
        "-n", "7",
    )  # fmt: skip
    assert done.code == 0
    assert asked(answering) == {
        "text": ["lo ra"], "project": ["alpha", "beta"], "state": ["running"], "tag": ["a=b"],
        "param": ["lr"], "metric": ["loss.max<3"], "since": ["3d"], "until": ["1h"],
        "sort": ["-metric:acc.min"], "limit": ["7"],
    }  # fmt: skip
    assert "acc.min=0.125 loss.max=2 acc=0.5" in done.out


def test_json_is_the_answer_itself(invoke: Invoke, answering: GatewayServer) -> None:
    assert invoke("mlops:runs", "--json").json == PAGE


def test_what_is_not_there_is_said(invoke: Invoke, gateway: GatewayServer) -> None:
    gateway.answers[PLAIN] = (200, {"runs": [], "next": "x", "indexed_at": None, "polled": []})
    done = invoke("mlops:runs")
    assert done.out == "No run is like that.\n"
    assert "There are more" in done.err
    assert "not been indexed yet" in done.err


def test_an_mlflow_elsewhere_that_does_not_answer_is_told(invoke: Invoke, gateway: GatewayServer) -> None:
    at = PAGE["indexed_at"]
    polled = [
        {"project": "alpha", "read_at": at, "problem": ""},
        {"project": "beta", "read_at": at, "problem": "mlflow does not answer\x1b[2J"},
        {"project": "gamma", "read_at": None, "problem": "refused"},
    ]
    gateway.answers[PLAIN] = (200, PAGE | {"polled": polled})
    said = invoke("mlops:runs").err
    assert "Read from MLflow" in said
    assert re.search(r"beta is not read from MLflow: mlflow does not answer\S* \(last .* ago\)", said)
    assert "gamma is not read from MLflow: refused\n" in said
    assert "\x1b" not in said
    assert "alpha is not" not in said


def test_csv_is_written_as_it_comes(invoke: Invoke, answering: GatewayServer) -> None:
    done = invoke("mlops:runs", "--csv", "--tag", "a")
    assert '"runs"' in done.out, "the test's server answers all with JSON"
    assert answering.asked[-1][0] == "GET /api/runs/export?tag=a&sort=-started&format=csv"


def test_an_order_has_several_keys(invoke: Invoke, answering: GatewayServer) -> None:
    done = invoke("mlops:runs", "--sort", "metric:loss.max", "--sort=-metric:acc.min")
    assert asked(answering)["sort"] == ["metric:loss.max", "-metric:acc.min"]
    assert "loss.max=2 acc.min=0.125" in done.out


def test_archived_runs_are_restored(invoke: Invoke, gateway: GatewayServer) -> None:
    failed = [{"run": "beta/b1", "reason": "it is gone"}]
    gateway.answers["POST /api/runs/restore"] = (200, {"changed": ["alpha/a1"], "failed": failed})
    done = invoke("mlops:runs", "--restore", "alpha/a1", "--restore", "beta/b1")
    assert "alpha/a1 is back" in done.out
    assert "beta/b1 stays archived: it is gone" in done.out
    assert gateway.asked[-1][0] == "POST /api/runs/restore"
    assert invoke("mlops:runs", "--restore", "alpha/a1", "--json").json["failed"] == failed


def test_a_rebuild_is_asked_for(invoke: Invoke, gateway: GatewayServer) -> None:
    gateway.answers["POST /api/runs/rebuild"] = (202, {"asked_at": "2026-01-01T00:00:00+00:00"})
    assert "read again" in invoke("mlops:runs", "--rebuild").out
    assert "asked_at" in invoke("mlops:runs", "--rebuild", "--json").json


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--sort", "name"], 3, "sort='name'"),
        (["--metric", "loss"], 3, "metric='loss'"),
        (["--csv", "--json"], 3, "--csv"),
        (["-n", "0"], 2, "Invalid value"),
        (["-p", "../a"], 3, "../a"),
    ],
)
def test_a_wrong_question_is_refused(
    invoke: Invoke, gateway: GatewayServer, arguments: list[str], code: int, said: str
) -> None:
    done = invoke("mlops:runs", *arguments)
    assert done.code == code
    assert said in done.err
    assert gateway.asked == []


def test_what_the_gateway_refuses_is_told(invoke: Invoke, gateway: GatewayServer) -> None:
    gone = {"type": "ProjectNotFound", "message": "no gamma", "remedy": "", "fields": {"project": "gamma"}}
    gateway.answers["GET /api/runs?project=gamma&sort=-started&limit=20"] = (404, {"error": gone})
    gateway.answers["GET /api/runs/export?project=gamma&sort=-started&format=csv"] = (404, {"error": gone})
    for also in ([], ["--csv"]):
        done = invoke("mlops:runs", "-p", "gamma", *also)
        assert (done.code, done.out) == (4, "")
        assert "no gamma" in done.err
