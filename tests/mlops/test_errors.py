"""The errors: whole after a pickle or JSON, and drawn as they are."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from pathlib import Path

import pytest

from mlops import errors
from mlops.errors import MLOpsError

EXAMPLES: list[MLOpsError] = [
    errors.MLOpsError("it failed", remedy="Try again.", count=3, nothing=None),
    errors.ConfigError("a setting is wrong", setting="MLOPS_HOME"),
    errors.ProjectFileError(Path("/a/project.toml"), "is empty", remedy="Fill it."),
    errors.InvalidName("project.name", 7, "letters"),
    errors.BackendUnknown("tracking", "nope", ["mlflow", "memory"]),
    errors.NotFound("it is not there"),
    errors.ProjectNotFound("digits"),
    errors.TokenNotFound("digits", "grafana"),
    errors.RunNotFound("digits", "0a1b"),
    errors.ArtifactNotFound("digits", "0a1b", "plots/roc.png"),
    errors.MetricNotFound("digits", "loss"),
    errors.MetricNotFound("digits", "loss", "0a1b"),
    errors.ModelNotFound("digits", "net"),
    errors.ModelNotFound("digits", "net", 3),
    errors.DeploymentNotFound("digits", "net"),
    errors.ModelFileNotFound("digits", "net", 3, "notes.txt"),
    errors.ReferenceNotFound("digits", "net", 3),
    errors.AlertNotFound(12),
    errors.ViewNotFound(12),
    errors.DriftReportNotFound(12),
    errors.DataNotFound("digits", "data/raw"),
    errors.RevisionNotFound("digits", "v9"),
    errors.RevisionNotFound("digits", "v9", "data/raw"),
    errors.DataChanging("digits", "data/raw", "data/raw/a.csv", "changed meanwhile"),
    errors.DataModified("digits", "data/raw", ["a", "b", "c", "d"]),
    errors.DataMissing("digits", None, ["a"]),
    errors.DataMissing("digits", "s3://bucket/digits", ["a"]),
    errors.DataCorrupted("digits", "s3://bucket/digits", ["a"]),
    errors.DataChecksFailed("digits", "data/raw", ["few files: 9"]),
    errors.SampleUnreadable(Path("/srv/reference.parquet"), "it ends too early"),
    errors.DriftReportFailed("it took too long", "Traceback: …", remedy="Allow it more time."),
    errors.Conflict("the state forbids it", project="digits"),
    errors.ProjectExists("digits", "/elsewhere"),
    errors.NoActiveRun("digits", "log_params"),
    errors.RunEnded("digits", "0a1b"),
    errors.RunOpen("digits", "0a1b"),
    errors.VersionPending("digits", "net", "r-0a1b"),
    errors.Refused("no"),
    errors.Unauthorized(),
    errors.Forbidden("use project 'digits'"),
    errors.InvalidInput("x", ["long"] * 100, "is too long", remedy="Shorten it."),
    errors.ServiceError("MLflow refused", status=500, code="INTERNAL"),
    errors.ServiceUnavailable("postgres", "connection refused"),
    errors.SchemaMismatch("column runs.x does not exist"),
    errors.ServiceStartFailed("ray", "it ended", "  | last line"),
    errors.PortTaken("gateway", 8080, "MLOPS_GATEWAY_PORT"),
    errors.DataDirectoryBroken("postgres", Path("/srv/pg"), "is half-made", remedy="Move it."),
    errors.DeploymentFailed("digits", "net", 3, "Traceback: …"),
    errors.NotDelivered("chat", "connection refused", again=True),
    errors.NotDelivered("chat", "it answered 404", again=False),
    errors.DataError("DVC refused", hash="d41d"),
    errors.JournalError(Path("/srv/journal"), "no space left", remedy="Free some."),
]


def tree(kind: type[MLOpsError]) -> list[type[MLOpsError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in tree(child))]


def platform_errors() -> set[type[MLOpsError]]:
    return {kind for kind in tree(MLOpsError) if kind.__module__ == "mlops.errors"}


def same(one: MLOpsError, other: MLOpsError) -> bool:
    return all(
        getattr(one, what) == getattr(other, what) for what in ("__class__", "message", "remedy", "fields")
    )


def test_every_class_has_an_example_here() -> None:
    assert {type(example) for example in EXAMPLES} == platform_errors()


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_survives_a_pickle_and_a_copy(error: MLOpsError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert same(error, again)
        assert str(again) == str(error)
        assert again.args == error.args
        assert all(getattr(again, name) == value for name, value in error.fields.items())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_survives_json(error: MLOpsError) -> None:
    again = MLOpsError.from_json(json.loads(json.dumps(error.to_json())))
    assert same(error, again)
    assert all(getattr(again, name) == value for name, value in error.fields.items())


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_has_the_one_json_shape(error: MLOpsError) -> None:
    body = error.to_json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["type", "message", "remedy", "fields"]
    assert body["error"]["type"] == type(error).__name__


@pytest.mark.parametrize("error", [e for e in EXAMPLES if e.remedy], ids=lambda e: type(e).__name__)
def test_says_what_to_do_next(error: MLOpsError) -> None:
    assert str(error) == f"{error.message}\n  → {error.remedy}"


def test_platforms_own_errors_all_carry_a_remedy() -> None:
    made_by_init = [e for e in EXAMPLES if "__init__" in vars(type(e)) and type(e) is not MLOpsError]
    assert [type(e).__name__ for e in made_by_init if not e.remedy] == []


def test_missing_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="color"):
        _ = errors.Unauthorized().color


@pytest.mark.parametrize("body", [None, [], "no", {}, {"error": "no"}, {"error": None}])
def test_answer_in_another_shape_becomes_the_base_class(body: object) -> None:
    error = MLOpsError.from_json(body)
    assert type(error) is MLOpsError
    assert "no known shape" in error.message


@pytest.mark.parametrize("fields", [None, "x", {"message": "m", "remedy": "r", "self": 1, "cls": 2}])
def test_answer_with_strange_fields_is_taken(fields: object) -> None:
    body = {"error": {"type": "Conflict", "message": "no", "remedy": None, "fields": fields}}
    error = MLOpsError.from_json(body)
    assert (type(error), error.message, error.remedy) == (errors.Conflict, "no", "")
    assert error.fields == (fields if isinstance(fields, dict) else {})


@pytest.mark.parametrize("name", ["InternalError", "Exception", "", None, 7])
def test_unknown_type_becomes_the_base_class(name: object) -> None:
    assert type(MLOpsError.from_json({"error": {"type": name, "message": "no"}})) is MLOpsError


def test_long_values_are_cut_in_messages() -> None:
    assert len(errors.InvalidInput("x", "y" * 10_000, "is long").message) < 200


def test_drawn_tree_is_the_real_one() -> None:
    drawn: list[tuple[int, str]] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        found = re.match(r"((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+)(?:\s|$)", line)
        if found and ("──" in line or line == "MLOpsError"):
            depth = len(found[1]) // 4 + (1 if "──" in line else 0)
            drawn.append((depth, found[2]))
    real: list[tuple[int, str]] = []

    def walk(kind: type[MLOpsError], depth: int) -> None:
        real.append((depth, kind.__name__))
        for child in kind.__subclasses__():
            if child.__module__ == "mlops.errors":
                walk(child, depth + 1)

    walk(MLOpsError, 0)

    def parents(rows: list[tuple[int, str]]) -> dict[str, str]:
        path: list[str] = []
        found = {}
        for depth, name in rows:
            path[depth:] = [name]
            found[name] = path[depth - 1] if depth else ""
        return found

    assert parents(drawn) == parents(real)
