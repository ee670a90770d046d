"""Endpoints on the real stack: stock clients of other protocols, canary, promotion, rollback under load."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil
import pytest

from mlops.client import MLOpsClient
from mlops.entities import Side
from mlops.errors import DeploymentNotFound, InvalidInput
from mlops.installation import Installation
from mlops.services import processes
from mlops.serving.routing import LONGEST_S
from mlops.store.store import Store
from tests.stack.test_end_to_end import toolkit


@pytest.fixture(scope="module")
def token(stack: Installation) -> str:
    return stack.secret("project.digits.token")


@pytest.fixture(scope="module")
def second(digits: MLOpsClient, digits_job: Any, served_digits: Any) -> int:
    """A further version of the digits model, registered and not served."""
    return int(digits_job.train(digits).version.version)


def test_a_stock_triton_client_infers_in_json_and_in_binary(
    stack: Installation, served_digits: Any, token: str
) -> None:
    import tritonclient.http as triton

    address = urlsplit(stack.gateway_url).netloc
    client = triton.InferenceServerClient(f"{address}/projects/digits", network_timeout=60)
    headers = {"Authorization": f"Bearer {token}"}
    assert client.is_server_live(headers=headers)
    assert client.is_server_ready(headers=headers)
    assert client.is_model_ready("digits", headers=headers)
    assert not client.is_model_ready("nothing", headers=headers)
    told = client.get_model_metadata("digits", headers=headers)
    assert told["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}]
    labels = next(each["name"] for each in told["outputs"] if each["datatype"] == "INT64")
    for binary in (False, True):
        given = triton.InferInput("X", [1, 64], "FP32")
        given.set_data_from_numpy(served_digits.sample, binary_data=binary)
        wanted = [triton.InferRequestedOutput(labels, binary_data=binary)]
        found = client.infer("digits", [given], outputs=wanted, headers=headers)
        assert found.as_numpy(labels).tolist() == [served_digits.expected]
    wrong = triton.InferInput("X", [1, 63], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 63), np.float32))
    with pytest.raises(triton.InferenceServerException, match=r"X: is of shape \(1, 63\)"):
        client.infer("digits", [wrong], headers=headers)
    with pytest.raises(triton.InferenceServerException, match="not deployed"):
        client.infer("nothing", [given], headers=headers)
    client.close()


def test_mlflows_own_client_scores_by_basic(stack: Installation, served_digits: Any, token: str) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    address = urlsplit(stack.gateway_url)
    client = ScoringServerClient(f"digits%2Fdigits:{token}@{address.hostname}", address.port)
    answer = client.invoke(served_digits.sample)
    assert served_digits.expected in np.ravel(next(iter(answer.get_predictions().to_numpy().T)))
    for user, password in (("digits%2Fdigits", "wrong"), ("drilling%2Fkeypoints", token), ("digits", token)):
        with httpx.Client(base_url=f"http://{user}:{password}@{address.netloc}") as stranger:
            assert stranger.post("/invocations", json={"inputs": [[0] * 64]}).status_code in (401, 403)


def test_what_was_asked_is_in_the_log_with_its_features(
    stack: Installation, digits: MLOpsClient, served_digits: Any, token: str
) -> None:
    answer = httpx.post(
        f"{stack.gateway_url}/projects/digits/models/digits/predict",
        json={"inputs": {"X": served_digits.sample.tolist()}},
        headers={"Authorization": f"Bearer {token}", "X-Request-Id": "to-be-logged"},
    )
    assert answer.headers["X-Request-Id"] == "to-be-logged"
    deadline = time.monotonic() + 30
    while not (found := [row for row in digits.inferences("digits") if row.request_id == "to-be-logged"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (row,) = found
    assert (row.status, row.side, row.features["rows"]) == (200, Side.CHAMPION, 1)
    assert 0 < row.features["model_s"] < row.latency_s
    kept = [row.features["inputs"][f"X[{place}]"][0] for place in range(64)]
    np.testing.assert_allclose(kept, served_digits.sample[0], rtol=1e-5)
    assert [served_digits.expected] in row.features["outputs"].values()


def test_the_projects_openapi_tells_what_its_models_take(
    stack: Installation, served_digits: Any, token: str
) -> None:
    import jsonschema
    from openapi_spec_validator import validate

    headers = {"Authorization": f"Bearer {token}"}
    document = httpx.get(f"{stack.gateway_url}/projects/digits/openapi.json", headers=headers).json()
    validate(document)
    operation = document["paths"]["/projects/digits/models/digits/predict"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate({"inputs": {"X": served_digits.sample.tolist()}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"inputs": {"X": served_digits.sample[:, 1:].tolist()}}, schema)


@contextmanager
def asked_all_the_while(
    digits: MLOpsClient, sample: Any, *, connect_anew: bool = False
) -> Iterator[Counter[str]]:
    """Counts what four callers are answered meanwhile: a version, or an error. With `connect_anew` each
    request has a connection of its own. One that is not taken is counted as `refused`, one that ends without
    an answer as `reset` or `cut`."""
    counts: Counter[str] = Counter()
    stop, lock = threading.Event(), threading.Lock()
    url = f"{digits._gateway.url}/projects/digits/models/digits/predict"
    headers = {"Authorization": digits._gateway._http.headers["Authorization"]}

    def asked(http: httpx.Client) -> str:
        try:
            answer = http.post(url, json={"inputs": {"X": sample.tolist()}})
        except httpx.ConnectError:
            return "refused"
        except (httpx.ReadError, httpx.WriteError):
            return "reset"
        except httpx.RemoteProtocolError:
            return "cut"
        except httpx.TransportError as error:
            return repr(error)
        return answer.headers["X-Model-Version"] if answer.status_code == 200 else answer.text

    def ask() -> None:
        limits = httpx.Limits(max_keepalive_connections=0 if connect_anew else 1)
        with httpx.Client(headers=headers, timeout=LONGEST_S + 30, trust_env=False, limits=limits) as http:
            while not stop.is_set():
                told = asked(http)
                with lock:
                    counts[told] += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def until(counts: Counter[str], version: int, seconds: float = 60) -> float:
    """Seconds until the version answers."""
    began, before = time.monotonic(), counts[str(version)]
    while counts[str(version)] == before:
        assert time.monotonic() - began < seconds, counts
        time.sleep(0.005)
    return time.monotonic() - began


def test_canary_promotion_and_rollback_lose_no_request(
    stack: Installation, digits: MLOpsClient, served_digits: Any, second: int
) -> None:
    root = digits.project.root
    with asked_all_the_while(digits, served_digits.sample) as counts:
        made = toolkit(stack, "mlops:deploy", "digits", str(second), "--canary", "30", cwd=root)
        assert made.returncode == 0, made.stderr
        assert "for 30 % of the callers" in made.stdout
        until(counts, second)
        assert "canary 30 %" in toolkit(stack, "mlops:list-deployments", "-p", "digits").stdout
        assert toolkit(stack, "mlops:canary", "digits", "--weight", "60", cwd=root).returncode == 0
        promoted = toolkit(stack, "mlops:promote", "digits", "--why", "it is as good", cwd=root)
        assert promoted.returncode == 0, promoted.stderr
        counts_before = counts["1"]
        time.sleep(1.5)
        late = counts["1"]
        time.sleep(1.0)
        assert counts["1"] == late >= counts_before, "a second later nobody gets the old one"
        assert "champion" in digits.list_models("digits")[0].aliases
        assert digits.rollback_model("digits", why="trying it").version == 1
        until(counts, 1)
    assert set(counts) == {"1", str(second)}, counts
    assert sum(counts.values()) > 100
    aliases = {version.version: version.aliases for version in digits.list_models("digits")}
    assert "champion" in aliases[1]
    store = Store(stack.database_url())
    told = [
        (entry.action, entry.detail.get("why"))
        for entry in store.audit.latest(20)
        if entry.project == "digits"
    ]
    store.close()
    assert ("promote", "it is as good") in told
    assert ("rollback", "trying it") in told


def test_mlflows_alias_moves_the_endpoint(digits: MLOpsClient, served_digits: Any, second: int) -> None:
    before = {row.version: row.side for row in digits.deployments()}
    if second not in before:
        digits.deploy_model("digits", second, canary=0)
    digits.set_alias("digits", "champion", second)
    deadline = time.monotonic() + 60
    while next(row.version for row in digits.deployments() if row.side is Side.CHAMPION) != second:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    digits.rollback_model("digits")


def replicas_of(stack: Installation) -> set[str]:
    store = Store(stack.database_url())
    found = store.deployments.routes().get(("digits", "digits"))
    store.close()
    return set() if found is None else {replica.url for replica in found.champion.replicas}


def test_a_replica_killed_under_load_costs_no_request(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    champion = next(row for row in digits.deployments() if row.side is Side.CHAMPION)
    if any(row.side is Side.PREVIOUS for row in digits.deployments()):
        digits.end_side("digits", Side.PREVIOUS)  # two cores hold four replicas
    digits.deploy_model("digits", champion.version, replicas=2)
    deadline = time.monotonic() + 120
    while len(before := replicas_of(stack)) < 2:
        assert time.monotonic() < deadline, digits.deployments()
        time.sleep(0.2)
    port = urlsplit(min(before)).port
    (pid,) = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port
    }
    with asked_all_the_while(digits, served_digits.sample) as counts:
        time.sleep(1)
        os.kill(pid, signal.SIGKILL)
        while min(before) in replicas_of(stack):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1)
    assert set(counts) == {str(champion.version)}, counts
    digits.deploy_model("digits", champion.version, replicas=1)


def test_a_restarted_gateway_answers_all_that_it_accepted(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    version = next(row.version for row in digits.deployments() if row.side is Side.CHAMPION)
    with asked_all_the_while(digits, served_digits.sample, connect_anew=True) as counts:
        time.sleep(1)
        done = toolkit(stack, "mlops:restart", "gateway")
        assert done.returncode == 0, done.stderr
        before = counts[str(version)]
        until(counts, version)
        assert counts[str(version)] > before
    assert set(counts) == {str(version)}, counts


def test_a_killed_gateway_costs_what_was_under_way_and_nothing_more(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    version = next(row.version for row in digits.deployments() if row.side is Side.CHAMPION)
    with asked_all_the_while(digits, served_digits.sample, connect_anew=True) as counts:
        time.sleep(1)
        os.kill(int(httpx.get(f"{stack.gateway_url}/health", trust_env=False).json()["pid"]), signal.SIGKILL)
        until(counts, version)
    assert set(counts) <= {str(version), "reset", "cut"}, counts
    assert counts["reset"] + counts["cut"] <= 4, "at most one of each caller"


def test_a_killed_ray_costs_no_request_while_it_is_back_in_time(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    version = next(row.version for row in digits.deployments() if row.side is Side.CHAMPION)
    with asked_all_the_while(digits, served_digits.sample) as counts:
        time.sleep(1)
        processes.end(processes.marked(stack.root, "ray"))
        time.sleep(0.5)  # what was answered before has arrived
        waited = until(counts, version, 180)
        time.sleep(1)
    assert waited > 1, "Ray takes seconds to come back: they waited for it"
    # On a machine with much else to do it takes longer than a request waits.
    late = {told for told in counts if f"no answer within {LONGEST_S:g} s" in told}
    assert not late or waited > LONGEST_S - 1, (waited, counts)
    assert set(counts) - late == {str(version)}, counts


def test_what_an_endpoint_cannot_do_is_named_by_the_command(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    root = digits.project.root
    neither = toolkit(stack, "mlops:canary", "digits", cwd=root)
    assert neither.returncode == 3
    assert "exactly one is needed" in neither.stderr
    absent = toolkit(stack, "mlops:rollback", "nothing", cwd=root)
    assert "not deployed" in absent.stderr
    with pytest.raises(InvalidInput, match="99"):
        digits.promote_model("digits", 99)
    with pytest.raises(DeploymentNotFound):
        digits.end_side("digits", Side.SHADOW)
