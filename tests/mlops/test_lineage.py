"""From a run or a model back to data and code, from data forward to runs, models and deployments."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.cli.lineage import _lines
from mlops.cli.output import to_json
from mlops.client import MLOpsClient
from mlops.entities import Deployment, DeploymentState
from mlops.errors import InvalidInput, NotFound
from mlops.lineage import Kind, LineageNode
from tests.data_projects import git, installation_in, join, repository, write


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MLOpsClient:
    """Two versions of data/raw, a run on each, the second with a model of which version 1 is served."""
    made = join(
        installation_in(tmp_path / "home"),
        repository(tmp_path / "git") / "alpha",
        '[data]\npaths = ["data/raw"]\n',
    )
    for number in (1, 2):
        write(made, "data/raw/holes.csv", str(number) * number)
        made.dvc_add("data/raw")
        git(made.project.root, "add", "-A", ".")
        git(made.project.root, "commit", "-qm", f"version {number}")
        git(made.project.root, "tag", f"v{number}")
        with made.start_run(f"fit {number}", tags={"mlflow.source.git.commit": "c0ffee" * 6 + "0000"}):
            if number == 2:
                made.log_model({"w": 1.0}, "net", flavor="sklearn")
    made._workspace.registry.set_alias("net", "champion", 1)
    return made


class Gateway:
    """Answers with one deployment; the real one is asked in tests/stack."""

    def deployments(self, project: str) -> list[Deployment]:
        now = datetime.now(UTC)
        return [Deployment(4, project, "net", 1, DeploymentState.RUNNING, 1, "http://here/net", now, now)]


@pytest.fixture
def served(client: MLOpsClient) -> MLOpsClient:
    client._workspace.__dict__["gateway"] = Gateway()
    return client


def shape(node: LineageNode) -> list[tuple[int, str, str, str]]:
    def walk(each: LineageNode, depth: int):
        yield depth, each.relation, each.kind.value, each.name
        for child in each.children:
            yield from walk(child, depth + 1)

    return list(walk(node, 0))


def test_a_model_leads_back_to_its_run_its_data_and_its_code(served: MLOpsClient) -> None:
    for reference in ("net:1", "net@champion", "net", "model:net:1"):
        assert shape(served.lineage(reference).root) == [
            (0, "", "model version", "net:1"),
            (1, "made by", "run", "fit 2"),
            (2, "declared", "data version", "data/raw"),
            (2, "ran", "code", "git c0ffeec0"),
            (1, "served as", "deployment", "running"),
        ]
    data = served.lineage("net:1").root.children[0].children[0]
    assert data.id == served.data_version("data/raw", "v2").hash
    assert data.facts["git_revision"] == git(served.project.root, "rev-parse", "v2")


def test_a_data_version_leads_to_runs_models_and_deployments(served: MLOpsClient) -> None:
    wanted = [
        (0, "", "data version", "data/raw"),
        (1, "declared by", "run", "fit 2"),
        (2, "made", "model version", "net:1"),
        (3, "served as", "deployment", "running"),
    ]
    second = served.data_version("data/raw", "v2").hash
    for reference in ("data/raw", "data/raw@v2", "data/raw@HEAD", second, f"data:{second}"):
        assert shape(served.lineage(reference).root) == wanted
    first = served.lineage("data/raw@v1").root
    assert [child.name for child in first.children] == ["fit 1"]
    assert first.id == served.data_version("data/raw", "v1").hash


def test_a_run_leads_both_ways(served: MLOpsClient) -> None:
    (newest, _) = served.search_runs()
    for reference in (newest.id, newest.key, f"run:{newest.id}"):
        assert shape(served.lineage(reference).root) == [
            (0, "", "run", "fit 2"),
            (1, "declared", "data version", "data/raw"),
            (1, "ran", "code", "git c0ffeec0"),
            (1, "made", "model version", "net:1"),
            (2, "served as", "deployment", "running"),
        ]


def test_what_a_run_used_stands_for_what_was_declared(client: MLOpsClient) -> None:
    with client.start_run("on the first") as run:
        client.use_data("data/raw", rev="v1")
    first = client.data_version("data/raw", "v1").hash
    assert [(node.relation, node.id) for node in client.lineage(run.id).root.children][:1] == [
        ("used", first)
    ]
    assert [data.hash for data in client.get_run(run.id).data] == [first]
    users = client.lineage("data/raw@v1").root.children
    assert {(node.relation, node.name) for node in users} == {
        ("used by", "on the first"),
        ("declared by", "fit 1"),
    }
    assert [node.name for node in client.lineage("data/raw@v2").root.children] == ["fit 2"]


def test_a_path_may_have_an_at_itself(client: MLOpsClient) -> None:
    write(client, "data/a@b", "1")
    version = client.dvc_add("data/a@b")
    assert client.lineage("data/a@b").root.id == version.hash
    git(client.project.root, "add", "-A", ".")
    git(client.project.root, "commit", "-qm", "at")
    assert client.lineage("data/a@b@HEAD").root.id == version.hash


def test_without_a_gateway_deployments_are_told_to_be_unknown(client: MLOpsClient) -> None:
    found = client.lineage("net:1")
    assert [child.kind for child in found.root.children] == [Kind.RUN]
    assert len(found.remarks) == 1
    assert "deployments are not known" in found.remarks[0]


def test_a_model_whose_run_was_deleted_says_so(served: MLOpsClient) -> None:
    (newest, _) = served.search_runs()
    served.delete_run(newest.id)
    found = served.lineage("net:1")
    assert [child.kind for child in found.root.children] == [Kind.DEPLOYMENT]
    assert "was deleted" in found.remarks[0]


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("", InvalidInput),
        ("nothing", NotFound),
        ("net:9", NotFound),
        ("net@challenger", NotFound),
        ("data/none", NotFound),
        ("data/raw@v9", NotFound),
        ("0" * 32, NotFound),
        ("0" * 32 + ".dir", NotFound),
        ("../alpha", NotFound),
        ("run:nothing", NotFound),
        ("data:" + "0" * 32, NotFound),
        ("model:a:b", InvalidInput),
        ("data:/etc", InvalidInput),
        ("data:data/raw@--all", InvalidInput),
        ("' OR 1=1", NotFound),
    ],
)
def test_what_is_none_of_them_is_told_with_the_ways_to_name_one(
    served: MLOpsClient, reference: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        served.lineage(reference)
    assert caught.value.remedy  # type: ignore[attr-defined]


def test_the_tree_is_drawn_and_is_json(served: MLOpsClient) -> None:
    found = served.lineage("net:1")
    lines = list(_lines(found.root))
    assert lines[0].startswith("model version net:1  sklearn  champion")
    assert lines[1].startswith("├── made by run fit 2")
    assert lines[2].startswith("│   ├── declared data version data/raw")
    assert "1 file  2 B  git " in lines[2]
    assert lines[3].startswith("│   └── ran code git c0ffeec0")
    assert lines[4].startswith("└── served as deployment running")
    parsed = json.loads(to_json(found))
    assert parsed["root"]["children"][0]["children"][0]["facts"]["files"] == 1
