"""A project's expectations on its data: functions that project.toml names, run when data is added.

```toml
[data.checks]
"data/raw" = "drilling.checks:readable_logs"
```

Each gets the path of what is added and returns a `DataCheck` for each expectation.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from mlops.entities import DataCheck
from mlops.errors import ConfigError, DataChecksFailed, MLOpsError
from mlops.project import FILE_NAME, Project

GROUP = "mlops.data_checks"


def check_data(project: Project, path: str, *, allow_failed: bool = False) -> list[DataCheck]:
    """Run what is declared for `path`, for what is above it (a batch below `data/raw` meets the checks of
    `data/raw`), and for what is below it.

    Raises `DataChecksFailed` unless `allow_failed`; `ConfigError` for a function that cannot be imported. One
    that raises, or that returns nothing, has failed.
    """
    with _own_modules(project.root):
        results = [
            result
            for call, target in _relevant(project, path)
            if (project.root / target).exists()
            for result in _results(call, _load(project, call), project.root / target)
        ]
    failed = [f"{each.name}: {each.detail or 'failed'}" for each in results if not each.passed]
    if failed and not allow_failed:
        raise DataChecksFailed(project.name, path, failed)
    return results


def _relevant(project: Project, path: str) -> Iterator[tuple[str, str]]:
    """The functions, each with the path it is to look at."""
    added = PurePosixPath(path)
    for declared, call in project.data_checks.items():
        if added.is_relative_to(declared):
            yield call, path
        elif PurePosixPath(declared).is_relative_to(added):
            yield call, declared


def _load(project: Project, call: str) -> Callable[[Path], object]:
    module, _, name = call.partition(":")
    own = project.root / f"{module}.py"
    try:
        if own.is_file():
            function = getattr(_own_module(project, module, own), name)
        else:
            function = EntryPoint(name=call, value=call, group=GROUP).load()
    except Exception as error:
        raise _unusable(project, call, f"cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise _unusable(project, call, "is no function")
    return function  # type: ignore[no-any-return]


def _own_module(project: Project, name: str, file: Path) -> ModuleType:
    """A module of the project's folder, as it is now, under a name that no other project's has."""
    spec = importlib.util.spec_from_file_location(f"{GROUP}.{project.name}.{name}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@contextmanager
def _own_modules(root: Path) -> Iterator[None]:
    """What lies in the project's folder can be imported, also while a check runs, and is forgotten then: the
    next project may have modules of the same names."""
    before = set(sys.modules)
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).parent == root:
                del sys.modules[name]


def _results(call: str, function: Callable[[Path], object], target: Path) -> list[DataCheck]:
    try:
        returned = function(target)
        results = [returned] if isinstance(returned, DataCheck) else list(_iterated(returned))
    except MLOpsError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the project's code
        where = traceback.extract_tb(error.__traceback__)[-1]
        detail = f"raised {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return [DataCheck(call, passed=False, detail=detail)]
    if not results or not all(isinstance(each, DataCheck) for each in results):
        return [DataCheck(call, passed=False, detail="returned no DataCheck: it must return at least one")]
    return results


def _iterated(returned: object) -> Iterable[Any]:
    return returned if isinstance(returned, Iterable) else ()


def _unusable(project: Project, call: str, problem: str) -> ConfigError:
    return ConfigError(
        f"the data check {call!r} of project {project.name!r} {problem}",
        remedy=f"Mend `[data.checks]` in {project.root / FILE_NAME}, or what it names.",
        project=project.name,
        check=call,
    )
