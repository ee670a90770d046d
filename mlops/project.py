"""project.toml: what a project says of itself, read into a frozen `Project`."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from mlops.errors import InvalidInput, InvalidName, ProjectFileError, ProjectNotFound

FILE_NAME = "project.toml"

# MLflow's workspaces, Kubernetes and DNS take exactly this; "default" is MLflow's own workspace.
_NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?!-)){0,38}[a-z0-9]")
_NAME_RULE = (
    "2 to 40 lower-case letters, digits and single hyphens, beginning with a letter"
    " and not ending with a hyphen"
)
_RESERVED = frozenset({"default", "admin", "mlops", "workspaces", "api", "ajax-api", "static-files"})

_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_MODEL_NAME_RULE = "1 to 100 letters, digits, `_`, `-` and `.`, beginning with a letter or digit"


def check_project_name(name: object, field: str = "name") -> str:
    """Return `name` if it is safe everywhere it will be used; raises `InvalidName`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidName(field, name, _NAME_RULE)
    if name in _RESERVED:
        raise InvalidName(field, name, f"another one: {', '.join(sorted(_RESERVED))} are reserved")
    return name


def check_model_name(name: object) -> str:
    """Return `name` if it is safe as a model's; raises `InvalidName`."""
    if not isinstance(name, str) or not _MODEL_NAME.fullmatch(name) or ".." in name:
        raise InvalidName("model", name, _MODEL_NAME_RULE)
    return name


def check_request_id(value: object, field: str = "request_id") -> str:
    """Return `value` if it can name a request of an endpoint; raises `InvalidInput` of that field."""
    if not isinstance(value, str) or not REQUEST_ID.fullmatch(value):
        raise InvalidInput(
            field, value, "is no request's id",
            remedy="Give what the answer's header X-Request-Id said: 1 to 64 letters, digits, `.`, `_`, `-`.",
        )  # fmt: skip
    return value


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a project may take of the shared machine."""

    max_replicas: int = 2
    """Serving replicas of all its deployments together."""
    replica_cpus: float = 0.5
    """CPU cores Ray sets aside for each replica."""
    replica_memory_mb: int = 1024
    """Megabytes set aside for each replica; one that takes more is replaced."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What the project's deployments may do."""

    allow_pickle: bool | tuple[str, ...] = False
    """Whether models that are pickles (sklearn, pytorch) may be served, or of which of MLflow's flavors:
    loading one runs its code."""
    canary_min_requests: int = 100
    """Requests to each of canary and champion before a canary may be withdrawn."""
    canary_more_errors: float = 0.02
    """What a canary's error rate may be above the champion's."""
    canary_slower: float = 1.5
    """How many times the champion's 95th percentile of latency a canary's may be."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Model -> `package.module:function` of the project that answers whole files with the model's help
    (`mlops.serving.runtimes.functions`): it runs in the model's replicas."""
    batch: Mapping[str, int] = field(default_factory=dict)
    """Model -> the most rows, along the first axis, that one call of it may answer together: of a model whose
    rows do not depend on each other."""
    log_share: float = 1.0
    """Share of the inferences that go into the log, 0 to 1."""
    log_days: float = 30.0
    """How long the log keeps them."""


def allows_pickle(allowed: bool | Collection[str], flavors: Collection[str]) -> bool:
    """Whether `Serving.allow_pickle`, as it is or from JSON, lets a model of these MLflow flavors be loaded.
    `python_function`, which every model is besides, needs its name where it is the only one."""
    if isinstance(allowed, bool):
        return allowed
    named = set(flavors) - {"python_function"} or set(flavors)
    return named <= set(allowed)


@dataclass(frozen=True, slots=True)
class Monitoring:
    """How the project's deployed models are looked at for drift."""

    every_s: float = 21_600.0
    """After how long a report is made by itself; 0 is never."""
    window_s: float = 86_400.0
    """How much of the time just gone it is about."""
    after: int = 1000
    """After how many inferences a report of those is made by itself, at most one a minute; 0 is never."""
    false_alarms: float = 0.002
    """Of windows without any shift, the share in which a column may drift all the same."""
    least_effect: float = 0.05
    """Distributions that are closer than this have not drifted, however many rows there are."""
    features: Mapping[str, str] = field(default_factory=dict)
    """Model -> `package.module:function` of the project that makes the features that are logged and kept as
    reference (`mlops.features`): it runs in training and in the model's replicas."""


@dataclass(frozen=True, slots=True)
class Alerting:
    """What the project is told, and where; what each may state is checked when it is registered."""

    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> what the rule states (`mlops.monitoring.rules`)."""
    channels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> what the channel states (`mlops.monitoring.channels`)."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its project.toml describes it."""

    name: str
    namespace: str
    root: Path
    """The folder of its project.toml, absolute."""
    description: str = ""
    primary_metric: str = ""
    direction: Literal["minimize", "maximize"] = "minimize"
    data_paths: tuple[str, ...] = ()
    """The data whose recorded version each run names."""
    data_checks: Mapping[str, str] = field(default_factory=dict)
    """Data path -> `package.module:function`, its expectations (`mlops.data.checks`)."""
    models: tuple[str, ...] = ()
    quotas: Quotas = Quotas()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()
    alerts: Alerting = Alerting()


_KEYS: dict[str, set[str]] = {
    "project": {"name", "namespace", "description"},
    "metrics": {"primary", "direction"},
    "data": {"paths", "checks"},
    "models": {"name"},
    "quotas": {field.name for field in fields(Quotas)},
    "serving": {field.name for field in fields(Serving)},
    "monitoring": {field.name for field in fields(Monitoring)},
    "alerts": {field.name for field in fields(Alerting)},
}


def read_project(folder: Path) -> Project:
    """Read `folder`/project.toml.

    Raises `ProjectFileError` (missing file, bad TOML, unknown or missing keys, wrong types) and
    `InvalidName`; each names the key and the remedy.
    """
    path = folder.resolve() / FILE_NAME
    raw = _parse(path)
    _refuse_unknown(path, raw)
    head = _table(path, raw, "project")
    if "name" not in head:
        raise ProjectFileError(
            path, "key `project.name` is missing", remedy='Add `name = "…"` below [project].'
        )
    name = check_project_name(head["name"], "project.name")
    metrics, data = _table(path, raw, "metrics"), _table(path, raw, "data")
    return Project(
        name=name,
        namespace=check_project_name(head.get("namespace", name), "project.namespace"),
        root=path.parent,
        description=_text(path, "project.description", head.get("description", "")),
        primary_metric=_text(path, "metrics.primary", metrics.get("primary", "")),
        direction=_direction(path, metrics.get("direction", "minimize")),
        data_paths=_data_paths(path, data.get("paths", [])),
        data_checks=_data_checks(path, data.get("checks", {})),
        models=_models(path, raw),
        quotas=_quotas(path, _table(path, raw, "quotas")),
        serving=_serving(path, _table(path, raw, "serving")),
        monitoring=_monitoring(path, _table(path, raw, "monitoring")),
        alerts=_alerting(path, _table(path, raw, "alerts")),
    )


def find_project(start: Path) -> Project:
    """Read the nearest project.toml of `start` or a folder above it; raises `ProjectNotFound`."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / FILE_NAME).is_file():
            return read_project(folder)
    raise ProjectNotFound(
        "", remedy=f"No {FILE_NAME} in {start} or above: change to the project's folder, or give --project."
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectFileError(
            path, "there is no such file", remedy='Create it with at least `[project]` and `name = "…"`.'
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectFileError(path, f"is not valid TOML: {error}") from error
    except OSError as error:
        raise ProjectFileError(
            path, f"cannot be read: {error.strerror or error}", remedy="It must be a file you may read."
        ) from error


def _refuse_unknown(path: Path, raw: dict[str, Any]) -> None:
    for table, content in raw.items():
        if table not in _KEYS:
            raise ProjectFileError(
                path, f"unknown table [{table}]", remedy=f"Known tables: {', '.join(_KEYS)}."
            )
        for entry in content if isinstance(content, list) else [content]:
            unknown = sorted(set(entry) - _KEYS[table]) if isinstance(entry, dict) else []
            if unknown:
                raise ProjectFileError(
                    path,
                    f"unknown key `{table}.{unknown[0]}`",
                    remedy=f"Known keys of [{table}]: {', '.join(sorted(_KEYS[table]))}.",
                )


def _table(path: Path, raw: dict[str, Any], name: str) -> dict[str, Any]:
    value = raw.get(name, {})
    if not isinstance(value, dict):
        raise ProjectFileError(path, f"`{name}` must be a table", remedy=f"Write it as [{name}].")
    return value


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ProjectFileError(path, f"`{key}` = {value!r} must be a text", remedy="Put it in quotes.")
    return value


def _direction(path: Path, value: object) -> Literal["minimize", "maximize"]:
    if value not in ("minimize", "maximize"):
        raise ProjectFileError(path, f"`metrics.direction` = {value!r}", remedy="Use minimize or maximize.")
    return value


def _data_paths(path: Path, value: object, key: str = "data.paths") -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ProjectFileError(path, f"`{key}` = {value!r} must be a list of texts")
    for item in value:
        parts = Path(item).parts
        if not parts or Path(item).is_absolute() or ".." in parts or item.startswith("-") or "\0" in item:
            raise ProjectFileError(
                path, f"`{key}` holds {item!r}", remedy="Name paths inside the project's folder."
            )
    return tuple(value)


def _data_checks(path: Path, value: object) -> dict[str, str]:
    calls = _calls(path, "data.checks", value, '"data/raw"')
    return dict(zip(_data_paths(path, list(calls), "data.checks"), calls.values(), strict=True))


def _calls(path: Path, table: str, value: object, example: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ProjectFileError(path, f"`{table}` must be a table", remedy=f"Write it as [{table}].")
    for key, call in value.items():
        if not isinstance(call, str) or not _CALLABLE.fullmatch(call):
            raise ProjectFileError(
                path,
                f"`{table}` holds {call!r} for {key!r}",
                remedy=f'Name a function, such as {example} = "package.module:function".',
            )
    return value


def _models(path: Path, raw: dict[str, Any]) -> tuple[str, ...]:
    value = raw.get("models", [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ProjectFileError(path, "`models` must be a list of tables", remedy="Write each as [[models]].")
    if not all("name" in entry for entry in value):
        raise ProjectFileError(
            path, "key `models.name` is missing", remedy='Add `name = "…"` below each [[models]].'
        )
    return tuple(check_model_name(entry["name"]) for entry in value)


def _quotas(path: Path, raw: dict[str, Any]) -> Quotas:
    for key, value in raw.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise ProjectFileError(path, f"`quotas.{key}` = {value!r} must be a number above 0")
        if key != "replica_cpus" and not isinstance(value, int):
            raise ProjectFileError(path, f"`quotas.{key}` = {value!r} must be a whole number")
    defaults = Quotas()
    return Quotas(
        max_replicas=raw.get("max_replicas", defaults.max_replicas),
        replica_cpus=float(raw.get("replica_cpus", defaults.replica_cpus)),
        replica_memory_mb=raw.get("replica_memory_mb", defaults.replica_memory_mb),
    )


_MOST_ROWS = 65536
_SERVING_LIMITS = {
    "canary_more_errors": (0.0, 1.0),
    "canary_slower": (1.0, 1000.0),
    "log_share": (0.0, 1.0),
    "log_days": (0.01, 3650.0),
}


def _serving(path: Path, raw: dict[str, Any]) -> Serving:
    allow = raw.get("allow_pickle", False)
    if isinstance(allow, list) and all(isinstance(flavor, str) for flavor in allow):
        allow = tuple(allow)
    elif not isinstance(allow, bool):
        problem = f"`serving.allow_pickle` = {allow!r} must be true, false or a list of flavors"
        raise ProjectFileError(path, problem, remedy='Name those that may be, as in ["sklearn"].')
    usual = Serving()
    least = raw.get("canary_min_requests", usual.canary_min_requests)
    if not isinstance(least, int) or isinstance(least, bool) or least < 1:
        problem = f"`serving.canary_min_requests` = {least!r} must be a whole number, 1 up"
        raise ProjectFileError(path, problem)
    limits = {}
    for key, (lowest, highest) in _SERVING_LIMITS.items():
        value = raw.get(key, getattr(usual, key))
        if not isinstance(value, int | float) or isinstance(value, bool) or not lowest <= value <= highest:
            problem = f"`serving.{key}` = {value!r} must be a number from {lowest:g} to {highest:g}"
            raise ProjectFileError(path, problem)
        limits[key] = float(value)
    files = _calls(path, "serving.files", raw.get("files", {}), "my-model")
    return Serving(
        allow,
        least,
        files={check_model_name(name): call for name, call in files.items()},
        batch=_batches(path, raw.get("batch", {})),
        **limits,
    )


def _batches(path: Path, value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ProjectFileError(path, "`serving.batch` must be a table", remedy="Write it as [serving.batch].")
    for model, rows in value.items():
        if not isinstance(rows, int) or isinstance(rows, bool) or not 1 <= rows <= _MOST_ROWS:
            raise ProjectFileError(
                path, f"`serving.batch.{model}` = {rows!r} must be a whole number from 1 to {_MOST_ROWS}"
            )
    return {check_model_name(model): rows for model, rows in value.items()}


_MONITORING_LIMITS = {
    "every_s": (0.0, 31_536_000.0),
    "window_s": (60.0, 31_536_000.0),
    "after": (0, 10_000_000),
    "false_alarms": (0.000_001, 0.5),
    "least_effect": (0.0, 0.99),
}


def _monitoring(path: Path, raw: dict[str, Any]) -> Monitoring:
    for key, (lowest, highest) in _MONITORING_LIMITS.items():
        value = raw.get(key, lowest)
        kind, noun = (int, "whole number") if key == "after" else (int | float, "number")
        if not isinstance(value, kind) or isinstance(value, bool) or not lowest <= value <= highest:
            problem = f"`monitoring.{key}` = {value!r} must be a {noun} from {lowest:g} to {highest:g}"
            raise ProjectFileError(path, problem)
    calls = _calls(path, "monitoring.features", raw.get("features", {}), "my-model")
    named = {check_model_name(name): call for name, call in calls.items()}
    return Monitoring(**{**raw, "features": named})


def _alerting(path: Path, raw: dict[str, Any]) -> Alerting:
    for table, stated in raw.items():
        if not isinstance(stated, dict) or not all(isinstance(each, dict) for each in stated.values()):
            raise ProjectFileError(
                path, f"`alerts.{table}` must hold tables", remedy=f"Write each as [alerts.{table}.<name>]."
            )
    return Alerting(**raw)
