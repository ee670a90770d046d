"""Data versions as MLflow's dataset inputs, there and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from mlops.entities import USED_KEY, DataCheck, DataVersion

USED, DECLARED = "training", "declared"
"""MLflow's contexts of an input."""
_CONTEXT = "mlflow.data.context"
_REVISION, _DIRTY, _REMOTE = "mlops.git_revision", "mlops.git_dirty", "mlops.remote"


def dataset_input(data: DataVersion) -> dict[str, Any]:
    """MLflow's JSON of a data version as a run's input.

    MLflow keeps a dataset of one name and digest once for an experiment, with what its first run said of
    it: what holds of this run alone is in the input's tags.
    """
    tags = {
        _CONTEXT: DECLARED if data.declared else USED,
        _REVISION: data.git_revision or "",
        _DIRTY: str(data.git_dirty).lower(),
        _REMOTE: data.remote,
    }
    return {
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
        "dataset": {
            "name": data.path,
            "digest": data.hash[:36],  # MLflow's limit: exactly a folder's `<md5>.dir`
            "source_type": "dvc",
            "source": json.dumps({"path": data.path, "hash": data.hash, "remote": data.remote}),
            "profile": json.dumps(
                {
                    "size_bytes": data.size_bytes,
                    "files": data.files,
                    "checks": [asdict(check) for check in data.checks],
                }
            ),
        },
    }


def data_versions(project: str, found: Mapping[str, Any]) -> tuple[DataVersion, ...]:
    """The data versions in MLflow's JSON of a run; datasets of another kind, which autologging adds, are left
    out, and so is what is only declared of a path of which the run used a version."""
    inputs = found.get("inputs", {}).get("dataset_inputs", [])
    marks = {tag["key"]: tag.get("value") for tag in found.get("data", {}).get("tags", [])}
    versions = (
        _version(project, each["dataset"], {tag["key"]: tag.get("value", "") for tag in each.get("tags", [])})
        for each in inputs
        if each.get("dataset", {}).get("source_type") == "dvc"
    )
    return used_data(
        replace(each, declared=each.declared and marks.get(USED_KEY + each.hash) != each.path)
        for each in versions
    )


def used_data(versions: Iterable[DataVersion]) -> tuple[DataVersion, ...]:
    """A run's data without what is only declared of a path of which it used a version."""
    found = tuple(versions)
    used = {version.path for version in found if not version.declared}
    return tuple(version for version in found if not version.declared or version.path not in used)


def _version(project: str, dataset: Mapping[str, Any], tags: Mapping[str, str]) -> DataVersion:
    profile, source = _parsed(dataset.get("profile")), _parsed(dataset.get("source"))
    return DataVersion(
        project=project,
        path=str(dataset["name"]),
        hash=str(dataset["digest"]),
        size_bytes=int(profile.get("size_bytes", 0)),
        files=int(profile.get("files", 0)),
        git_revision=tags.get(_REVISION) or source.get("git_revision"),
        git_dirty=tags.get(_DIRTY) == "true",
        remote=tags.get(_REMOTE) or str(source.get("remote", "")),
        checks=DataCheck.listed(profile.get("checks")),
        declared=tags.get(_CONTEXT) == DECLARED,
    )


def _parsed(text: object) -> dict[str, Any]:
    try:
        value = json.loads(str(text or "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
