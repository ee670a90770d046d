"""Deployments as files for Kubernetes: manifests against the published schemas, folders whole or not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from mlops.entities import Side
from mlops.errors import InvalidInput
from mlops.serving.base import ReplicaLimits
from mlops.serving.kubernetes.folder import write_export
from mlops.serving.kubernetes.image import SERVES, requirements
from mlops.serving.kubernetes.inferenceservice import inference_service
from mlops.serving.kubernetes.kind import Kind
from mlops.serving.kubernetes.order import ExportOrder, metadata, object_name
from mlops.serving.kubernetes.rayservice import ray_service, serve_config
from tests.mlops.serving.fixtures import (
    bento,  # noqa: F401
    bentos_home,  # noqa: F401
    onnx_model,  # noqa: F401
)
from tests.mlops.serving.models import a_deployment

CORE = "1.37"
"""Of Kubernetes, whose pods are looked at."""
DATA = {"data/raw": "0123abcd.dir"}


def an_order(bento: Path = Path("nowhere"), *, most: int | None = None, **given: Any) -> ExportOrder:  # noqa: F811
    row = replace(a_deployment(7, replicas=1), bento="drilling.depth:3-7", most_replicas=most)
    return ExportOrder(row, bento, **{"run_id": "r" * 32, "data": DATA, **given})


def a_canary() -> ExportOrder:
    order = an_order()
    return replace(order, deployment=replace(order.deployment, side=Side.CANARY, weight=25))


def schema(name: str) -> dict[str, Any]:
    text = (Path(__file__).parent / "schemas" / f"{name}.yaml").read_text()
    return dict(yaml.safe_load(text))


def check_pod(labels: dict[str, str], spec: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "labels": labels}, "spec": spec}
    kubernetes_validate.validate(pod, CORE, strict=True)


def check_ray_service(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, schema("rayservice"))
    cluster = manifest["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        check_pod(group["template"]["metadata"]["labels"], group["template"]["spec"])


def check_inference_service(manifest: dict[str, Any]) -> None:
    jsonschema.validate(manifest, schema("inferenceservice"))
    predictor = manifest["spec"]["predictor"]
    check_pod(predictor["labels"], {"containers": predictor["containers"]})


# -- manifests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [None, 4])
def test_manifests_are_as_the_published_schemas_have_them(most: int | None) -> None:
    check_ray_service(ray_service(an_order(most=most)))
    check_inference_service(inference_service(an_order(most=most)))
    check_inference_service(inference_service(a_canary()))


HEAD = "spec.rayClusterConfig.headGroupSpec"
GROUP = "spec.rayClusterConfig.workerGroupSpecs.0"
BOX = f"{GROUP}.template.spec.containers.0"
SERVED = "spec.predictor"


@pytest.mark.parametrize(
    ("make", "check", "place", "value"),
    [
        (ray_service, check_ray_service, "spec.serveConfig", "x"),
        (ray_service, check_ray_service, "spec.serveConfigV2", {"applications": []}),
        (ray_service, check_ray_service, "metadata.name", "Drilling_depth"),
        (ray_service, check_ray_service, f"{HEAD}.rayStartParams.num-cpus", 0),
        (ray_service, check_ray_service, f"{GROUP}.minReplicas", "1"),
        (ray_service, check_ray_service, f"{GROUP}.template.metadata.labels.x", 3),
        (ray_service, check_ray_service, f"{BOX}.images", "x"),
        (ray_service, check_ray_service, f"{BOX}.env.1.valueFrom.secretRef", {"name": "x"}),
        (ray_service, check_ray_service, f"{BOX}.resources.limit", {}),
        (inference_service, check_inference_service, f"{SERVED}.canaryTraffic", 10),
        (inference_service, check_inference_service, f"{SERVED}.protocolVersion", "v2"),
        (inference_service, check_inference_service, f"{SERVED}.minReplicas", "1"),
        (inference_service, check_inference_service, f"{SERVED}.containers", []),
        (inference_service, check_inference_service, f"{SERVED}.containers.0.ports.0.containerPort", "p"),
        (inference_service, check_inference_service, f"{SERVED}.containers.0.readinessProbe.http", {}),
    ],
)
def test_a_field_that_is_misnamed_or_mistyped_is_noticed(
    make: Callable[[ExportOrder], Any], check: Callable[[Any], None], place: str, value: object
) -> None:
    manifest = deepcopy(make(an_order()))
    check(manifest)
    at: Any = manifest
    *way, last = place.split(".")
    for step in way:
        at = at[int(step) if step.isdigit() else step]
    at[last] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        check(manifest)


def test_a_ray_service_runs_replicas_as_the_platform_does() -> None:
    manifest = ray_service(an_order(most=4, limits=ReplicaLimits(cpus=1.5, max_batch=8), memory="3Gi"))
    (application,) = yaml.safe_load(manifest["spec"]["serveConfigV2"])["applications"]
    assert application["name"] == "drilling-depth"
    assert application["args"] == {
        "name": "depth-3", "bento": "/opt/model/bento", "threads": 2, "max_batch": 8
    }  # fmt: skip
    (options,) = application["deployments"]
    assert (options["name"], options["max_ongoing_requests"]) == ("depth-3", 64)
    assert options["ray_actor_options"] == {"num_cpus": 1.5, "memory": 1024 * 10**6}
    bounds = options["autoscaling_config"]
    assert (bounds["min_replicas"], bounds["max_replicas"], bounds["target_ongoing_requests"]) == (1, 4, 3)
    cluster = manifest["spec"]["rayClusterConfig"]
    assert cluster["enableInTreeAutoscaling"] is True
    (group,) = cluster["workerGroupSpecs"]
    assert (group["minReplicas"], group["maxReplicas"]) == (1, 4)
    assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    (container,) = group["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "3Gi"}


def test_a_ray_service_of_one_size_neither_grows_nor_shrinks() -> None:
    manifest = ray_service(an_order())
    (options,) = serve_config(an_order())["applications"][0]["deployments"]
    assert options["num_replicas"] == 1
    assert "autoscaling_config" not in options
    assert manifest["spec"]["rayClusterConfig"]["enableInTreeAutoscaling"] is False


def test_the_secret_is_named_and_not_held() -> None:
    (group,) = ray_service(an_order())["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    environment = group["template"]["spec"]["containers"][0]["env"]
    reference = {"secretKeyRef": {"name": "drilling-depth-replica", "key": "secret"}}
    assert {"name": "REPLICA_SECRET", "valueFrom": reference} in environment
    assert "secret" not in yaml.safe_dump(inference_service(an_order())).lower()


def test_an_inference_service_speaks_v2_on_a_named_port() -> None:
    predictor = inference_service(an_order(most=4))["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 4)
    assert "canaryTrafficPercent" not in predictor
    (container,) = predictor["containers"]
    assert container["env"] == [{"name": "PROTOCOL", "value": "v2"}]
    assert container["ports"] == [{"name": "http1", "containerPort": 8080, "protocol": "TCP"}]
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "2024M"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8080}


def test_a_canary_gets_its_share_of_the_same_service() -> None:
    canary, champion = inference_service(a_canary()), inference_service(an_order())
    assert canary["spec"]["predictor"]["canaryTrafficPercent"] == 25
    assert canary["metadata"]["name"] == champion["metadata"]["name"]


def test_objects_say_where_they_come_from() -> None:
    told = metadata(an_order())
    assert told["labels"]["efficientai-toolkit/project"] == "drilling"
    assert told["labels"]["efficientai-toolkit/model"] == "depth"
    assert told["labels"]["efficientai-toolkit/version"] == "3"
    assert told["labels"]["efficientai-toolkit/run"] == "r" * 32
    assert told["annotations"]["efficientai-toolkit/bento"] == "drilling.depth:3-7"
    assert json.loads(told["annotations"]["efficientai-toolkit/data"]) == {"data/raw": "0123abcd.dir"}


def test_what_is_not_known_is_not_told() -> None:
    told = metadata(an_order(run_id="", data={}))
    assert "efficientai-toolkit/run" not in told["labels"]
    assert set(told["annotations"]) == {"efficientai-toolkit/model", "efficientai-toolkit/bento"}


NAMES = [
    ("drilling", "depth"),
    ("drilling", "Depth"),
    ("drilling", "depth_2.5"),
    ("drilling", "depth-2-5"),
    ("drilling", "d" * 100),
    ("drilling", "d" * 99),
    ("a-b", "c"),
    ("a", "b-c"),
    ("a", "b-"),
    ("p" * 40, "x"),
]


def test_names_are_dns_labels_and_no_two_are_one() -> None:
    found = [object_name(*pair) for pair in NAMES]
    assert all(re.fullmatch("[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name) for name in found), found
    assert len(set(found)) == len(NAMES)
    assert found[0] == "drilling-depth"


def test_long_model_names_make_valid_labels() -> None:
    order = an_order()
    long = replace(order, deployment=replace(order.deployment, model="d" * 62 + "-" + "e" * 30))
    check_ray_service(ray_service(long))
    check_inference_service(inference_service(long))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "two words"),
        ("image", "x\ny"),
        ("image", "-x"),
        ("memory", "2"),
        ("memory", "2 Gi"),
        ("memory", "0Gi"),
        ("memory", "1023M"),
        ("memory", "976Mi"),
    ],
)
def test_an_image_or_memory_that_is_none_is_refused(field: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        an_order(**{field: value})


# -- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_a_folder_holds_all_that_the_image_needs(kind: Kind, bento: Path, tmp_path: Path) -> None:  # noqa: F811
    made = write_export(kind, an_order(bento, image="host/depth:3"), tmp_path / "new" / "folder")
    assert made.files == tuple(sorted(["Dockerfile", "bento", made.manifest, "requirements.txt", "toolkit"]))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["folder"]
    manifest = yaml.safe_load((made.folder / made.manifest).read_text())
    (check_ray_service if kind is Kind.KUBERAY else check_inference_service)(manifest)
    assert (made.folder / "bento" / "bento.yaml").read_bytes() == (bento / "bento.yaml").read_bytes()
    dockerfile = (made.folder / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+)", dockerfile, flags=re.M):
        assert (made.folder / source).exists()
    assert f"FROM python:{sys.version_info.major}.{sys.version_info.minor}-slim\n" in dockerfile
    assert "docker push host/depth:3" in made.next_steps
    assert any("create secret" in step for step in made.next_steps) is (kind is Kind.KUBERAY)
    assert str(tmp_path) not in "".join(
        path.read_text(errors="replace") for path in made.folder.rglob("*") if path.is_file()
    )


def test_the_toolkit_in_the_folder_runs_by_itself(bento: Path, tmp_path: Path) -> None:  # noqa: F811
    made = write_export(Kind.KSERVE, an_order(bento), tmp_path / "folder")
    code = (
        f"import sys; sys.path.insert(0, {str(made.folder / 'toolkit')!r});"
        "import mlops.serving.standalone as s;"
        f"assert s.__file__.startswith({str(made.folder)!r}), s.__file__; s.main(['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    project = (made.folder / "toolkit" / "pyproject.toml").read_text()
    assert 'name = "efficientai-toolkit"' in project


def test_requirements_are_pinned_and_name_nothing_twice(bento: Path) -> None:  # noqa: F811
    found = [Requirement(line) for line in requirements(bento)]
    assert {"bentoml", "onnxruntime", "ray", "starlette", "uvicorn"} <= {each.name for each in found}
    assert len({each.name for each in found}) == len(found)
    assert all(str(each.specifier).startswith("==") for each in found), found


def test_serving_imports_nothing_beyond_the_requirements(bento: Path) -> None:  # noqa: F811
    code = (
        "import json, sys; from pathlib import Path;"
        "import mlops.serving.standalone, mlops.serving.ingress, uvicorn;"
        "from mlops.hardware.compute import which_compute; from mlops.serving.bento import open_service;"
        f"opened = open_service(Path({str(bento)!r}), 1, which_compute().onnx_providers());"
        "opened.run(opened.check({'x': [[1, 2, 3]]}));"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.strip().splitlines()[-1])
    owners = packages_distributions()
    used = {canonical(owner) for module in loaded for owner in owners.get(module, ())}
    installed = closure([Requirement(name) for name in (*SERVES, "onnxruntime")])
    assert used - installed <= {"efficientai-toolkit", *TAKEN_WHERE_THERE}, used - installed


TAKEN_WHERE_THERE = {"brotli", "setuptools", "sniffio"}
"""What others import if it happens to be installed."""


def canonical(name: str) -> str:
    return re.sub(r"[._-]+", "-", name.lower())


def closure(wanted: list[Requirement]) -> set[str]:
    """All that pip installs for these."""
    found, waiting = dict[str, set[str]](), wanted
    while waiting:
        each = waiting.pop()
        name = canonical(each.name)
        if name in found and set(each.extras) <= found[name]:
            continue
        found.setdefault(name, set()).update(each.extras)
        try:
            needs = [Requirement(text) for text in requires(each.name) or ()]
        except ModuleNotFoundError:
            continue
        extras = ["", *each.extras]
        waiting += [
            need
            for need in needs
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
        ]
    return set(found)


def test_a_folder_with_files_is_left_as_it_is(bento: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(InvalidInput, match="has files in it") as caught:
        write_export(Kind.KSERVE, an_order(bento), tmp_path)
    assert "--output" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(InvalidInput, match="no folder"):
        write_export(Kind.KSERVE, an_order(bento), tmp_path / "kept")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_export(Kind.KSERVE, an_order(bento), tmp_path / "kept" / "below")


def test_an_empty_folder_is_taken(bento: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "empty").mkdir()
    assert write_export(Kind.KSERVE, an_order(bento), tmp_path / "empty").files


def test_half_a_folder_is_never_left(tmp_path: Path) -> None:
    (tmp_path / "bento").mkdir()  # without the requirements that the image needs
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_export(Kind.KUBERAY, an_order(tmp_path / "bento"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bento"]
