"""A project's pipeline as dvc.yaml describes it, beside what dvc.lock says of the last time it ran.

Both are read without DVC, whose import takes longer than a page may. A stage is as DVC left it where the
hashes in dvc.lock fit together and what stands in the project's folder has the sizes, and small files the
hashes, that were recorded. That is less than `dvc status` looks at: it never tells a stage changed that is
not, but for templates of its command.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from mlops.errors import DataError

FILE, LOCK = "dvc.yaml", "dvc.lock"
MOST_STAGES = 200
_MOST_FILES = 2000
"""Of a folder that are looked at; a larger one is taken as it was recorded."""
_HASHED_BYTES = 1_000_000
_LARGEST_BYTES = 2_000_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class StageState(StrEnum):
    """How a stage stands to its last run."""

    DONE = "done"
    CHANGED = "changed"
    """It would run again."""
    NEVER = "never ran"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage."""

    name: str
    command: str
    inputs: tuple[str, ...]
    """Paths of files and folders."""
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    after: tuple[str, ...]
    """Names of the stages whose outputs it takes."""
    layer: int
    """0 for one that comes after none; one more than the last it comes after."""
    state: StageState
    why: tuple[str, ...]
    """What changed."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages, by layer."""

    stages: tuple[Stage, ...]
    left_out: int = 0
    """Stages that are too many to be told."""


def has_pipeline(root: Path) -> bool:
    """Whether the project's folder, on this machine, has a pipeline."""
    return (root / FILE).is_file()


def read_pipeline(root: Path) -> Pipeline | None:
    """The pipeline of the project in the folder `root`; None where there is none. Raises `DataError` for a
    damaged file."""
    stated = _read(root / FILE)
    if stated is None:
        return None
    locked = _stages(_read(root / LOCK) or {})
    told = dict(islice(_stages(stated).items(), MOST_STAGES))
    parts = {name: _parts(stage) for name, stage in told.items()}
    makers = {path: name for name, (_, outputs) in parts.items() for path in outputs}
    after = {
        name: tuple(
            dict.fromkeys(found for path in inputs if (found := _maker(path, makers)) not in ("", name))
        )
        for name, (inputs, _) in parts.items()
    }
    made = {path: entry for lock in locked.values() for path, entry in _entries(lock, "outs").items()}
    layers = _layers(after)
    stages = [
        _stage(root, name, told[name], parts[name], after[name], layers[name], locked.get(name), made)
        for name in sorted(told, key=lambda name: layers[name])
    ]
    return Pipeline(tuple(_with_what_comes_before(stages)), max(0, len(_stages(stated)) - MOST_STAGES))


def _stage(
    root: Path,
    name: str,
    told: Mapping[str, Any],
    parts: tuple[tuple[str, ...], tuple[str, ...]],
    after: tuple[str, ...],
    layer: int,
    lock: Mapping[str, Any] | None,
    made: Mapping[str, Mapping[str, Any]],
) -> Stage:
    inputs, outputs = parts
    why = () if lock is None else tuple(_changes(root, inputs, outputs, lock, made))
    state = StageState.NEVER if lock is None else StageState.CHANGED if why else StageState.DONE
    command = told.get("cmd", "")
    lines = command if isinstance(command, list) else [command]
    params = tuple(map(_path, _list(told.get("params"))))
    return Stage(name, " && ".join(map(str, lines)), inputs, outputs, params, after, layer, state, why)


def _changes(
    root: Path,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    lock: Mapping[str, Any],
    made: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    used, left = _entries(lock, "deps"), _entries(lock, "outs")
    for path in inputs:
        recorded, newest = used.get(path), made.get(path)
        if recorded is None:
            yield f"{path} is new to it"
        elif newest is not None and newest.get("md5") != recorded.get("md5"):
            yield f"{path} was made anew"
        elif _differs(root, path, recorded):
            yield f"{path} changed"
    for path in outputs:
        if path not in left:
            yield f"{path} was not made yet"
        elif not _within(root, path).exists():
            yield f"{path} is missing"


def _with_what_comes_before(stages: list[Stage]) -> Iterator[Stage]:
    """A stage that is done changes with those it comes after."""
    stale: set[str] = set()
    for stage in stages:
        before = [name for name in stage.after if name in stale]
        if stage.state is StageState.DONE and before:
            why = tuple(f"{name} would run again" for name in before)
            stage = replace(stage, state=StageState.CHANGED, why=why)
        if stage.state is not StageState.DONE:
            stale.add(stage.name)
        yield stage


def _differs(root: Path, path: str, recorded: Mapping[str, Any]) -> bool:
    place, size = _within(root, path), recorded.get("size")
    try:
        if place.is_dir():
            sizes = list(islice(_sizes(place), _MOST_FILES + 1))
            too_many = len(sizes) > _MOST_FILES
            return (
                not too_many
                and size is not None
                and (sum(sizes), len(sizes)) != (size, recorded.get("nfiles"))
            )
        found = place.stat().st_size
        if size is not None and found != size:
            return True
        return found <= _HASHED_BYTES and hashlib.md5(place.read_bytes()).hexdigest() != recorded.get("md5")  # noqa: S324
    except OSError:  # not there, or not to be read
        return True


def _sizes(folder: Path) -> Iterator[int]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            yield (Path(place) / name).stat().st_size


def _within(root: Path, path: str) -> Path:
    """The path, where it is below the folder; else what is never there."""
    place = root / path
    return place if ".." not in Path(path).parts and not Path(path).is_absolute() else root / ".not-there"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise ValueError("it is too large")
        found = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, ValueError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f"{file.name} cannot be read: {first}", remedy=f"Mend {file}.", path=file.name
        ) from error
    return found if isinstance(found, dict) else {}


def _stages(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By name; of one that stands for several (`foreach`, `matrix`) what they are made of."""
    stages = content.get("stages")
    found = stages.items() if isinstance(stages, dict) else ()
    told = {str(name): stage.get("do", stage) for name, stage in found if isinstance(stage, dict)}
    return {name: stage for name, stage in told.items() if isinstance(stage, dict)}


def _parts(stage: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    outputs = (_path(each) for kind in ("outs", "metrics", "plots") for each in _list(stage.get(kind)))
    return tuple(map(_path, _list(stage.get("deps")))), tuple(outputs)


def _entries(lock: Mapping[str, Any], kind: str) -> dict[str, Mapping[str, Any]]:
    return {str(each.get("path")): each for each in _list(lock.get(kind)) if isinstance(each, dict)}


def _maker(path: str, makers: Mapping[str, str]) -> str:
    """The stage that makes it, or the folder that it is in; empty where none does."""
    places = (path, *(str(each) for each in Path(path).parents))
    return next((makers[place] for place in places if place in makers), "")


def _layers(after: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    found = dict.fromkeys(after, 0)
    for _ in after:  # at most as often as there are stages: a circle ends, too
        deeper = {
            name: max((found[each] + 1 for each in before), default=0) for name, before in after.items()
        }
        if deeper == found:
            break
        found = {name: min(layer, len(after)) for name, layer in deeper.items()}
    return found


def _list(found: Any) -> list[Any]:
    return found[:MOST_STAGES] if isinstance(found, list) else []


def _path(entry: Any) -> str:
    """Of an entry that is a path, or a path with how it is kept."""
    return str(next(iter(entry), "")) if isinstance(entry, dict) else str(entry)
