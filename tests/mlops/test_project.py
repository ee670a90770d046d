"""project.toml: what is taken, and what each mistake is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.errors import InvalidName, ProjectFileError, ProjectNotFound
from mlops.project import (
    Monitoring,
    Project,
    Quotas,
    allows_pickle,
    check_model_name,
    check_project_name,
    find_project,
    read_project,
)

RESERVED = ["default", "admin", "mlops", "workspaces", "api", "ajax-api", "static-files"]

FULL = """
[project]
name = "digits"
namespace = "team-digits"
description = "Handwritten digits"

[metrics]
primary = "accuracy"
direction = "maximize"

[data]
paths = ["data/raw", "labels.csv"]
checks = { "data/raw" = "whole.checks:logs" }

[[models]]
name = "digits"

[[models]]
name = "Digits_2.onnx"

[quotas]
max_replicas = 3
replica_cpus = 1
replica_memory_mb = 700
"""


def write(folder: Path, text: str | bytes) -> Path:
    content = text.encode() if isinstance(text, str) else text
    (folder / "project.toml").write_bytes(content)
    return folder


def head(rest: str) -> str:
    return f'[project]\nname = "digits"\n{rest}'


def test_reads_every_key(tmp_path: Path) -> None:
    assert read_project(write(tmp_path, FULL)) == Project(
        name="digits",
        namespace="team-digits",
        root=tmp_path.resolve(),
        description="Handwritten digits",
        primary_metric="accuracy",
        direction="maximize",
        data_paths=("data/raw", "labels.csv"),
        data_checks={"data/raw": "whole.checks:logs"},
        models=("digits", "Digits_2.onnx"),
        quotas=Quotas(max_replicas=3, replica_cpus=1.0, replica_memory_mb=700),
    )


def test_needs_only_a_name(tmp_path: Path) -> None:
    project = read_project(write(tmp_path, head("")))
    assert project == Project(name="digits", namespace="digits", root=tmp_path.resolve())
    assert project.quotas == Quotas(max_replicas=2, replica_cpus=0.5, replica_memory_mb=1024)


def test_missing_file_says_what_to_create(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError, match="there is no such file") as caught:
        read_project(tmp_path)
    assert "[project]" in caught.value.remedy
    assert caught.value.path == str(tmp_path.resolve() / "project.toml")


def test_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "project.toml").mkdir()
    with pytest.raises(ProjectFileError, match="cannot be read"):
        read_project(tmp_path)


@pytest.mark.parametrize("text", ["[project", "name = ", b"\xff\xfe", "[project]\n[project]"])
def test_bad_toml_is_told(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ProjectFileError, match="is not valid TOML"):
        read_project(write(tmp_path, text))


@pytest.mark.parametrize(
    ("rest", "problem", "remedy"),
    [
        ("[colors]\nx = 1", "unknown table [colors]", "Known tables: project, metrics"),
        ("[metrics]\nprimry = 'a'", "unknown key `metrics.primry`", "direction, primary"),
        ("color = 'red'", "unknown key `project.color`", "description, name, namespace"),
        ("[[models]]\nname = 'a'\nkind = 'b'", "unknown key `models.kind`", "name"),
        ("[quotas]\nreplicas = 2", "unknown key `quotas.replicas`", "max_replicas, replica_cpus"),
    ],
)
def test_unknown_tables_and_keys_are_named_with_those_there_are(
    tmp_path: Path, rest: str, problem: str, remedy: str
) -> None:
    with pytest.raises(ProjectFileError, match=re.escape(problem)) as caught:
        read_project(write(tmp_path, head(rest)))
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("text", ["", "[project]\ndescription = 'x'", "[metrics]\nprimary = 'x'"])
def test_missing_name_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProjectFileError, match=r"`project\.name` is missing") as caught:
        read_project(write(tmp_path, text))
    assert "name = " in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("project = 'digits'", "`project` must be a table"),
        ("[[project]]\nname = 'digits'", "`project` must be a table"),
        (f"metrics = 'accuracy'\n{head('')}", "`metrics` must be a table"),
        (head("description = 7"), "`project.description` = 7 must be a text"),
        (head("[metrics]\nprimary = ['a']"), "`metrics.primary`"),
        (head("[metrics]\ndirection = 'up'"), "`metrics.direction` = 'up'"),
        (head("[metrics]\ndirection = ['minimize']"), "`metrics.direction`"),
        (head("[data]\npaths = 'data'"), "`data.paths` = 'data' must be a list"),
        (head("[data]\nchecks = 'a:b'"), "`data.checks` must be a table"),
        (
            head('[data.checks]\n"data/raw" = "no function"'),
            "`data.checks` holds 'no function' for 'data/raw'",
        ),
        (head('[data.checks]\n"data/raw" = 3'), "`data.checks` holds 3 for 'data/raw'"),
        (head('[data.checks]\n"../other" = "a:b"'), "`data.checks` holds '../other'"),
        (head("[data]\npaths = [1]"), "`data.paths` = [1] must be a list of texts"),
        (head("[models]\nname = 'digits'"), "`models` must be a list of tables"),
        (f"models = ['digits']\n{head('')}", "`models` must be a list of tables"),
        (f"models = 'digits'\n{head('')}", "`models` must be a list of tables"),
        (head("[[models]]"), "`models.name` is missing"),
    ],
)
def test_wrong_types_are_told_by_key(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ProjectFileError, match=re.escape(problem)):
        read_project(write(tmp_path, text))


@pytest.mark.parametrize("path", ["/etc/passwd", "../other", "data/../../x", "-rf", "", ".", "da\\u0000ta"])
def test_data_paths_outside_the_project_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ProjectFileError, match=re.escape("`data.paths` holds")) as caught:
        read_project(write(tmp_path, head(f'[data]\npaths = ["ok", "{path}"]')))
    assert "inside the project's folder" in caught.value.remedy


@pytest.mark.parametrize(
    "line",
    [
        "max_replicas = 0",
        "max_replicas = -1",
        "max_replicas = true",
        "max_replicas = '2'",
        "max_replicas = 0.5",
        "max_replicas = 2.7",
        "max_replicas = inf",
        "replica_cpus = 0",
        "replica_cpus = nan",
        "replica_cpus = inf",
        "replica_memory_mb = 0",
        "replica_memory_mb = 1.5",
    ],
)
def test_quotas_that_are_no_amount_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ProjectFileError, match=re.escape(f"`quotas.{line.split()[0]}`")):
        read_project(write(tmp_path, head(f"[quotas]\n{line}")))


@pytest.mark.parametrize("value", ["1", "'true'", "[1]", "{}"])
def test_pickles_are_allowed_by_true_or_by_name_alone(tmp_path: Path, value: str) -> None:
    assert not read_project(write(tmp_path, head(""))).serving.allow_pickle
    assert read_project(write(tmp_path, head("[serving]\nallow_pickle = true"))).serving.allow_pickle
    named = read_project(write(tmp_path, head("[serving]\nallow_pickle = ['sklearn']"))).serving.allow_pickle
    assert named == ("sklearn",)
    with pytest.raises(ProjectFileError, match=re.escape("`serving.allow_pickle`")):
        read_project(write(tmp_path, head(f"[serving]\nallow_pickle = {value}")))


@pytest.mark.parametrize(
    ("allowed", "flavors", "answer"),
    [
        (True, {"sklearn", "python_function"}, True),
        (False, {"sklearn", "python_function"}, False),
        (["sklearn"], {"sklearn", "python_function"}, True),
        (["pytorch"], {"sklearn", "python_function"}, False),
        (["sklearn"], {"sklearn", "pytorch", "python_function"}, False),
        (["sklearn"], {"python_function"}, False),
        (["python_function"], {"python_function"}, True),
        ([], {"sklearn"}, False),
    ],
)
def test_a_flavor_is_allowed_by_its_own_name(
    allowed: bool | list[str], flavors: set[str], answer: bool
) -> None:
    assert allows_pickle(allowed, flavors) is answer


@pytest.mark.parametrize(
    ("line", "key"),
    [
        *((f"log_share = {value}", "log_share") for value in ("-0.1", "1.1", "true", "'1'", "nan")),
        *((f"log_days = {value}", "log_days") for value in ("0", "inf", "[]")),
        ("files = 'a:b'", "files"),
        ("files = { net = 'no function' }", "files"),
        ("files = { net = 7 }", "files"),
        ("canary_slower = 0.5", "canary_slower"),
        ("batch = 8", "batch"),
        *((f"batch = {{ net = {value} }}", "batch.net") for value in ("0", "65537", "true", "2.0", "'8'")),
    ],
)
def test_wrong_settings_of_serving_are_named(tmp_path: Path, line: str, key: str) -> None:
    with pytest.raises(ProjectFileError, match=re.escape(f"`serving.{key}`")):
        read_project(write(tmp_path, head(f"[serving]\n{line}")))


def test_files_and_log_of_serving(tmp_path: Path) -> None:
    text = "[serving]\nlog_share = 0.25\nlog_days = 7\nbatch = { net = 64 }\n"
    text += "[serving.files]\nnet = 'reader.logs:answer'"
    serving = read_project(write(tmp_path, head(text))).serving
    assert (serving.log_share, serving.log_days, serving.files) == (0.25, 7.0, {"net": "reader.logs:answer"})
    assert serving.batch == {"net": 64}
    with pytest.raises(InvalidName):
        read_project(write(tmp_path, head("[serving.files]\n'../net' = 'reader.logs:answer'")))


def test_features_of_monitoring(tmp_path: Path) -> None:
    text = "[monitoring.features]\nnet = 'reader.logs:features'"
    assert read_project(write(tmp_path, head(text))).monitoring.features == {"net": "reader.logs:features"}


@pytest.mark.parametrize("line", ["features = 'a:b'", "features = { net = 'no function' }"])
def test_wrong_settings_of_monitoring_are_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(ProjectFileError, match=r"`monitoring\.features`"):
        read_project(write(tmp_path, head(f"[monitoring]\n{line}")))


# -- names --------------------------------------------------------------------------------------


def is_safe(name: str) -> bool:
    """The rule in words of its own: what MLflow's workspaces, DNS labels and Kubernetes take."""
    return (
        2 <= len(name) <= 40
        and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        and name[0].isalpha()
        and name[-1] != "-"
        and "--" not in name
    )


@given(st.one_of(st.text(), st.text(alphabet="ab9-A_\n.", max_size=45)))
def test_names_match_the_rule_or_raise(name: str) -> None:
    if is_safe(name) and name not in RESERVED:
        assert check_project_name(name) == name
    else:
        with pytest.raises(InvalidName) as caught:
            check_project_name(name)
        assert caught.value.remedy


@given(st.one_of(st.text(), st.text(alphabet="aZ9_.-/\n", max_size=105)))
def test_model_names_hold_no_path_or_raise(name: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    if 1 <= len(name) <= 100 and set(name) <= allowed and name[0] not in "_.-" and ".." not in name:
        assert check_model_name(name) == name
    else:
        with pytest.raises(InvalidName):
            check_model_name(name)


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_project_name(name)
    assert "reserved" in caught.value.remedy


@pytest.mark.parametrize("name", [None, 7, b"digits", ["digits"]])
def test_names_that_are_no_text_are_refused(name: object) -> None:
    with pytest.raises(InvalidName):
        check_project_name(name)
    with pytest.raises(InvalidName):
        check_model_name(name)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[project]\nname = "../x"', "project.name"),
        ('[project]\nname = "digits\\n"', "project.name"),
        ("[project]\nname = 7", "project.name"),
        (head('namespace = "Digits"'), "project.namespace"),
        (head('namespace = "default"'), "project.namespace"),
        (head('[[models]]\nname = "a/b"'), "model"),
    ],
)
def test_unsafe_names_in_the_file_are_told_by_key(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(InvalidName) as caught:
        read_project(write(tmp_path, text))
    assert caught.value.field == field


# -- finding ------------------------------------------------------------------------------------


def test_finds_the_nearest_project_upward(tmp_path: Path) -> None:
    write(tmp_path, '[project]\nname = "outer"')
    inner = tmp_path / "inner"
    deep = inner / "a" / "b"
    deep.mkdir(parents=True)
    assert find_project(deep).name == "outer"
    write(inner, '[project]\nname = "inner"')
    assert find_project(deep).name == "inner"
    assert find_project(inner).root == inner.resolve()


def test_no_project_upward_is_told_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFound, match="no project was named or found") as caught:
        find_project(tmp_path)
    assert "--project" in caught.value.remedy


def test_broken_nearest_project_is_not_skipped_for_an_outer_one(tmp_path: Path) -> None:
    write(tmp_path, '[project]\nname = "outer"')
    inner = tmp_path / "inner"
    inner.mkdir()
    write(inner, "[project")
    with pytest.raises(ProjectFileError):
        find_project(inner)


# -- monitoring ---------------------------------------------------------------------------------


def test_monitoring_is_as_usual_or_as_stated(tmp_path: Path) -> None:
    assert read_project(write(tmp_path, head(""))).monitoring == Monitoring()
    text = "[monitoring]\nevery_s = 0\nwindow_s = 3600\nafter = 200\nfalse_alarms = 0.01\nleast_effect = 0.1"
    assert read_project(write(tmp_path, head(text))).monitoring == Monitoring(0, 3600, 200, 0.01, 0.1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("every_s", "-1"),
        ("every_s", "nan"),
        ("window_s", "59"),
        ("window_s", "'1h'"),
        ("after", "1.5"),
        ("after", "true"),
        ("after", "-1"),
        ("false_alarms", "0"),
        ("false_alarms", "0.6"),
        ("least_effect", "1"),
    ],
)
def test_monitoring_out_of_range_is_told_by_key(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(ProjectFileError, match=re.escape(f"`monitoring.{key}` = ")):
        read_project(write(tmp_path, head(f"[monitoring]\n{key} = {value}")))
