"""The exported Ray Serve config on a real Ray: exactly what a RayService holds, from a local Bento."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from mlops.errors import ConfigError
from mlops.serving.base import ReplicaLimits
from mlops.serving.ingress import application
from mlops.serving.kubernetes.order import ExportOrder
from mlops.serving.kubernetes.rayservice import ray_service
from mlops.serving.ray import RayModelServer
from tests.mlops.serving.fixtures import (
    RayHead,
    bento,  # noqa: F401
    bentos_home,  # noqa: F401
    onnx_model,  # noqa: F401
)
from tests.mlops.serving.models import HEADERS, SECRET, a_deployment

# bentoml's, which it shows when a Bento is opened.
pytestmark = pytest.mark.filterwarnings(r"ignore:::(_bentoml_.*|pathspec)(\..*)?")


@pytest.fixture(scope="module")
def ray_head() -> Iterator[RayHead]:
    """A head whose replicas have the secret as a worker pod's container has it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REPLICA_SECRET", f"{SECRET}\n")
        head = RayHead()
    try:
        head.start()
        yield head
    finally:
        head.close()


@pytest.fixture(scope="module")
def driver(ray_head: RayHead) -> Iterator[Any]:
    """Ray Serve's own client, on that head."""
    server = RayModelServer(ray_head.address, token=ray_head.token, secret="", installation="ours")
    assert server.served() == {}  # connects
    yield server._client
    server.close()


def config_of(manifest: dict[str, Any], bento: Path) -> Any:  # noqa: F811
    """The manifest's config, with the Bento where it lies here."""
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(manifest["spec"]["serveConfigV2"].replace("/opt/model/bento", str(bento)))
    return ServeDeploySchema.model_validate(config)


def wait_for(state: str, seconds: float = 60) -> Any:
    from ray import serve

    deadline = time.monotonic() + seconds
    while (found := serve.status().applications["drilling-depth"]).status != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


def url_of(driver: Any) -> str:
    import ray

    groups = ray.get(driver._controller.get_target_groups.remote())
    (target,) = [
        target
        for group in groups
        if group.app_name == "drilling-depth"
        for target in group.targets
        if "REPLICA" in target.name
    ]
    return f"http://{target.ip}:{target.port}"


def test_the_config_is_deployed_as_it_is_and_answers(driver: Any, bento: Path) -> None:  # noqa: F811
    from ray import serve

    manifest = ray_service(ExportOrder(a_deployment(1), bento, limits=ReplicaLimits(cpus=0.2)))
    driver.deploy_apps(config_of(manifest, bento))
    found = wait_for("RUNNING")
    assert list(found.deployments) == ["depth-3"]
    url = url_of(driver)
    rows = {"inputs": {"x": [[1, 2, 3]]}}
    answer = httpx.post(f"{url}/predict", json=rows, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (200, {"outputs": {"y": [[321.0]]}})
    assert httpx.post(f"{url}/predict", json=rows).status_code == 401
    options = serve.get_app_handle("drilling-depth")
    assert options.deployment_name == "depth-3"
    details = driver.get_serve_details()["applications"]["drilling-depth"]["deployments"]["depth-3"]
    deployed = details["deployment_config"]
    assert (deployed["max_ongoing_requests"], deployed["num_replicas"]) == (64, 1)
    assert deployed["ray_actor_options"]["num_cpus"] == 0.2


def test_a_bento_that_is_not_there_fails_with_its_name(driver: Any, tmp_path: Path) -> None:
    manifest = ray_service(ExportOrder(a_deployment(1), tmp_path, limits=ReplicaLimits(cpus=0.2)))
    driver.deploy_apps(config_of(manifest, tmp_path / "nothing"))
    found = wait_for("DEPLOY_FAILED")
    told = found.message + "".join(part.message for part in found.deployments.values())
    assert str(tmp_path / "nothing") in told


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"name": "a", "bento": "b"},
        {"name": "a", "bento": "b", "threads": "1", "max_batch": 1},
        {"name": "a", "bento": "b", "threads": 1, "max_batch": 0},
        {"name": "a", "bento": "b", "threads": True, "max_batch": 1},
        {"name": "a", "bento": "b", "threads": 1, "max_batch": 1, "more": 1},
    ],
)
def test_arguments_that_are_not_the_exports_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="`args` of the application"):
        application(args)


def test_a_replica_without_the_secret_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops.serving.ingress import _order_elsewhere

    order = _order_elsewhere("bento", threads=1, max_batch=1)
    for value in ("", " \n"):
        monkeypatch.setenv("REPLICA_SECRET", value)
        with pytest.raises(ConfigError, match="REPLICA_SECRET") as caught:
            order()
        assert "Secret" in caught.value.remedy
    monkeypatch.setenv("REPLICA_SECRET", f"{SECRET}\n")
    assert order().options.secret == SECRET
    assert not order().loopback
