"""What a .dvc file records, read without DVC, whose import takes longer than a run's start may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mlops.data.git import is_content_hash
from mlops.entities import DataCheck, DataVersion
from mlops.errors import DataError

META = "mlops"
"""Key of what we keep in a .dvc file's `meta`."""

# libyaml's is ten times quicker than Python's.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(project: str, root: Path, path: str) -> DataVersion | None:
    """The version of `path`, relative to `root`, that `<path>.dvc` records, without git's state and the
    remote; None where there is no such file, or one that `mlops:dvc-add` has not made: DVC tells of it.
    Raises `DataError` for a damaged one."""
    file = root / f"{path}.dvc"
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
        output = next(each for each in content["outs"] if "md5" in each)
        if not _is_ours(content, output, Path(path).name):
            return None
        return DataVersion(
            project=project,
            path=path,
            hash=str(output["md5"]),
            size_bytes=int(output.get("size", 0)),
            files=int(output.get("nfiles", 1)),
            git_revision=None,
            git_dirty=False,
            remote="",
            checks=checks_of((content.get("meta") or {}).get(META)),
        )
    except FileNotFoundError:
        return None
    except (
        yaml.YAMLError,
        UnicodeDecodeError,
        KeyError,
        TypeError,
        ValueError,
        StopIteration,
        AttributeError,
    ) as error:
        raise DataError(
            f"{file} is damaged", remedy="Restore it from git, or add the data again.", path=path
        ) from error


def _is_ours(content: dict[str, Any], output: dict[str, Any], name: str) -> bool:
    return (
        output["path"] == name
        and len(content["outs"]) == 1
        and not content.keys() & {"wdir", "deps"}
        and "remote" not in output
        and output.get("cache", True) is True
        and output.get("hash") == "md5"
        and is_content_hash(str(output["md5"]))
    )


def checks_of(meta: Any) -> tuple[DataCheck, ...]:
    """The checks that a .dvc file's `meta` keeps; what is not in our shape is left out."""
    return DataCheck.listed(meta.get("checks")) if isinstance(meta, dict) else ()


def with_checks(meta: Any, checks: tuple[DataCheck, ...]) -> dict[str, Any] | None:
    """A .dvc file's `meta` with these checks in place of those it had."""
    kept = {key: value for key, value in (meta or {}).items() if key != META}
    ours = [{"name": each.name, "passed": each.passed, "detail": each.detail} for each in checks]
    return {**kept, **({META: {"checks": ours}} if ours else {})} or None
