"""What a run takes: the rules every tracker checks before it records anything.

Limits are those of MLflow 3 (`mlflow/utils/validation.py`), so that no backend takes what another
would refuse.
"""

from __future__ import annotations

import operator
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops.entities import MODEL_KEY, RUN_KEY, USED_KEY, VERSION_KEY, DataVersion
from mlops.errors import InvalidInput

_KEY = re.compile(r"[\w\-./: ]+")
_KEY_RULE = "Use letters, digits, `_`, `-`, `.`, `:`, `/` and spaces."
MAX_KEY = 250
MAX_NAME = 250
_INT64 = 1 << 63
_RESERVED = frozenset({RUN_KEY, MODEL_KEY, VERSION_KEY})
MAX_PARAM = 6000
MAX_TAG = 8000


@dataclass(frozen=True)
class Records:
    """One call's records, checked."""

    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    step: int = 0


def check_records(
    params: Mapping[str, object] | None,
    metrics: Mapping[str, float] | None,
    tags: Mapping[str, str] | None,
    step: int,
    data: DataVersion | None,
) -> Records:
    """Check one call of `RunTracker.log`; raises `InvalidInput` naming the key at fault."""
    numbers, step = check_metrics(metrics or {}, step)
    return Records(
        params={
            _key("params", k): _text(f"params[{k}]", str(v), MAX_PARAM) for k, v in (params or {}).items()
        },
        metrics=numbers,
        tags=check_tags({**(tags or {}), **(data_tags(data) if data else {})}),
        step=step,
    )


def check_metrics(metrics: Mapping[str, object], step: object) -> tuple[dict[str, float], int]:
    """Check one call's metrics, which become floats, and its step; raises `InvalidInput`."""
    numbers = {_key("metrics", k): _number(f"metrics[{k}]", v) for k, v in metrics.items()}
    try:
        whole = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        whole = None
    if whole is None or not -_INT64 <= whole < _INT64:
        raise InvalidInput("step", step, "is not a whole number of 64 bits", remedy="Give an int.")
    return numbers, whole


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Check a run's tags; raises `InvalidInput`."""
    if ours := sorted(_RESERVED.intersection(tags)):
        raise InvalidInput("tags", ours[0], "is the platform's own", remedy="Use another key.")
    return {_key("tags", k): _text(f"tags[{k}]", str(v), MAX_TAG) for k, v in tags.items()}


def check_start(name: str | None, tags: Mapping[str, str], experiment_name: str | None) -> dict[str, str]:
    """Check what a run is started with; returns its tags. Raises `InvalidInput`."""
    for field_name, value in (("run_name", name), ("experiment_name", experiment_name)):
        if value is not None:
            if not isinstance(value, str) or (field_name == "experiment_name" and not value.strip()):
                raise InvalidInput(field_name, value, "is no name", remedy="Give a text.")
            _text(field_name, value, MAX_NAME)
    return check_tags(tags)


def check_unchanged(params: Mapping[str, str], recorded: Mapping[str, str]) -> None:
    """Params are write-once: raise `InvalidInput` for one that differs from what is recorded."""
    for key, value in params.items():
        if recorded.get(key, value) != value:
            raise InvalidInput(
                f"params[{key}]",
                value,
                f"is recorded already as {recorded[key]!r}, and params are write-once",
                remedy="Record what changes during a run as a metric or a tag.",
            )


def check_artifact(path: Path, artifact_path: str | None) -> str | None:
    """Check what `log_artifact` gets; raises `InvalidInput`."""
    if not path.exists():
        raise InvalidInput("path", str(path), "there is no such file or folder")
    if artifact_path is None or artifact_path == "":
        return None
    normal = posixpath.normpath(artifact_path)
    if (
        artifact_path.startswith("/")
        or normal.startswith("..")
        or "\\" in artifact_path
        or "%" in artifact_path
    ):
        raise InvalidInput(
            "artifact_path",
            artifact_path,
            "leaves the run's artifacts",
            remedy="Give a relative path below them.",
        )
    return None if normal == "." else normal


def data_tags(data: DataVersion) -> dict[str, str]:
    """The tags by which a run names its data; the last data recorded wins, the inputs keep all. That a
    version was used is told apart: MLflow keeps an input as it first was, perhaps only declared."""
    used = {} if data.declared else {USED_KEY + data.hash: data.path}
    return {
        **used,
        "data.path": data.path,
        "data.hash": data.hash,
        "data.git_revision": data.git_revision or "",
        "data.git_dirty": str(data.git_dirty).lower(),
        "data.size_bytes": str(data.size_bytes),
        "data.files": str(data.files),
        "data.remote": data.remote,
    }


def _key(kind: str, key: object) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key) or len(key) > MAX_KEY:
        raise InvalidInput(kind, key, f"is not a key of 1 to {MAX_KEY} characters", remedy=_KEY_RULE)
    if posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        raise InvalidInput(
            kind, key, "is not a plain path", remedy="Leave out `//`, `.`, `..` and outer slashes."
        )
    return key


def _text(name: str, value: str, limit: int) -> str:
    if "\0" in value or not _is_unicode(value):
        raise InvalidInput(
            name, value, "holds a NUL or half a character", remedy="Log it as an artifact, or encode it."
        )
    if len(value) > limit:
        raise InvalidInput(
            name, value, f"has {len(value)} characters, at most {limit} fit", remedy="Log it as an artifact."
        )
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _number(name: str, value: object) -> float:
    if isinstance(value, (str, bytes)):
        raise InvalidInput(name, value, "is text, not a number", remedy="Convert it, or log it as a param.")
    try:
        return float(value)  # type: ignore[arg-type]
    except Exception as error:  # whatever the value's own conversion raises: torch has a RuntimeError
        raise InvalidInput(name, value, "is not a number", remedy="Give one number per metric.") from error
