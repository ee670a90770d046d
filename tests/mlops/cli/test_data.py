"""mlops:dvc-*, mlops:gc and mlops:lineage: answers, JSON and exit codes, over real DVC."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops.client import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.installation import Installation
from tests.data_projects import git, join, repository, write


@pytest.fixture
def alpha(
    home: Path, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MLOpsClient:
    """A project in a git repository, the folder we are in, with data/raw added and committed as v1."""
    for capability in ("TRACKING", "REGISTRY"):
        monkeypatch.setenv(f"MLOPS_{capability}_BACKEND", "memory")
    here = Installation(MLOpsConfig.load())
    client = join(here, repository(tmp_path / "git") / "alpha", '[data.checks]\n"data/raw" = "looks:few"\n')
    write(
        client,
        "looks.py",
        "from mlops import DataCheck\n"
        "def few(path):\n"
        "    return DataCheck('few files', len(list(path.iterdir())) < 3, str(path.name))\n",
    )
    write(client, "data/raw/one.csv", "1" * 1500)
    client.dvc_add("data/raw")
    git(client.project.root, "add", "-A", ".")
    git(client.project.root, "commit", "-qm", "one")
    git(client.project.root, "tag", "v1")
    monkeypatch.chdir(client.project.root)
    return client


def test_add_tells_files_bytes_hash_and_checks(invoke, alpha: MLOpsClient) -> None:
    write(alpha, "data/raw/two.csv", "22")
    added = invoke("mlops:dvc-add", "data/raw")
    assert added.code == 0, added.err
    version = alpha.data_version("data/raw")
    assert added.out == f"Added data/raw: 2 files, 1.5 kB, {version.hash}.\n"
    assert added.err == "passed  few files  raw\n"
    answer = invoke("mlops:dvc-add", "data/raw", "--json").json
    assert (answer["hash"], answer["files"], answer["size_bytes"]) == (version.hash, 2, 1502)
    assert answer["checks"] == [{"name": "few files", "passed": True, "detail": "raw"}]


def test_faulty_data_is_refused_with_9_and_taken_when_told(invoke, alpha: MLOpsClient) -> None:
    for name in "abc":
        write(alpha, f"data/raw/{name}", name)
    refused = invoke("mlops:dvc-add", "data/raw", "--json")
    assert refused.code == 9
    assert refused.json["error"]["type"] == "DataChecksFailed"
    assert "few files: raw" in refused.err
    taken = invoke("mlops:dvc-add", "data/raw", "--allow-failed-checks")
    assert taken.code == 0
    assert taken.err == "FAILED  few files  raw\n"


def test_an_archive_is_one_file(invoke, alpha: MLOpsClient) -> None:
    assert invoke("mlops:dvc-add", "data/raw", "--archive").out.startswith("Added data/raw.tar: 1 file, ")


def test_push_and_pull_count_objects_and_bytes(invoke, alpha: MLOpsClient) -> None:
    sent = invoke("mlops:dvc-push")
    assert sent.out.startswith("Sent 2 objects, 1.6 kB.")
    assert invoke("mlops:dvc-push").out == "Nothing to do: the remote has everything.\n"
    assert invoke("mlops:dvc-push", "--json").json == {"objects": 0, "size_bytes": 0}
    root = alpha.project.root
    shutil.rmtree(root / ".dvc/cache")
    shutil.rmtree(root / "data/raw")
    pulled = invoke("mlops:dvc-pull", "data/raw", "--json")
    assert pulled.json["objects"] == 2
    assert (root / "data/raw/one.csv").read_text() == "1" * 1500
    assert invoke("mlops:dvc-pull").out == "Nothing to do: everything was here.\n"


def test_a_revision_is_pulled_and_checked_out_but_never_over_what_is_in_no_version(
    invoke, alpha: MLOpsClient
) -> None:
    alpha.dvc_push()
    two = write(alpha, "data/raw/two.csv", "22")
    refused = invoke("mlops:dvc-pull", "--rev", "v1")
    assert refused.code == 5
    assert "data/raw/two.csv" in refused.err
    alpha.dvc_add("data/raw")
    assert invoke("mlops:dvc-pull", "--rev", "v1").code == 0
    assert not two.exists()
    two.write_text("33")
    assert invoke("mlops:dvc-checkout", "v1").code == 5
    done = invoke("mlops:dvc-checkout", "v1", "--path", "data/raw", "--force")
    assert done.out.startswith("data/raw: 1 file, 1.5 kB, ")
    assert not two.exists()
    assert invoke("mlops:dvc-checkout", "v1", "--json").json[0]["path"] == "data/raw"


def test_status_is_a_table_or_json(invoke, alpha: MLOpsClient) -> None:
    write(alpha, "data/raw/two.csv", "22")
    shown = invoke("mlops:dvc-status", "--remote").out.splitlines()
    header = ["PATH", "STATE", "ADDED", "MODIFIED", "DELETED", "UNCACHED", "HASH", "UNPUSHED"]
    assert shown[0].split() == header
    assert shown[1].split()[:6] == ["data/raw", "modified", "1", "0", "0", "0"]
    assert shown[1].split()[7] == "1"
    (row,) = invoke("mlops:dvc-status", "data/raw", "--json").json
    assert (row["state"], row["unpushed"]) == ("modified", None)


def test_without_data_each_says_what_to_do(
    invoke, alpha: MLOpsClient, installation: Installation, tmp_path: Path
) -> None:
    empty = join(Installation(MLOpsConfig.load()), tmp_path / "git/empty")
    name = empty.project.name
    for words in (["mlops:dvc-status"], ["mlops:dvc-checkout"]):
        assert "mlops:dvc-add <path>" in invoke(*words, "-p", name).out
    assert invoke("mlops:dvc-push", "-p", name).out.startswith("Nothing to do")
    assert invoke("mlops:dvc-pull", "-p", name).out.startswith("Nothing to do")


def test_garbage_is_shown_and_removed_with_yes(invoke, alpha: MLOpsClient) -> None:
    assert "Everything is needed." in invoke("mlops:gc").err
    write(alpha, "data/raw/two.csv", "2" * 2000)
    alpha.dvc_add("data/raw")
    write(alpha, "data/raw/two.csv", "3")
    alpha.dvc_add("data/raw")
    shown = invoke("mlops:gc")
    assert shown.out.splitlines()[1].split()[:2] == ["alpha", "2"]
    assert "frees 2.1 kB: `efficientai-toolkit mlops:gc --yes`" in shown.err
    assert "gone for good" in shown.err
    assert invoke("mlops:gc", "--json").json[0]["removed"] is False
    assert "Removed 2 objects, 2.1 kB." in invoke("mlops:gc", "--yes").err
    assert invoke("mlops:gc", "--json").json[0]["objects"] == 0


def test_what_cannot_be_done_exits_with_its_code(invoke, alpha: MLOpsClient, subtests) -> None:
    for words, code in [
        (["mlops:dvc-add", "data/none"], 4),
        (["mlops:dvc-add", "../alpha"], 3),
        (["mlops:dvc-add", "/etc/passwd"], 3),
        (["mlops:dvc-add", "--", "-x"], 3),
        (["mlops:dvc-add"], 2),
        (["mlops:dvc-push", "data/none"], 4),
        (["mlops:dvc-pull", "data/none"], 4),
        (["mlops:dvc-pull", "--rev", "v9"], 4),
        (["mlops:dvc-pull", "--rev", "a..b"], 3),
        (["mlops:dvc-checkout", "v9"], 4),
        (["mlops:dvc-status", "data/none"], 4),
        (["mlops:dvc-status", "-p", "nobody"], 4),
        (["mlops:lineage", "nothing"], 4),
        (["mlops:lineage"], 2),
    ]:
        with subtests.test(words=words):
            result = invoke(*words)
            assert result.code == code
            assert result.err


def test_lineage_of_data_without_runs_is_itself(invoke, alpha: MLOpsClient) -> None:
    version = alpha.data_version("data/raw")
    shown = invoke("mlops:lineage", "data/raw@v1")
    assert shown.out == (
        f"data version data/raw  {version.hash}  1 file  1.5 kB  git {version.git_revision[:8]}"
        "  1 of 1 check passed\n"
    )
    root: dict[str, Any] = invoke("mlops:lineage", "data/raw", "--json").json["root"]
    assert (root["kind"], root["id"], root["children"]) == ("data version", version.hash, [])


def test_doctor_tells_how_data_is_linked(invoke, alpha: MLOpsClient) -> None:
    assert "data of alpha: cache links by " in invoke("mlops:doctor").out
    (alpha.project.root / ".dvc/config").unlink()
    shown = invoke("mlops:doctor").out
    assert "warning data of alpha: " in shown
    assert "mlops:register" in shown


def test_every_command_shows_an_example(invoke: Callable[..., Any]) -> None:
    for name in ("dvc-add", "dvc-push", "dvc-pull", "dvc-status", "dvc-checkout", "gc", "lineage"):
        assert f"Example: efficientai-toolkit mlops:{name}" in invoke(f"mlops:{name}", "--help").out
